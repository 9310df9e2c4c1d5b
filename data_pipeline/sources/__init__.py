"""Where documents come from. A source lists its files, cuts them into blocks and parses a block into documents."""

"""What the tokens of a vocabulary hold, and what text costs in them, by kinds of characters."""

"""A process of its own that looks after the ranks of a node: it names a rank that hangs, and has all begin anew."""

"""The commands people type. argv and the environment are read here."""

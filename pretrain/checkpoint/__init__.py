"""Checkpoints: complete or absent, every byte verified before use, nothing in them ever executed."""

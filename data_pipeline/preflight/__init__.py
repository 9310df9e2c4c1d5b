"""Preflight: what a run will give and take, foretold from the same run over a small part of its input."""

"""Tokenizers side by side on a text: one page to choose by."""

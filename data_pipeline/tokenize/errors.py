"""The tokenizer room's family of errors."""

from __future__ import annotations

from foundation.errors import GroundworkError


class TokenizerError(GroundworkError):
    """A tokenizer can't be trained on this text, or a given one can't be used without losing bytes."""

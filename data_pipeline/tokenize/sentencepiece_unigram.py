"""The scores of a SentencePiece unigram model."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.tokenize.sentencepiece_model import Kind, Piece, SentencePieceModel
from data_pipeline.tokenize.sentencepiece_split import plain


def unigram(model: SentencePieceModel) -> dict[str, Any]:
    """Return the model of the tokenizer.json.

    A character without a piece scores the same constant below all others in both libraries; that constant decides
    nothing, as every character of a longer piece is a piece itself.
    """
    scores = [piece.score for piece in model.pieces if piece.kind == Kind.NORMAL]
    vocab = [[plain(piece.text), _score(piece, min(scores), max(scores))] for piece in model.pieces]
    unknown = next(index for index, piece in enumerate(model.pieces) if piece.kind == Kind.UNKNOWN)
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": True}


def _score(piece: Piece, least: float, most: float) -> float:
    """Return a piece's score; that of a symbol as SentencePiece takes it (unigram_model.cc), in its 32 bits."""
    if piece.kind == Kind.NORMAL:
        return piece.score
    if piece.kind == Kind.USER_DEFINED:
        return float(np.float32(np.float32(len(piece.text)) * np.float32(most) - np.float32(0.1)))
    return least  # never looked up: its name is cut in two

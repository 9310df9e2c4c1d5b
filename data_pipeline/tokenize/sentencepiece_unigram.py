"""The scores of a SentencePiece unigram model."""

from __future__ import annotations

from typing import Any

from data_pipeline.tokenize.sentencepiece_model import Kind, Piece, SentencePieceModel
from data_pipeline.tokenize.sentencepiece_split import plain

SYMBOL_SCORE = 0.0  # above any sum of logarithms: a symbol, cut out as a word, stays whole


def unigram(model: SentencePieceModel) -> dict[str, Any]:
    """Return the model of the tokenizer.json.

    A character without a piece scores the same constant below all others in both libraries; that constant decides
    nothing, as every character of a longer piece is a piece itself.
    """
    least = min(piece.score for piece in model.pieces if piece.kind == Kind.NORMAL)
    vocab = [[plain(piece.text), _score(piece, least)] for piece in model.pieces]
    unknown = next(index for index, piece in enumerate(model.pieces) if piece.kind == Kind.UNKNOWN)
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": True}


def _score(piece: Piece, least: float) -> float:
    if piece.kind == Kind.NORMAL:
        return piece.score
    return SYMBOL_SCORE if piece.kind == Kind.USER_DEFINED else least  # the others' names are cut: none is looked up

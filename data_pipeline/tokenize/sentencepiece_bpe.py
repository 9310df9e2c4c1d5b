"""The merges behind a SentencePiece BPE model, which has none: it joins the two neighbours whose piece scores best."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
from tokenizers import Tokenizer

from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.records import bpe_model
from data_pipeline.tokenize.sentencepiece_model import Kind, SentencePieceModel
from data_pipeline.tokenize.sentencepiece_split import plain, texts_of

SHOWN = 3
AS_TRAINED = "give the model as SentencePiece trained it, or train one with tokenizer=bpe"


def bpe(model: SentencePieceModel, where: str) -> dict[str, Any]:
    """Return the model of the tokenizer.json.

    Raises:
        TokenizerError: SentencePiece's ids can't be had by merges.
    """
    scores = {plain(piece.text): piece.score for piece in model.pieces if piece.kind == Kind.NORMAL}
    vocab = {plain(piece.text): index for index, piece in enumerate(model.pieces)}
    unknown = texts_of(model, Kind.UNKNOWN)[0]
    merges = merges_of(scores, where)
    made = bpe_model(vocab, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    if texts_of(model, Kind.USER_DEFINED):
        _require_whole(made, scores, where)
        made["ignore_merges"] = True  # a symbol, cut out as a word, is looked up: no merge makes it
    return made


def merges_of(scores: dict[str, float], where: str) -> list[list[str]]:
    """Return every way to join two pieces into a third, best score first, the longer left part first among equals.

    SentencePiece joins the leftmost of equal pairs. Two ways to one piece that overlap in a text (x y z, where xy is
    yz) are taken in its order unless x and y are repeats of one string, and in a run of repeats the longer stand left:
    merges go from left to right, and what is left over is at the end.

    Args:
        scores: of the pieces that text can become, with plain spaces.
    Raises:
        TokenizerError: two pieces score alike.
    """
    joined = sorted((text for text in scores if len(text) > 1), key=lambda text: -scores[text])
    for one, two in itertools.pairwise(joined):
        if scores[one] == scores[two]:
            raise TokenizerError(
                f"{where}: the pieces {one!r} and {two!r} have one score ({scores[one]}), so which is joined first "
                f"hangs on their places in a text, which merges can't tell; {AS_TRAINED}"
            )
    return [
        [text[:place], text[place:]]
        for text in joined
        for place in range(len(text) - 1, 0, -1)
        if text[:place] in scores and text[place:] in scores
    ]


def _require_whole(made: dict[str, Any], scores: dict[str, float], where: str) -> None:
    """Refuse a model whose pieces would not come out of their own text: with symbols, words are looked up whole."""
    tokenizer = Tokenizer.from_str(orjson.dumps({"version": "1.0", "added_tokens": [], "model": made}).decode())
    texts = list(scores)
    found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    if odd := [text for text, encoding in zip(texts, found, strict=True) if len(encoding.ids) != 1]:
        raise TokenizerError(
            f"{where}: it has symbols of its user (user_defined_symbols), and {len(odd)} pieces that its own merges "
            f"don't make ({', '.join(map(repr, odd[:SHOWN]))}); both can't be kept; train it without the symbols"
        )

"""How a text is cut before a SentencePiece model encodes it: into words, where its pieces end anyway.

SentencePiece encodes a whole text at once. Where each piece is spaces and then no more of them, none crosses from a
character into a space, so the words can be encoded one by one: it is faster, and linear.
"""

from __future__ import annotations

import re
from typing import Any

from data_pipeline.shards.token_bytes import byte_pieces
from data_pipeline.tokenize.records import sequence, split
from data_pipeline.tokenize.sentencepiece_model import Kind, SentencePieceModel

MARK = "\u2581"  # stands for a space in a .model
WORD = " *[^ ]+| +"
_SPACES_FIRST = re.compile(" *[^ ]*")


def texts_of(model: SentencePieceModel, kind: Kind) -> list[str]:
    """Return the texts of the pieces of a kind, with plain spaces."""
    return [plain(piece.text) for piece in model.pieces if piece.kind == kind]


def plain(text: str) -> str:
    """Return a piece's text with plain spaces."""
    return text.replace(MARK, " ")


def pre_tokenizer(model: SentencePieceModel) -> dict[str, Any] | None:
    """Return the pre-tokenizer of a model: symbols alone, names of bytes and control pieces apart, then words.

    Where there are symbols words are looked up whole, and unigram searches: a name in a text would be taken for what
    it names.
    """
    symbols = sorted(texts_of(model, Kind.USER_DEFINED), key=len, reverse=True)  # the longest that matches is taken
    whole = [re.escape(symbol) for symbol in symbols]  # first in each step, which leaves those of the first whole
    steps = [split("|".join(whole))] if whole else []
    if model.algorithm == "unigram" or whole:
        steps.append(split("|".join([*whole, *_broken_names(model)]), "MergedWithPrevious"))
    if splits_words(model):
        steps.append(split("|".join([*whole, WORD])))
    return sequence("pretokenizers", steps)


def splits_words(model: SentencePieceModel) -> bool:
    """Return whether no piece crosses from a character into a space."""
    return all(_SPACES_FIRST.fullmatch(text) for text in texts_of(model, Kind.NORMAL))


def names_of(model: SentencePieceModel) -> list[str]:
    """Return what stands for bytes and control pieces in the vocabulary, and is text in a text."""
    return [*byte_pieces(), *texts_of(model, Kind.CONTROL), *texts_of(model, Kind.UNKNOWN)]


def _broken_names(model: SentencePieceModel) -> list[str]:
    """Return what matches the first part of each name, so that no name is a word: `<0x41>` in a text is text.

    It is cut where no piece lies across, so the ids stay; where there is no such place, after its first character.
    """
    normal = texts_of(model, Kind.NORMAL)
    pairs = {text[i : i + 2] for text in normal for i in range(len(text) - 1)}
    parts: dict[tuple[str, str], None] = {}
    for name in names_of(model):
        if len(name) > 1:
            place = next((i for i in range(1, len(name)) if name[i - 1 : i + 1] not in pairs), 1)
            parts[name[:place], name[place:]] = None
    return [f"{re.escape(head)}(?={re.escape(tail)})" for head, tail in parts]

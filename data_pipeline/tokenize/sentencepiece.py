"""A SentencePiece model as a tokenizer.json of the same ids that keeps every byte.

SentencePiece writes a space as U+2581 and so turns a U+2581 of the text into a space. Here the pieces hold the space
itself: nothing stands for it, and U+2581 is a character without a piece, whose three bytes are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from data_pipeline.tokenize.given import GivenTokenizer
from data_pipeline.tokenize.pinned import checked_pin, read_pinned
from data_pipeline.tokenize.records import record_of, sequence
from data_pipeline.tokenize.sentencepiece_bpe import bpe
from data_pipeline.tokenize.sentencepiece_checks import require_lossless
from data_pipeline.tokenize.sentencepiece_model import Kind, SentencePieceModel, read_model
from data_pipeline.tokenize.sentencepiece_split import pre_tokenizer
from data_pipeline.tokenize.sentencepiece_unigram import unigram


class SentencePiece(GivenTokenizer):
    """A SentencePiece .model, BPE or unigram, that normalises nothing and falls back to bytes.

    The ids are SentencePiece's on every text without U+2581. Unigram adds up scores of 64 bits word by word, where
    SentencePiece adds 32 bits over the whole text: where two cuts of a word score alike (a run of `=` is two
    pieces in either order), the ids can differ.

    Args:
        path: of the .model.
        eot_token: text of the control piece that ends every document; the model must have it.
        hash: sha256 of the file, as `sha256sum` prints it; None takes any file.
    Raises:
        SettingError: the hash is no sha256.
    """

    def __init__(self, path: str, eot_token: str = "</s>", hash: str | None = None) -> None:  # noqa: A002
        self.path, self.eot_token, self._pin = Path(path).expanduser(), eot_token, checked_pin(hash)

    def _read(self) -> tuple[bytes, list[Path], dict[str, str]]:
        instead = "name a SentencePiece .model, or use tokenizer=bpe"
        data, found = read_pinned(self.path, self._pin, "tokenizer.path", "tokenizer.hash", instead)
        record = tokenizer_record(read_model(data, self._where()), self._where())
        return orjson.dumps(record, option=orjson.OPT_INDENT_2), [self.path], {self.path.name: found}

    def _where(self) -> str:
        return f"tokenizer.path: {self.path}"


def tokenizer_record(model: SentencePieceModel, where: str) -> dict[str, Any]:
    """Return the tokenizer.json of a model.

    Args:
        where: the key and file that errors name.
    Raises:
        TokenizerError: it would lose bytes, or its ids could not be kept.
    """
    require_lossless(model, where)
    special = {
        piece.text: index for index, piece in enumerate(model.pieces) if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)
    }
    prefix = [{"type": "Prepend", "prepend": " "}] if model.add_dummy_prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if model.add_dummy_prefix else []
    decoder = sequence("decoders", [{"type": "ByteFallback"}, {"type": "Fuse"}, *strip])
    assert decoder is not None
    made = bpe(model, where) if model.algorithm == "bpe" else unigram(model)
    return record_of(made, special, sequence("normalizers", prefix), pre_tokenizer(model), decoder)

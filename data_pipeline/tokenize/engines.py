"""What turns text into ids: gigatoken, some fifty times faster, where it gives the same ids; else tokenizers itself."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from tokenizers import Tokenizer

from data_pipeline.documents import utf8_buffers

# gigatoken 0.10 remembers every distinct piece of text it has seen and never forgets one (its issue 36): loaded anew
# (0.05 s) after this much text, its memory stays bounded.
RELOAD_BYTES = 1 << 30
# tokenizers keeps about 75 bytes a byte of text while it encodes: longer texts are cut where its split cuts anyway.
PIECE_CHARS = 1 << 20
_GPT2_BORDER = re.compile(r"\w(?=[ \n])")  # no alternative of the split goes on from a letter or digit into a space


class Engine(ABC):
    """Encodes texts as ordinary text, without end-of-text tokens. One thread: workers are what runs side by side."""

    name: str

    @abstractmethod
    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (num_tokens,) uint32, end to end, and offsets (len(texts) + 1,) int64 into them."""


class TokenizersEngine(Engine):
    """Hugging Face's tokenizers: any tokenizer.json."""

    name = "tokenizers"

    def __init__(self, tokenizer: Tokenizer, record: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._may_cut = splits_as_gpt2(record) and all(token["special"] for token in record.get("added_tokens") or [])

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        parts, lengths = [np.zeros(0, np.uint32)], [0]
        for text in texts.to_pylist():
            ids = [self._ids(piece) for piece in (cut_text(text, PIECE_CHARS) if self._may_cut else (text,))]
            parts += ids
            lengths.append(sum(map(len, ids)))
        return np.concatenate(parts), np.cumsum(lengths, dtype=np.int64)

    def _ids(self, text: str) -> np.ndarray:
        # A batch of one: the form without offsets is a fifth faster, and a longer batch would start threads.
        encoding = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
        return np.array(encoding.ids, np.uint32)


class GigatokenEngine(Engine):
    """gigatoken: byte-level BPE with the splits that it knows; reads Arrow's buffers in place.

    Raises:
        ImportError: it is not installed (the extra `fast`).
        Exception: it refuses this tokenizer.
    """

    name = "gigatoken"

    def __init__(self, record: dict[str, Any]) -> None:
        # It takes special-token text in a document for the token, whatever encode_special_tokens says: it gets none.
        ordinary = [token for token in record.get("added_tokens") or [] if not token["special"]]
        self._json = orjson.dumps({**record, "added_tokens": ordinary, "truncation": None, "padding": None}).decode()
        self._load()

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        if not len(texts):
            return np.zeros(0, np.uint32), np.zeros(1, np.int64)
        if self._seen_bytes > RELOAD_BYTES:
            self._load()
        array = awkward_strings(texts)
        self._seen_bytes += texts.nbytes
        layout = self._tokenizer.encode_batch(array, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
        return ids, offsets - offsets[0]

    def _load(self) -> None:
        import gigatoken

        self._tokenizer = gigatoken.Tokenizer.from_json(self._json)
        self._seen_bytes = 0


def awkward_strings(texts: pa.LargeStringArray) -> Any:
    """Return the texts as an awkward array of strings over the same bytes."""
    import awkward

    chars, bounds = utf8_buffers(texts)
    content = awkward.contents.NumpyArray(chars, parameters={"__array__": "char"})
    layout = awkward.contents.ListOffsetArray(
        awkward.index.Index64(bounds), content, parameters={"__array__": "string"}
    )
    return awkward.Array(layout)


def splits_as_gpt2(record: dict[str, Any]) -> bool:
    """Return whether a tokenizer.json cuts text into pieces as GPT-2 does, and changes nothing before that."""
    split = record.get("pre_tokenizer") or {}
    plain = record.get("normalizer") is None and not split.get("add_prefix_space", True)
    return plain and split.get("type") == "ByteLevel" and bool(split.get("use_regex", True))


def cut_text(text: str, max_chars: int) -> Iterator[str]:
    """Cut a long text where the GPT-2 split cuts it anyway: the pieces' ids are the text's, end to end.

    A piece is longer than `max_chars` only up to the first such place after it.
    """
    start = 0
    while len(text) - start > max_chars:
        border = _GPT2_BORDER.search(text, start + max_chars - 1)
        if border is None:
            break
        yield text[start : border.end()]
        start = border.end()
    yield text[start:]

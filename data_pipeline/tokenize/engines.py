"""What turns text into ids: gigatoken, some fifty times faster, where it gives the same ids; else tokenizers itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from data_pipeline.documents import utf8_buffers
from data_pipeline.tokenize.cuts import border_of, cut_text, prepends_space
from data_pipeline.tokenize.sentencepiece_split import MARK, WORD

# gigatoken 0.10 remembers every distinct piece of text it has seen and never forgets one (its issue 36): words of
# random letters take 10 bytes of memory a byte. Loaded anew (0.05 s) after this much text, its memory stays bounded.
RELOAD_BYTES = 1 << 28
# tokenizers keeps about 75 bytes a byte of text while it encodes: longer texts are cut where its split cuts anyway.
PIECE_CHARS = 1 << 20


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
        self._tokenizer, self._border = tokenizer, border_of(record)
        self._rest = tokenizer
        if self._border is not None and record.get("normalizer") is not None:
            # what is put before a text goes before the first of its pieces alone
            self._rest = Tokenizer.from_str(orjson.dumps({**record, "normalizer": None}).decode())
            self._rest.encode_special_tokens = True
            self._rest.no_truncation()
            self._rest.no_padding()

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        parts, lengths = [np.zeros(0, np.uint32)], [0]
        for text in texts.to_pylist():
            ids = list(self._pieces(text))
            parts += ids
            lengths.append(sum(map(len, ids)))
        return np.concatenate(parts), np.cumsum(lengths, dtype=np.int64)

    def _pieces(self, text: str) -> Iterator[np.ndarray]:
        if self._border is None:
            yield _ids(self._tokenizer, text)
            return
        first, *others = cut_text(text, PIECE_CHARS, self._border)
        yield _ids(self._tokenizer, first)
        for piece in others:
            yield _ids(self._rest, piece)


class GigatokenEngine(Engine):
    """gigatoken: byte-level BPE with the splits that it knows, and SentencePiece's BPE; reads Arrow's buffers in place.

    Args:
        record: the JSON of a tokenizer.json.
        reference: encodes what gigatoken can't: of a SentencePiece model, texts that hold U+2581, its sign for a space.
    Raises:
        ImportError: it is not installed (the extra `fast`).
        Exception: it refuses this tokenizer.
    """

    name = "gigatoken"

    def __init__(self, record: dict[str, Any], reference: Engine) -> None:
        # It takes special-token text in a document for the token, whatever encode_special_tokens says: it gets none.
        ordinary = [token for token in record.get("added_tokens") or [] if not token["special"]]
        bare = {**record, "added_tokens": ordinary, "truncation": None, "padding": None}
        self._has_plain_spaces = bool(record["model"].get("byte_fallback"))
        if self._has_plain_spaces:
            bare |= _with_marks(record)
        self._json, self._reference = orjson.dumps(bare).decode(), reference
        self._load()

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        if not len(texts):
            return np.zeros(0, np.uint32), np.zeros(1, np.int64)
        if self._has_plain_spaces:
            is_odd = np.asarray(pc.match_substring(texts, MARK))
            if is_odd.any():
                return self._encode_apart(texts, is_odd)
        return self._encode(texts)

    def _encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        if self._seen_bytes > RELOAD_BYTES:
            self._load()
        array = awkward_strings(texts)
        self._seen_bytes += texts.nbytes
        layout = self._tokenizer.encode_batch(array, parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
        return ids, offsets - offsets[0]

    def _encode_apart(self, texts: pa.LargeStringArray, is_odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode the odd texts by the reference and put all in order."""
        ids: list[np.ndarray] = [np.zeros(0, np.uint32)] * len(texts)
        for engine, mask in ((self._reference.encode, is_odd), (self._encode, ~is_odd)):
            if mask.any():
                some, offsets = engine(texts.filter(pa.array(mask)))
                for place, part in zip(np.flatnonzero(mask).tolist(), np.split(some, offsets[1:-1]), strict=True):
                    ids[place] = part
        return np.concatenate(ids), np.cumsum([0, *map(len, ids)], dtype=np.int64)

    def _load(self) -> None:
        import gigatoken

        self._tokenizer = gigatoken.Tokenizer.from_json(self._json)
        self._seen_bytes = 0


def _with_marks(record: dict[str, Any]) -> dict[str, Any]:
    """Return what changes in a SentencePiece model's tokenizer.json for gigatoken: spaces become U+2581 in it.

    Raises:
        ValueError: it is none that has words alone, whose ids are those of the whole text.
    """
    model = record["model"]
    split = record.get("pre_tokenizer")
    is_plain = model["type"] == "BPE" and prepends_space(record) and not model.get("ignore_merges")
    if not is_plain or (split is not None and split.get("pattern") != {"Regex": WORD}):
        raise ValueError("of byte-fallback tokenizers it takes SentencePiece's BPE without symbols alone")
    normalizers = [{"type": "Replace", "pattern": {"String": " "}, "content": MARK}]
    if record.get("normalizer") is not None:
        normalizers.insert(0, {"type": "Prepend", "prepend": MARK})
    vocab = {text.replace(" ", MARK): index for text, index in model["vocab"].items()}
    merges = [[part.replace(" ", MARK) for part in pair] for pair in model["merges"]]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "model": {**model, "vocab": vocab, "merges": merges},
    }


def _ids(tokenizer: Tokenizer, text: str) -> np.ndarray:
    # A batch of one: the form without offsets is a fifth faster, and a longer batch would start threads.
    encoding = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
    return np.array(encoding.ids, np.uint32)


def awkward_strings(texts: pa.LargeStringArray) -> Any:
    """Return the texts as an awkward array of strings over the same bytes."""
    import awkward

    chars, bounds = utf8_buffers(texts)
    content = awkward.contents.NumpyArray(chars, parameters={"__array__": "char"})
    layout = awkward.contents.ListOffsetArray(
        awkward.index.Index64(bounds), content, parameters={"__array__": "string"}
    )
    return awkward.Array(layout)

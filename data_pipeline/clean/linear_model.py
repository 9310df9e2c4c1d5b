"""A linear model over hashed n-grams, and its file: safetensors, the weights beside a header of JSON. No pickle.

The hash in the header is of all else in the file. So a flipped bit is found, and a file that was cut; whoever changes a
model on purpose can change the hash too, and gets nothing but other scores for it: a model is numbers, never code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load, save

from data_pipeline.clean.ngrams import MAX_BUCKETS, Ngrams
from foundation.errors import InputError
from foundation.files import canonical_json
from foundation.hashes import hash_bytes

FORMAT, VERSION = "groundwork.classifier", 1  # the version also stands for how n-grams are hashed and weighed
ANEW = "train it anew: python -m data_pipeline.classifier"
MAX_BYTES = 4 * MAX_BUCKETS + (1 << 24)  # of a file; what is longer is not read
_HEADER, _WEIGHTS = "groundwork", "weights"
_SIZE_BYTES = 8  # of the header's length, at the beginning of a safetensors file


class ModelError(InputError):
    """A file is no model of ours, of another version, or damaged."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """What tells good documents from bad ones.

    Attributes:
        ngrams: what it looks at.
        weights: (buckets,) float32.
        bias: of a document with no known n-gram.
        facts: how it was trained and how well it does, JSON values; nothing is computed from them.
    """

    ngrams: Ngrams
    weights: np.ndarray
    bias: float
    facts: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the file; equal models give equal bytes."""
        header, weights = self._header(), self.weights.astype("<f4")
        written = canonical_json(header | {"hash": _hash(header, weights)}).decode()
        return bytes(save({_WEIGHTS: weights}, {_HEADER: written}))  # one entry: safetensors keeps no order of several

    def content_hash(self) -> str:
        """Return the hash that its file states: of all that is in it."""
        return _hash(self._header(), self.weights.astype("<f4"))

    def _header(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "word_ngrams": self.ngrams.word_ngrams,
            "char_ngrams": list(self.ngrams.char_ngrams),
            "num_buckets": self.ngrams.num_buckets,
            "bias": self.bias,
            "facts": self.facts,
        }


def read_model(path: Path) -> LinearModel:
    """Return the model of a file, every byte of it verified.

    Raises:
        ModelError: it can't be read, is none of ours, of another version, or damaged; names it.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ModelError(f"{path}: {size:,} bytes, more than a model has; give a trained model, or {ANEW}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror}); give a trained model, or {ANEW}") from error
    header = _header_of(path, data)
    stated, version = header.pop("hash", None), header.get("version")
    try:
        weights = load(data)[_WEIGHTS]
        is_intact = _hash(header, weights) == stated
        if version == VERSION:
            ngrams = Ngrams(header["word_ngrams"], tuple(header["char_ngrams"]), header["num_buckets"])
            is_intact &= weights.shape == (ngrams.num_buckets,) and weights.dtype == np.dtype("<f4")
            is_intact &= bool(np.isfinite(weights).all())
            model = LinearModel(ngrams, weights, float(header["bias"]), dict(header["facts"]))
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: is damaged ({error}); restore it, or {ANEW}") from error
    if version != VERSION and is_intact:
        raise ModelError(f"{path}: is of version {version!r}, this program reads {VERSION}; {ANEW}")
    if not is_intact:
        raise ModelError(f"{path}: is damaged (its content has another hash than it states); restore it, or {ANEW}")
    return model


def _header_of(path: Path, data: bytes) -> dict[str, Any]:
    """Return our own header inside the one of safetensors.

    Raises:
        ModelError: there is none.
    """
    size = int.from_bytes(data[:_SIZE_BYTES], "little")
    try:
        header = orjson.loads(orjson.loads(data[_SIZE_BYTES : _SIZE_BYTES + size])["__metadata__"][_HEADER])
    except (orjson.JSONDecodeError, KeyError, TypeError, OverflowError) as error:
        raise ModelError(f"{path}: is no model of this program, or damaged; give one, or {ANEW}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelError(f"{path}: is no model of this program; give one, or {ANEW}")
    return header


def _hash(header: dict[str, Any], weights: np.ndarray) -> str:
    return hash_bytes(canonical_json(header) + weights.tobytes())

"""MinHash signatures: of a document's shingles, the least value that each of many permutations gives.

The permutations are datasketch's scheme affine32, h -> a*h + b mod 2^32 with odd a, so what differs between engines is
the 32-bit hash of a shingle alone. `compatible` takes datasketch's own, SHA-1: every value equals `datasketch.MinHash`.
`fast` takes half of the 64-bit hash that verification compares by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np

from data_pipeline.compiled import array_kernel
from data_pipeline.dedup.sha1 import sha1_32
from data_pipeline.dedup.shingles import shingle_bounds, shingle_hashes, word_blocks

Engine = Literal["fast", "compatible", "datasketch"]
EMPTY = np.uint32(0xFFFFFFFF)


def permutations(num_perm: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, b), (num_perm,) uint32 each, as datasketch 2 draws them."""
    generator = np.random.RandomState(seed)
    odd = generator.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return odd, generator.randint(0, 1 << 32, num_perm, dtype=np.uint32)


def fmix32(values: np.ndarray) -> np.ndarray:
    """Return each uint32 mixed by a bijection. Source: MurmurHash3's fmix32, Austin Appleby, public domain."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: np.ndarray = values ^ (values >> np.uint32(16))
    return mixed


class Signer(ABC):
    """Signs documents, one at a time, a block of words at a time: arrays are small however long a document is.

    Args:
        num_perm: 32-bit values of a signature.
        seed: of the permutations.
        ngram: words per shingle.
    """

    def __init__(self, num_perm: int, seed: int, ngram: int) -> None:
        self._a, self._b = permutations(num_perm, seed)
        self._ngram = ngram

    def sign(self, words: np.ndarray) -> np.ndarray:
        """Return a document's signature, (num_perm,) uint32.

        Args:
            words: uint8, joined by one space.
        """
        signature = np.full(len(self._a), EMPTY, np.uint32)
        for block in word_blocks(words, self._ngram):
            self._lower(block, signature)
        return signature

    @abstractmethod
    def _lower(self, words: np.ndarray, signature: np.ndarray) -> None:
        """Lower the values of a signature to those of these words' shingles where they are less."""


class FastSigner(Signer):
    """Signs by 32 bits of the shingles' 64-bit hashes."""

    def _lower(self, words: np.ndarray, signature: np.ndarray) -> None:
        hashes = (shingle_hashes(words, self._ngram) >> np.uint64(32)).astype(np.uint32)
        _lower_to(signature, hashes, self._a, self._b)


class CompatibleSigner(Signer):
    """Signs as datasketch does, in vectors."""

    def _lower(self, words: np.ndarray, signature: np.ndarray) -> None:
        _lower_to(signature, fmix32(sha1_32(words, *shingle_bounds(words, self._ngram))), self._a, self._b)


class DatasketchSigner(Signer):
    """Signs by datasketch itself: the reference of `CompatibleSigner`."""

    def __init__(self, num_perm: int, seed: int, ngram: int) -> None:
        super().__init__(num_perm, seed, ngram)
        from datasketch import MinHash  # draws in scipy.integrate: half a second that only this work needs

        self._sketch = MinHash(num_perm=num_perm, seed=seed)  # its permutations serve all documents

    def _lower(self, words: np.ndarray, signature: np.ndarray) -> None:
        data = words.tobytes()
        starts, stops = (places.tolist() for places in shingle_bounds(words, self._ngram))
        self._sketch.clear()
        # datasketch holds shingles x num_perm values at once (datajuicer/data-juicer#1034)
        for first in range(0, len(starts), 1024):
            bounds = zip(starts[first : first + 1024], stops[first : first + 1024], strict=True)
            self._sketch.update_batch([data[start:stop] for start, stop in bounds])
        np.minimum(signature, self._sketch.hashvalues, out=signature)


SIGNERS: dict[Engine, Callable[[int, int, int], Signer]] = {
    "fast": FastSigner,
    "compatible": CompatibleSigner,
    "datasketch": DatasketchSigner,
}


@array_kernel
def _lower_to(signature: np.ndarray, hashes: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Lower each value of a signature to the least of its permutation over these hashes.

    Four hashes a turn: a value is fetched and stored once for the four.
    """
    whole = len(hashes) - len(hashes) % 4
    for i in range(0, whole, 4):
        h0, h1, h2, h3 = hashes[i], hashes[i + 1], hashes[i + 2], hashes[i + 3]
        for j in range(len(signature)):
            one = min(_permuted(h0, a[j], b[j]), _permuted(h1, a[j], b[j]))
            other = min(_permuted(h2, a[j], b[j]), _permuted(h3, a[j], b[j]))
            signature[j] = min(signature[j], min(one, other))
    for i in range(whole, len(hashes)):
        for j in range(len(signature)):
            signature[j] = min(signature[j], _permuted(hashes[i], a[j], b[j]))


@array_kernel
def _permuted(value: np.uint32, a: np.uint32, b: np.uint32) -> np.uint32:
    return np.uint32(np.uint32(a * value) + b)  # numba would go on in 64 bits

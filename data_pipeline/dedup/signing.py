"""How signatures are made, in words that stand beside them: whoever reads them later compares these first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.dedup.signatures import Engine, permutations
from foundation.errors import GroundworkError
from foundation.hashes import hash_bytes

WORDS = "text.lower().split()"
SHINGLE_HASHES: dict[Engine, str] = {
    "fast": "groundwork_polynomial64_high32",
    "compatible": "sha1_32_fmix32",
    "datasketch": "sha1_32_fmix32",
}
_KEYS = {"seed": "dedup.seed", "num_perm": "dedup.num_perm", "ngram": "dedup.ngram"}


class SignaturesError(GroundworkError):
    """Stored signatures can't be used: they are made in another way, or of another text."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What a signature depends on beside the text; values of two that differ in any of it can't be compared.

    Attributes:
        engine: see dedup.signatures; what counts of it is the hash of a shingle.
        num_perm: 32-bit values of a signature.
        seed: of the permutations.
        ngram: words per shingle.
    """

    engine: Engine
    num_perm: int
    seed: int
    ngram: int

    def metadata(self) -> dict[str, Any]:
        """Return what is written beside signatures, JSON values.

        The checksum is the xxh3-128 of all a, then all b, as little-endian uint32: a library that draws them in another
        way under the same name and seed is noticed (ekzhu/datasketch#323).
        """
        a, b = permutations(self.num_perm, self.seed)
        return {
            "scheme": "affine32",
            "shingle_hash": SHINGLE_HASHES[self.engine],
            "seed": self.seed,
            "num_perm": self.num_perm,
            "ngram": self.ngram,
            "words": WORDS,
            "permutations_xxh3_128": hash_bytes(np.concatenate([a, b]).astype("<u4").tobytes()),
        }

    def check(self, found: Any, where: str) -> None:
        """Refuse signatures that are made in another way.

        Args:
            found: what stands beside them.
            where: names them.
        Raises:
            SignaturesError: the first thing that differs, and what to do.
        """
        for name, expected in self.metadata().items():
            is_known = isinstance(found, dict) and name in found
            if not is_known or found[name] != expected:
                value = repr(found[name]) if is_known else "not said"
                raise SignaturesError(
                    f"dedup.signatures: {where}: {name} of its signatures is {value}, here it is {expected!r}; "
                    f"{_remedy(name, found[name] if is_known else None)}"
                )


def _remedy(name: str, value: Any) -> str:
    if name in _KEYS:
        return f"set {_KEYS[name]}={value}, or leave the file out"
    engines = [engine for engine, hash_ in SHINGLE_HASHES.items() if name == "shingle_hash" and hash_ == value]
    if engines:
        return f"set dedup.engine={engines[0]}, or leave the file out"
    return "they can't be compared with any that are made here: leave the file out"

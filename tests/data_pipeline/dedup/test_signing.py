from __future__ import annotations

import datasketch
import numpy as np
import pytest

from data_pipeline.dedup.signing import SignaturesError, Signing
from foundation.hashes import hash_bytes


@pytest.mark.parametrize(("num_perm", "seed"), [(16, 1), (128, 7)])
def test_the_checksum_is_that_of_datasketch_s_permutations(num_perm: int, seed: int) -> None:
    drawn = datasketch.MinHash(num_perm=num_perm, seed=seed).permutations
    expected = hash_bytes(np.concatenate([np.asarray(part).reshape(-1) for part in drawn]).astype("<u4").tobytes())
    for engine in ("fast", "compatible"):
        assert Signing(engine, num_perm, seed, 5).metadata()["permutations_xxh3_128"] == expected


def test_datasketch_s_own_engine_is_the_compatible_one_and_fast_is_another() -> None:
    fast, compatible, datasketch_s = (Signing(each, 16, 1, 5) for each in ("fast", "compatible", "datasketch"))
    assert compatible.metadata() == datasketch_s.metadata()
    datasketch_s.check(compatible.metadata(), "a file")
    with pytest.raises(SignaturesError, match=r"^dedup\.signatures: a file: shingle_hash .* set dedup\.engine=comp"):
        fast.check(compatible.metadata(), "a file")


@pytest.mark.parametrize("found", [None, [], "affine32", {}])
def test_what_is_no_description_is_refused(found: object) -> None:
    with pytest.raises(SignaturesError, match=r"scheme of its signatures is not said"):
        Signing("fast", 16, 1, 5).check(found, "a file")

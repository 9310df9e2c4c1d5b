from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import datasketch
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.dedup.shingles import BLOCK_BYTES, shingle_set
from data_pipeline.dedup.signatures import SIGNERS, Engine, permutations
from data_pipeline.dedup.words import joined_words

TEXTS = st.text(st.sampled_from("abcß \n"), max_size=60) | st.text(max_size=30)


def signature(engine: Engine, text: str, num_perm: int = 16, seed: int = 1, ngram: int = 5) -> np.ndarray:
    return SIGNERS[engine](num_perm, seed, ngram).sign(np.frombuffer(joined_words(text), np.uint8))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=TEXTS, ngram=st.integers(1, 5))
@pytest.mark.parametrize("engine", ["compatible", "datasketch"])
def test_equals_datasketch(shingles_of: Callable[[str, int], set[str]], engine: Engine, text: str, ngram: int) -> None:
    oracle = datasketch.MinHash(num_perm=16)
    for shingle in shingles_of(text, ngram):
        oracle.update(shingle.encode())
    assert np.array_equal(signature(engine, text, ngram=ngram), oracle.hashvalues)


@pytest.mark.parametrize("engine", ["compatible", "datasketch"])
def test_a_long_text_s_signature_is_datasketch_s(engine: Engine) -> None:
    """Longer than two blocks of words, of every length up to some that take several blocks of SHA-1."""
    words = [f"w{i * i % 30_011}" + "x" * (i % 97) for i in range(45_000)]
    assert sum(map(len, words)) > 2 * BLOCK_BYTES
    oracle = datasketch.MinHash(num_perm=32, seed=7)
    oracle.update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
    assert np.array_equal(signature(engine, " ".join(words), 32, 7), oracle.hashvalues)


def test_datasketch_reads_ours() -> None:
    text = " ".join(f"word{i}" for i in range(50))
    ours = datasketch.LeanMinHash(seed=3, hashvalues=signature("compatible", text, 64, 3), scheme="affine32")
    theirs = datasketch.MinHash(num_perm=64, seed=3)
    theirs.update_batch([" ".join(text.split()[i : i + 5]).encode() for i in range(46)])
    assert ours == datasketch.LeanMinHash(theirs)


@given(text=TEXTS, ngram=st.integers(1, 5), num_perm=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_fast_is_the_least_value_of_each_permutation(text: str, ngram: int, num_perm: int, seed: int) -> None:
    """In Python's integers, from the set of shingles that verification compares."""
    set_ = shingle_set(np.frombuffer(joined_words(text), np.uint8), ngram)
    pairs = zip(*(values.tolist() for values in permutations(num_perm, seed)), strict=True)
    expected = [min((a * (hash_ >> 32) + b) % 2**32 for hash_ in set_.tolist()) for a, b in pairs]
    assert signature("fast", text, num_perm, seed, ngram).tolist() == expected


@pytest.mark.parametrize("engine", ["fast", "compatible"])
def test_equal_values_estimate_the_similarity(engine: Engine) -> None:
    """720 shingles each, s shared: of 4,096 values about s / (1440 - s) are equal, within four standard deviations."""
    words = [f"v{i}" for i in range(724)]
    for shared in (480, 640, 700):
        other = [word if i < shared + 4 else f"{word}x" for i, word in enumerate(words)]
        found = np.mean(signature(engine, " ".join(words), 4096) == signature(engine, " ".join(other), 4096))
        similarity = shared / (1440 - shared)
        assert abs(found - similarity) < 4 * (similarity * (1 - similarity) / 4096) ** 0.5


@pytest.mark.parametrize("engine", ["fast", "compatible"])
def test_memory_does_not_grow_with_a_document(engine: Engine) -> None:
    """Of 32 MB; the arrays of a block take a few."""
    words = np.frombuffer(b"word after word of a huge document " * (1 << 20) + b"its end", np.uint8)
    signer = SIGNERS[engine](4, 1, 5)
    signer.sign(words[:2000])
    tracemalloc.start()
    signer.sign(words[: 32 << 20])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_huge_document_s_signature_is_not_saturated() -> None:
    """Two of 2 million different words each, a tenth in common: of 4,096 values as many are equal as that says."""
    one, other = (" ".join(f"{i:x}" for i in range(first, first + 2_000_000)) for first in (0, 1_800_000))
    found = np.mean(signature("fast", one, 512) == signature("fast", other, 512))
    similarity = 200_000 / 3_800_000
    assert abs(found - similarity) < 4 * (similarity * (1 - similarity) / 512) ** 0.5

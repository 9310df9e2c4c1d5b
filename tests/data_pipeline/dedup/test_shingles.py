from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.dedup.exact import joined_words
from data_pipeline.dedup.greedy import jaccard
from data_pipeline.dedup.shingles import mix64, shingle_bytes, shingle_set

TEXTS = st.text(st.sampled_from("ab é中\n\x85"), max_size=40) | st.text(max_size=40)
Shingles = Callable[[str, int], set[str]]
# a kernel's first call compiles it, which takes a second
together = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@together
@given(TEXTS, st.integers(1, 6))
def test_bytes_are_the_definition_s(shingles_of: Shingles, text: str, ngram: int) -> None:
    found = shingle_bytes(joined_words(text), ngram)
    assert {shingle.decode() for shingle in found} == shingles_of(text, ngram)
    assert len(found) == max(1, len(text.lower().split()) - ngram + 1)


@together
@given(TEXTS, TEXTS, st.integers(1, 6))
def test_sets_of_hashes_compare_as_sets_of_shingles(shingles_of: Shingles, one: str, other: str, ngram: int) -> None:
    a, b = shingles_of(one, ngram), shingles_of(other, ngram)
    hashes_a, hashes_b = (shingle_set(joined_words(text), ngram) for text in (one, other))
    assert (len(hashes_a), len(hashes_b)) == (len(a), len(b))
    assert jaccard(hashes_a, hashes_b) == len(a & b) / len(a | b)


def test_words_do_not_run_into_each_other() -> None:
    assert jaccard(shingle_set(b"ab c", 5), shingle_set(b"a bc", 5)) == 0
    assert jaccard(shingle_set(b"a b", 5), shingle_set(b"b a", 5)) == 0


def test_mix64_is_a_bijection_of_murmurhash3() -> None:
    """The values are fmix64's, computed with Python integers."""

    def fmix64(k: int) -> int:
        k = ((k ^ k >> 33) * 0xFF51AFD7ED558CCD) & (2**64 - 1)
        k = ((k ^ k >> 33) * 0xC4CEB9FE1A85EC53) & (2**64 - 1)
        return k ^ k >> 33

    values = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    assert mix64(values).tolist() == [fmix64(value) for value in values.tolist()]

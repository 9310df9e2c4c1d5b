from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.dedup.greedy import jaccard
from data_pipeline.dedup.shingles import mix64, shingle_bounds, shingle_hashes, shingle_set, word_blocks, word_hashes
from data_pipeline.dedup.words import joined_words

TEXTS = st.text(st.sampled_from("ab é中\n\x85"), max_size=40) | st.text(max_size=40)
Shingles = Callable[[str, int], set[str]]
# a kernel's first call compiles it, which takes a second
together = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def set_of(words: bytes, ngram: int = 5) -> np.ndarray:
    return shingle_set(np.frombuffer(words, np.uint8), ngram)


@together
@given(TEXTS, st.integers(1, 6))
def test_bytes_are_the_definition_s(shingles_of: Shingles, text: str, ngram: int) -> None:
    words = joined_words(text)
    starts, stops = shingle_bounds(np.frombuffer(words, np.uint8), ngram)
    found = [words[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    assert {shingle.decode() for shingle in found} == shingles_of(text, ngram)
    assert len(found) == max(1, len(text.lower().split()) - ngram + 1)


@together
@given(TEXTS, TEXTS, st.integers(1, 6))
def test_sets_of_hashes_compare_as_sets_of_shingles(shingles_of: Shingles, one: str, other: str, ngram: int) -> None:
    a, b = shingles_of(one, ngram), shingles_of(other, ngram)
    hashes_a, hashes_b = (set_of(joined_words(text), ngram) for text in (one, other))
    assert (len(hashes_a), len(hashes_b)) == (len(a), len(b))
    assert jaccard(hashes_a, hashes_b) == len(a & b) / len(a | b)


@given(TEXTS, st.integers(1, 6), st.integers(1, 20))
def test_blocks_have_every_shingle_once(text: str, ngram: int, most: int) -> None:
    words = np.frombuffer(joined_words(text), np.uint8)
    hashes = [shingle_hashes(block, ngram) for block in word_blocks(words, ngram, most)]
    assert np.array_equal(np.concatenate(hashes), shingle_hashes(words, ngram))


def test_words_longer_than_a_block_are_looked_at_a_few_times() -> None:
    """Of 128 MB in words of 60 kB every block is near its place: to the end of the text it would be 10^11 bytes."""
    words = np.full(1 << 27, ord("x"), np.uint8)
    words[60_000 - 1 :: 60_000] = ord(" ")
    blocks = list(word_blocks(words, 5, 1 << 16))
    num_words = [int((block == ord(" ")).sum()) + 1 for block in blocks]
    assert sum(number - 4 for number in num_words) == int((words == ord(" ")).sum()) + 1 - 4
    assert sum(map(len, blocks)) < 3 * len(words)


@given(TEXTS, st.integers(1, 6))
def test_a_set_is_sorted_and_has_no_repeats(text: str, ngram: int) -> None:
    words = np.frombuffer(joined_words(text), np.uint8)
    assert np.array_equal(shingle_set(words, ngram), np.unique(shingle_hashes(words, ngram)))


def test_words_do_not_run_into_each_other() -> None:
    assert jaccard(set_of(b"ab c"), set_of(b"a bc")) == 0
    assert jaccard(set_of(b"a b"), set_of(b"b a")) == 0


def test_a_long_word_is_told_from_one_with_two_letters_changed_places() -> None:
    """Above 64 bytes the places' factors are combined from two tables."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        word = rng.integers(97, 123, 5000).astype(np.uint8)
        one, step = int(rng.integers(0, 400)), int(rng.choice([1, 63, 64, 65, 128, 4096, 4097]))
        other = word.copy()
        other[[one, one + step]] = other[[one + step, one]] if word[one] != word[one + step] else [33, 34]
        assert word_hashes(word) != word_hashes(other)


def test_a_zero_byte_counts() -> None:
    assert jaccard(set_of(b"a"), set_of(b"a\0")) == 0
    assert jaccard(set_of(b""), set_of(b"\0")) == 0


def test_mix64_is_a_bijection_of_murmurhash3() -> None:
    """The values are fmix64's, computed with Python integers."""

    def fmix64(k: int) -> int:
        k = ((k ^ k >> 33) * 0xFF51AFD7ED558CCD) & (2**64 - 1)
        k = ((k ^ k >> 33) * 0xC4CEB9FE1A85EC53) & (2**64 - 1)
        return k ^ k >> 33

    values = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    assert mix64(values).tolist() == [fmix64(value) for value in values.tolist()]

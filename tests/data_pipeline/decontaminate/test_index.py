from __future__ import annotations

import pickle
import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.index import (
    NGramIndex,
    build_index,
    ngram_widths,
    words_covered,
    words_of,
    words_of_text,
)
from data_pipeline.decontaminate.kernels import ALONE, count_words
from data_pipeline.decontaminate.words import char_class, words

TEXT = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


def build(texts: list[str], n: int, min_words: int) -> NGramIndex:
    return build_index(words_of(pa.array(texts, pa.large_string())), n, min_words)


def find(index: NGramIndex, text: str) -> np.ndarray:
    """The numbers of the n-grams that a text holds, each once."""
    return np.unique(index.find(pa.array([text], pa.large_string())).ngrams)


def ngrams(text: str, length: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


def width_of(text: str, n: int, min_words: int) -> int:
    """The rule for one item, written plainly."""
    num_words = len(words(text))
    if num_words < min_words:
        return 0
    return min(num_words, n if num_words < n or num_words >= 1.5 * n else n - n // 6)


@given(st.lists(TEXT, max_size=6), TEXT, st.integers(1, 7), st.integers(1, 2))
def test_holds_what_sets_of_tuples_hold(texts: list[str], document: str, n: int, min_words: int) -> None:
    min_words = min(n, min_words)
    index = build(texts, n, min_words)
    widths = [width_of(text, n, min_words) for text in texts]
    items = [ngrams(text, width) if width else set() for text, width in zip(texts, widths, strict=True)]
    everything = set().union(*items)
    assert index.num_ngrams == len(everything)
    assert index.widths.tolist() == widths
    in_document = set().union(*(ngrams(document, length) for length in range(1, n + 1)))
    found = find(index, document)
    assert len(found) == len(everything & in_document)
    holders = index.holders(found)
    rows = {(found[row], item) for row, item in zip(holders.rows.tolist(), holders.items.tolist(), strict=True)}
    numbers, held = np.unique([item for _, item in rows], return_counts=True)
    expected = {i: len(item & in_document) for i, item in enumerate(items) if item & in_document}
    assert dict(zip(numbers.tolist(), held.tolist(), strict=True)) == expected


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 30)), st.integers(1, 5)))
def test_words_covered_are_those_of_a_set(ngrams: dict[tuple[int, int], int]) -> None:
    rows = sorted(ngrams)
    groups, places = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    widths = groups + 2  # the n-grams of an item are of one width
    expected: dict[int, set[int]] = {}
    for group, place in rows:
        expected.setdefault(group, set()).update(range(place, place + group + 2))
    firsts, covered = words_covered(groups, places, widths)
    assert dict(zip(groups[firsts].tolist(), covered.tolist(), strict=True)) == {
        group: len(words) for group, words in expected.items()
    }


@given(st.lists(st.lists(st.booleans(), max_size=12), max_size=5), st.integers(1, 4))
def test_words_that_count_are_those_of_ngrams_that_do(counts: list[list[bool]], width: int) -> None:
    flat = np.array([each for item in counts for each in item], bool)
    firsts = np.cumsum([0, *map(len, counts)])
    widths = np.arange(len(counts)) % 3 + width
    expected = [
        len({word for at, each in enumerate(item) if each for word in range(at, at + int(width_))})
        for item, width_ in zip(counts, widths, strict=True)
    ]
    assert count_words(flat, firsts, widths).tolist() == expected


def test_any_run_of_three_quarters_of_an_item_is_half_of_it() -> None:
    """For all numbers of words from 15 on; of 13 and 14 words 11 must be there, of fewer all."""
    num_words = np.arange(1, 2000)
    for length, width in zip(num_words.tolist(), ngram_widths(num_words, 2 * num_words, 13, 3).tolist(), strict=True):
        run = length if length < 13 else 11 if length < 15 else length * 3 // 4
        assert width == 0 if length < 3 else width <= run
        assert 2 * run >= length


def test_many_ngrams_are_all_found() -> None:
    """More than one n-gram in most entries of the directory."""
    texts = [" ".join(f"{i}x{j}" for j in range(50)) for i in range(200)]
    index = build(texts, 5, 1)
    assert index.num_ngrams == 200 * 46
    assert sorted(np.concatenate([find(index, text) for text in texts]).tolist()) == list(range(index.num_ngrams))
    assert len(find(index, " ".join(f"{i}y" for i in range(10_000)))) == 0


def test_a_text_that_needs_its_normal_form_is_searched_in_its_place() -> None:
    """The second of three documents holds letters taken apart; its hits lie in its own bytes, between the others'."""
    index = build(["le garçon a été là", "très bien"], 5, 1)
    apart = unicodedata.normalize("NFD", "Él: TRÈS bien, le garçon — a été là.")
    hits = index.find(pa.array(["le garçon a été là", apart, "très bien"], pa.large_string()))
    assert hits.documents.tolist() == [0, 1, 1, 2]
    texts = [apart.encode()[start:end].decode() for start, end in zip(hits.starts[1:3], hits.ends[1:3], strict=True)]
    assert [unicodedata.normalize("NFC", text) for text in texts] == ["TRÈS bien", "le garçon — a été là"]


@given(st.lists(st.text("ab 中か국ไe\u0301ﾊﾞ\u1112\u1161㌖é1.\n", max_size=12), max_size=5))
def test_a_letter_of_a_script_without_spaces_is_half_a_word(texts: list[str]) -> None:
    """Of text that the kernel reads, and of text that it gives up."""
    found = words_of(pa.array(texts, pa.large_string()))
    one_by_one = [[2 - (char_class(ord(word[0])) == ALONE) for word in words(text)] for text in texts]
    assert found.counts.tolist() == [len(each) for each in one_by_one]
    assert found.half_words.tolist() == [sum(each) for each in one_by_one]
    assert [int(words_of_text(text).half_words[0]) for text in texts] == found.half_words.tolist()


def test_travels_to_a_worker() -> None:
    index = pickle.loads(pickle.dumps(build(["a b c"], 2, 1)))
    assert len(find(index, "x a b c")) == 2
    assert index.num_words.tolist() == [3]

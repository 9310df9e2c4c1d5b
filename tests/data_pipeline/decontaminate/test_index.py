from __future__ import annotations

import pickle
import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate import testsets
from data_pipeline.decontaminate.index import NGramIndex, build_index
from data_pipeline.decontaminate.words import words

TEXT = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


def build(texts: list[str], n: int, min_words: int) -> NGramIndex:
    return build_index([testsets.TestItem("t", str(i), text) for i, text in enumerate(texts)], n, min_words)


def find(index: NGramIndex, text: str) -> np.ndarray:
    """The numbers of the n-grams that a text holds, each once."""
    return np.unique(index.find(pa.array([text], pa.large_string())).ngrams)


def ngrams(text: str, length: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


@given(st.lists(TEXT, max_size=6), TEXT, st.integers(1, 4), st.integers(1, 2))
def test_holds_what_sets_of_tuples_hold(texts: list[str], document: str, n: int, min_words: int) -> None:
    min_words = min(n, min_words)
    index = build(texts, n, min_words)
    items = [ngrams(text, min(n, len(words(text)))) if len(words(text)) >= min_words else set() for text in texts]
    everything = set().union(*items)
    assert index.num_ngrams == len(everything)
    assert index.num_too_short == sum(not item for item in items)
    counting = np.ones(index.num_ngrams, bool)
    assert index.item_sizes(counting).tolist() == [len(item) for item in items]
    in_document = set().union(*(ngrams(document, length) for length in range(1, n + 1)))
    found = find(index, document)
    assert len(found) == len(everything & in_document)
    numbers, held = np.unique(index.items_of(found)[1], return_counts=True)
    expected = {i: len(item & in_document) for i, item in enumerate(items) if item & in_document}
    assert dict(zip(numbers.tolist(), held.tolist(), strict=True)) == expected


def test_what_does_not_count_is_no_part_of_an_item() -> None:
    index = build(["a b c d", "b c d"], 2, 1)
    counting = np.ones(index.num_ngrams, bool)
    counting[find(index, "b c")] = False
    assert index.item_sizes(counting).tolist() == [2, 1]


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


def test_travels_to_a_worker() -> None:
    index = pickle.loads(pickle.dumps(build(["a b c"], 2, 1)))
    assert len(find(index, "x a b c")) == 2
    assert index.names == ["t#0"]

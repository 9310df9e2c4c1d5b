"""The units of texts, and which of them go, against plain Python."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.paragraphs import (
    Counted,
    NoParagraphs,
    RepeatedParagraphs,
    Unit,
    Units,
    add_counts,
    count_documents,
    spans_to_cut,
)
from foundation.errors import SettingError

TEXTS = st.lists(st.text(st.sampled_from("ab é\n\n \t\r\x85\u3000\u200b"), max_size=30), max_size=8)


def plain_units(text: str, unit: Unit) -> list[str]:
    """A text cut behind each run of ends."""
    end = r"\n(?:\s*\n)+" if unit == "paragraph" else r"\n+"
    pieces, begin = [], 0
    for found in re.finditer(end, text):
        pieces.append(text[begin : found.end()])
        begin = found.end()
    return [*pieces, text[begin:]] if begin < len(text) else pieces


def array(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(["before", *texts, "after"], pa.large_string())[1 : len(texts) + 1]


@pytest.mark.parametrize("unit", ["paragraph", "line"])
@given(texts=TEXTS)
def test_units_are_the_text_cut_behind_its_ends(texts: list[str], unit: Unit) -> None:
    units = RepeatedParagraphs(unit=unit, min_words=1).units(array(texts))
    found: list[list[str]] = [[] for _ in texts]
    for document, start, stop in zip(
        units.documents.tolist(), units.starts.tolist(), units.stops.tolist(), strict=True
    ):
        found[document].append(texts[document].encode()[start:stop].decode())
    assert found == [plain_units(text, unit) for text in texts]
    assert ["".join(pieces) for pieces in found] == texts


def test_a_line_of_any_white_space_is_blank_and_of_no_other_character() -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    units = RepeatedParagraphs(min_words=1).units(array([f"a\n{chr(code)}\nb" for code in codes]))
    cut = np.bincount(units.documents, minlength=len(codes)) == 2
    assert [codes[place] for place in np.flatnonzero(cut)] == [code for code in codes if chr(code).isspace()]


@given(texts=TEXTS, min_words=st.integers(1, 3))
def test_two_units_are_the_same_when_their_words_are(texts: list[str], min_words: int) -> None:
    units = RepeatedParagraphs(min_words=min_words).units(array(texts))
    words = [tuple(piece.lower().split()) for text in texts for piece in plain_units(text, "paragraph")]
    hashes = units.hashes.tolist()
    assert [hash_ == 0 for hash_ in hashes] == [len(each) < min_words for each in words]
    for one, hash_one in zip(words, hashes, strict=True):
        for other, hash_other in zip(words, hashes, strict=True):
            if hash_one and hash_other:
                assert (hash_one == hash_other) == (one == other)


@pytest.mark.parametrize("seed", range(20))
def test_what_goes_is_what_the_plain_rule_says(seed: int) -> None:
    """A spared document keeps its first copy and loses the others."""
    rng = random.Random(seed)
    paragraphs = [f"par {letter} of words" for letter in "abcdefgh"]
    texts = ["\n\n".join(rng.choices(paragraphs, k=rng.randint(1, 6))) for _ in range(10)]
    units = RepeatedParagraphs(min_words=1).units(array(texts))
    repeated = np.unique(rng.sample(np.unique(units.hashes).tolist(), 4)).astype(np.uint64)
    indices = np.array(sorted(rng.sample(range(100), 10)))  # of the documents in the corpus
    keepers = np.array([rng.choice([100, *indices.tolist()]) for _ in repeated])  # 100: of another partition
    seen, expected, stay = set(), [], []
    for document, hash_ in zip(units.documents.tolist(), units.hashes.tolist(), strict=True):
        keeper = dict(zip(repeated.tolist(), keepers.tolist(), strict=True)).get(hash_)
        is_first = keeper == indices[document] and hash_ not in seen
        if keeper == indices[document]:
            seen.add(hash_)
        expected.append(keeper is not None and not is_first)
        stay.append(is_first)
    goes, stays = spans_to_cut(units, repeated, keepers, indices)
    assert (goes.tolist(), stays.tolist()) == (expected, stay)
    goes, stays = spans_to_cut(units, repeated, None, indices)
    assert (goes.tolist(), stays.any()) == (np.isin(units.hashes, repeated).tolist(), False)
    assert not np.any(spans_to_cut(units, repeated[:0], keepers[:0], indices))


@given(st.lists(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=4), max_size=4))
def test_counts_of_parts_add_up_to_those_of_all_documents(parts: list[list[list[int]]]) -> None:
    """Hashes by document by part; 0 is never sought."""
    counted, first = [], 0
    for documents in parts:
        found = count_documents(units_of(documents))
        counted.append(Counted(found.hashes, found.num_documents, found.firsts + first))
        first += len(documents)
    whole = [set(document) - {0} for part in parts for document in part]
    expected = Counter(hash_ for document in whole for hash_ in document)
    firsts = {hash_: next(i for i, document in enumerate(whole) if hash_ in document) for hash_ in expected}
    total = add_counts(counted)
    assert total.hashes.tolist() == sorted(expected)
    assert dict(zip(total.hashes.tolist(), total.num_documents.tolist(), strict=True)) == expected
    assert dict(zip(total.hashes.tolist(), total.firsts.tolist(), strict=True)) == firsts


def units_of(documents: list[list[int]]) -> Units:
    hashes = np.array([hash_ for document in documents for hash_ in document], np.uint64)
    none = np.zeros(len(hashes), np.int64)
    return Units(np.repeat(np.arange(len(documents)), [len(each) for each in documents]), none, none, hashes)


def test_none_reads_nothing() -> None:
    assert not NoParagraphs().seeks
    assert len(NoParagraphs().units(array(["a", "b"])).hashes) == 0


@pytest.mark.parametrize(
    "settings", [{"max_documents": 0}, {"min_words": 0}, {"min_left_bytes": 0}, {"memory_bytes": 1000}]
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"^{next(iter(settings))}: "):
        RepeatedParagraphs(**settings)

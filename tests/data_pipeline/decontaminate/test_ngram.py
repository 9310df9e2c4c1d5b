from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.errors import DecontaminationError
from data_pipeline.decontaminate.index import NGramIndex, build_index, laid_end_to_end, words_of
from data_pipeline.decontaminate.ngram import NGram
from data_pipeline.decontaminate.verdicts import removals, removed_rows
from data_pipeline.decontaminate.words import words
from foundation.errors import SettingError

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)


def prose(seed: int, num_words: int = 200) -> str:
    return " ".join(random.Random(seed).choices([f"word{i}" for i in range(5000)], k=num_words))


def judge(decontaminator: Decontaminator, items: list[str], texts: list[str], cut: int = 0) -> list[Any]:
    index = decontaminator.build(words_of(pa.array(items, pa.large_string())))
    return judge_with(decontaminator, index, texts, cut)


def judge_with(decontaminator: Decontaminator, index: NGramIndex, texts: list[str], cut: int) -> list[Any]:
    """Judge texts that arrive in two partitions; positions count through both."""
    parts = [pa.array(part, pa.large_string()) for part in (texts[:cut], texts[cut:])]
    found = [decontaminator.find(index, part) for part in parts]
    frequencies = sum(np.bincount(each.ngrams, minlength=index.num_ngrams) for each in found)
    judged = []
    for each, shift in zip(found, (0, cut), strict=True):
        held = decontaminator.judge(index, decontaminator.counting(index, np.asarray(frequencies)), each)
        rows = removed_rows(held)
        names = [f"t#{item}" for item in held.items[rows].tolist()]
        gone = removals(held, rows, names, decontaminator.min_coverage)
        judged += [(each.position + shift, each.test_item, each.coverage) for each in gone]
    return judged


def plain_rule(
    items: list[str], texts: list[str], n: int, min_coverage: float, max_frequency: int, min_words: int
) -> list[tuple[int, str, float]]:
    """The definition with sets of tuples."""

    def width_of(item: str) -> int:
        length = len(words(item))
        if sum(0.5 if word == "中" else 1 for word in words(item)) < min_words:
            return 0
        return min(length, n if length < n or length >= 1.5 * n else n - n // 6)

    def runs(text: str, length: int) -> list[tuple[str, ...]]:
        found = words(text)
        return [tuple(found[i : i + length]) for i in range(len(found) - length + 1)] if length else []

    def words_in(item: str, grams: set[tuple[str, ...]]) -> int:
        """How many words of the item lie in these n-grams of it."""
        width = width_of(item)
        places = [first for first, run in enumerate(runs(item, width)) if run in grams]
        return len({word for first in places for word in range(first, first + width)})

    held = [[set(runs(item, width_of(item))) & set(runs(text, width_of(item))) for item in items] for text in texts]
    frequency = Counter(gram for of_text in held for gram in set().union(*of_text))
    removed = []
    for position, of_text in enumerate(held):
        coverages = []
        for number, (item, found) in enumerate(zip(items, of_text, strict=True)):
            counting = {gram for gram in runs(item, width_of(item)) if frequency[gram] <= max_frequency}
            if found & counting:
                held_words = words_in(item, found & counting)
                coverage = held_words / words_in(item, counting)
                if coverage >= min_coverage and held_words / len(words(item)) >= min_coverage / 2:
                    coverages.append((coverage, -number))
        if coverages:
            coverage, number = max(coverages)
            removed.append((position, f"t#{-number}", coverage))
    return removed


TEXT = st.lists(st.sampled_from(["a", "B", "c,", "d'", "中"]), max_size=15).map(" ".join)


@given(
    st.lists(TEXT, min_size=1, max_size=4),
    st.lists(TEXT, max_size=8),
    st.integers(2, 7),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.integers(1, 3),
)
def test_judges_as_the_plain_rule(
    items: list[str], texts: list[str], n: int, min_coverage: float, max_frequency: int
) -> None:
    index = build_index(words_of(pa.array(items, pa.large_string())), n, 2)
    found = judge_with(NGram(n, min_coverage, max_frequency, min_words=2), index, texts, len(texts) // 2)
    assert found == plain_rule(items, texts, n, min_coverage, max_frequency, 2)


@pytest.mark.parametrize(
    "planted",
    [
        QUESTION,
        QUESTION.upper(),
        "\n".join(QUESTION.split()),
        QUESTION.replace(",", " --").replace(".", " ;").replace("?", ""),
        f"**Q:** «{QUESTION}» A: 72",
        QUESTION[: len(QUESTION) * 3 // 4],
    ],
    ids=["verbatim", "recased", "rewrapped", "repunctuated", "framed", "truncated"],
)
def test_a_planted_item_goes_and_its_neighbours_stay(planted: str) -> None:
    texts = [prose(i) for i in range(20)]
    texts[7] = f"{prose(100)}\n\n{planted}\n\n{prose(101)}"
    found = judge(NGram(), [prose(55), QUESTION], texts)
    assert [(position, item) for position, item, _ in found] == [(7, "t#1")]


SPACES = st.sampled_from([" ", "  ", "\n", "\r\n\t", "\n\n   ", "\u00a0", "\u2003", " \u200b"])
SIGNS = st.sampled_from(["", ".", ", ", " \u2014 ", "\u201d ", "**", "_", "...", " (", ") ", "\u3002", "!? "])
REAL = (
    QUESTION,
    "Die Straße führt über den Fluss; ÄRZTE und Bürger gingen am 3. Mai um halb neun zur alten Brücke hinauf.",
    "Сколько будет, если из ста рублей, что были у Ивана, вычесть сорок и отдать остальное его старшей сестре?",
    "Ποιος είπε πρώτος ότι η γη γυρίζει γύρω από τον ήλιο και όχι ο ήλιος γύρω από τη γη μας;",
    "What is the capital of France",
)


@given(st.sampled_from(range(len(REAL))), st.data())
def test_wrapping_case_and_punctuation_cannot_change_a_verdict(number: int, data: st.DataObject) -> None:
    """Real text, each word in some case, with some signs around it and some space before the next."""
    case = st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str])
    parts = [
        f"{data.draw(SIGNS)}{data.draw(case)(word)}{data.draw(SIGNS)}{data.draw(SPACES)}"
        for word in REAL[number].split()
    ]
    texts = [prose(1), f"{prose(2)}. {''.join(parts)} {prose(3)}"]
    assert judge(NGram(), list(REAL), texts) == [(1, f"t#{number}", 1.0)]


def test_half_of_an_item_decides() -> None:
    """100 words; a document with the first 49 of them stays, with 50 it goes."""
    item = prose(1, 100).split()
    texts = [" ".join([*item[:49], prose(2)]), " ".join([*item[:50], prose(3)])]
    assert judge(NGram(), [" ".join(item)], texts) == [(1, "t#0", 0.5)]


def test_an_item_with_a_word_changed_here_and_there_is_found() -> None:
    """Every 15th word is another: half of the 13-grams and more are broken, and few words."""
    item = prose(1, 150).split()
    changed = [word if at % 15 else "other" for at, word in enumerate(item)]
    ((_, _, coverage),) = judge(NGram(), [" ".join(item)], [" ".join(changed)])
    assert coverage == 140 / 150


@pytest.mark.parametrize(
    ("num_words", "enough"), [(12, 12), (13, 11), (14, 11), (19, 11), (20, 13), (26, 13), (27, 14), (40, 20)]
)
def test_so_many_words_in_a_row_are_enough(num_words: int, enough: int) -> None:
    item = prose(1, num_words).split()
    texts = [f"{prose(2)} {' '.join(item[-length:])} {prose(3)}" for length in (enough - 1, enough)]
    assert [position for position, _, _ in judge(NGram(), [" ".join(item)], texts)] == [1]


@given(st.integers(15, 300), st.data())
def test_three_quarters_of_an_item_are_enough(num_words: int, data: st.DataObject) -> None:
    """Wherever they are taken from it."""
    item = prose(1, num_words).split()
    run = num_words * 3 // 4
    first = data.draw(st.integers(0, num_words - run))
    assert judge(NGram(), [" ".join(item)], [f"{prose(2)} {' '.join(item[first : first + run])} {prose(3)}"])


def test_common_phrases_do_not_count() -> None:
    """A licence that 11 documents and the item share is none of the item; one that 10 share is."""
    licence, own = prose(1, 60), prose(2, 40)
    item = f"{licence} {own}"
    assert judge(NGram(), [item], [f"{licence} {prose(10 + i)}" for i in range(11)]) == []
    assert len(judge(NGram(), [item], [f"{licence} {prose(10 + i)}" for i in range(10)])) == 10
    with_copy = [f"{licence} {prose(10 + i)}" for i in range(11)] + [f"{prose(5)} {own}"]
    (found,) = judge(NGram(), [item], with_copy)
    assert found == (11, "t#0", 40 / 52)  # of the words in n-grams of its own, which reach 12 words into the licence


def test_one_rare_ngram_of_a_long_item_condemns_no_document() -> None:
    """All but 13 of 100 words are common: what counts is held whole, and the document stays; with 26 it goes."""
    for rare, gone in ((13, []), (26, [11])):
        licence, own = prose(1, 100 - rare).split(), prose(2, rare).split()
        common = [f"{' '.join(licence)} {prose(10 + i)}" for i in range(11)]
        texts = [*common, f"{prose(5)} {' '.join(own)} {prose(6)}"]
        assert [at for at, _, _ in judge(NGram(), [" ".join([*licence, *own])], texts)] == gone


@pytest.mark.bad_input(44)
def test_short_items_are_sought_whole_and_very_short_ones_never() -> None:
    texts = ["What is the CAPITAL of France?", "The capital of Spain is what?", "Paris is large, France too."]
    items = ["what is the capital of france", "Paris is"]
    assert judge(NGram(), items, texts) == [(0, "t#0", 1.0)]
    assert judge(NGram(min_words=2), items, texts) == [(0, "t#0", 1.0), (2, "t#1", 1.0)]


def test_three_letters_of_a_script_without_spaces_are_no_phrase() -> None:
    """Six are as three words elsewhere: a short question is sought, one common word isn't."""
    items = ["博物馆", "博物馆在哪儿", "도서관", "도서관은 어디", "why is it", "why 是吗", "why is 吗"]
    for item, is_sought in zip(items, [False, True, False, True, True, False, False], strict=True):
        index = build_index(words_of(pa.array([item, "one two three"], pa.large_string())), 13, 3)
        assert (index.widths > 0).tolist() == [is_sought, True], item
        found = judge(NGram(), [item, "one two three"], [f"x {item} y"])
        assert found == ([(0, "t#0", 1.0)] if is_sought else []), item


def test_reads_its_test_sets(tmp_path: Path) -> None:
    path = tmp_path / "gsm8k.jsonl"
    path.write_bytes(orjson.dumps({"question": QUESTION, "answer": "#### 72"}) + b"\n")
    assert [(item.name, item.text) for item in NGram(test_sets=[str(path)]).test_items()] == [("gsm8k#0", QUESTION)]
    named = NGram(test_sets=[str(path)], fields={"gsm8k": ["question", "answer"]})
    assert named.test_items()[0].text == f"{QUESTION}\n#### 72"
    assert NGram().test_items() == []


@pytest.mark.bad_input(45)
def test_decontamination_against_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(orjson.dumps({"question": "Why?"}) + b"\n")
    with pytest.raises(DecontaminationError, match="none of the 1 items of 'answers' has 3 words"):
        NGram(test_sets=[str(path)]).test_items()
    with pytest.raises(DecontaminationError, match="none of 0 test items"):
        NGram().build(laid_end_to_end([]))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"n": 0}, "n"),
        ({"min_coverage": 0.0}, "min_coverage"),
        ({"min_coverage": 1.01}, "min_coverage"),
        ({"max_document_frequency": 0}, "max_document_frequency"),
        ({"min_words": 14}, "min_words"),
        ({"min_left_frac": 1.0}, "min_left_frac"),
        ({"min_left_frac": -0.1}, "min_left_frac"),
        ({"fields": {"a": []}}, "fields.a"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingError, match=f"^{key}: "):
        NGram(**settings)

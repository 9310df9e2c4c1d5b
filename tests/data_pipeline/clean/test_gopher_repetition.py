from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.clean.gopher_repetition import SHARES, GopherRepetition
from data_pipeline.clean.rules import verdicts
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
OPEN = dict.fromkeys(GopherRepetition.decide_alone, 100.0)


def fresh(count: int, width: int = 7) -> list[str]:
    """Words that no text has twice."""
    return [f"{place:x}".rjust(width, "q") for place in range(count)]


def joined(words: list[str], line: int, joint: str = "\n") -> str:
    return joint.join(" ".join(words[place : place + line]) for place in range(0, len(words), line))


# score -> a text that goes for that score alone at the paper's limits
PARAGRAPHS = [joined(fresh(180)[place : place + 30], 5) for place in range(0, 180, 30)]
FIVES = [" ".join(fresh(40)[place : place + 5]) for place in range(0, 40, 5)]
BETWEEN = fresh(56)[40:]
BROKEN = {
    "gopher_duplicate_lines": "\n".join([*joined(fresh(90), 15).split("\n"), *["z"] * 5]),
    "gopher_duplicate_paragraphs": "\n\n".join([*PARAGRAPHS, *["z"] * 5]),
    "gopher_duplicate_line_chars": "\n".join([*fresh(30)[20:], " ".join(fresh(20)), " ".join(fresh(20))]),
    "gopher_top_2_gram": " ".join(f"{word} of the" for word in fresh(60, 12)),
    "gopher_top_3_gram": " ".join(f"{word} of the old" for word in fresh(60, 30)),
    "gopher_top_4_gram": " ".join(f"{word} of the old sea" for word in fresh(60, 50)),
    "gopher_duplicate_5_grams": " ".join(f"{five} {word}" for five, word in zip(FIVES * 2, BETWEEN, strict=True)),
    "gopher_duplicate_10_grams": " ".join([*fresh(72), *fresh(10)]),
}


@pytest.mark.parametrize("score", SHARES)
def test_each_limit_stands_alone_and_what_reaches_it_stays(batch_of: BatchOf, score: str) -> None:
    texts = ["a b\n\na b\n\n" + joined(fresh(20), 4), " ".join([*fresh(11), *fresh(11)]), "a b c d " * 9, "x\ny\nx\n"]
    batch = batch_of(*texts)
    values = GopherRepetition().apply(batch).scores[score]
    key, highest = f"max_{score.removeprefix('gopher_')}_frac", float(values.max())
    assert highest > 0
    assert verdicts(GopherRepetition(**OPEN | {key: highest}), batch) == []
    found = verdicts(GopherRepetition(**OPEN | {key: np.nextafter(highest, 0)}), batch)
    assert {removal.reason for removal in found} == {score}
    assert {removal.value for removal in found} == {highest}


@pytest.mark.parametrize("score", BROKEN)
def test_each_kind_of_repetition_is_found_by_the_limits_of_the_paper(batch_of: BatchOf, score: str) -> None:
    (found,) = verdicts(GopherRepetition(), batch_of(BROKEN[score], joined(fresh(400), 12)))
    assert (found.position, found.reason) == (0, score)


def test_the_limits_are_those_of_table_a1() -> None:
    assert [limit.most for limit in GopherRepetition().limits] == [
        0.30, 0.30, 0.20, 0.20, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10,
    ]  # fmt: skip
    assert [limit.score for limit in GopherRepetition().limits] == list(SHARES)


def test_shares_are_of_lines_paragraphs_and_characters(batch_of: BatchOf) -> None:
    scores = GopherRepetition().apply(batch_of("ab cd\nab cd\n\nab cd\n")).scores
    assert scores["gopher_duplicate_lines"].tolist() == [2 / 3]
    assert scores["gopher_duplicate_line_chars"].tolist() == [10 / 19]
    assert scores["gopher_duplicate_paragraphs"].tolist() == [0.0]
    assert scores["gopher_top_2_gram"].tolist() == [15 / 19]
    assert scores["gopher_duplicate_5_grams"].tolist() == [0.0]


def test_blank_lines_are_no_duplicates(batch_of: BatchOf) -> None:
    spaced = "\n\n\n" + "\n\n \n\n\t\n\n".join(joined(fresh(60), 6).split("\n")) + "\n\n\n\n"
    scores = GopherRepetition().apply(batch_of(spaced)).scores
    assert scores["gopher_duplicate_lines"].tolist() == scores["gopher_duplicate_paragraphs"].tolist() == [0.0]


def test_a_text_without_a_word_has_no_scores_and_stays(batch_of: BatchOf) -> None:
    batch = batch_of("", " \n\n", "word")
    scores = GopherRepetition().apply(batch).scores
    assert all(np.isnan(column[:2]).all() and not math.isnan(column[2]) for column in scores.values())
    assert verdicts(GopherRepetition(), batch) == []


@pytest.mark.parametrize("key", sorted(GopherRepetition.decide_alone))
def test_a_limit_below_0_is_refused_by_its_key(key: str) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: .*0 or more"):
        GopherRepetition(**{key: -0.1})

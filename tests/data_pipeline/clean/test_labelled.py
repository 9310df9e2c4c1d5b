from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.clean.__main__ import read_labelled
from data_pipeline.clean.labelled import Judged, judge_changes, judge_removals, out_of_reach
from data_pipeline.clean.length import Length
from data_pipeline.clean.rules import Applied, Failed, Rule, Rules
from data_pipeline.clean.toxicity import Toxicity
from data_pipeline.clean.unicode import Unicode
from data_pipeline.documents import from_texts
from foundation.errors import InputError

BatchOf = Callable[..., pa.RecordBatch]
LABELLED = Path(__file__).with_name("labelled")


class Failing(Rule):
    """Can't read anything."""

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return Applied(batch.slice(0, 0), failed=[Failed(place, "no") for place in range(batch.num_rows)])


def test_removals_are_judged_by_reason(batch_of: BatchOf) -> None:
    batch = batch_of("", "a", "a b c", "", "a b c d", "x")
    expected = ["empty", "too_few_words", "too_few_words", None, None, "empty"]
    assert judge_removals(Length(min_words=2), batch, expected) == [
        Judged("empty", hits=1, false_alarms=1, missed=1), Judged("too_few_words", hits=1, false_alarms=1, missed=1),
    ]  # fmt: skip


def test_a_document_without_words_goes_whatever_the_rules(batch_of: BatchOf) -> None:
    rules = Rules({"unicode": Unicode()})  # of a lone control character nothing is left
    assert judge_removals(rules, batch_of("a", " \n", "\x00"), [None, "empty", "empty"]) == [Judged("empty", 2, 0, 0)]
    assert out_of_reach(rules, ["empty"]) == []


def test_changes_are_judged_by_words(batch_of: BatchOf) -> None:
    batch = batch_of("a\x00 b c\x00", "same", "x\x00y\x00 z")
    assert judge_changes(Unicode(), batch, ["a b c\x00", "other", "xy z z"]) == Judged("changes", 2, 1, 2)


def test_shares_of_nothing_are_no_numbers() -> None:
    judged = Judged("a", 0, 0, 3)
    assert math.isnan(judged.precision) and judged.recall == 0.0
    assert str(Judged("a", 3, 1, 0)) == "a: precision 0.750, recall 1.000 (3 right, 1 false, 0 missed)"


def test_precision_and_recall_of_the_word_list_are_those_reported() -> None:
    """A word has the sense of abuse or another; abuse needs none of the words."""
    records = read_labelled(LABELLED / "toxicity.jsonl")
    batch = from_texts([record["text"] for record in records])
    (judged,) = judge_removals(Toxicity(max_frac=0.045), batch, [record["reason"] for record in records])
    assert judged == Judged("toxic", hits=9, false_alarms=8, missed=3)


def test_a_rule_that_can_not_read_a_document_is_not_judged(batch_of: BatchOf) -> None:
    with pytest.raises(InputError, match=r"^labelled documents: the rule can't read one"):
        judge_removals(Failing(), batch_of("a"), [None])
    with pytest.raises(InputError, match=r"^labelled documents: the rule can't read one"):
        judge_changes(Failing(), batch_of("a"), ["a"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a"', "line 2: not valid JSON"),
        ('{"text": "a"}', "line 2: .* is not labelled; give"),
        ('{"reason": "a"}', "line 2: .* is not labelled"),
        ('{"text": "a", "expected": null}', "line 2: .* is not labelled"),
        ("[]", r"line 2: \[\] is not labelled"),
    ],
)
def test_a_record_that_is_not_labelled_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a", "reason": null}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"some\.jsonl, {words}"):
        read_labelled(path)


def test_a_reason_for_which_nothing_can_go_is_told_with_the_key_that_is_not_set() -> None:
    rules = Rules({"length": Length(1, 3), "toxicity": Toxicity()})
    assert out_of_reach(rules, [None, "too_few_words"]) == []
    assert out_of_reach(rules, ["toxic", None, "rude"]) == [
        "rude: no limit of these rules gives this reason (they give empty, too_few_chars, too_few_words); label texts "
        "by these, or add its rule",
        "toxic: nothing can go for it yet: clean.rules.toxicity.max_frac is null; set one to judge it",
    ]
    assert out_of_reach(Rules({"toxicity": Toxicity(max_frac=0.1)}), ["toxic"]) == []


def type_line(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_pipeline.clean", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_the_command_prints_a_line_for_each_reason_and_for_the_changes(tmp_path: Path) -> None:
    records = [{"text": "he", "reason": "too_few_words", "expected": "she"}, {"text": "a b c", "reason": None}]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    ended = type_line(tmp_path, "some.jsonl", "clean=safety", "clean.rules.bias.changed_frac=1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        "too_few_words: precision nan, recall 0.000 (0 right, 0 false, 1 missed)\n"
        "too_few_words: no limit of these rules gives this reason (they give language_unsure); label texts by these, "
        "or add its rule\n"
        "changes: precision 1.000, recall 1.000 (1 right, 0 false, 0 missed)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["some.jsonl"]


@pytest.mark.slow
def test_the_command_says_what_can_be_mended(tmp_path: Path) -> None:
    ended = type_line(tmp_path, "none.jsonl", "clean=safety")
    assert ended.returncode == 2 and ended.stderr.startswith("error: none.jsonl: can't be read")
    (tmp_path / "some.jsonl").write_text('{"text": "a", "reason": null}\n')
    ended = type_line(tmp_path, "some.jsonl", "clean=safety", "clean.rules.bias.changed_frac=5")
    assert ended.returncode == 2 and ended.stderr.startswith("error: clean.rules.bias.changed_frac: 5.0 is not allowed")
    assert type_line(tmp_path, "--help").stdout.startswith("How well rules do on labelled texts")

from __future__ import annotations

import importlib
import inspect
import math
import pickle
import pkgutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data_pipeline.clean
from data_pipeline.clean.histogram import sides
from data_pipeline.clean.language import Language
from data_pipeline.clean.length import Length
from data_pipeline.clean.quality import GopherQuality
from data_pipeline.clean.rules import (
    EXAMPLES,
    Applied,
    Choice,
    Example,
    Failed,
    Group,
    Limit,
    NoClean,
    Rule,
    Rules,
    broken,
    few_of,
    verdicts,
    with_text,
)
from data_pipeline.clean.settings import in_order, measured
from data_pipeline.clean.unicode import Unicode
from data_pipeline.documents import SCHEMA, Removal
from foundation.errors import SettingError
from foundation.hashes import hash_json

BatchOf = Callable[..., pa.RecordBatch]
LENIENT = GopherQuality(min_words=2, min_mean_word_length=1.0, min_stop_words=0)


class Unreadable(Rule):
    """Can't read a text with a question mark; measures the letters of the others."""

    limits = (Limit("letters", most=9.0, above="long"),)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text").to_pylist()
        failed = [Failed(position, "question") for position, text in enumerate(texts) if "?" in text]
        read = pc.invert(pc.match_substring(batch.column("text"), "?"))
        lengths = np.array([float(len(text)) for text in texts if "?" not in text])
        return Applied(batch.filter(read), {"letters": lengths}, failed=failed)


def test_no_clean_takes_every_document_as_it_is(batch_of: BatchOf) -> None:
    batch = batch_of("", "a\r\n")
    applied = NoClean().apply(batch)
    assert applied.batch is batch and not applied.scores and not applied.changed
    assert verdicts(NoClean(), batch) == []


def test_rules_apply_in_order_and_the_first_that_a_document_breaks_is_its_reason(batch_of: BatchOf) -> None:
    rules = Rules({"unicode": Unicode(), "length": Length(min_words=1), "gopher": LENIENT})
    batch = batch_of("", "alone", "one\r\ntwo", "\x00\x01", "# #", "x y")
    assert [(removal.position, removal.reason) for removal in verdicts(rules, batch)] == [
        (0, "empty"), (1, "gopher_too_few_words"), (3, "empty"), (4, "gopher_hash_ratio"),
    ]  # fmt: skip
    applied = rules.apply(batch)
    assert applied.batch.column("text").to_pylist() == ["", "alone", "one\ntwo", "", "# #", "x y"]
    assert applied.changed == {"line_ends_rewritten": 1, "control_characters_dropped": 2}
    assert applied.scores["words"].tolist() == [0.0, 1.0, 2.0, 0.0, 2.0, 2.0]  # also of those that go


@given(
    st.lists(st.text(alphabet="ab# -\n\r\x00…", max_size=8), max_size=8),
    st.permutations(["length", "gopher", "unicode"]),
)
def test_every_document_goes_at_most_once_and_sees_no_other(
    batch_of: BatchOf, texts: list[str], order: list[str]
) -> None:
    rules = {"unicode": Unicode(), "length": Length(min_words=2), "gopher": LENIENT}
    rule = Rules({name: rules[name] for name in order})
    batch = batch_of(*texts)
    applied, found = rule.apply(batch), verdicts(rule, batch)
    assert applied.batch.schema == SCHEMA and applied.batch.column("row").equals(batch.column("row"))
    assert [each.position for each in found] == sorted({each.position for each in found})
    alone = [batch_of(text) for text in texts]
    assert [rule.apply(each).batch.column("text")[0].as_py() for each in alone] == applied.batch["text"].to_pylist()
    assert [each.reason for one in alone for each in verdicts(rule, one)] == [each.reason for each in found]


@given(st.lists(st.floats(-2, 2) | st.just(float("nan")), max_size=20), st.floats(-1, 0), st.floats(0, 1))
def test_limits_decide_as_written_down_plainly(values: list[float], least: float, most: float) -> None:
    scores = {"a": np.array(values, float), "b": -np.array(values, float)}
    limits = (Limit("a", least, most, "low", "high"), Limit("b", most=1.5, above="far"))
    plain: dict[int, tuple[str, float, float]] = {}
    for position, value in enumerate(values):
        if value < least:
            plain[position] = ("low", value, least)
        elif value > most:
            plain[position] = ("high", value, most)
        elif -value > 1.5:
            plain[position] = ("far", -value, 1.5)
    found = [each for removals in broken(limits, scores) for each in removals]
    assert {each.position: (each.reason, each.value, each.threshold) for each in found} == plain
    assert len(found) == len(plain)


def test_what_reaches_a_limit_stays_and_so_does_what_has_no_score() -> None:
    scores = {"a": np.array([0.0, 1.0, np.nan, 1.0000001])}
    (removals,) = broken((Limit("a", least=0.0, most=1.0, below="low", above="high"),), scores)
    assert list(removals) == [Removal(3, "high", 1.0000001, 1.0)]


def test_what_can_not_be_read_is_left_out_of_the_rules_to_come(batch_of: BatchOf) -> None:
    rules = Rules({"length": Length(), "mine": Unreadable(), "gopher": LENIENT})
    applied = rules.apply(batch_of("a b", "what?", "c d", "why?", "a long text"))
    assert applied.failed == [Failed(1, "question"), Failed(3, "question")]
    assert applied.batch.column("text").to_pylist() == ["a b", "c d", "a long text"]
    assert {name: len(column) for name, column in applied.scores.items()}.keys() >= {"words", "letters", "gopher_words"}
    assert all(len(column) == 3 for column in applied.scores.values())
    assert [list(removals) for removals in rules.decide(applied.scores)] == [[Removal(2, "long", 11.0, 9.0)]]


def test_two_scores_of_one_name_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^rules\.b: its score 'has_words' is that of rules\.a too; leave one out"):
        Rules({"a": Length(), "b": Length()})


class Wrong(Rule):
    """A user's rule that gives what it is told to."""

    limits = (Limit("mine", most=1.0, above="mine"),)

    def __init__(self, applied: Applied) -> None:
        self.applied = applied

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return self.applied


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"mine": np.array([1, 2])}, "its score 'mine' is no float64 array of 2 numbers"),
        ({"mine": np.array([1.0])}, "its score 'mine' is no float64 array of 2 numbers"),
        ({"other": np.array([1.0, 2.0])}, "has a limit on 'mine', and gives no such score"),
        ({"mine": np.zeros(2), "words": np.zeros(2)}, "its score 'words' is also that of another rule"),
    ],
)
def test_a_rule_that_gives_no_such_scores_is_named(
    batch_of: BatchOf, scores: dict[str, np.ndarray], words: str
) -> None:
    batch = batch_of("a", "b")
    with pytest.raises(SettingError, match=rf"^clean\.rules\.mine \(.*\.Wrong\): {words}"):
        Rules({"length": Length(), "mine": Wrong(Applied(batch, scores))}).apply(batch)


def test_a_rule_that_takes_documents_out_is_named(batch_of: BatchOf) -> None:
    batch = batch_of("a", "b")
    with pytest.raises(
        SettingError, match="gave back 1 of 2 documents; a rule takes none out: give a score and a limit"
    ):
        Rules({"mine": Wrong(Applied(batch.slice(1), {"mine": np.zeros(1)}))}).apply(batch)


def test_few_examples_of_each_kind_are_kept() -> None:
    many = [Example(kind, row, "a", "b") for row in range(50) for kind in ("z", "y")]
    kept = few_of(many)
    assert [each.kind for each in kept] == ["y"] * EXAMPLES + ["z"] * EXAMPLES
    assert few_of(few_of(many[:30]) + few_of(many[30:])) == kept


class Reads(Rule):
    """A user's rule that a file and a package decide."""

    def __init__(self, path: Path, package: str) -> None:
        self.path, self.package = path, package

    def inputs(self) -> list[Path]:
        return [self.path]

    def packages(self) -> list[str]:
        return [self.package]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return Applied(batch)


def test_rules_depend_on_the_files_and_packages_of_each(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    rules = Rules({"a": Reads(second, "b"), "c": Length(), "d": Reads(first, "a"), "e": Reads(first, "b")})
    assert rules.inputs() == [second, first, first] and rules.packages() == ["a", "b"]
    assert NoClean().inputs() == [] and NoClean().packages() == []


def test_what_only_decides_is_no_part_of_what_is_measured() -> None:
    raw = {
        "_target_": "data_pipeline.clean.rules.Rules",
        "rules": {
            "gopher": {"_target_": "data_pipeline.clean.quality.GopherQuality", "min_words": 9, "stop_words": ["a"]},
            "mine": {"_target_": "my.Rule", "min_words": 9},
        },
    }
    assert measured(raw) == {
        "_target_": "data_pipeline.clean.rules.Rules",
        "rules": [
            ["gopher", {"_target_": "data_pipeline.clean.quality.GopherQuality", "stop_words": ["a"]}],
            ["mine", {"_target_": "my.Rule", "min_words": 9}],
        ],
    }


def test_the_order_of_rules_is_part_of_what_results_depend_on() -> None:
    word = {"_target_": "data_pipeline.clean.length.Length", "min_words": 3}
    other = {"_target_": "data_pipeline.clean.unicode.Unicode"}
    orders = [{"a": word, "b": other}, {"b": other, "a": word}]
    raws = [{"_target_": "data_pipeline.clean.rules.Rules", "rules": rules, "max_loss_frac": 0.5} for rules in orders]
    for told in (measured, in_order):
        first, second = (told({"rule": [raw]}) for raw in raws)
        assert hash_json(first) != hash_json(second)
        assert told(raws[0]["rules"]) == told(raws[1]["rules"])  # of arguments it decides nothing
    assert in_order(raws[0])["rules"] == [["a", word], ["b", other]] and in_order(raws[0])["max_loss_frac"] == 0.5


def test_rules_travel_to_workers(batch_of: BatchOf) -> None:
    rules = Rules({"unicode": Unicode(), "length": Length(), "gopher": LENIENT})
    batch = batch_of("one\r\ntwo", "")
    there = pickle.loads(pickle.dumps(rules))
    assert there.apply(batch).batch.equals(rules.apply(batch).batch) and verdicts(there, batch) == verdicts(
        rules, batch
    )


def every_rule() -> list[type[Rule]]:
    """Return all rules of the room that need no argument."""
    for module in pkgutil.iter_modules(data_pipeline.clean.__path__):
        importlib.import_module(f"data_pipeline.clean.{module.name}")
    found, todo = [], [Rule]
    while todo:
        todo += (subclasses := todo.pop().__subclasses__())
        found += [each for each in subclasses if each.__module__.startswith("data_pipeline.clean.")]
    needs_nothing = [each for each in found if not inspect.isabstract(each) and _is_complete(each)]
    return sorted(needs_nothing, key=lambda each: each.__qualname__)


def _is_complete(rule: type[Rule]) -> bool:
    arguments = inspect.signature(rule).parameters.values()
    return all(each.default is not each.empty for each in arguments)


@pytest.mark.parametrize("kind", every_rule(), ids=lambda kind: kind.__qualname__)
def test_the_key_of_a_limit_sets_it_and_only_decides(kind: type[Rule]) -> None:
    rule: Rule = kind()
    for number, side in enumerate(sides(rule.limits)):
        if not side.key:
            continue
        assert side.key in kind.decide_alone
        where, default = side.limit.where, inspect.signature(kind).parameters[side.key].default
        given = default + 1 if isinstance(default, int) else 0.75 * (default or 0.5)
        if isinstance(default, int | float):
            assert default == side.threshold
        elif where is None:
            assert math.isinf(side.threshold)
            given = 1
        moved = kind(**{side.key: given if where is None else {where.name: given}})
        assert sides(moved.limits)[number].threshold == given
    for choice in rule.choices:
        assert not choice.key or choice.key in kind.decide_alone
        assert choice.wanted is None
        (of_one,) = kind(**{choice.key: [choice.names[0]]}).choices
        assert of_one.wanted == {0}


def test_inside_of_rules_a_key_begins_with_the_label() -> None:
    rules = Rules({"a b": Length(), "language": Language(["de", "en"])})
    keys = {(side.limit.score, side.key) for side in sides(rules.limits)}
    assert keys >= {("words", "rules.a b.min_words"), ("has_words", "")}
    assert ("language_score", "rules.language.min_score_by_language") in keys
    assert [choice.key for choice in rules.choices] == ["rules.language.languages"]


def test_a_label_that_is_not_wanted_goes_before_any_limit() -> None:
    choice = Choice("label", ("one", "two"), frozenset({1}), "not_wanted", "sure", "names")
    limit = Limit("sure", least=0.5, below="unsure", where=Group("label", 1.0, "two"))
    scores = {"label": np.array([0.0, 1.0, 1.0, math.nan, 0.0]), "sure": np.array([0.1, 0.1, 0.9, 0.1, 0.9])}
    first, second = broken((limit,), scores, (choice,))
    assert (first.reason, first.positions.tolist(), first.threshold) == ("not_wanted", [0, 4], None)
    assert first.value is not None and first.value.tolist() == [0.1, 0.9]
    assert (second.reason, second.positions.tolist(), second.threshold) == ("unsure", [1], 0.5)
    assert choice.unwanted(scores).tolist() == [0, 4]


class Named(Rule):
    """A rule of these reasons."""

    def __init__(self, score: str, *reasons: str) -> None:
        self.limits = tuple(Limit(score, below=reason, above=reasons[0]) for reason in reasons)
        self.choices = (Choice(f"{score}_label", ("a",), None, f"{score}_not_wanted", score),)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return Applied(batch)


def test_a_reason_has_the_key_of_the_one_rule_that_gives_it() -> None:
    inner = Rules({"deep": Named("x", "odd", "both")})
    rules = Rules({"first": Named("y", "short", "long", "both"), "second": inner})
    assert rules.owners == {
        "short": "rules.first",
        "long": "rules.first",
        "y_not_wanted": "rules.first",
        "odd": "rules.second.rules.deep",
        "x_not_wanted": "rules.second.rules.deep",
    }
    assert not Named("y", "short").owners


class Erasing(Rule):
    """Leaves nothing of texts that begin with a letter of `letters`."""

    def __init__(self, letters: str) -> None:
        self._letters = letters

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = ["" if text[:1] in self._letters else text for text in batch.column("text").to_pylist()]
        return Applied(with_text(batch, pa.array(texts, pa.large_string())))


def test_who_took_the_last_word_of_a_text_is_known_past_documents_that_can_not_be_read(batch_of: BatchOf) -> None:
    rules = Rules({"first": Erasing("x"), "picky": Unreadable(), "length": Length(), "last": Erasing("xy")})
    applied = rules.apply(batch_of(" ", "why?", "x a", "b", "y a", "how?", "y b", ""))
    assert applied.batch.column("text").to_pylist() == [" ", "", "b", "", "", ""]
    assert applied.emptied_by == {1: "first", 3: "last", 4: "last"}
    assert rules.owners["too_few_words"] == "rules.length" and "empty" not in rules.owners

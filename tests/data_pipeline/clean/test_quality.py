from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.quality import GOPHER_STOP_WORDS, GopherQuality
from data_pipeline.clean.rules import verdicts
from data_pipeline.documents import Removal
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
GOOD = "It was the best of times and the worst of times, to be sure, and they have it with that. " * 4

LIMITS: dict[str, Any] = {
    "min_words": 3, "max_words": 30, "min_mean_word_length": 2.0, "max_mean_word_length": 6.0, "max_hash_ratio": 0.1,
    "max_ellipsis_ratio": 0.2, "max_bullet_lines_frac": 0.6, "max_ellipsis_lines_frac": 0.4,
    "min_alpha_words_frac": 0.7, "min_stop_words": 1,
}  # fmt: skip


def judge(text: str, limits: dict[str, Any], stop_words: tuple[str, ...]) -> str | None:
    """The rules document by document, word by word, as one would write them down."""
    words = text.split()
    lines = text.removesuffix("\n").split("\n") if text else []
    per_word, per_line = max(len(words), 1), max(len(lines), 1)
    if not limits["min_words"] <= len(words) <= limits["max_words"]:
        return "gopher_too_few_words" if len(words) < limits["min_words"] else "gopher_too_many_words"
    mean = sum(map(len, words)) / per_word
    if not limits["min_mean_word_length"] <= mean <= limits["max_mean_word_length"]:
        return "gopher_words_too_short" if mean < limits["min_mean_word_length"] else "gopher_words_too_long"
    if text.count("#") / per_word > limits["max_hash_ratio"]:
        return "gopher_hash_ratio"
    if (text.count("...") + text.count("…")) / per_word > limits["max_ellipsis_ratio"]:
        return "gopher_ellipsis_ratio"
    if sum(line.lstrip().startswith(("•", "-")) for line in lines) / per_line > limits["max_bullet_lines_frac"]:
        return "gopher_bullet_lines"
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / per_line > limits["max_ellipsis_lines_frac"]:
        return "gopher_ellipsis_lines"
    if sum(any(map(str.isalpha, word)) for word in words) / per_word < limits["min_alpha_words_frac"]:
        return "gopher_alpha_words"
    if len(set(words) & set(stop_words)) < limits["min_stop_words"]:
        return "gopher_stop_words"
    return None


words = st.sampled_from(
    [*GOPHER_STOP_WORDS, "cats", "naïve", "语", "x", "42", "#", "#tag", "...", "so…", "well...", "incomprehensibly"]
)
joints = st.sampled_from([" ", "\n", "\n- ", "\n• ", "...\n", " …\n", "\u3000"])
texts = st.lists(st.tuples(words, joints), max_size=35).map(
    lambda pairs: "".join(word + joint for word, joint in pairs)
)


@given(st.lists(texts, max_size=8))
def test_verdicts_equal_the_rules_written_down_plainly(batch_of: BatchOf, many: list[str]) -> None:
    found = {removal.position: removal.reason for removal in verdicts(GopherQuality(**LIMITS), batch_of(*many))}
    assert [found.get(position) for position in range(len(many))] == [
        judge(text, LIMITS, GOPHER_STOP_WORDS) for text in many
    ]


LONG = "the of and abcdefghijklmnopqrstuvwxyz " * 3 + "abcdefghijklmno " * 60
FADING = "\n".join(["the text of a page goes on for a while and then it ends..."] * 2 + [GOOD] * 4)
BROKEN = {
    "one two three": Removal(0, "gopher_too_few_words", 3.0, 50.0),
    "word " * 100_001: Removal(0, "gopher_too_many_words", 100_001.0, 100_000.0),
    "a b " * 30: Removal(0, "gopher_words_too_short", 1.0, 3.0),
    LONG: Removal(0, "gopher_words_too_long", 1002 / 72, 10.0),
    GOOD + "#" * 10: Removal(0, "gopher_hash_ratio", 10 / 81, 0.1),
    GOOD + "... … " * 5: Removal(0, "gopher_ellipsis_ratio", 10 / 90, 0.1),
    "\n".join(["- texts that people have written"] * 20): Removal(0, "gopher_bullet_lines", 1.0, 0.9),
    FADING: Removal(0, "gopher_ellipsis_lines", 2 / 6, 0.3),
    "the of numbers " * 20 + "1234 " * 20: Removal(0, "gopher_alpha_words", 0.75, 0.8),
    "The quick brown foxes jump and sleep " * 20: Removal(0, "gopher_stop_words", 1.0, 2.0),
}
REASONS = [removal.reason for removal in BROKEN.values()]


@pytest.mark.parametrize(("text", "removal"), BROKEN.items(), ids=REASONS)
def test_each_rule_of_the_paper_has_its_own_reason_value_and_threshold(
    batch_of: BatchOf, text: str, removal: Removal
) -> None:
    (found,) = verdicts(GopherQuality(), batch_of(text, GOOD))
    assert (found.position, found.reason, found.threshold) == (0, removal.reason, removal.threshold)
    assert found.value == pytest.approx(removal.value)


def test_other_languages_bring_their_stop_words(batch_of: BatchOf) -> None:
    french = "Où sont les neiges d'antan ? " * 10
    assert verdicts(GopherQuality(stop_words=["Où", "les"]), batch_of(french)) == []
    assert verdicts(GopherQuality(min_stop_words=0), batch_of(french)) == []
    assert verdicts(GopherQuality(), batch_of(french))[0].reason == "gopher_stop_words"


def test_the_rule_travels_to_workers(batch_of: BatchOf) -> None:
    batch = batch_of(*BROKEN, GOOD)
    there = pickle.loads(pickle.dumps(GopherQuality()))
    assert verdicts(there, batch) == verdicts(GopherQuality(), batch)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("max_words", {"min_words": 10, "max_words": 5}),
        ("min_mean_word_length", {"min_mean_word_length": -1.0}),
        ("max_hash_ratio", {"max_hash_ratio": float("nan")}),
        ("max_bullet_lines_frac", {"max_bullet_lines_frac": 1.5}),
        ("min_alpha_words_frac", {"min_alpha_words_frac": -0.1}),
        ("min_stop_words", {"min_stop_words": 3, "stop_words": ["a", "b", "b"]}),
        ("stop_words", {"stop_words": ["two words"]}),
        ("stop_words", {"stop_words": [f"w{i}" for i in range(65)]}),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(key: str, values: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: "):
        GopherQuality(**values)

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.c4 import C4, C4_END_MARKS
from data_pipeline.clean.c4_lines import KINDS, LineRules, clean_lines, clean_one
from data_pipeline.clean.rules import EXAMPLES, verdicts
from data_pipeline.documents import SNIPPET_CHARS
from foundation.errors import SettingError
from tests.data_pipeline.clean.pieces import MARKS, PHRASES, texts_of

BatchOf = Callable[..., pa.RecordBatch]
KEPT = "The cat sat on the mat. The dog did not! Where was the bird?"
LENIENT: dict[str, Any] = {"min_words_per_line": 0, "needs_end_mark": False, "min_sentences": 0}

rules = st.builds(
    LineRules,
    min_words=st.integers(0, 4),
    max_word_chars=st.sampled_from([1, 5, 12, 1000]),
    end_marks=st.sampled_from([(), C4_END_MARKS, ("。",)]),
    citations=st.booleans(),
    javascript=st.booleans(),
    policies=st.booleans(),
    bad_words=st.sampled_from([(), ("bad", "Bad word", "é语", "[1", "ß.")]),
)


@given(st.lists(texts_of(*MARKS, *PHRASES, "a b c d. "), max_size=4), rules)
@example(["", "\n\n", "a\n\n\n", "\n\na b", "[1]\n[1]\na", "use[1] cookies"], LineRules(0, 9, (), True, False, True))
def test_the_kernel_equals_plain_python_on_every_text(many: list[str], given_rules: LineRules) -> None:
    cleaned = clean_lines(pa.array(["padding…\n\n", *many], pa.large_string()).slice(1), given_rules)
    cleaned.texts.validate(full=True)
    expected = [clean_one(text, given_rules) for text in many]
    assert cleaned.texts.to_pylist() == [text for text, _, _ in expected]
    assert cleaned.counts.tolist() == [counts for _, counts, _ in expected]
    assert cleaned.changed == sum((changed for _, _, changed in expected), start=cleaned.changed - cleaned.changed)


def lines_left(batch_of: BatchOf, text: str, **settings: Any) -> list[str]:
    (left,) = C4(**LENIENT | settings).apply(batch_of(text)).batch.column("text").to_pylist()
    return left.split("\n")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("settings", "text", "left", "kind"),
    [
        ({"min_words_per_line": 5}, "a b c d e\na b c d", ["a b c d e"], 4),
        ({"min_words_per_line": 5}, "a b c d [1]\na b c d e", ["a b c d e"], 4),
        ({"min_words_per_line": 1}, "a\n\n \t\nb", ["a", "b"], 0),
        ({"max_word_chars": 3}, "é语é a\né语éé a", ["é语é a"], 1),
        ({"needs_end_mark": True}, 'a.\nb!\nc?\nd"\ne”\nf…\ng...\nh;', ["a.", "b!", "c?", 'd"', "e”"], 3),
        ({"needs_end_mark": True, "end_marks": ["。"]}, "a.\nb。", ["b。"], 3),
        ({}, "Cats[1] and dogs[] [citation needed]\nMice [edit]\n[x]", ["Cats and dogs", "Mice", "[x]"], 2),
        ({}, "Enable JavaScript now\nKeep", ["Keep"], 5),
        ({}, "Our Privacy Policy says\nThis site USES COOKIES\nKeep", ["Keep"], 6),
        ({}, "  a \t\nb\u3000", ["a", "b"], 7),
    ],
)  # fmt: skip
def test_each_kind_of_line_is_changed_and_counted(
    batch_of: BatchOf, settings: dict[str, Any], text: str, left: list[str], kind: int
) -> None:
    assert lines_left(batch_of, text, **settings) == left
    applied = C4(**LENIENT | settings).apply(batch_of(text))
    assert applied.changed[KINDS[kind]] > 0
    examples = [each for each in applied.examples if each.kind == KINDS[kind]]
    assert examples and all((each.before in text and each.after != each.before) or kind == 0 for each in examples)


def test_what_the_settings_leave_alone_stays(batch_of: BatchOf) -> None:
    text = "a[1]\n\nuse cookies\njavascript {\nlorem ipsum"
    off = {"remove_citations": False, "remove_javascript_lines": False, "remove_policy_lines": False}
    batch = batch_of(text)
    applied = C4(**LENIENT, **off, drop_lorem_ipsum=False, drop_curly_brackets=False).apply(batch)
    assert applied.batch is batch and not applied.changed
    assert verdicts(C4(**LENIENT, **off, drop_lorem_ipsum=False, drop_curly_brackets=False), batch) == []


def test_documents_go_by_what_is_left_of_them(batch_of: BatchOf) -> None:
    texts = {
        KEPT: None,
        KEPT.replace(" Where was the bird?", ""): "c4_sentences",
        f"{KEPT}\nSome Lorem Ipsum to fill the page.": "c4_lorem_ipsum",
        f"{KEPT}\nif it is so then {{ do that.": "c4_curly_brackets",
        f"{KEPT}\n{{ too few.": None,  # the line goes before its bracket is seen
        f"{KEPT}\nEnable javascript to see this {{ page.": None,
        f"{KEPT}\nThat was a darn cold day.": "c4_bad_words",
        f"{KEPT}\nThat was a Darn, cold day.": "c4_bad_words",
        f"{KEPT}\nThat was a darned cold day.": None,
        "": "c4_sentences",
    }
    found = {each.position: each.reason for each in verdicts(C4(bad_words=["darn"]), batch_of(*texts))}
    assert [found.get(position) for position in range(len(texts))] == list(texts.values())


def test_limits_decide_alone(batch_of: BatchOf) -> None:
    batch = batch_of(f"{KEPT}\nSome lorem ipsum and a {{ to fill the page.")
    scores = C4().apply(batch).scores
    assert {name: column.tolist() for name, column in scores.items()} == {
        "c4_lorem_ipsum": [1.0], "c4_curly_brackets": [1.0], "c4_sentences": [4.0],
    }  # fmt: skip
    off = {"drop_lorem_ipsum": False, "drop_curly_brackets": False}
    assert C4(min_sentences=4, **off).decide(scores) == []
    assert [each.reason for each in C4(min_sentences=5, **off).decide(scores)] == ["c4_sentences"]


def test_examples_are_few_and_short(batch_of: BatchOf) -> None:
    examples = C4().apply(batch_of(*["word " * 500] * 40)).examples
    assert len(examples) == EXAMPLES
    assert {len(each.before) for each in examples} == {SNIPPET_CHARS}
    assert [each.row for each in examples] == list(range(1, EXAMPLES + 1))


def test_the_rule_travels_to_workers(batch_of: BatchOf) -> None:
    batch, rule = batch_of(KEPT, f"{KEPT}\nbad words and [2] more."), C4(bad_words=["bad"])
    there = pickle.loads(pickle.dumps(rule))
    assert there.apply(batch).batch.equals(rule.apply(batch).batch)
    assert verdicts(there, batch) == verdicts(rule, batch)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("min_words_per_line", {"min_words_per_line": -1}),
        ("min_sentences", {"min_sentences": -1}),
        ("max_word_chars", {"max_word_chars": 0}),
        ("end_marks", {"end_marks": ["..."]}),
        ("end_marks", {"end_marks": []}),
        ("bad_words", {"bad_words": ["x"]}),
        ("bad_words", {"bad_words": ["two\nlines"]}),
        ("bad_words", {"bad_words": [" spaced"]}),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(key: str, values: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: "):
        C4(**values)

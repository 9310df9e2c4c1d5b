from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.invisible import CHARACTERS, Action, Invisible, visible_one
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
hidden = st.sampled_from([chr(code) for codes in CHARACTERS.values() for code in codes])
joiners = st.sampled_from(["\u200b", "\u200c", "\u200d"])
beside = st.sampled_from(
    ["a", "é", " ", "\n", "ه", "क", "्", "ก", "က", "ខ", "👩", "🏽", "❤", "\ufe0f", "♂", "\u2027", "\u2029"]
)
texts = st.lists(hidden | joiners | beside | st.text(max_size=2), max_size=20).map("".join)
STAY = {
    "Persian plural": "می\u200cخواهم کتاب\u200cها",
    "Persian plural of a Latin name": "CPU\u200cها و PDF\u200cهای",
    "Arabic letter shown joined, before a point": "ه\u200d.",
    "Hindi half form": "क्\u200dष और क्\u200cष",
    "Malayalam chillu": "അവന്\u200d",
    "Sinhala conjunct": "ශ්\u200dරී ලංකා",
    "Thai words": "ภาษา\u200bไทย",
    "Khmer words": "ភាសា\u200bខ្មែរ",
    "family": "👨\u200d👩\u200d👧",
    "heart on fire": "❤\ufe0f\u200d🔥",
    "profession with a skin": "👩🏽\u200d💻",
    "runner": "🏃\u200d♂\ufe0f",
    "head that nods": "🙂\u200d↕\ufe0f",
    "pirate flag": "🏴\u200d☠\ufe0f",
    "hyphens and no-break spaces": "a‑b\u00a0c\u2009d",
}


@given(st.lists(texts, max_size=5), st.sampled_from(["drop", "keep"]), st.sampled_from(["drop", "keep"]))
@example(["\u200d" * 3 + "ه", "ه\u200b\u200d\u200b", "a\u200d"], "drop", "drop")
@example(["ه", "\u200dه", "a\u00ad\u200cه"], "keep", "keep")
def test_texts_are_what_plain_python_makes_of_them(
    batch_of: BatchOf, many: list[str], direction_marks: Action, soft_hyphens: Action
) -> None:
    batch, rule = batch_of(*many), Invisible(direction_marks, soft_hyphens)
    cleaned = rule.apply(batch)
    cleaned.batch.validate(full=True)
    expected = [visible_one(text, direction_marks, soft_hyphens) for text in many]
    assert cleaned.batch.column("text").to_pylist() == expected
    assert sum(cleaned.changed.values()) == sum(map(len, many)) - sum(map(len, expected))
    again = rule.apply(cleaned.batch)
    assert again.batch is cleaned.batch and not again.changed


@pytest.mark.parametrize("text", STAY.values(), ids=STAY)
def test_what_a_script_needs_stays(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(text)
    assert Invisible().apply(batch).batch is batch


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("pass\u200bword", "password", "zero_width_dropped"),
        ("\ufeffTitle \ufeffinside", "Title inside", "zero_width_dropped"),
        ("no\u2060break f\u2061(x)", "nobreak f(x)", "zero_width_dropped"),
        ("co\u200doperate 12\u200c3", "cooperate 123", "joiners_dropped"),
        ("👍\u200d yes", "👍 yes", "joiners_dropped"),
        ("access \u202euser\u202c\u2066 admin", "access user admin", "direction_marks_dropped"),
        ("שלום\u200f!", "שלום!", "direction_marks_dropped"),
        ("hy\u00adphen\u00adation", "hyphenation", "soft_hyphens_dropped"),
    ],
)
def test_the_others_go_and_are_counted_with_examples(batch_of: BatchOf, text: str, expected: str, kind: str) -> None:
    cleaned = Invisible().apply(batch_of("plain", text))
    assert cleaned.batch.column("text").to_pylist() == ["plain", expected]
    assert cleaned.changed == {kind: len(text) - len(expected)}
    assert all((each.kind, each.row, each.before) == (kind, 2, text) for each in cleaned.examples)


def test_a_letter_meets_its_neighbour_when_what_stood_between_is_dropped(batch_of: BatchOf) -> None:
    assert Invisible().apply(batch_of("ه\ufeff\u200ca")).batch.column("text").to_pylist() == ["ه\u200ca"]


def test_marks_and_hyphens_may_stay(batch_of: BatchOf) -> None:
    batch = batch_of("שלום\u200f! hy\u00adphen")
    assert Invisible(direction_marks="keep", soft_hyphens="keep").apply(batch).batch is batch
    with pytest.raises(SettingError, match=r"^soft_hyphens: 'no' is not allowed; give drop or keep"):
        Invisible(soft_hyphens="no")  # type: ignore[arg-type]

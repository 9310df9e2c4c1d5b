from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.unicode import Form, Unicode, compose, composed_alone, rewrite, rewrite_one
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
ENDS = ("\r", "\n", "\r\n", "\t", "\v", "\f", "\x85", "\u2027", "\u2028", "\u2029", "\u202a")
CONTROLS = ("\x00", "\x1c", "\x7f", "\x80", "\x9f", "\xa0")
COMPOSING = ("e", "\u0301", "\u0327", "é", "\u1100", "\u1161", "\u11a8", "\u212b", "ﬁ", "‐")
special = st.sampled_from(ENDS + CONTROLS + COMPOSING)
# code points that this Python doesn't know can't be held against it
known = st.characters(exclude_categories=["Cs", "Cn"])
texts = st.lists(special | st.text(known, max_size=3), max_size=20).map("".join)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@given(many=st.lists(texts, max_size=5))
@example(many=["plain", "", "a\r"])
@example(many=["a\r\n\r", "\u2028\x00", "e\x00\u0301"])
def test_texts_are_what_plain_python_makes_of_them(batch_of: BatchOf, form: Form, many: list[str]) -> None:
    batch = batch_of(*many)
    cleaned = Unicode(form).apply(batch)
    cleaned.batch.validate(full=True)
    expected = [unicodedata.normalize(form, rewrite_one(text)) for text in many]
    assert cleaned.batch.column("text").to_pylist() == expected
    assert cleaned.batch.drop_columns("text") == batch.drop_columns("text")
    assert not cleaned.scores and not cleaned.failed
    assert bool(cleaned.changed) == (expected != many)
    again = Unicode(form).apply(cleaned.batch)
    assert again.batch is cleaned.batch and not again.changed


@pytest.mark.bad_input(18)
def test_changes_are_counted(batch_of: BatchOf) -> None:
    cleaned = Unicode().apply(batch_of("a\r\nb\rc\u2028d", "x\x00\x1b[0m\x85", "e\u0301", "é", "plain\n"))
    assert cleaned.batch.column("text").to_pylist() == ["a\nb\nc\nd", "x[0m\n", "é", "é", "plain\n"]
    assert cleaned.changed == {"line_ends_rewritten": 4, "control_characters_dropped": 2, "documents_composed": 1}


def test_a_line_end_cut_by_the_border_of_two_texts_is_two() -> None:
    cleaned, line_ends, _ = rewrite(pa.array(["a\r", "\nb"], pa.large_string()))
    assert (cleaned.to_pylist(), line_ends) == (["a\n", "\nb"], 1)


def test_an_accent_meets_its_letter_when_what_stood_between_is_dropped(batch_of: BatchOf) -> None:
    assert Unicode().apply(batch_of("e\x00\u0301")).batch.column("text").to_pylist() == ["é"]


def test_nothing_is_copied_where_nothing_changes(batch_of: BatchOf) -> None:
    batch = batch_of("plain text\n\twith é", "语")
    assert Unicode().apply(batch).batch is batch
    assert Unicode().apply(batch_of()).batch.num_rows == 0


def test_compatibility_is_a_setting(batch_of: BatchOf) -> None:
    texts = "ﬁne Ａ 10³\u00a0m"
    assert Unicode().apply(batch_of(texts)).batch.column("text").to_pylist() == [texts]
    assert Unicode("NFKC").apply(batch_of(texts)).batch.column("text").to_pylist() == ["fine A 103 m"]
    with pytest.raises(SettingError, match=r"^form: 'NFD' is not allowed; give NFC or NFKC"):
        Unicode("NFD")  # type: ignore[arg-type]


def test_characters_that_compose_with_none_are_passed_over() -> None:
    alone = set(np.flatnonzero(composed_alone()).tolist())
    chars = sorted(map(chr, alone))
    for before, after in (("", ""), ("a", "e"), ("\u1100", "\u1161"), ("か", "は"), ("\u0627", "\u0648")):
        texts = [f"{before}{char}{after}" for char in chars]
        assert pc.utf8_normalize(pa.array(texts), form="NFC").to_pylist() == texts
    assert not any(unicodedata.combining(char) for char in chars)
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    seconds = {int(pair[1], 16) for pair in parts if len(pair) == 2 and "<" not in pair[0]}
    assert not alone & seconds  # what joins with the character before it


@given(st.lists(st.text() | st.text(alphabet="aé\u0301\u1100\u1161语\n"), max_size=4))
def test_what_is_passed_over_is_composed_already(many: list[str]) -> None:
    texts = pa.array(["é", *many], pa.large_string()).slice(1)
    for form in ("NFC", "NFKC"):
        assert compose(texts, form).to_pylist() == pc.utf8_normalize(texts, form=form).to_pylist()

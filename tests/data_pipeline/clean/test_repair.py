from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import ftfy
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.repair import MOJIBAKE, Repair
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
ENCODINGS = ("latin-1", "windows-1252", "windows-1251", "windows-1250", "macroman", "cp437")
REAL = (
    "schön, naïve café – “quoted” it’s 20 €",
    "Привет, мир! Це українська мова.",
    "Η γρήγορη αλεπού πηδά.",
    "日本語のテキスト（全角）",
    "✔ No problems … ™ ½ œuvre",
)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"unescape_html": "always", "fix_latin_ligatures": True, "fix_character_width": True, "uncurl_quotes": True},
    {"fix_line_breaks": True, "normalization": "NFKC", "max_segment_chars": 7},
    {"fix_encoding": False, "unescape_html": "never", "remove_control_chars": False, "fix_c1_controls": False},
    {"decode_inconsistent_utf8": False, "restore_byte_a0": False, "replace_lossy_sequences": False},
]


def garbled(text: str, encoding: str) -> str:
    return text.encode().decode(encoding, errors="replace")


broken = st.builds(garbled, st.sampled_from(REAL) | st.text(max_size=6), st.sampled_from(ENCODINGS))
pieces = st.sampled_from(
    [
        "&amp;",
        "&eacute;",
        "<b>",
        "\n",
        "\r\n",
        " ",
        "Ã ",
        "Â ",
        "Å",
        "œ",
        "ﬁ",
        "Ａ",
        "“",
        "\x85",
        "\x1b[0m",
        "\x07",
        "\ufeff",
    ]
)
texts = st.lists(broken | pieces | st.sampled_from(REAL) | st.text(max_size=4), max_size=8).map("".join)


@pytest.mark.parametrize("settings", SETTINGS)
@given(many=st.lists(texts, max_size=4))
@example(many=["a\nÃ  b", "x Ã ", "&lt;\n<p>\n&lt;", "voilÃ le travail", "œ", "&amp;amp;amp;"])
def test_texts_are_those_of_ftfy(batch_of: BatchOf, settings: dict[str, Any], many: list[str]) -> None:
    rule, batch = Repair(**settings), batch_of(*many)
    repaired = rule.apply(batch)
    repaired.batch.validate(full=True)
    expected = [ftfy.fix_text(text, ftfy.TextFixerConfig(**rule.settings)) for text in many]
    assert repaired.batch.column("text").to_pylist() == expected
    assert bool(repaired.changed) == (expected != many)
    assert {each.kind for each in repaired.examples} == set(repaired.changed)


@pytest.mark.parametrize(
    ("sentence", "encoding"),
    [
        ("schön und größer, naïve café", "latin-1"),
        ("schön – it’s 20 €", "windows-1252"),
        ("Привет, как дела? Хорошо.", "latin-1"),
        ("日本語のテキスト", "latin-1"),
    ],
)
def test_a_garbled_sentence_comes_back(batch_of: BatchOf, sentence: str, encoding: str) -> None:
    repaired = Repair().apply(batch_of(sentence, sentence.encode().decode(encoding, errors="replace")))
    assert repaired.batch.column("text").to_pylist() == [sentence, sentence]


@pytest.mark.parametrize("text", [*REAL, "AT&T; R&D <b>", "plain\n\ttext\r\n"])
def test_clean_text_is_not_copied(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(text, "Nothing here.")
    assert Repair().apply(batch).batch is batch


@pytest.mark.bad_input(33)
def test_changes_are_counted_by_segment_with_examples(batch_of: BatchOf) -> None:
    lines = "fine\nschÃ¶n\ngrÃ¶ÃŸer &eacute;\n\x1b[1mbold\n"
    repaired = Repair().apply(batch_of("plain", lines))
    assert repaired.batch.column("text").to_pylist() == ["plain", "fine\nschön\ngrößer é\nbold\n"]
    assert repaired.changed == {MOJIBAKE: 2, "html_unescaped": 1, "remove_terminal_escapes": 1}
    assert [(each.row, each.before, each.after) for each in repaired.examples if each.kind == MOJIBAKE] == [
        (2, "schÃ¶n\n", "schön\n"), (2, "grÃ¶ÃŸer &eacute;\n", "größer é\n"),
    ]  # fmt: skip


def test_a_long_line_of_nested_entities_is_bounded(batch_of: BatchOf) -> None:
    rule = Repair(max_segment_chars=100)
    (text,) = rule.apply(batch_of("&" + "amp;" * 50_000)).batch.column("text").to_pylist()
    assert text.startswith("&") and len(text) < 200_000


def test_it_travels_to_workers(batch_of: BatchOf) -> None:
    rule, batch = Repair(), batch_of("schÃ¶n")
    rule.apply(batch)
    assert pickle.loads(pickle.dumps(rule)).apply(batch).batch.column("text").to_pylist() == ["schön"]


def test_settings_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^unescape_html: 'yes' is not allowed; give one of auto, always, never"):
        Repair(unescape_html="yes")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"^max_segment_chars: 0 is not allowed"):
        Repair(max_segment_chars=0)

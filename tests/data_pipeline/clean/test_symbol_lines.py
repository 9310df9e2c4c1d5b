from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.symbol_lines import CODE, DROPPED, SymbolLines, without_symbol_lines_one
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
texts = st.text(st.sampled_from("a1é語 \t\n=-*}•—。\u00a0") | st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(texts, max_size=5), st.sampled_from(["", CODE, "=•"]))
def test_texts_are_what_plain_python_makes_of_them(batch_of: BatchOf, many: list[str], kept: str) -> None:
    rule = SymbolLines(kept)
    applied = rule.apply(batch_of(*many))
    applied.batch.validate(full=True)
    expected = [without_symbol_lines_one(text, kept) for text in many]
    assert applied.batch.column("text").to_pylist() == expected
    assert bool(applied.changed) == (expected != many)
    assert rule.apply(applied.batch).batch is applied.batch


def test_rulers_go_and_code_stays(batch_of: BatchOf) -> None:
    code = 'if (x) {\n  f();\n}\n"""\n#\n/*\n */\n```\n...\n\n'
    applied = SymbolLines().apply(batch_of("Title\n=====\n\n| - | * |\n • • •\ntext\n…\n***", code))
    assert applied.batch.column("text").to_pylist() == ["Title\n\ntext\n", code]
    assert applied.changed == {DROPPED: 5}
    assert applied.examples[0].before.startswith("Title\n=====\n") and applied.examples[0].after.startswith("Title\n\n")


def test_letters_are_no_symbols() -> None:
    with pytest.raises(SettingError, match=r"^kept_symbols: 'a ' is not allowed; give symbols"):
        SymbolLines("=a ")

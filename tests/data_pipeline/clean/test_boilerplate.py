from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.boilerplate import DROPPED, PATTERNS, Boilerplate
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
lines = st.sampled_from(
    ["© X. All rights reserved.", "text", "", "é all RIGHTS reserved " + "long " * 9, "語", "buy now"]
)
texts = st.lists(lines, max_size=6).map("\n".join)


@given(st.lists(texts, max_size=5), st.sampled_from([None, ["^buy now$", "^ *$"], ["^text", "é.*long"]]))
def test_texts_are_what_plain_python_makes_of_them(
    batch_of: BatchOf, many: list[str], patterns: list[str] | None
) -> None:
    def stays(line: str) -> bool:
        bare = line.removesuffix("\n")
        return len(bare) > 40 or not any(re.search(each, bare, re.IGNORECASE) for each in patterns or PATTERNS)

    applied = Boilerplate(patterns, max_line_chars=40).apply(batch_of(*many))
    applied.batch.validate(full=True)
    expected = ["".join(filter(stays, text.splitlines(keepends=True))) for text in many]
    assert applied.batch.column("text").to_pylist() == expected
    assert bool(applied.changed) == (expected != many)


@pytest.mark.parametrize(
    "line",
    [
        "Please enable JavaScript to view this page.",
        "JavaScript is disabled in your browser.",
        "This site requires JavaScript",
        "We use cookies to improve your experience. Accept all cookies",
        "By using this site you agree to the use of cookies.",
        "Cookie Policy | Terms",
        "© 2021 Example Inc. All Rights Reserved.",
    ],
)
def test_notices_go(batch_of: BatchOf, line: str) -> None:
    applied = Boilerplate().apply(batch_of("plain", f"before\n{line}\nafter\n{line}"))
    assert applied.batch.column("text").to_pylist() == ["plain", "before\nafter\n"]
    assert applied.changed == {DROPPED: 2}
    assert applied.examples[0].row == 2 and line in applied.examples[0].before


@pytest.mark.parametrize(
    "text",
    [
        "JavaScript is a language; we bake cookies. The rights are reserved to all.",
        "Arm64 Windows cdb doesn't support JavaScript extensions; following a crate may require JavaScript.",
        "She said that all rights reserved by the crown " + "were lost in the long war of those years, " * 5,
    ],
)
def test_what_speaks_of_it_stays(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(text)
    assert Boilerplate().apply(batch).batch is batch


@pytest.mark.parametrize("pattern", ["(", "(?=a)", ""])
def test_a_pattern_that_can_not_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(SettingError, match=r"^patterns: .* is not allowed; give a regular expression of RE2"):
        Boilerplate([pattern])
    with pytest.raises(SettingError, match=r"^patterns: \[\] is not allowed; give a pattern or more"):
        Boilerplate([])

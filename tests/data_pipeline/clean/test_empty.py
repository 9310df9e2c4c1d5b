from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.empty import is_without_words, without_words

PIECES = (
    " ",
    "\n",
    "\t",
    "\x0b",
    "\x1c",
    "\x85",
    "\xa0",
    "\u1680",
    "\u2003",
    "\u2028",
    "\u3000",
    "\ufeff",
    "\u200b",
    "a",
    "語",
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join)


@given(st.lists(texts, max_size=6))
@example(["", " \n", "\u3000", "\u200b", " a", "\xa0é"])
def test_the_kernel_equals_plain_python(many: list[str]) -> None:
    found = without_words(pa.array(["a", *many, " "], pa.large_string()).slice(1, len(many)))
    assert found.tolist() == [is_without_words(text) for text in many]

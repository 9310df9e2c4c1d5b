"""The probe is the same everywhere and reaches all of Unicode."""

from __future__ import annotations

import unicodedata

from data_pipeline.tokenize.probe import probe_texts


def test_is_the_same_each_time_and_holds_the_added_tokens() -> None:
    assert probe_texts(["<x>"]) == probe_texts(["<x>"])
    assert {"<x>", "a<x>b"} <= set(probe_texts(["<x>"]))


def test_holds_what_tokenizers_differ_on() -> None:
    text = "\0".join(probe_texts([]))
    text.encode()  # no lone surrogate
    assert {unicodedata.category(char)[0] for char in text} == set("LMNPSZC")
    assert {ord(char) >> 16 for char in text} >= {0, 1, 2, 15, 16}
    for unnormalised in ("e\u0301", "\ufb01", "\r\n", "  ", "'ve", "<|endoftext|>"):
        assert unnormalised in text

"""The kernel over UTF-8 against the definition of words, which knows no table."""

from __future__ import annotations

import functools
import tracemalloc
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate import points
from data_pipeline.decontaminate.kernels import GIVEN_UP, Points, hash_words, room_for_words
from data_pipeline.decontaminate.points import folding_points, normal_points, segment_borders
from data_pipeline.decontaminate.words import char_class, normal, words

SURROGATES = range(0xD800, 0xE000)
# unusual case, marks that join, change places or stay, letters that become several, Hangul in parts, apostrophes,
# format characters, scripts without spaces
HARD = "aBßİǰſŉΐ"
HARD += (
    "\u0301\u0323\u0345\u0344\u034f\u0e33\u0e31\u0e01\u0e49中か\u3099ｶﾞ\u1100\u1161\u11a8가각\u0995\u09be\u09c7\u0bbe"
)
HARD += "´\u0384\u1fbd\u1fbf\u1ffd\u1fcd\u1ffe\u0300\u2032\u2035\u3164\u1160\u115f\ud7b0\u05d1\u05bc\u05b7\u05c1\u0921"
HARD += "\u0915\u094d\u093c\u064b\u0651'’\xad\u200b\u200d\ufe0f.,-_ \n1²½㌖ﷺﬁ\U0001f600\U0001d15e"
TEXTS_OF = st.sampled_from(HARD) | st.characters(codec="utf-8")
MARKS = st.sampled_from("\u0301\u0323\u0345\u0344\u05b7\u05bcﾞ\u3099\u0f73\u034f\u0e49")
LONG_RUNS = st.builds("".join, st.lists(MARKS, min_size=140, max_size=200))  # which are sorted before Python would
TEXTS = st.text(TEXTS_OF, max_size=30) | st.builds(
    "".join, st.tuples(st.text(TEXTS_OF, max_size=5), LONG_RUNS, st.text(TEXTS_OF, max_size=5))
)


def kernel(text: str, points: Points) -> tuple[list[int] | None, list[tuple[int, int]]]:
    """The hashes, or None where the kernel gives the text up, and the bytes of each word."""
    data = np.frombuffer(text.encode(), np.uint8)
    room = room_for_words(len(data))
    count = hash_words(data, 0, len(data), points, room)
    if count == GIVEN_UP:
        return None, []
    return room.hashes[:count].tolist(), list(zip(room.starts[:count], room.ends[:count], strict=True))


def segments(text: str) -> list[str]:
    return [text[first:stop] for first, stop in pairwise(segment_borders(text).tolist())]


@functools.cache
def hash_of(word: str) -> int:
    hashes, _ = kernel(word, normal_points())
    assert hashes is not None and len(hashes) == 1, word
    return hashes[0]


def expected(text: str) -> list[int]:
    return [hash_of(word) for word in words(text)]


def test_every_code_point_alone_and_between_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2,000 at a time the document is one, with a break between them; those given up must be few."""
    monkeypatch.setattr("data_pipeline.decontaminate.words.char_class", functools.cache(char_class))  # asked often
    chars = [chr(code) for code in range(0x110000) if code not in SURROGATES]
    assigned = [char for char in chars if unicodedata.category(char) not in ("Cn", "Co")]
    given_up = 0
    for frame, framed in (("{} ", assigned), ("a{}b ", chars)):  # between letters, it shows whether another is a break
        for first in range(0, len(framed), 2000):
            parts = [frame.format(char) for char in framed[first : first + 2000]]
            text = "".join(parts)
            hashes, _ = kernel(text, folding_points())
            if hashes is None:
                for part in parts:
                    found, _ = kernel(part, folding_points())
                    given_up += found is None
                    assert found is None or found == expected(part), ascii(part)
            else:
                assert hashes == expected(text)
    assert given_up < 2000


@given(TEXTS)
def test_the_kernel_finds_the_words_of_the_definition(text: str) -> None:
    hashes, _ = kernel(text, folding_points())
    if hashes is None:
        hashes, _ = kernel(normal(text), normal_points())
    assert hashes == expected(text)


@given(TEXTS)
def test_the_normal_form_is_that_of_the_segments(text: str) -> None:
    parts = segments(text)
    assert "".join(parts) == text
    assert "".join(normal(part) for part in parts) == normal(text)


@given(st.text(TEXTS_OF, min_size=1, max_size=40), st.integers(1, 8), st.data())
def test_spans_of_the_normal_form_lie_in_these_segments(text: str, piece_chars: int, data: st.DataObject) -> None:
    parts = segments(text)
    in_text = np.cumsum([0, *(len(part.encode()) for part in parts)])
    in_normal = np.cumsum([0, *(len(normal(part).encode()) for part in parts)])
    if in_normal[-1] == 0:
        return
    places = st.integers(0, int(in_normal[-1]) - 1)
    spans = np.sort([[data.draw(places), data.draw(places)] for _ in range(3)], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "_PIECE_CHARS", piece_chars)
        starts, ends = points.spans_in_text(text, spans[:, 0], spans[:, 1] + 1)
    holding = [[int(np.flatnonzero(in_normal <= place)[-1]) for place in span] for span in spans.tolist()]
    assert starts.tolist() == [in_text[first] for first, _ in holding]
    assert ends.tolist() == [in_text[last + 1] for _, last in holding]


def test_a_long_text_is_not_held_segment_by_segment() -> None:
    """6 MB in NFD with one hit: what is held besides the text stays near its size."""
    text = unicodedata.normalize("NFD", "Tiếng Việt có nhiều dấu. ") * 150_000
    starts = np.array([len(normal(text).encode()) // 2])
    tracemalloc.start()
    points.spans_in_text(text, starts, starts + 9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(text.encode())


def test_all_pairs_of_a_letter_and_its_mark_apart() -> None:
    """Those that normal forms join and those that they leave, with another mark between and behind them."""
    pairs = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    texts = ["".join(chr(int(part, 16)) for part in pair) for pair in pairs if len(pair) == 2 and "<" not in pair[0]]
    assert len(texts) > 1000
    for base, mark in texts:
        for text in (
            f"a{base}{mark}b",
            f"{base}\u0323{mark}",
            f"{base}{mark}\u0301c",
            f"{mark}{base} {base}\u05bc{mark}",
        ):
            hashes, _ = kernel(text, folding_points())
            assert hashes is None or hashes == expected(text), ascii(text)


@given(st.text(st.sampled_from("aBé中か'., \n1\xad\u094d\u0915"), max_size=30))
def test_a_word_lies_where_it_is_said_to_lie(text: str) -> None:
    hashes, places = kernel(text, folding_points())
    assert hashes is not None
    slices = [text.encode()[start:end].decode() for start, end in places]
    assert [word for piece in slices for word in words(piece)] == words(text)
    assert all(len(words(piece)) == 1 for piece in slices)


def test_text_of_these_scripts_is_not_given_up() -> None:
    texts = [
        "naïve Zürich",
        "Привет, мир",
        "हिन्दी में प्रश्न",
        "বাংলা ভাষা",
        "السَّلَامُ عَلَيْكُمْ",
        "ภาษาไทยน้ำ",
        "한국어 질문",
        "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ",
        "लड़का पढ़ता है, क़लम और ज़मीन बड़ी",
        "বাড়ি যায়, গাড়ি হয়ে",
        "ਜ਼ਮੀਨ ਸ਼ਹਿਰ ਫ਼ਸਲ",
        "ଓଡ଼ିଆ ପଢ଼ା",
        "日本語の質問",
    ]
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    assert [text for text in texts if kernel(text, folding_points())[0] is None] == []
    assert kernel("de\u0301compose\u0301", folding_points())[0] is None


def test_different_words_have_different_hashes() -> None:
    texts = ["a", "b", "aa", "ab", "ba", "é", "e", "中", "1", "10", "01"]
    assert len({hash_of(text) for text in texts}) == len(texts)

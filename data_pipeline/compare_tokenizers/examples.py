"""Texts that are shown as each tokenizer cuts them: excerpts of the sample, and forms of writing that cost much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from data_pipeline.compare_tokenizers.candidates import Candidate
from data_pipeline.compare_tokenizers.sample import Sample
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.sample import key_hashes
from data_pipeline.tokens.pieces import cut
from foundation.page import Cut, CutText
from foundation.text import one_line

LABEL_CHARS = 48
WRITTEN_GROUP = "written for this page"
WRITTEN = (
    (
        "numbers and dates",
        "In 2026 the total of 12345678 units at 3.14159 each was 38,785,081.25; version 10.0.1, 2026-11-30T23:59:59Z.",
    ),
    (
        "indented code",
        "def total(values: list[int]) -> int:\n    result = 0\n    for value in values:\n        if value > 0:\n"
        "            result += value  # only these\n    return result\n",
    ),
    ("tabs and line ends", "name\tcount\r\nalpha\t12\r\n\r\n\r\nbeta\t7\r\n"),
    (
        "upper case",
        "THE COMMITTEE MAY NOT, UNDER ANY CIRCUMSTANCES, REVOKE THE LICENCE. The committee may not revoke it.",
    ),
    ("names and rare words", "Dr. Anneliese Bhattacharyya-O'Rourke prescribed acetylsalicylic acid in Wrocław."),
    ("links and markup", '<a href="https://example.org/a_b?q=1&lang=en#top">see **bold** and `x[i]`</a>'),
    ("European languages", "Größe, naïveté, çà et là, señor, Łódź. Быстрая лиса. Η γρήγορη αλεπού."),
    (
        "Asian scripts",
        "敏捷的棕色狐狸。素早い茶色の狐。빠른 갈색 여우. तेज़ भूरी लोमड़ी। สุนัขจิ้งจอกสีน้ำตาล. الثعلب البني السريع.",
    ),
    ("emoji", "Great 👍🏽 work 🎉🎉 from the family 👩‍👩‍👧‍👦 in 🇩🇪 ❤️"),
)
SHORT = (
    ("8 digits", "12345678"),
    ("in a sentence", " 12345678"),
    ("decimal", "3.14159"),
    ("thousands", "1,234,567"),
    ("date", "2026-11-30"),
    ("hexadecimal", "0xDEADBEEF"),
    ("4 blanks and a word", "    return"),
    ("12 blanks and a word", "            return"),
    ("two line ends", "end.\n\nNext"),
    ("Windows' line end", "end.\r\nNext"),
    ("capitals", "INTERNATIONALIZATION"),
    ("the same, small", "internationalization"),
    ("emoji", "👩‍👩‍👧‍👦"),
)


def example_texts(
    sample: Sample, candidates: Sequence[Candidate], per_source: int, num_chars: int, seed: int
) -> list[CutText]:
    """Return the texts, each cut by all candidates: those written for it last.

    Args:
        per_source: documents of each source that excerpts are shown of.
        num_chars: of an excerpt, at most.
    """
    loaded = [load(each.tokenizer_json, each.name) for each in candidates]
    lots = key_hashes(sample.files, sample.rows, seed)
    texts: list[CutText] = []
    for place, name in enumerate(sample.sources):
        mine = np.flatnonzero(sample.source_of == place)
        for number in mine[np.argsort(lots[mine], kind="stable")][:per_source].tolist():
            text = excerpt(sample.texts[number].as_py(), num_chars, int(lots[number]))
            if text:
                texts.append(_cut_text(one_line(" ".join(text.split()), LABEL_CHARS), name, text, candidates, loaded))
    return texts + [_cut_text(label, WRITTEN_GROUP, text, candidates, loaded) for label, text in WRITTEN]


def short_cuts(candidates: Sequence[Candidate]) -> list[tuple[str, list[Cut]]]:
    """Return forms that tokenizers cut most differently, each as all candidates cut it."""
    loaded = [load(each.tokenizer_json, each.name) for each in candidates]
    return [
        (label, [_cut(text, each.name, tokenizer) for each, tokenizer in zip(candidates, loaded, strict=True)])
        for label, text in SHORT
    ]


def excerpt(text: str, num_chars: int, lot: int) -> str:
    """Return a part of a text that begins with a line or a word: where, the lot decides."""
    last = max(len(text) - num_chars, 0)
    start = lot % (last + 1)
    if start:
        found = [place for border in ("\n", " ") if (place := text.find(border, start, start + num_chars // 4)) >= 0]
        start = found[0] + 1 if found else start
    return text[start : start + num_chars].rstrip("\n")


def _cut_text(
    label: str, group: str, text: str, candidates: Sequence[Candidate], loaded: Sequence[Tokenizer]
) -> CutText:
    cuts = [_cut(text, each.name, tokenizer) for each, tokenizer in zip(candidates, loaded, strict=True)]
    return CutText(label, group, cuts)


def _cut(text: str, name: str, tokenizer: Tokenizer) -> Cut:
    pieces = [(piece.text, piece.ids) for piece in cut(tokenizer, text)]
    tokens = sum(len(ids) for _, ids in pieces)
    note = f"{tokens:,} tokens, {len(text.encode()) / max(tokens, 1):.2f} bytes each"
    return Cut(name, note, pieces)

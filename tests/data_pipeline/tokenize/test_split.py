"""The kernels cut text where the regular expressions of tokenizers cut it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import PreTokenizedString, Regex, pre_tokenizers

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.split import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LETTER,
    LINE_END,
    NUM_CODES,
    NUMBER,
    NUMBERS,
    OTHER,
    SPACE,
    SplitName,
    char_classes,
    pre_tokenizer,
    split_plainly,
)
from data_pipeline.tokenize.split_kernels import split_text

SPLITS: tuple[SplitName, ...] = ("gpt2", "cl100k")
PATTERNS = {"gpt2": GPT2_PATTERN, "cl100k": CL100K_PATTERN}
CODES = [code for code in range(NUM_CODES) if not 0xD800 <= code < 0xE000]
ALPHABET = " '\n\r\tsStTrReEvVmMlLdD\u017fab1٣².,—é\u00a0\u2028\u3000東\u0301\u212a"
# what stands around a code point: every place of the patterns at which its class, or the letter itself, decides
PLACES = (
    "'{}a",
    "a'{}",
    "'{}e",
    "'r{}",
    "'V{}1",
    "'l{}",
    "{}s",
    "a{}b",
    " {} ",
    "{}{}1",
    "12{}45",
    ".{}a",
    "\n{}\r\n",
    " {}a",
    " \t{}",
)


def by_kernel(text: str, split: SplitName) -> list[str]:
    data = text.encode()
    ends = np.empty(len(data) + 1, np.int64)
    found = split_text(np.frombuffer(data, np.uint8), NUMBERS[split], char_classes(), ends)
    return [data[start:end].decode() for start, end in pairwise([0, *ends[:found].tolist()])]


def by_tokenizers(text: str, split: SplitName) -> list[str]:
    pieces = PreTokenizedString(text)
    pre_tokenizers.Split(Regex(PATTERNS[split]), "isolated").pre_tokenize(pieces)
    return [piece for piece, _, _ in pieces.get_splits(offset_referential="original", offset_type="byte")]


def random_texts(number: int) -> Iterator[str]:
    rng = random.Random(7)
    for _ in range(number):
        length = rng.randrange(1, 14)
        yield "".join(rng.choice(ALPHABET) if rng.random() < 0.9 else chr(rng.choice(CODES)) for _ in range(length))


@pytest.mark.parametrize("split", SPLITS)
def test_random_text_is_cut_as_by_the_plain_loop_and_by_tokenizers(split: SplitName) -> None:
    for text in random_texts(3000):
        assert by_kernel(text, split) == split_plainly(text, split) == by_tokenizers(text, split), repr(text)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("place", PLACES)
def test_every_code_point_is_cut_as_by_tokenizers_in_every_place(split: SplitName, place: str) -> None:
    """Of the planes 4 to 13, 15 and 16, which have no characters or private ones, one in a hundred."""
    codes = [code for code in CODES if code >> 16 in (0, 1, 2, 3, 14) or code % 100 == 0]
    for start in range(0, len(codes), 1 << 13):
        text = "".join(place.replace("{}", chr(code)) for code in codes[start : start + (1 << 13)])
        assert by_kernel(text, split) == by_tokenizers(text, split)


@pytest.mark.parametrize("split", SPLITS)
def test_the_pre_tokenizer_cuts_as_its_pattern(split: SplitName) -> None:
    chars = byte_chars()
    for text in random_texts(300):
        pieces = [piece for piece, _ in pre_tokenizer(split).pre_tokenize_str(text)]
        assert pieces == ["".join(chars[byte] for byte in piece.encode()) for piece in by_kernel(text, split)]


def test_classes_are_those_of_the_engine_for_every_code_point() -> None:
    classes = char_classes()
    for pattern, wanted in (
        (r"\p{L}", (LETTER,)),
        (r"\p{N}", (NUMBER,)),
        (r"\s", (SPACE, LINE_END)),
        (r"[\r\n]", (LINE_END,)),
    ):
        split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        found = set()
        for start in range(0, len(CODES), 1 << 13):
            pieces = PreTokenizedString("".join(map(chr, CODES[start : start + (1 << 13)])))
            split.pre_tokenize(pieces)
            found |= {char for piece, _, _ in pieces.get_splits() for char in piece}
        assert {ord(char) for char in found} == set(np.flatnonzero(np.isin(classes, wanted)).tolist())
    assert classes[ord("\u017f")] == LETTER
    assert classes[ord("'")] == OTHER


def test_bytes_have_the_characters_of_tokenizers() -> None:
    assert sorted(byte_chars()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    every = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("\x00 aé\u0301東")
    assert every[0][0] == "".join(byte_chars()[byte] for byte in "\x00 aé\u0301東".encode())


@pytest.mark.parametrize("split", SPLITS)
def test_long_runs_take_linear_time(split: SplitName) -> None:
    """Two megabytes of each kind of run; a quadratic loop would take hours."""
    for run in (" ", "\n", " \n", "a", "1", ".", "'", "\u3000", "東"):
        text = run * (2_000_000 // len(run.encode()))
        assert "".join(by_kernel(text, split)) == text

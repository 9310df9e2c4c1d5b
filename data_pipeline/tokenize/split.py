"""How text is cut into pieces, which no token crosses: GPT-2's pattern and that of cl100k, as Llama 3 writes it.

The kernels of `split_kernels` cut as the engine of tokenizers does with these patterns. What is a letter, a number or
white space is asked of that engine: its Unicode is another version than Python's, and a letter that only one of them
knows would be cut elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

import numpy as np
from tokenizers import PreTokenizedString, Regex, pre_tokenizers

SplitName = Literal["gpt2", "cl100k"]
GPT2, CL100K = 0, 1
NUMBERS: dict[str, int] = {"gpt2": GPT2, "cl100k": CL100K}
# OpenAI's gpt-2/src/encoder.py; the pre-tokenizer ByteLevel of tokenizers has it built in
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# cl100k_base of tiktoken/tiktoken_ext/openai_public.py, in the form of Llama 3's tokenizer.json
CL100K_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
OTHER, LETTER, NUMBER, SPACE, LINE_END = 0, 1, 2, 3, 4  # classes of characters; LINE_END: \r and \n, white space too
NUM_CODES = 0x110000
_BLOCK_CHARS = 1 << 13  # asked at a time: 0.07 s for all, in one text 0.17 s
_SURROGATES = range(0xD800, 0xE000)


def pre_tokenizer(split: SplitName) -> pre_tokenizers.PreTokenizer:
    """Return what tokenizers cuts text with before it looks for tokens."""
    if split == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CL100K_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@functools.cache
def char_classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8, as the patterns of tokenizers see it; 0.1 s, once."""
    codes = np.concatenate([np.arange(_SURROGATES.start), np.arange(_SURROGATES.stop, NUM_CODES)]).astype("<u4")
    chars = codes.tobytes().decode("utf-32-le")
    lengths = np.fromiter(_run_lengths(chars), np.int64)
    firsts = "".join(chars[start] for start in np.cumsum(lengths) - lengths)
    kinds = np.zeros(len(lengths), np.uint8)
    for number, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s")):
        split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        found = {char for piece, _ in split.pre_tokenize_str(firsts) for char in piece}
        kinds[[first in found for first in firsts]] = number
    classes = np.zeros(NUM_CODES, np.uint8)
    classes[codes] = np.repeat(kinds, lengths)
    classes[[ord("\r"), ord("\n")]] = LINE_END
    return classes


def _run_lengths(chars: str) -> Iterator[int]:
    """Yield the lengths of runs of characters of the same class."""
    split = pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}+|\s+"), "isolated")
    for start in range(0, len(chars), _BLOCK_CHARS):
        text = PreTokenizedString(chars[start : start + _BLOCK_CHARS])
        split.pre_tokenize(text)
        yield from (len(piece) for piece, _, _ in text.get_splits(offset_referential="original", offset_type="byte"))


def split_plainly(text: str, split: SplitName) -> list[str]:
    """Return the pieces of a text, its pattern tried alternative by alternative: what the kernels are held against."""
    classes = char_classes()
    kinds = [int(classes[ord(char)]) for char in text]
    end_of = _gpt2_end if split == "gpt2" else _cl100k_end
    pieces, place = [], 0
    while place < len(text):
        end = end_of(text, kinds, place)
        pieces.append(text[place:end])
        place = end
    return pieces


def _run(kinds: list[int], place: int, wanted: tuple[int, ...]) -> int:
    while place < len(kinds) and kinds[place] in wanted:
        place += 1
    return place


def _gpt2_end(text: str, kinds: list[int], place: int) -> int:
    for suffix in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        if text.startswith(suffix, place):
            return place + len(suffix)
    start = place + (text[place] == " ")
    for kind in (LETTER, NUMBER, OTHER):
        end = _run(kinds, start, (kind,))
        if end > start:
            return end
    return _space_end(kinds, place)


def _cl100k_end(text: str, kinds: list[int], place: int) -> int:
    for suffix in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        found = text[place : place + len(suffix)]
        if found.lower() == suffix or (suffix == "'s" and found == "'\u017f"):
            return place + len(suffix)
    start = place + (kinds[place] in (OTHER, SPACE))
    end = _run(kinds, start, (LETTER,))
    if end > start:
        return end
    end = _run(kinds[: place + 3], place, (NUMBER,))
    if end > place:
        return end
    start = place + (text[place] == " ")
    end = _run(kinds, start, (OTHER,))
    if end > start:
        return _run(kinds, end, (LINE_END,))
    end = _run(kinds, place, (SPACE, LINE_END))
    line_ends = [at for at in range(place, end) if kinds[at] == LINE_END]
    return line_ends[-1] + 1 if line_ends else _space_end(kinds, place)


def _space_end(kinds: list[int], place: int) -> int:
    end = _run(kinds, place, (SPACE, LINE_END))
    return end if end == len(kinds) or end == place + 1 else end - 1

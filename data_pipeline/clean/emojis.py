"""Emoji kept, dropped or spelt as words, by the tables of the package `emoji` (Unicode 17 in 2.15)."""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.edits import with_texts
from data_pipeline.clean.extras import load_extra
from data_pipeline.clean.rules import EXAMPLES, Applied, Example, Rule
from foundation.errors import SettingError, require

Action = Literal["keep", "drop", "spell"]
Spelling = Literal["code", "words"]
DROPPED, SPELT = "emoji_dropped", "emoji_spelt"
_EMOJI_STYLE, _JOINER, _KEYCAP = "\ufe0f", "\u200d", "\u20e3"
_UNQUALIFIED = 4  # of the package's `status`
_WIDE_GAP = 128  # code points
_CONTEXT_CHARS = 20  # that an example shows on either side

_KEYCAPS = tuple("0123456789#*")
_NO_SPACE_BEFORE = ("", *" \n.,;:!?)")  # what stands after an emoji, where no space is left in its place


class Known(NamedTuple):
    """The emoji there are.

    Attributes:
        names: emoji -> its name, e.g. `red_heart`.
        longest: characters of the longest.
        seen: matches a text in which there may be one; for RE2.
        runs: matches what may be emoji side by side, the keys of keycaps left out.
    """

    names: dict[str, str]
    longest: int
    seen: str
    runs: re.Pattern[str]


class Emoji(Rule):
    """Drops or spells emoji; the longest known sequence counts as one: a family, a flag, a thumb with its skin tone.

    A character that Unicode shows as text by default (`©`, `™`, `✔`, `❤`) is an emoji only with U+FE0F after it. A
    dropped emoji takes a space with it where two would be left, or one at a line's begin or end or before a mark.
    Counts `emoji_dropped` or `emoji_spelt`. Needs the package emoji, of the extra `web`, but to keep them.

    Args:
        action: `keep`: nothing happens; `drop`; `spell`.
        spelling: `code`: `:red_heart:`; `words`: `red heart`, with a space to the words beside it.
        language: of the names, one that the package has, e.g. `en`, `de`, `zh`. An emoji without a name in it stays.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(self, action: Action = "keep", spelling: Spelling = "code", language: str = "en") -> None:
        require(action in get_args(Action), "action", action, ", ".join(get_args(Action)))
        require(spelling in get_args(Spelling), "spelling", spelling, " or ".join(get_args(Spelling)))
        self._action, self._spelling, self._language = action, spelling, language

    def packages(self) -> list[str]:
        return [] if self._action == "keep" else ["emoji"]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        if self._action == "keep":
            return Applied(batch)
        known = known_emoji(self._language)
        texts = batch.column("text")
        changed: Counter[str] = Counter()
        examples: list[Example] = []
        written: dict[int, str] = {}
        for position in pc.indices_nonzero(pc.match_substring_regex(texts, known.seen)).to_pylist():
            writer = _Writer(known, self._action, self._spelling, batch.column("row")[position].as_py())
            text = writer.rewritten(texts[position].as_py())
            if writer.count:
                written[position] = text
                changed[DROPPED if self._action == "drop" else SPELT] += writer.count
                examples = (examples + writer.examples)[:EXAMPLES]
        return Applied(with_texts(batch, written), changed=changed, examples=examples)


class _Writer:
    """Writes one text anew, run of emoji by run.

    Attributes:
        count: the emoji that were there.
        examples: of them, one a run, at most EXAMPLES.
    """

    def __init__(self, known: Known, action: Action, spelling: Spelling, row: int) -> None:
        self._known, self._action, self._spelling, self._row = known, action, spelling, row
        self.count = 0
        self.examples: list[Example] = []

    def rewritten(self, text: str) -> str:
        out: list[str] = []
        place, last = 0, ""  # last: the last character of `out`
        for match in self._known.runs.finditer(text):
            start, stop = match.span()
            if match[0].lstrip(_EMOJI_STYLE)[:1] == _KEYCAP and text[start - 1 : start] in _KEYCAPS:
                start -= 1
            parts = split(text[start:stop], self._known)
            emoji = sum(name is not None for _, name in parts)
            if not emoji:
                continue
            gap = text[place:start]
            last = gap[-1:] or last
            written, place = self._written(parts, last, text[stop : stop + 1]), stop
            if not written:
                if last in ("", "\n") and text[stop : stop + 1] == " ":
                    place += 1
                elif gap[-1:] == " " and text[stop : stop + 1] in _NO_SPACE_BEFORE:
                    gap = gap[:-1]
            out += [gap, written]
            last = written[-1:] or gap[-1:] or last
            self._note(emoji, text, start, stop, written)
        return "".join([*out, text[place:]])

    def _written(self, parts: list[tuple[str, str | None]], before: str, after: str) -> str:
        if self._action == "drop":
            return "".join(part for part, name in parts if name is None)
        if self._spelling == "code":
            return "".join(part if name is None else f":{name}:" for part, name in parts)
        words = " ".join(part if name is None else name.replace("_", " ") for part, name in parts)
        return (" " if before and not before.isspace() else "") + words + (" " if after.isalnum() else "")

    def _note(self, emoji: int, text: str, start: int, stop: int, written: str) -> None:
        self.count += emoji
        if len(self.examples) < EXAMPLES:
            left, right = text[max(start - _CONTEXT_CHARS, 0) : start], text[stop : stop + _CONTEXT_CHARS]
            kind = DROPPED if self._action == "drop" else SPELT
            self.examples.append(Example(kind, self._row, left + text[start:stop] + right, left + written + right))


def split(run: str, known: Known) -> list[tuple[str, str | None]]:
    """Return the parts of a run of emoji: each emoji with its name, what lies between with None.

    A joiner or U+FE0F directly after an emoji belongs to it: sequences that no one recommends are several emoji.
    """
    starts: list[int] = []
    names: list[str | None] = []
    place = 0
    while place < len(run):
        for size in range(min(known.longest, len(run) - place), 0, -1):
            name = known.names.get(run[place : place + size])
            if name is not None:
                starts.append(place)
                names.append(name)
                break
        else:
            size = 1
            belongs = bool(names) and (names[-1] is None or run[place] in (_JOINER, _EMOJI_STYLE))
            if not belongs:
                starts.append(place)
                names.append(None)
        place += size
    return [(run[start:stop], name) for start, stop, name in zip(starts, [*starts[1:], len(run)], names, strict=True)]


@functools.cache
def known_emoji(language: str) -> Known:
    """Return the emoji that have a name in a language; 20 ms, once a process and language."""
    emoji = load_extra("emoji", "emoji", "clean.rules: Emoji")
    if language not in emoji.LANGUAGES:
        raise SettingError(f"language: {language!r} is not allowed; give one of {', '.join(emoji.LANGUAGES)}")
    emoji.config.load_language(language)
    names = {
        chars: data[language].strip(":")
        for chars, data in emoji.EMOJI_DATA.items()
        if language in data and not (len(chars) == 1 and data["status"] == _UNQUALIFIED)
    }
    characters = {char for chars in names for char in chars if not char.isascii()} | {_JOINER, _EMOJI_STYLE}
    singles = {chars for chars in names if len(chars) == 1} | {_JOINER, _EMOJI_STYLE, _KEYCAP}
    singles |= {chr(code) for code in range(0x1F1E6, 0x1F200)}  # of which flags are made
    # `re` looks through a class one range after the other: few and wide ones, as `split` knows what is no emoji
    runs = re.compile(f"[{_class(characters, _WIDE_GAP)}]+")
    return Known(names, max(map(len, names)), f"[{_class(singles, 1)}]", runs)


def _class(characters: set[str], gap: int) -> str:
    """Return the inside of a class of a regular expression: these characters, and those between two this close."""
    codes = sorted(map(ord, characters))
    ranges = [[codes[0], codes[0]]]
    for code in codes[1:]:
        if code - ranges[-1][1] <= gap:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)

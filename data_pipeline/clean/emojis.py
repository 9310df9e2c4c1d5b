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
_CONTEXT_CHARS = 20  # that an example shows on either side

_ENDS = "\n.,;:!?)"  # before which no space is left


class Known(NamedTuple):
    """The emoji there are.

    Attributes:
        names: emoji -> its name, e.g. `red_heart`.
        longest: characters of the longest.
        seen: matches a text in which there may be one; for RE2.
        runs: matches what may be emoji side by side, and a space on either side of them.
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
            text = known.runs.sub(writer, texts[position].as_py())
            if writer.count:
                written[position] = text
                changed[DROPPED if self._action == "drop" else SPELT] += writer.count
                examples = (examples + writer.examples)[:EXAMPLES]
        return Applied(with_texts(batch, written), changed=changed, examples=examples)


class _Writer:
    """Writes the emoji of one text, run by run, for `re.sub`."""

    def __init__(self, known: Known, action: Action, spelling: Spelling, row: int) -> None:
        self._known, self._action, self._spelling, self._row = known, action, spelling, row
        self.count = 0
        self.examples: list[Example] = []

    def __call__(self, match: re.Match[str]) -> str:
        before, run, after = match.groups()
        parts = list(split(run, self._known))
        emoji = sum(name is not None for _, name in parts)
        if not emoji:
            return match[0]
        self.count += emoji
        text, start, stop = match.string, match.start(), match.end()
        if self._action == "drop":
            rest = "".join(part for part, name in parts if name is None)
            written = before + rest + after if rest else _space(text, start, stop, before, after)
        else:
            written = before + self._spelt(parts, text, match.start(2), match.end(2)) + after
        if len(self.examples) < EXAMPLES:
            left, right = text[max(start - _CONTEXT_CHARS, 0) : start], text[stop : stop + _CONTEXT_CHARS]
            kind = DROPPED if self._action == "drop" else SPELT
            self.examples.append(Example(kind, self._row, left + match[0] + right, left + written + right))
        return written

    def _spelt(self, parts: list[tuple[str, str | None]], text: str, start: int, stop: int) -> str:
        if self._spelling == "code":
            return "".join(part if name is None else f":{name}:" for part, name in parts)
        words = " ".join(part if name is None else name.replace("_", " ") for part, name in parts)
        left = " " if start and not text[start - 1].isspace() else ""
        right = " " if stop < len(text) and text[stop].isalnum() else ""
        return left + words + right


def split(run: str, known: Known) -> list[tuple[str, str | None]]:
    """Return the parts of a run of emoji: each emoji with its name, what lies between with None.

    A joiner or U+FE0F directly after an emoji belongs to it: sequences that no one recommends are several emoji.
    """
    parts: list[tuple[str, str | None]] = []
    place = 0
    while place < len(run):
        for size in range(min(known.longest, len(run) - place), 0, -1):
            name = known.names.get(run[place : place + size])
            if name is not None:
                parts.append((run[place : place + size], name))
                break
        else:
            size = 1
            follows = bool(parts) and parts[-1][1] is not None and run[place] in (_JOINER, _EMOJI_STYLE)
            if follows:
                parts[-1] = (parts[-1][0] + run[place], parts[-1][1])
            elif parts and parts[-1][1] is None:
                parts[-1] = (parts[-1][0] + run[place], None)
            else:
                parts.append((run[place], None))
        place += size
    return parts


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
    run = f"(?:[0-9#*]{_EMOJI_STYLE}?{_KEYCAP}|[{_class(characters)}])+"
    return Known(names, max(map(len, names)), f"[{_class(singles)}]", re.compile(f"( ?)({run})( ?)"))


def _class(characters: set[str]) -> str:
    return "".join(sorted(characters))


def _space(text: str, start: int, stop: int, before: str, after: str) -> str:
    """Return what stays of the spaces around emoji that were all of text[start:stop] else."""
    at_begin = not before and (start == 0 or text[start - 1] == "\n")
    at_end = not after and (stop == len(text) or text[stop] in _ENDS)
    return "" if at_begin or at_end else before or after

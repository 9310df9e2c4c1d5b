"""Characters that nobody sees: zero-width ones, marks of direction, soft hyphens; joiners stay where a script has them.

Source: The Unicode Standard 16, 23.2 "Layout Controls"; Boucher and Anderson, "Trojan Source", arXiv:2111.00169.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from data_pipeline.clean.edits import KIND, START, STOP, Edits, edited, examples_of, spans_of
from data_pipeline.clean.rules import Applied, Rule, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode
from foundation.errors import require

Action = Literal["drop", "keep"]

# What a character is. A zero-width space parts words in the scripts that write none.
_SEEN, _ZERO_WIDTH, _SPACE, _JOINER, _DIRECTION, _SOFT_HYPHEN = range(6)
_NUM_KINDS = 6
CHARACTERS: dict[int, tuple[int, ...]] = {
    # word joiner, invisible operators, deprecated formats, byte order mark
    _ZERO_WIDTH: (*range(0x2060, 0x2065), *range(0x206A, 0x2070), 0xFEFF),
    _SPACE: (0x200B,),
    _JOINER: (0x200C, 0x200D),
    # Arabic letter mark, marks, embeddings and overrides, isolates
    _DIRECTION: (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    _SOFT_HYPHEN: (0xAD,),
}
COUNTED = {
    _ZERO_WIDTH: "zero_width_dropped",
    _SPACE: "zero_width_dropped",
    _JOINER: "joiners_dropped",
    _DIRECTION: "direction_marks_dropped",
    _SOFT_HYPHEN: "soft_hyphens_dropped",
}

# Blocks (Unicode 16, Blocks.txt) of the scripts that join or shape letters: Arabic to Arabic Extended-A, Devanagari to
# Myanmar, Khmer and Mongolian, Limbu to Tai Tham, Balinese to Lepcha, the Indic extensions, Javanese to Meetei Mayek,
# Arabic's presentation forms, Kharoshthi to Old Uyghur, Brahmi to Gunjala Gondi, Adlam. Thai and Lao are among them.
SHAPED = (
    (0x0600, 0x08FF), (0x0900, 0x109F), (0x1780, 0x18AF), (0x1900, 0x1AAF), (0x1B00, 0x1C4F), (0x1CD0, 0x1CFF),
    (0xA840, 0xA8FF), (0xA930, 0xAADF), (0xABC0, 0xABFF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE), (0x10A00, 0x10FFF),
    (0x11000, 0x11FFF), (0x1E900, 0x1E95F),
)  # fmt: skip
# Blocks with emoji: arrows, technical, shapes to dingbats, arrows B, symbols and arrows, the pictographs of plane 1; of
# Latin-1 and punctuation none stands in a sequence with a joiner (emoji-zwj-sequences.txt)
PICTURED = (
    (0x2190, 0x21FF),
    (0x2300, 0x23FF),
    (0x25A0, 0x27BF),
    (0x2900, 0x297F),
    (0x2B00, 0x2BFF),
    (0x1F000, 0x1FAFF),
)
_SHAPED, _PICTURED = np.array(SHAPED, np.int64), np.array(PICTURED, np.int64)
_EMOJI_STYLE = 0xFE0F  # ends an emoji, e.g. the heart of "heart on fire"
_NOTHING = 0  # the character beside the first and the last


class Invisible(Rule):
    """Drops characters without width, by default all of them but those that a script needs.

    - A joiner or non-joiner (U+200D, U+200C) stays where the character before or after it is of a script that joins
      or shapes letters: Persian plurals, also after a Latin name (`CPU‌ها`), Indic conjuncts and half forms.
    - A joiner stays between two emoji: families, professions, flags.
    - A zero-width space (U+200B) stays beside a character of those scripts too: Thai, Lao, Khmer and Burmese part
      words and lines by it.
    - All others go: byte order marks within a text, word joiners, marks of direction, soft hyphens.

    The character before is the last one that stayed, the character after the next that is none of these; so a second
    pass changes nothing. Counts `zero_width_dropped`, `joiners_dropped`, `direction_marks_dropped`,
    `soft_hyphens_dropped`. Comes before `Unicode`: what is dropped may have stood between a letter and its accent.

    Args:
        direction_marks: U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069: `drop` or `keep`.
        soft_hyphens: U+00AD: `drop` or `keep`.
    Raises:
        SettingError: another action.
    """

    def __init__(self, direction_marks: Action = "drop", soft_hyphens: Action = "drop") -> None:
        for name, action in (("direction_marks", direction_marks), ("soft_hyphens", soft_hyphens)):
            require(action in get_args(Action), name, action, " or ".join(get_args(Action)))
        self._kept = np.zeros(_NUM_KINDS, bool)
        self._kept[_DIRECTION] = direction_marks == "keep"
        self._kept[_SOFT_HYPHEN] = soft_hyphens == "keep"

    def apply(self, batch: pa.RecordBatch) -> Applied:
        spans = spans_of(_find, *utf8_buffers(batch.column("text")), self._kept, _SHAPED, _PICTURED)
        if not len(spans):
            return Applied(batch)
        edits = Edits.removing(spans[:, START], spans[:, STOP])
        changed: Counter[str] = Counter()
        examples = []
        for name in dict.fromkeys(COUNTED.values()):
            chosen = np.isin(spans[:, KIND], [kind for kind, counted in COUNTED.items() if counted == name])
            changed[name] = int(chosen.sum())
            examples += examples_of(name, batch, edits, chosen)
        return Applied(with_text(batch, edited(batch.column("text"), edits)), changed=+changed, examples=examples)


def visible_one(text: str, direction_marks: Action = "drop", soft_hyphens: Action = "drop") -> str:
    """Return one text as the rule does: the reference in plain Python."""
    kinds = {chr(code): kind for kind, codes in CHARACTERS.items() for code in codes}
    kept = {_DIRECTION: direction_marks == "keep", _SOFT_HYPHEN: soft_hyphens == "keep"}
    after, upcoming = [], _NOTHING
    for char in reversed(text):
        after.append(upcoming)
        upcoming = upcoming if char in kinds else ord(char)
    out: list[str] = []
    for char, following in zip(text, reversed(after), strict=True):
        kind, before = kinds.get(char, _SEEN), ord(out[-1]) if out else _NOTHING
        if kind == _SEEN or kept.get(kind, False) or _is_needed_one(kind, char, before, following):
            out.append(char)
    return "".join(out)


def _is_needed_one(kind: int, char: str, before: int, after: int) -> bool:
    if kind not in (_SPACE, _JOINER):
        return False
    if any(first <= code <= last for code in (before, after) for first, last in SHAPED):
        return True
    pictured = [any(first <= code <= last for first, last in PICTURED) for code in (before, after)]
    return char == "\u200d" and (pictured[0] or before == _EMOJI_STYLE) and pictured[1]


@array_kernel
def _kind(data: Any, place: int) -> tuple[int, int]:
    """Return what the character at `place` is and its size in bytes; of a seen one the size is 1."""
    byte = data[place]
    if byte == 0xC2 and data[place + 1] == 0xAD:
        return _SOFT_HYPHEN, 2
    if byte == 0xD8 and data[place + 1] == 0x9C:
        return _DIRECTION, 2
    if byte == 0xEF and data[place + 1] == 0xBB and data[place + 2] == 0xBF:
        return _ZERO_WIDTH, 3
    if byte != 0xE2 or (data[place + 1] != 0x80 and data[place + 1] != 0x81):
        return _SEEN, 1
    third = data[place + 2]
    if data[place + 1] == 0x81:
        if 0xA6 <= third <= 0xA9:
            return _DIRECTION, 3
        return (_ZERO_WIDTH, 3) if 0xA0 <= third <= 0xA4 or 0xAA <= third <= 0xAF else (_SEEN, 1)
    if third == 0x8B:
        return _SPACE, 3
    if third == 0x8C or third == 0x8D:
        return _JOINER, 3
    return (_DIRECTION, 3) if third == 0x8E or third == 0x8F or 0xAA <= third <= 0xAE else (_SEEN, 1)


@array_kernel
def _find(data: Any, offsets: Any, kept: Any, shaped: Any, pictured: Any, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the characters to drop, as far as it reaches; return how many there are."""
    found = 0
    for text in range(offsets.size - 1):
        start, stop = offsets[text], offsets[text + 1]
        place, seen_end, upcoming = start, start, start  # seen_end: where the last character that stayed ends
        while place < stop:
            byte = data[place]
            if byte != 0xE2 and byte != 0xC2 and byte != 0xD8 and byte != 0xEF:
                place += 1
                seen_end = place
                continue
            kind, size = _kind(data, place)
            if kind in (_SPACE, _JOINER):
                if upcoming <= place:  # else known from another of the same run: no run is looked over twice
                    upcoming = _next_seen(data, place, stop)
                before = _character_before(data, start, seen_end)
                after = decode(data, upcoming)[0] if upcoming < stop else _NOTHING
                joins = data[place + 2] == 0x8D
                stays = _is_needed(joins, before, after, shaped, pictured)
            else:
                stays = kind == _SEEN or kept[kind]
            if stays:
                seen_end = place + size
            else:
                if found < len(spans):
                    spans[found, START], spans[found, STOP], spans[found, KIND] = place, place + size, kind
                found += 1
            place += size
    return found


@array_kernel
def _next_seen(data: Any, place: int, stop: int) -> int:
    while place < stop:
        kind, size = _kind(data, place)
        if kind == _SEEN:
            return place
        place += size
    return stop


@array_kernel
def _character_before(data: Any, start: int, end: int) -> int:
    if end <= start:
        return _NOTHING
    place = end - 1
    while data[place] & 0xC0 == 0x80:
        place -= 1
    return int(decode(data, place)[0])


@array_kernel
def _is_needed(joins: bool, before: int, after: int, shaped: Any, pictured: Any) -> bool:
    if _is_in(shaped, before) or _is_in(shaped, after):
        return True
    return joins and (before == _EMOJI_STYLE or _is_in(pictured, before)) and _is_in(pictured, after)


@array_kernel
def _is_in(ranges: Any, code: int) -> bool:
    is_in = False
    for place in range(len(ranges)):
        is_in |= ranges[place, 0] <= code <= ranges[place, 1]
    return is_in

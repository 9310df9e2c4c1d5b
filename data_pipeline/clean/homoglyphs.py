"""Words in disguise: letters of another script that look alike are mapped back to the script of the word, or counted.

Source: Unicode Technical Standard 39, "Unicode Security Mechanisms", confusables.txt, as the package
`confusable-homoglyphs` (3.3) carries it, with the script and the category of every character.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.edits import KIND, START, STOP, Edits, edited, examples_of, rows_of, spans_of
from data_pipeline.clean.extras import load_extra
from data_pipeline.clean.rules import Applied, Limit, Rule, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode
from foundation.errors import require

Action = Literal["map", "flag"]
MAPPED = "homoglyph_words_mapped"

# What a character is, the low bits of its class: nothing of a word, a letter of a script, a mark or a letter of none
LATIN, CYRILLIC, GREEK, _OTHER, _NEUTRAL = range(1, 6)
SCRIPTS = {"LATIN": LATIN, "CYRILLIC": CYRILLIC, "GREEK": GREEK}
_CLASS_BITS, _SMALL = 0b111, 0b1000
_FIRST_TARGET_BIT = 4  # + script: it has a look-alike there; the bits 5 to 7
_LETTER_BITS = _CLASS_BITS | _SMALL
_UNCLEAR = 0  # of a span's kind: in disguise, but not to be mapped; else the script to map to

# The letters that are mapped: ASCII's; those of Russian, Ukrainian, Belarusian, Bulgarian, Serbian and Macedonian; the
# Greek alphabet, but not sigma, which the tables put to `o` and which no one takes for it
LETTERS = {
    LATIN: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    CYRILLIC: "".join(map(chr, (*range(0x400, 0x460), 0x490, 0x491))),
    GREEK: "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΤΥΦΧΨΩαβγδεζηθικλμνξοπρτυφχψω",
}
NO_TARGETS = "Ѕѕ"  # of Macedonian alone: a Latin s in a Russian word is a plural in jest, no disguise


class Alphabets(NamedTuple):
    """What the rule knows of characters. Attributes: classes: (0x110000,) uint8; maps: script -> letter -> its own."""

    classes: np.ndarray
    maps: dict[int, dict[str, str]]


class Homoglyphs(Rule):
    """Maps words of Latin, Cyrillic or Greek with look-alikes from another of them back to one script, or counts them.

    A word is a run of letters and marks: a hyphen, digit or apostrophe ends it. Of mixed words only these are in
    disguise; all others, and all words of one script, stay as they are:

    - its letters are of exactly two of the three scripts, at least `min_letters` of them (`µm`, `Δx`, `kΩ` stay);
    - each letter of the script with fewer letters has a look-alike of the same case in the other (`Ωmega` stays);
    - it is no Latin word that begins or ends with a small Greek letter, as symbols do (`νmax`, `πrad`);
    - it is no Latin word with Cyrillic letters at its end alone, as names are inflected (`Facebookе`).

    Where the second does not hold, or neither script has more letters, but all letters of the first could be of the
    other, the word is in disguise too (`ассоunt`) and not mapped: which script was meant is a guess. The score
    `homoglyph_words` is the share of a document's words that are in disguise, before they are mapped. Counts
    `homoglyph_words_mapped`. Needs the package confusable-homoglyphs, of the extra `web`.

    Args:
        action: `map`: rewrite; `flag`: measure alone.
        min_letters: fewest letters of a word that is looked at.
        max_words_frac: greatest share of such words in a document (`homoglyphs`); 1: no limit.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"max_words_frac"})

    def __init__(self, action: Action = "map", min_letters: int = 4, max_words_frac: float = 1.0) -> None:
        require(action in get_args(Action), "action", action, " or ".join(get_args(Action)))
        require(min_letters >= 2, "min_letters", min_letters, "2 or more")
        require(0 <= max_words_frac <= 1, "max_words_frac", max_words_frac, "a share from 0 to 1")
        self._maps, self._min_letters = action == "map", min_letters
        self.limits = (Limit("homoglyph_words", most=max_words_frac, above="homoglyphs", most_key="max_words_frac"),)

    def packages(self) -> list[str]:
        return ["confusable-homoglyphs"]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        scores = np.zeros(batch.num_rows)
        is_ascii = pc.string_is_ascii(texts)
        if pc.all(is_ascii).as_py() is not False:
            return Applied(batch, {"homoglyph_words": scores})
        data, offsets = utf8_buffers(texts)
        words = np.zeros(batch.num_rows, np.int64)
        skipped = is_ascii.to_numpy(zero_copy_only=False)
        spans = spans_of(_find, data, offsets, skipped, alphabets().classes, self._min_letters, words)
        if not len(spans):
            return Applied(batch, {"homoglyph_words": scores})
        scores = np.bincount(rows_of(batch, spans[:, START]), minlength=batch.num_rows) / np.maximum(words, 1)
        spans = spans[spans[:, KIND] != _UNCLEAR]
        if not self._maps or not len(spans):
            return Applied(batch, {"homoglyph_words": scores})
        found = [data[start:stop].tobytes().decode() for start, stop, _ in spans.tolist()]
        pieces = [unmasked(word, script).encode() for word, script in zip(found, spans[:, KIND].tolist(), strict=True)]
        edits = Edits(spans[:, START], spans[:, STOP], pieces, np.arange(len(pieces)))
        examples = examples_of(MAPPED, batch, edits, np.ones(len(spans), bool))
        changed = Counter({MAPPED: len(spans)})
        return Applied(with_text(batch, edited(texts, edits)), {"homoglyph_words": scores}, changed, examples)


def unmasked(word: str, script: int) -> str:
    """Return a word with its letters of other scripts mapped to this one."""
    letters = alphabets().maps[script]
    return "".join(letters.get(char, char) for char in word)


def script_of_one(word: str, min_letters: int) -> int | None:
    """Return the script of a word in disguise, 0 where that is unclear, None where the word is in none.

    The reference in plain Python of what the kernel finds.
    """
    classes = alphabets().classes
    kinds = [int(classes[ord(char)]) for char in word if classes[ord(char)] & _CLASS_BITS != _NEUTRAL]
    scripts = [kind & _CLASS_BITS for kind in kinds]
    counts = Counter(scripts)
    if _OTHER in counts or len(counts) != 2 or len(scripts) < min_letters:
        return None
    most, fewest = sorted(counts, key=lambda script: (-counts[script], script))
    if counts[most] > counts[fewest]:
        if (most, fewest) == (LATIN, CYRILLIC) and scripts == sorted(scripts):
            return None
        ends = {kind & _LETTER_BITS for kind in (kinds[0], kinds[-1])}
        if (most, fewest) == (LATIN, GREEK) and GREEK | _SMALL in ends:
            return None
        if _all_look_alike(word, fewest, most):
            return most
    return _UNCLEAR if _all_look_alike(word, most, fewest) else None


def _all_look_alike(word: str, source: int, target: int) -> bool:
    classes, maps = alphabets()
    return all(char in maps[target] for char in word if classes[ord(char)] & _CLASS_BITS == source)


@functools.cache
def alphabets() -> Alphabets:
    """Return the tables; 0.1 s, once a process."""
    who = "clean.rules: Homoglyphs"
    categories = load_extra("confusable_homoglyphs.categories", "confusable-homoglyphs", who).categories_data
    confusables = load_extra("confusable_homoglyphs.confusables", "confusable-homoglyphs", who).confusables_data
    classes = np.zeros(0x110000, np.uint8)
    for first, last, script, category in categories["code_points_ranges"]:
        kind = categories["categories"][category]
        name = categories["iso_15924_aliases"][script]
        if kind[0] == "M" or (kind[0] == "L" and name in ("COMMON", "INHERITED")):
            classes[first : last + 1] = _NEUTRAL
        elif kind[0] == "L":
            classes[first : last + 1] = SCRIPTS.get(name, _OTHER)
    maps = {target: _look_alikes(confusables, target) for target in LETTERS}
    for target, letters in maps.items():
        for char in letters:
            classes[ord(char)] |= 1 << (_FIRST_TARGET_BIT + target)
    for char in (char for letters in LETTERS.values() for char in letters if char.islower()):
        classes[ord(char)] |= _SMALL
    return Alphabets(classes, maps)


def _look_alikes(confusables: dict[str, list[dict[str, str]]], target: int) -> dict[str, str]:
    """Return letter -> its look-alike of the same case in the target script, by way of a third letter where need be."""
    found: dict[str, str] = {}
    for char in (char for script, letters in LETTERS.items() if script != target for char in letters):
        near = [entry["c"] for entry in confusables.get(char, [])]
        far = [entry["c"] for other in near for entry in confusables.get(other, [])]
        for candidate in near + far:
            fits = candidate in LETTERS[target] and candidate not in NO_TARGETS
            if len(candidate) == 1 and fits and candidate.islower() == char.islower():
                found.setdefault(char, candidate)
    return found


@array_kernel
def _find(data: Any, offsets: Any, skipped: Any, classes: Any, min_letters: int, words: Any, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the words in disguise, as far as it reaches; return how many there are.

    Args:
        skipped: (texts,) bool.
        words: (texts,) int64, filled with the words of the others.
    """
    found = 0
    for text in range(offsets.size - 1):
        words[text] = 0
        if skipped[text]:
            continue
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            char, size = decode(data, place)
            if not classes[char]:
                place += size
                continue
            end, is_mixed = _word(data, place, stop, classes)
            words[text] += 1
            script = _disguise(data, place, end, classes, min_letters) if is_mixed else -1
            if script >= _UNCLEAR:
                if found < len(spans):
                    spans[found, START], spans[found, STOP], spans[found, KIND] = place, end, script
                found += 1
            place = end
    return found


@array_kernel
def _word(data: Any, place: int, stop: int, classes: Any) -> tuple[int, bool]:
    """Return where the word that begins at `place` ends, and whether its letters are of several scripts."""
    first, is_mixed = 0, False
    while place < stop:
        char, size = decode(data, place)
        script = np.int64(classes[char]) & _CLASS_BITS
        if not script:
            break
        if script != _NEUTRAL:
            is_mixed |= first > 0 and script != first
            first = int(script)
        place += size
    return place, is_mixed


@array_kernel
def _disguise(data: Any, place: int, stop: int, classes: Any, min_letters: int) -> int:
    """Return the script of the mixed word data[place:stop], _UNCLEAR, or -1 where it is in no disguise."""
    counts = np.zeros(_OTHER + 1, np.int64)  # letters of each script
    able = np.zeros(_OTHER + 1, np.int64)  # letters that have a look-alike in each; its own have none there
    first, last, letters, switches = 0, 0, 0, 0  # the classes of the first and the last letter
    while place < stop:
        char, size = decode(data, place)
        kind = np.int64(classes[char])
        place += size
        script = kind & _CLASS_BITS
        if script == _NEUTRAL:
            continue
        counts[script] += 1
        for target in (LATIN, CYRILLIC, GREEK):
            able[target] += kind >> (_FIRST_TARGET_BIT + target) & 1
        switches += letters > 0 and script != last & _CLASS_BITS
        first = first if letters else int(kind)
        last = int(kind)
        letters += 1
    most = int(np.argmax(counts))
    rest = counts.copy()
    rest[most] = 0
    fewest = int(np.argmax(rest))
    if counts[_OTHER] or letters < min_letters or counts[most] + counts[fewest] != letters:
        return -1
    if counts[most] > counts[fewest]:
        ends_cyrillic = most == LATIN and fewest == CYRILLIC and switches == 1 and first & _CLASS_BITS == LATIN
        small_greek = GREEK | _SMALL
        is_symbol = first & _LETTER_BITS == small_greek or last & _LETTER_BITS == small_greek
        if ends_cyrillic or (most == LATIN and fewest == GREEK and is_symbol):
            return -1
        if able[most] == counts[fewest]:
            return most
    return _UNCLEAR if able[fewest] == counts[most] else -1

"""Long runs of encoded bytes, base64 or hexadecimal, taken out of texts."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from data_pipeline.clean.edits import START, STOP, Edits, edited, examples_of, rows_of, spans_of
from data_pipeline.clean.rules import Applied, Limit, Rule, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

Action = Literal["replace", "drop_lines"]
REPLACED, LINES_DROPPED = "blobs_replaced", "blob_lines_dropped"
WRAPPED_CHARS = 60  # of a line of wrapped base64: PEM has 64 (RFC 7468, 2), MIME 76 (RFC 2045, 6.8)
# Least shares of a run that is base64; of random bytes 26, 26 and 10 of 64 characters are of these kinds
_UPPER_FRAC, _LOWER_FRAC, _DIGIT_FRAC = 8, 8, 32  # as divisors
_NEWLINE, _SPACE, _TAB, _PAD = 0x0A, 0x20, 0x09, 0x3D
_NOTHING, _UPPER, _LOWER, _DIGIT, _STANDARD, _URL = range(6)
_NOT_HEX, _SIZE = 6, 7  # further counts of a run
_NUM_COUNTS = 8


class Blobs(Rule):
    """Replaces base64 and hexadecimal runs of at least `min_chars`, or drops the lines that they are on.

    A run is of letters, digits and `+/` or `-_` (not both kinds: paths have both), with up to two `=` at its end; lines
    of 60 characters or more that are one run are one with the next such line, or with one that ends with `=`. It is
    hexadecimal when it holds digits and letters, all of 0-9, a-f, A-F; base64 when at least an eighth are capitals, an
    eighth small letters and a 32nd digits. So words of any length, rows of one letter, long numbers and DNA stay.

    The score `blob_frac` is the share of a text's bytes in such runs, before they are taken out. Counts
    `blobs_replaced` or `blob_lines_dropped`.

    Args:
        min_chars: least characters of a blob, line breaks left out. 256 keeps hashes (SHA-512 has 128) and tokens.
        action: `replace`, or `drop_lines`.
        replacement: what stands in place of a blob.
        max_frac: greatest `blob_frac` of a document (`blobs`); 1: no limit.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"max_frac"})

    def __init__(
        self, min_chars: int = 256, action: Action = "replace", replacement: str = "", max_frac: float = 1.0
    ) -> None:
        require(min_chars >= 1, "min_chars", min_chars, "1 or more")
        require(action in get_args(Action), "action", action, " or ".join(get_args(Action)))
        require(0 <= max_frac <= 1, "max_frac", max_frac, "a share from 0 to 1")
        self._min_chars, self._action, self._replacement = min_chars, action, replacement.encode()
        self.limits = (Limit("blob_frac", most=max_frac, above="blobs", most_key="max_frac"),)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        data, offsets = utf8_buffers(texts)
        spans = spans_of(_find, data, offsets, _CLASSES, self._min_chars)
        if not len(spans):
            return Applied(batch, {"blob_frac": np.zeros(batch.num_rows)})
        starts, stops = spans[:, START], spans[:, STOP]
        covered = np.bincount(rows_of(batch, starts), weights=stops - starts, minlength=batch.num_rows)
        scores = {"blob_frac": covered / np.maximum(np.diff(offsets), 1)}
        if self._action == "drop_lines":
            starts, stops = _lines(data, offsets, starts, stops).T
            edits, kind = Edits.removing(starts, stops), LINES_DROPPED
            inner = [data[start : stop - 1] == _NEWLINE for start, stop in zip(starts, stops, strict=True)]
            number = sum(int(np.count_nonzero(newlines)) + 1 for newlines in inner)
        else:
            edits, kind = Edits(starts, stops, [self._replacement], np.zeros(len(spans), np.int64)), REPLACED
            number = len(edits)
        examples = examples_of(kind, batch, edits, np.ones(len(edits), bool))
        return Applied(with_text(batch, edited(texts, edits)), scores, Counter({kind: number}), examples)


def blobs_one(text: str, min_chars: int) -> list[tuple[int, int]]:
    """Return where the blobs of one text begin and end, in characters: the reference in plain Python."""
    runs: list[list[re.Match[str]]] = []
    for match in re.finditer(r"[A-Za-z0-9+/_-]+={0,2}", text):
        if runs and _continues_one(text, runs[-1][-1], match):
            runs[-1].append(match)
        else:
            runs.append([match])
    joined = [("".join(match[0] for match in run), run[0].start(), run[-1].end()) for run in runs]
    return [(start, stop) for run, start, stop in joined if len(run) >= min_chars and _is_blob_one(run)]


def _continues_one(text: str, before: re.Match[str], match: re.Match[str]) -> bool:
    between = text[before.end() : match.start()]
    if len(before[0]) < WRAPPED_CHARS or before[0].endswith("=") or not re.fullmatch(r"[ \t]*\n[ \t]*", between):
        return False
    return len(match[0]) >= WRAPPED_CHARS or match[0].endswith("=")


def _is_blob_one(run: str) -> bool:
    bare = run.replace("=", "")
    upper, lower, digits = (len(re.findall(kind, bare)) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    if re.fullmatch("[0-9a-fA-F]+", bare):
        return 0 < digits < len(bare)
    if re.search("[+/]", bare) and re.search("[-_]", bare):
        return False
    frac = len(bare)
    return upper * _UPPER_FRAC >= frac and lower * _LOWER_FRAC >= frac and digits * _DIGIT_FRAC >= frac


def _byte_classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for first, last, kind in (("A", "Z", _UPPER), ("a", "z", _LOWER), ("0", "9", _DIGIT)):
        classes[ord(first) : ord(last) + 1] = kind
    classes[[ord("+"), ord("/")]] = _STANDARD
    classes[[ord("-"), ord("_")]] = _URL
    return np.frombuffer(classes.tobytes(), np.uint8)  # read-only


_CLASSES = _byte_classes()


def _lines(data: np.ndarray, offsets: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the stretches of lines that spans lie on, newlines included, each once: (n, 2) int64, start and stop."""
    lines: list[tuple[int, int]] = []
    texts = np.searchsorted(offsets, starts, side="right") - 1
    document, before, done = b"", -1, 0
    for text, start, stop in zip(texts.tolist(), starts.tolist(), stops.tolist(), strict=True):
        first, last = int(offsets[text]), int(offsets[text + 1])
        if text != before:
            document, before, done = data[first:last].tobytes(), text, first
        if stop <= done:
            continue
        newline = document.find(b"\n", stop - first)
        begin, known = document.rfind(b"\n", done - first, start - first), done
        done = last if newline < 0 else first + newline + 1
        lines.append((known if begin < 0 else first + begin + 1, done))
    return np.array(lines, np.int64)


@array_kernel
def _find(data: Any, offsets: Any, classes: Any, min_chars: int, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the blobs, as far as it reaches; return how many there are."""
    found = 0
    counts = np.zeros(_NUM_COUNTS, np.int64)  # of the run so far
    piece = np.zeros(_NUM_COUNTS, np.int64)
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        start, end, last_size = place, place, 0  # of the run so far; last_size: of its last line, 0 where none follows
        counts[:] = 0
        while place < stop:
            if not classes[data[place]]:
                place += 1
                continue
            first = place
            while place < stop and classes[data[place]]:
                place += 1
            bare = place
            while place < stop and data[place] == _PAD and place - bare < 2:
                place += 1
            is_long, is_padded = place - first >= WRAPPED_CHARS, place > bare
            if not is_long and not is_padded and place - first < min_chars:
                continue  # an ordinary word is counted nowhere; what follows can't be the line after the run's
            _count(data, first, bare, place, classes, piece)
            if last_size and (is_long or is_padded) and _is_line_break(data, end, first):
                counts += piece
            else:
                found = _note(counts, min_chars, start, end, spans, found)
                start = first
                counts[:] = piece
            end, last_size = place, place - first if is_long and not is_padded else 0
        found = _note(counts, min_chars, start, end, spans, found)
    return found


@array_kernel
def _count(data: Any, first: int, bare: int, stop: int, classes: Any, counts: Any) -> None:
    """Fill `counts` (_NUM_COUNTS,) int64 with those of the piece data[first:stop], padded from `bare` on."""
    counts[:] = 0
    for place in range(first, bare):
        byte = data[place]
        kind = classes[byte]
        counts[kind] += 1
        counts[_NOT_HEX] += kind > _DIGIT or (kind != _DIGIT and (byte | 0x20) > 0x66)
    counts[_SIZE] = stop - first


@array_kernel
def _is_line_break(data: Any, start: int, stop: int) -> bool:
    """Return whether data[start:stop] is one newline, with spaces and tabs beside it."""
    newlines = 0
    for place in range(start, stop):
        newlines += data[place] == _NEWLINE
        if newlines > 1 or (data[place] != _NEWLINE and data[place] != _SPACE and data[place] != _TAB):
            return False
    return newlines == 1


@array_kernel
def _note(counts: Any, min_chars: int, start: int, end: int, spans: Any, found: int) -> int:
    """Add the run data[start:end] to `spans` if it is a blob; return how many blobs there are."""
    bare = counts[_UPPER] + counts[_LOWER] + counts[_DIGIT] + counts[_STANDARD] + counts[_URL]
    if counts[_SIZE] < min_chars or not bare:
        return found
    if not counts[_NOT_HEX]:
        is_blob = 0 < counts[_DIGIT] < bare
    else:
        is_blob = (
            not (counts[_STANDARD] and counts[_URL])
            and counts[_UPPER] * _UPPER_FRAC >= bare
            and counts[_LOWER] * _LOWER_FRAC >= bare
            and counts[_DIGIT] * _DIGIT_FRAC >= bare
        )
    if is_blob:
        if found < len(spans):
            spans[found, START], spans[found, STOP] = start, end
        found += 1
    return found

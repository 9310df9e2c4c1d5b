"""Where two similar texts differ: parts of both that show it, for people."""

from __future__ import annotations

import re

NGRAM = 5  # words in a row that both texts must have to be at the same place
MAX_CHARS = 500_000  # of a text that are looked at
WORDS_BEFORE, WORDS_BEHIND = 20, 40  # of an excerpt: before the beginning of a difference, and from there on
CHARS_BEFORE, CHARS_BEHIND = 200, 400  # at most: in some scripts a line is a word
GAP = "\n\n[…]\n\n"

_Words = list[re.Match[str]]


def excerpts(a: str, b: str) -> tuple[str, str]:
    """Return parts of both texts, side by side: around their first difference, and around the longest one.

    Words are compared in lower case. Texts without a difference are shown from their beginning.
    """
    texts = a[:MAX_CHARS], b[:MAX_CHARS]
    words_a, words_b = (list(re.finditer(r"\S+", text)) for text in texts)
    runs = _different(words_a, words_b)
    longest = max(runs, key=lambda run: max(run[1] - run[0], run[3] - run[2]), default=(0, 0, 0, 0))
    chosen = [runs[0], longest] if runs and longest[0] - runs[0][0] > WORDS_BEHIND else [longest]
    parts = [(_part(texts[0], words_a, run[0]), _part(texts[1], words_b, run[2])) for run in chosen]
    return GAP.join(part for part, _ in parts), GAP.join(part for _, part in parts)


def _different(a: _Words, b: _Words) -> list[tuple[int, int, int, int]]:
    """Return the runs of words in which they differ: from and up to which word of a, then of b, by place in a.

    Both are walked together: where the next words differ, on to the nearest NGRAM words that are the same. Linear,
    where the least difference is quadratic; what stands in another order counts as different.
    """
    words_a, words_b = ([word[0].lower() for word in words] for words in (a, b))
    places = _places(words_b)
    runs = []
    i, j = 0, 0
    while i < len(words_a) or j < len(words_b):
        if i < len(words_a) and j < len(words_b) and words_a[i] == words_b[j]:
            i, j = i + 1, j + 1
            continue
        next_i, next_j = _next_common(words_a, i, places, j, len(words_b))
        runs.append((i, next_i, j, next_j))
        i, j = next_i, next_j
    return runs


def _places(words: list[str]) -> dict[tuple[str, ...], list[int]]:
    """Return where each NGRAM words stand, the last place first."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(words) - NGRAM, -1, -1):
        places.setdefault(tuple(words[place : place + NGRAM]), []).append(place)
    return places


def _next_common(
    words_a: list[str], i: int, places: dict[tuple[str, ...], list[int]], j: int, end: int
) -> tuple[int, int]:
    """Return where both go on with the same NGRAM words, the nearest such place from i in a and j in b on; else both
    ends. What is looked at is no more than what is then passed over."""
    best, passed = (len(words_a), end), len(words_a) - i + end - j
    place = i
    while place <= len(words_a) - NGRAM and place - i < passed:
        stack = places.get(tuple(words_a[place : place + NGRAM]), [])
        while stack and stack[-1] < j:  # never asked for again: j only grows
            stack.pop()
        if stack and place - i + stack[-1] - j < passed:
            best, passed = (place, stack[-1]), place - i + stack[-1] - j
        place += 1
    return best


def _part(text: str, words: _Words, place: int) -> str:
    """Return the text around the beginning of a word, or around its end where the place is behind the last."""
    at = words[place].start() if place < len(words) else len(text)
    first = words[max(0, place - WORDS_BEFORE)].start() if words else 0
    behind = words[min(place + WORDS_BEHIND, len(words)) - 1].end() if words else 0
    return text[max(first, at - CHARS_BEFORE) : min(behind, at + CHARS_BEHIND)]

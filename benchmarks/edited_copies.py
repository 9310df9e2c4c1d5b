"""Copies of documents, edited in ways that copies on the web are: what a search for near-duplicates is tried on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Words = list[str]  # each with the white space behind it, so that a copy is laid out as its document
LEAST, MOST = 0.72, 0.95  # Jaccard similarity that copies are made for
MIN_WORDS, MAX_WORDS = 60, 4000  # of a document that is copied


def edited_copies(texts: list[str], share: float, seed: int) -> list[str]:
    """Return copies of some documents, one to three of each.

    Args:
        share: of the documents between MIN_WORDS and MAX_WORDS that are copied, from 0 to 1.
        seed: of what is drawn.
    """
    rng = random.Random(seed)
    copies = []
    for text in texts:
        words = re.findall(r"\s*\S+\s*", text)
        if not MIN_WORDS <= len(words) <= MAX_WORDS or rng.random() >= share:
            continue
        for _ in range(rng.randint(1, 3)):
            edit = rng.choice(EDITS)
            copies.append("".join(edit(words, rng.uniform(LEAST, MOST), rng)))
    return copies


# Of n shingles of 5 words, a changed word takes 5, a changed run of r words r + 4, a seam 4. Where both lose x of n,
# the similarity is (n - x) / (n + x); where one alone does, (n - x) / n. What a pair's is exactly, is measured.


def replace_words(words: Words, similarity: float, rng: random.Random) -> Words:
    """Replace single words all over the text."""
    copy = list(words)
    for place in rng.sample(range(len(words)), max(round(_lost_by_both(words, similarity) / 5), 1)):
        copy[place] = _other_word(rng)
    return copy


def replace_run(words: Words, similarity: float, rng: random.Random) -> Words:
    """Replace one run of words."""
    size = max(round(_lost_by_both(words, similarity)) - 4, 1)
    start = rng.randrange(len(words) - size)
    return [*words[:start], *(_other_word(rng) for _ in range(size)), *words[start + size :]]


def cut_run(words: Words, similarity: float, rng: random.Random) -> Words:
    """Leave out one run of words."""
    size = max(round(len(words) * (1 - similarity)) - 4, 1)
    start = rng.randrange(len(words) - size)
    return words[:start] + words[start + size :]


def cut_end(words: Words, similarity: float, rng: random.Random) -> Words:
    """Leave out the end."""
    return words[: round(len(words) * similarity)]


def insert_run(words: Words, similarity: float, rng: random.Random) -> Words:
    """Put one run of words in."""
    start = rng.randrange(len(words))
    run = [_other_word(rng) for _ in range(max(round(len(words) * (1 / similarity - 1)), 1))]
    return [*words[:start], *run, *words[start:]]


def move_pieces(words: Words, similarity: float, rng: random.Random) -> Words:
    """Put pieces in another order."""
    seams = max(round(_lost_by_both(words, similarity) / 4), 1)
    places = sorted(rng.sample(range(1, len(words)), seams))
    pieces = [words[start:stop] for start, stop in zip([0, *places], [*places, len(words)], strict=True)]
    rng.shuffle(pieces)
    return [word for piece in pieces for word in piece]


EDITS: tuple[Callable[[Words, float, random.Random], Words], ...] = (
    replace_words,
    replace_run,
    cut_run,
    cut_end,
    insert_run,
    move_pieces,
)


def _lost_by_both(words: Words, similarity: float) -> float:
    return len(words) * (1 - similarity) / (1 + similarity)


def _other_word(rng: random.Random) -> str:
    return f"w{rng.randrange(1 << 30)} "

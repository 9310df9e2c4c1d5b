"""Words of abuse, hate and sex: counted by a list, masked where that is asked, and limited by their share.

A list knows no context: it finds the word in a dictionary and in a report on abuse as well. So no limit is set by
default, and `python -m data_pipeline.clean` measures precision and recall on labelled texts. A classifier that learns
from labelled texts is a rule of its own.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.clean.bounds import sizes
from data_pipeline.clean.edits import edited
from data_pipeline.clean.extras import extra_file
from data_pipeline.clean.rules import EXAMPLES, Applied, Example, Limit, Rule, with_text
from data_pipeline.clean.word_list import Found, WordList, find_in
from foundation.errors import InputError, require

LIST = "profanity_wordlist.txt"
_WHO, _PACKAGE = "clean.toxicity.Toxicity", "better-profanity"


class Toxicity(Rule):
    """Counts the words of a list; masks them, and takes out documents with too many (`toxic`), where that is asked.

    The list is that of better-profanity 0.7.0 (MIT licence): 916 entries in English, with spellings like `sh!t` and
    entries of several words. It is a wide one: it holds `god`, `sex` and `len` too, and of 28 labelled
    sentences a limit of 0.045 takes out 17, 8 of them wrongly, and misses 3. Or your own.

    The score `toxic_words_frac` is the number of entries found to the number of words (`str.split()`), NaN where there
    is no word; it is measured before anything is masked. Masking counts as changed: `toxic_words_masked`.

    Args:
        words_path: a list of your own: UTF-8, an entry a line, `#` begins a comment line; None: better-profanity's
            (the extra `web`).
        mask: what is written in place of an entry, e.g. `<TOXIC>`; None: texts stay as they are.
        max_frac: a document with a greater share goes; None: none goes. Data-Juicer's flagged_words_filter has 0.045
            (arXiv:2309.02033), with a list and words of its own.
    Raises:
        SettingError: a share outside 0 to 1.
    """

    decide_alone = frozenset({"max_frac"})

    def __init__(self, words_path: str | None = None, mask: str | None = None, max_frac: float | None = None) -> None:
        require(max_frac is None or 0 <= max_frac <= 1, "max_frac", max_frac, "a share from 0 to 1, or null")
        self._words_path, self._mask = words_path, mask
        most = math.inf if max_frac is None else max_frac
        self.limits = (Limit("toxic_words_frac", most=most, above="toxic", most_key="max_frac"),)

    def packages(self) -> list[str]:
        """Return the packages whose versions decide what is found."""
        return [] if self._words_path is not None else [_PACKAGE]

    def inputs(self) -> list[Path]:
        """Return the files whose bytes decide what is found.

        Raises:
            InputError: as of `word_list`.
        """
        if self._words_path is None:
            return []
        word_list(self._words_path)
        return [Path(self._words_path)]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        found = find_in(texts, word_list(self._words_path))
        _, words = sizes(texts)
        counts = np.bincount(found.texts, minlength=batch.num_rows)
        frac = np.where(words > 0, counts / np.maximum(words, 1), np.nan)
        scores = {"toxic_words_frac": frac}
        if self._mask is None or not len(found.texts):
            return Applied(batch, scores)
        masks = np.zeros(len(found.texts), np.int64)
        texts = edited(texts, found.edits(texts, [self._mask], masks))
        changed = Counter(toxic_words_masked=len(found.texts))
        return Applied(with_text(batch, texts), scores, changed, _examples(batch, found, self._mask))


@functools.cache
def word_list(path: str | None) -> WordList:
    """Return the list of a file, read once in a process; None: better-profanity's.

    Raises:
        ConfigError: better-profanity is not installed.
        InputError: the file can't be read, is no UTF-8, or has no entry.
    """
    file = extra_file("better_profanity", LIST, _PACKAGE, _WHO) if path is None else Path(path)
    try:
        lines = file.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{file}: can't be read ({error.strerror}); words_path= names a list of words") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is no UTF-8; save the list of words as UTF-8") from error
    words = WordList.of(line for line in lines if not line.startswith("#"))
    if not words.entries:
        raise InputError(f"{file}: no word in it; give an entry a line, or leave the rule out")
    return words


def _examples(batch: pa.RecordBatch, found: Found, mask: str) -> list[Example]:
    texts, rows = batch.column("text"), batch.column("row")
    examples = []
    for text, start, stop in zip(found.texts[:EXAMPLES], found.starts, found.stops, strict=False):
        word = texts[int(text)].as_buffer()[int(start) : int(stop)].to_pybytes().decode()
        examples.append(Example("toxic_words_masked", rows[int(text)].as_py(), word, mask))
    return examples

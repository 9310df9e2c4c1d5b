"""Gender bias: how many words of either gender a document holds, and documents in which they are swapped.

Counterfactual swaps: Lu et al. 2018, "Gender Bias in Neural Natural Language Processing", arXiv:1807.11714; Zhao et al.
2018, arXiv:1804.06876. A model that sees both forms equally often ties fewer things to one of them.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.clean.chars import fold
from data_pipeline.clean.edits import edited
from data_pipeline.clean.gender_words import BEFORE_NOUN, NO_NOUN, PAIRS
from data_pipeline.clean.rules import EXAMPLES, Applied, Example, Rule, with_text
from data_pipeline.clean.word_list import Found, WordList, find_in
from data_pipeline.documents import keys_of, utf8_buffers
from foundation.errors import SettingError, require

_NEXT_WORD = re.compile(r"\s+[\"“‘'(\[*]*(\w+)")
_NEXT_BYTES = 64  # behind a word, in which the next one is looked for
_CONTEXT_BYTES = 40  # on each side of an example's word
_SALT = b"swap"  # the held-out split draws lots by the same keys: the two must not choose the same documents


class Bias(Rule):
    """Measures the balance of words of both genders, and swaps or masks them in a share of the documents.

    The score `gender_balance` is (male - female) / (male + female) of the words found in the text as it came: 1 where
    all are male, -1 where all are female, NaN where there are none.

    Whether a document is changed depends on its key and the seed alone; a larger share changes the same ones and more.
    In one that is changed every word is, `HE` as `SHE` and `He` as `She`. Words are whole words in any case. Names stay
    (Mary, May, Will), and so may a text come to say `she` of a John. Counts as changed: `gendered_words_swapped` or
    `gendered_words_masked`.

    `her` and `his` have two counterparts each; the next word decides: a noun follows unless the text ends there, a mark
    follows, or one of NO_NOUN in gender_words.py. That reads `gave her flowers` as `his flowers`.

    Args:
        changed_frac: share of the documents that are changed. 0 only measures; 0.5 balances.
        mask: what is written in place of each word; None: they are swapped.
        pairs: [male, female], swapped both ways; of several with a word the first says what becomes of it. A word with
            a capital is found with one alone (`Ms.`), one of small letters in any case. None: PAIRS
            in gender_words.py, 91 pairs of English words.
        before_noun: what a word becomes where a noun follows; None: her -> his, his -> her.
        seed: another seed changes other documents.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        changed_frac: float = 0.0,
        mask: str | None = None,
        pairs: list[list[str]] | None = None,
        before_noun: dict[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        require(0 <= changed_frac <= 1, "changed_frac", changed_frac, "a share from 0 to 1")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        self._changed_frac, self._mask, self._seed = changed_frac, mask, seed
        table = _table(PAIRS if pairs is None else pairs)
        self._words = WordList.of(table)
        self._counterparts = [table[word][0] for word in self._words.entries]
        self._needs_capital = np.array([table[word][2] for word in self._words.entries], bool)
        self._is_male = np.array([table[word][1] for word in self._words.entries], bool)
        special = BEFORE_NOUN if before_noun is None and pairs is None else before_noun or {}
        for word in special:
            require(word in table, "before_noun", word, "words of `pairs`")
        self._before_noun = {self._words.entries.index(word): special[word] for word in special}

    def apply(self, batch: pa.RecordBatch) -> Applied:
        found = self._found(batch.column("text"))
        scores = {"gender_balance": self._balance(found, batch.num_rows)}
        is_changed = self._chosen(batch)[found.texts]
        found = found.rows(is_changed)
        if not len(found.texts):
            return Applied(batch, scores)
        texts = batch.column("text")
        written: dict[str, int] = {}  # replacement -> its number
        chosen = np.array([written.setdefault(each, len(written)) for each in self._replacements(texts, found)])
        anew = edited(texts, found.edits(texts, list(written), chosen))
        kind = "gendered_words_swapped" if self._mask is None else "gendered_words_masked"
        examples = _examples(kind, batch, found, [tuple(written)[number] for number in chosen[:EXAMPLES]])
        return Applied(with_text(batch, anew), scores, Counter({kind: len(chosen)}), examples)

    def _found(self, texts: pa.LargeStringArray) -> Found:
        """Return where the words stand, without small ones of which a capital is asked."""
        found = find_in(texts, self._words)
        doubtful = np.flatnonzero(self._needs_capital[found.entries])
        if not len(doubtful):
            return found
        data, offsets = utf8_buffers(texts)
        keep = np.ones(len(found.texts), bool)
        begins, ends = (offsets[found.texts[doubtful]] + places[doubtful] for places in (found.starts, found.stops))
        for place, begin, end in zip(doubtful.tolist(), begins.tolist(), ends.tolist(), strict=True):
            keep[place] = data[begin:end].tobytes().decode()[0].isupper()
        return found.rows(keep)

    def _balance(self, found: Found, num_docs: int) -> np.ndarray:
        total = np.bincount(found.texts, minlength=num_docs)
        male = np.bincount(found.texts[self._is_male[found.entries]], minlength=num_docs)
        return np.where(total > 0, (2 * male - total) / np.maximum(total, 1), np.nan)

    def _chosen(self, batch: pa.RecordBatch) -> np.ndarray:
        """Return which documents are changed, (documents,) bool."""
        if self._changed_frac == 1:
            return np.ones(batch.num_rows, bool)
        files, rows = keys_of(batch)
        keys = np.stack([files.astype("<i8"), rows.astype("<i8")], axis=1).tobytes()
        hashes = (xxhash.xxh3_64_intdigest(_SALT + keys[at : at + 16], self._seed) for at in range(0, len(keys), 16))
        lots = np.fromiter(hashes, np.uint64, batch.num_rows)
        chosen: np.ndarray = lots < np.uint64(int(self._changed_frac * 2**64))
        return chosen

    def _replacements(self, texts: pa.LargeStringArray, found: Found) -> list[str]:
        """Return what each word becomes, in the order of `found`."""
        if self._mask is not None:
            return [self._mask] * len(found.texts)
        data, offsets = utf8_buffers(texts)
        begins, ends, borders = offsets[found.texts] + found.starts, offsets[found.texts] + found.stops, offsets[1:]
        words: list[str] = []
        for begin, end, border, entry in zip(
            begins.tolist(), ends.tolist(), borders[found.texts].tolist(), found.entries.tolist(), strict=True
        ):
            word = self._counterparts[entry]
            if entry in self._before_noun:
                after = data[end : min(end + _NEXT_BYTES, border)].tobytes().decode(errors="ignore")
                word = self._before_noun[entry] if is_before_noun(after) else word
            words.append(with_case_of(data[begin:end].tobytes().decode(), word))
        return words


def is_before_noun(after: str) -> bool:
    """Return whether a noun, or what leads to one, begins a text that follows `her` or `his`."""
    match = _NEXT_WORD.match(after)
    return match is not None and match[1].lower() not in NO_NOUN


def with_case_of(model: str, word: str) -> str:
    """Return the word in capitals where the model is, else with the model's first letter's case."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def _table(pairs: list[list[str]] | tuple[tuple[str, str], ...]) -> dict[str, tuple[str, bool, bool]]:
    """Return word -> counterpart, whether the word is male, whether it needs a capital."""
    table: dict[str, tuple[str, bool, bool]] = {}
    for pair in pairs:
        if len(pair) != 2 or not all(word.strip() for word in pair):
            raise SettingError(f"pairs: {list(pair)!r} is not allowed; give a male and a female word")
        male, female = (" ".join(fold(word).split()) for word in pair)
        table.setdefault(male, (female, True, pair[0].strip()[0].isupper()))
        table.setdefault(female, (male, False, pair[1].strip()[0].isupper()))
    return table


def _examples(kind: str, batch: pa.RecordBatch, found: Found, written: list[str]) -> list[Example]:
    texts, rows = batch.column("text"), batch.column("row")
    examples = []
    for text, start, stop, word in zip(
        found.texts.tolist(), found.starts.tolist(), found.stops.tolist(), written, strict=False
    ):
        data = texts[text].as_buffer()
        first, last = max(0, start - _CONTEXT_BYTES), min(stop + _CONTEXT_BYTES, data.size)
        before, old, after = (
            data[one:other].to_pybytes().decode(errors="ignore")
            for one, other in ((first, start), (start, stop), (stop, last))
        )
        examples.append(Example(kind, rows[text].as_py(), f"{before}{old}{after}", f"{before}{word}{after}"))
    return examples

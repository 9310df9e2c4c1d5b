"""Decontamination: documents that hold a test item go, so that an evaluation measures what was learnt, not copied."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.errors import DecontaminationError
from data_pipeline.decontaminate.index import (
    Counting,
    ItemWords,
    NGramIndex,
    build_index,
    words_covered,
    words_of_text,
)
from data_pipeline.decontaminate.testsets import TestItem, read_test_sets
from data_pipeline.decontaminate.verdicts import Found, Held
from foundation.errors import require

MIN_OF_ALL = 0.5  # times min_coverage: the least share of all words of an item, common phrases among them


class NGram(Decontaminator):
    """Removes a document that holds at least a share of the words of one test item, in runs that both have.

    Words are those of decontaminate.words. An item is sought by its n-grams: of n words each; of a sixth less (11 of
    13) where it has fewer than 1.5 n words; an item of fewer than n words is one n-gram, the whole item. What a
    document holds of it are the words that lie in at least one n-gram that both have. An n-gram that occurs in more
    than `max_document_frequency` documents of the corpus is a common phrase and doesn't count, neither as held nor as
    part of the item; an item of such n-grams alone is never found. Where common phrases are most of an item, the rest
    is few words: what is held must be half of that share of all its words, too.
    Source of the rule: 67 % of a manual's pages share some 13-gram with a held-out page, so a share must decide; a
    share of words, not of n-grams, of which one changed word breaks 13: docs/decisions.md has the measurements.
    marin-community/marin#7635 for the common phrases.

    Args:
        n: words per n-gram.
        min_coverage: share of an item's words, in (0, 1], from which a document holds it: of those that count; and
            half of this share of all its words.
        max_document_frequency: documents of the corpus that an n-gram may occur in and still count.
        min_words: items of fewer words aren't sought: "the answer" is in every book. A letter of a script without
            spaces (Chinese, Japanese, Korean, Thai, ...) is half a word.
        test_sets: files or patterns, see decontaminate.testsets; the held-out documents are sought in any case.
        fields: set name -> fields of its jsonl records that make up an item.
        action: `drop`: a document that holds an item goes; `cut`: it loses the sentences that hold it.
        max_cuts: with `cut`, a document that would lose more pieces than this goes; 10 as in GPT-3's decontamination.
        min_left_frac: with `cut`, a document of which less than this share of its UTF-8 bytes would be left goes; 0:
            one of which nothing would be left.
    Raises:
        SettingError: a value that can't work.
    """

    judge_alone = frozenset({"min_coverage", "max_document_frequency", "action", "max_cuts", "min_left_frac"})

    def __init__(
        self,
        n: int = 13,
        min_coverage: float = 0.5,
        max_document_frequency: int = 10,
        min_words: int = 3,
        test_sets: list[str] | None = None,
        fields: dict[str, list[str]] | None = None,
        action: str = "drop",
        max_cuts: int = 10,
        min_left_frac: float = 0.5,
    ) -> None:
        require(n >= 1, "n", n, "1 or more words; 13 is usual")
        require(max_document_frequency >= 1, "max_document_frequency", max_document_frequency, "1 or more documents")
        require(0 < min_coverage <= 1, "min_coverage", min_coverage, "a share above 0 and up to 1")
        require(1 <= min_words <= n, "min_words", min_words, f"a number from 1 to n, which is {n}")
        require(action in ("drop", "cut"), "action", action, "drop (the document) or cut (the sentences)")
        require(max_cuts >= 1, "max_cuts", max_cuts, "1 or more pieces; 10 is usual; action=drop cuts nothing")
        require(0 <= min_left_frac < 1, "min_left_frac", min_left_frac, "a share from 0, for any, to below 1")
        for name, names in (fields or {}).items():
            require(bool(names), f"fields.{name}", names, "at least one field, or leave the set out")
        self.n, self.min_coverage, self.min_words = n, min_coverage, min_words
        self.max_document_frequency = max_document_frequency
        self.max_cuts = max_cuts if action == "cut" else 0
        self.min_left_frac = min_left_frac
        self.test_sets, self.fields = test_sets or [], fields or {}

    def test_items(self) -> list[TestItem]:
        """Read the test sets.

        Raises:
            DecontaminationError: a set is missing, empty or damaged, or none of its items has `min_words` words.
        """
        sets = read_test_sets(self.test_sets, self.fields, lambda text: words_of_text(text).counts[0] < self.n)
        for name, items in sets.items():
            if all(words_of_text(item.text).half_words[0] < 2 * self.min_words for item in items):
                raise DecontaminationError(
                    f"decontaminate.test_sets: none of the {len(items)} items of {name!r} has {self.min_words} words "
                    f"({2 * self.min_words} letters of Chinese, Korean, Thai and the like), and decontamination "
                    "against nothing is never clean; name other fields in decontaminate.fields, or set "
                    "decontaminate.min_words lower"
                )
        return [item for items in sets.values() for item in items]

    def build(self, words: ItemWords) -> NGramIndex:
        """Return the index of all items.

        Args:
            words: of the items.
        Raises:
            DecontaminationError: none of them can be sought.
        """
        index = build_index(words, self.n, self.min_words)
        if not index.num_ngrams:
            raise DecontaminationError(
                f"decontaminate: none of {index.num_items} test items (held-out documents among them) has at least "
                f"{self.min_words} words, and decontamination against nothing is never clean; "
                "hold out more (mix.held_out_frac), name test sets, or choose decontaminate=none"
            )
        return index

    def find(self, index: NGramIndex, texts: pa.LargeStringArray) -> Found:
        """Return which n-grams each of these documents holds."""
        hits = index.find(texts)
        pairs = np.unique(hits.documents * index.num_ngrams + hits.ngrams)
        return Found(*np.divmod(pairs, index.num_ngrams))

    def counting(self, index: NGramIndex, document_frequencies: np.ndarray) -> Counting:
        """Return which n-grams are no common phrases."""
        return index.counting(document_frequencies <= self.max_document_frequency)

    def judge(self, index: NGramIndex, counting: Counting, found: Found) -> Held:
        """Return what these documents hold of each item, of the n-grams that count."""
        counts = counting.ngrams[found.ngrams]
        holders = index.holders(found.ngrams[counts])
        # by document and place, and so by item
        pairs = np.sort(found.documents[counts][holders.rows] * len(index.places) + holders.places)
        documents, places = np.divmod(pairs, max(1, len(index.places)))
        items = np.searchsorted(index.item_firsts, places, side="right") - 1
        firsts, words = words_covered(documents * index.num_items + items, places, index.widths[items])
        documents, items = documents[firsts], items[firsts]
        coverage = words / counting.item_words[items]
        is_enough = words >= self.min_coverage * MIN_OF_ALL * index.num_words[items]
        return Held(documents, items, coverage, (coverage >= self.min_coverage) & is_enough)

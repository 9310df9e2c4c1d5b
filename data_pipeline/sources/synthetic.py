"""Made-up text of any amount from a seed: for tests, benchmarks and a first look, never for training a real model."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator

import numpy as np

from data_pipeline.sources.batches import document_batch
from data_pipeline.sources.inputs import check_source
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import require

# The most frequent words of English come first, so the quality rules see running text; the rest is made of syllables.
COMMON_WORDS = ("the", "of", "and", "to", "a", "in", "is", "that", "it", "was", "for", "on", "with", "be", "have")
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
BYTES_A_WORD = 6  # about, with its space: sizes blocks only
SENTENCE_WORDS, PARAGRAPH_SENTENCES = 12, 5


class Synthetic(Source):
    """Documents of Zipf-distributed words. Document i is a pure function of (seed, i): made anywhere, in any order.

    Args:
        num_documents: documents to make.
        mean_words: mean length of a document in words.
        words_sigma: spread of the lengths, which are log-normal: the standard deviation of their logarithm.
        vocab_words: different words; the k-th most frequent has a probability proportional to 1/k (Zipf's law).
        duplicate_frac: share of documents that repeat an earlier one word for word.
        seed: another seed gives other documents.
        source: names the source's shards.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        num_documents: int = 10_000,
        mean_words: float = 300.0,
        words_sigma: float = 0.6,
        vocab_words: int = 20_000,
        duplicate_frac: float = 0.05,
        seed: int = 0,
        source: str = "synthetic",
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        require(num_documents >= 1, "num_documents", num_documents, "a number at least 1")
        require(1 <= mean_words <= 1e7, "mean_words", mean_words, "a number from 1 to 1e7")
        require(0 <= words_sigma <= 2, "words_sigma", words_sigma, "a number from 0 to 2")
        require(1 <= vocab_words <= 10_000_000, "vocab_words", vocab_words, "a number from 1 to 10 million")
        require(0 <= duplicate_frac < 1, "duplicate_frac", duplicate_frac, "a number from 0 to below 1")
        require(0 <= seed < 1 << 63, "seed", seed, "a number from 0 to below 2^63")
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.num_documents, self.mean_words, self.words_sigma = num_documents, mean_words, words_sigma
        self.vocab_words, self.duplicate_frac, self.seed = vocab_words, duplicate_frac, seed

    def files(self) -> list[InputFile]:
        return [InputFile(self.name, None, int(self.num_documents * self.mean_words * BYTES_A_WORD))]

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        size = max(1, int(partition_bytes / (self.mean_words * BYTES_A_WORD)))
        for start in range(0, self.num_documents, size):
            stop = min(start + size, self.num_documents)
            read_bytes = file.size_bytes * stop // self.num_documents
            yield Block(start, start, read_bytes, json.dumps([start, stop]).encode())

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        rows = list(range(*json.loads(block.data)))
        originals = [self.original(index) for index in rows]
        metadata = [
            b"{}" if original == index else b'{"duplicate_of":%d}' % original
            for index, original in zip(rows, originals, strict=True)
        ]
        ids = [f"{file.name}#{index}".encode() for index in rows]
        texts = [self._make(original).encode() for original in originals]
        return Parsed(document_batch(file_number, rows, ids, texts, metadata), [], len(rows))

    def original(self, index: int) -> int:
        """Return the number of the document whose text document `index` has: its own, or an earlier one's."""
        while index > 0:
            is_duplicate, which = self._random(index, stream=1).random(2)
            if is_duplicate >= self.duplicate_frac:
                break
            index = int(which * index)
        return index

    def _make(self, index: int) -> str:
        random = self._random(index, stream=0)
        center = math.log(self.mean_words) - self.words_sigma**2 / 2  # a log-normal's mean is exp(center + sigma²/2)
        num_words = max(1, round(math.exp(center + self.words_sigma * random.standard_normal())))
        words, cumulative = _vocabulary(self.vocab_words)
        return _prose(words[np.searchsorted(cumulative, random.random(num_words), side="right")].tolist())

    def _random(self, index: int, stream: int) -> np.random.Generator:
        """Return the generator of one document: Philox counts, so every (seed, index, stream) is independent."""
        return np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, stream, index]))


@functools.lru_cache(maxsize=4)
def _vocabulary(vocab_words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the words (vocab_words,) by falling frequency, and cumulative probabilities (vocab_words,) float64."""
    words = [COMMON_WORDS[rank] if rank < len(COMMON_WORDS) else _spell(rank) for rank in range(vocab_words)]
    weights = 1.0 / np.arange(1, vocab_words + 1)
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    return np.array(words, dtype=object), cumulative


def _spell(rank: int) -> str:
    """Return a word for a rank, one word a rank: its digits in base 65 as syllables, at least two of them."""
    number, spelled = rank + len(SYLLABLES), ""
    while number:
        number, digit = divmod(number, len(SYLLABLES))
        spelled += SYLLABLES[digit]
    return spelled


def _prose(words: list[str]) -> str:
    """Return words as sentences and paragraphs."""
    starts = range(0, len(words), SENTENCE_WORDS)
    sentences = [" ".join(words[start : start + SENTENCE_WORDS]).capitalize() + "." for start in starts]
    starts = range(0, len(sentences), PARAGRAPH_SENTENCES)
    return "\n\n".join(" ".join(sentences[start : start + PARAGRAPH_SENTENCES]) for start in starts) + "\n"

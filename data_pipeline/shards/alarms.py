"""Limits on what tokens are like: past them something is wrong with the text or the tokenizer, or is worth a look."""

from __future__ import annotations

import math
from collections.abc import Iterator

from data_pipeline.shards.health import Health
from data_pipeline.shards.manifest import SPLITS, Manifest, SourceManifest
from foundation.errors import GroundworkError, require
from foundation.text import one_line

SHOWN_CHARS = 90  # of an id
# of n documents whose lengths are log-normal with sigma 1.5, the longest has less than 3 / sqrt(n) in 19 of 20 draws
USUAL_LONGEST = 3.0
SMALL_VOCAB = 4096  # entries: of fewer, sound text too has many single bytes and little entropy


class TokenAlarm(GroundworkError):
    """The tokens of a source pass a limit of `shards.alarms`, and `shards.on_alarm` is `stop`."""


class Alarms:
    """What `shards.alarms=` builds. Each limit holds for each source in each split that is not too small to judge.

    Args:
        max_repeated_frac: tokens with the id of the one before, white space left out.
        max_single_byte_frac: tokens whose text is one byte.
        max_unknown_frac: tokens that stand for text which the vocabulary can't write.
        min_entropy_bits: of the distribution of the ids, a token.
        max_document_frac: the longest document's share of its source's tokens. Of few documents the longest has more:
            of n, up to 3 / sqrt(n) of the tokens is no alarm, so that this limit is asked from 900 documents on.
        min_used_frac: ids that occur, of the vocabulary.
        min_tokens: of a source; of fewer, figures say little. Ids in use are judged where there are 100 tokens an id.
    Raises:
        SettingError: a share is not one.
    Source: 0.05 to 1.8 % repeated, 11 to 36 % single bytes, 8.8 to 10.1 bits in seven corpora of prose, code and
        technical text with a vocabulary of 16,384; hexadecimal, numbers, base64, noise and foreign scripts are past one
        of the limits or several.
    """

    def __init__(
        self,
        max_repeated_frac: float = 0.1,
        max_single_byte_frac: float = 0.45,
        max_unknown_frac: float = 0.001,
        min_entropy_bits: float = 6.0,
        max_document_frac: float = 0.1,
        min_used_frac: float = 0.5,
        min_tokens: int = 100_000,
    ) -> None:
        shares = {
            "max_repeated_frac": max_repeated_frac,
            "max_single_byte_frac": max_single_byte_frac,
            "max_unknown_frac": max_unknown_frac,
            "max_document_frac": max_document_frac,
            "min_used_frac": min_used_frac,
        }
        for name, share in shares.items():
            require(0 <= share <= 1, name, share, "a share from 0 to 1")
        require(min_entropy_bits >= 0, "min_entropy_bits", min_entropy_bits, "bits a token, from 0 (no alarm)")
        require(min_tokens >= 1, "min_tokens", min_tokens, "a number of tokens from 1")
        self.max_repeated_frac, self.max_single_byte_frac = max_repeated_frac, max_single_byte_frac
        self.max_unknown_frac, self.min_entropy_bits = max_unknown_frac, min_entropy_bits
        self.max_document_frac, self.min_used_frac = max_document_frac, min_used_frac
        self.min_tokens = min_tokens

    def of(self, manifest: Manifest) -> list[str]:
        """Return a line for each limit that a source passes: source, figure, limit, what to look at."""
        return [
            f"{source} ({split}): {line}"
            for split in SPLITS
            for source, held in manifest.splits[split].items()
            if held.health is not None and held.health.text_tokens >= self.min_tokens
            for line in self._lines(held, held.health, manifest.vocab_size)
        ]

    def _said(self, limit: float, documents: int) -> str:
        """Return which limit on the longest document it is."""
        if limit == self.max_document_frac:
            return f"max_document_frac {limit:.1%}"
        return f"the {limit:.1%} that the longest of {documents:,} usually has at most"

    def _lines(self, held: SourceManifest, health: Health, vocab_size: int) -> Iterator[str]:
        repeated = health.share(health.repeated_tokens)
        if repeated > self.max_repeated_frac:
            yield (
                f"{repeated:.1%} of the tokens repeat the one before, more than max_repeated_frac "
                f"{self.max_repeated_frac:.1%}: look for runs of one sign, padding, tables of zeros"
            )
        single = health.share(health.single_byte_tokens)
        if single > self.max_single_byte_frac and vocab_size >= SMALL_VOCAB:
            yield (
                f"{single:.1%} of the tokens are single bytes, more than max_single_byte_frac "
                f"{self.max_single_byte_frac:.1%}: look for a language or a script that the tokenizer was not trained "
                "on, for numbers, for binary or encoded data"
            )
        unknown = health.share(health.unknown_tokens)
        if unknown > self.max_unknown_frac:
            yield (
                f"{unknown:.2%} of the tokens stand for text that the vocabulary can't write, more than "
                f"max_unknown_frac {self.max_unknown_frac:.2%}: take a tokenizer with bytes, or one of this script"
            )
        if health.entropy_bits < self.min_entropy_bits and vocab_size >= SMALL_VOCAB:
            yield (
                f"{health.entropy_bits:.2f} bits of entropy a token, less than min_entropy_bits "
                f"{self.min_entropy_bits:g}: look for text that says the same again and again"
            )
        longest = health.longest_tokens / held.tokens
        limit = max(self.max_document_frac, USUAL_LONGEST / math.sqrt(max(held.documents, 1)))
        if longest > limit:
            name = one_line(health.longest_id, SHOWN_CHARS)
            yield (
                f"one document has {longest:.1%} of the tokens, more than {self._said(limit, held.documents)}: look at "
                f"{name} ({health.longest_tokens:,} tokens): is it one document?"
            )
        used = health.used_ids / vocab_size
        if used < self.min_used_frac and health.text_tokens >= 100 * vocab_size:
            yield (
                f"{health.used_ids:,} of {vocab_size:,} ids occur ({used:.1%}), less than min_used_frac "
                f"{self.min_used_frac:.1%}: the vocabulary is that of other text; a smaller or an own one trains faster"
            )

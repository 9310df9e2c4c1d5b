"""Byte-level BPE, trained on a sample of the corpus: with the merges that tokenizers' own trainer would find."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.byte_level import MOST_64, ByteLevelTrainer, within
from data_pipeline.tokenize.checks import END_OF_TEXT
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.merges import NUM_BYTE_TOKENS, Merges, find_merges
from data_pipeline.tokenize.split import SplitName, pre_tokenizer
from foundation.progress import progress


class ByteLevelBPE(ByteLevelTrainer):
    """Byte-level BPE: any text round-trips, there is no unknown token.

    Args:
        min_frequency: occurrences in the sample that a pair needs to be merged.
        vocab_size, split, special_tokens, sample_bytes, memory_bytes, eot_token, seed: as of ByteLevelTrainer.
    Raises:
        SettingError: a value is out of its range, or a token's text is there twice or a byte's own.
    """

    def __init__(
        self,
        vocab_size: int = 16384,
        split: SplitName = "gpt2",
        special_tokens: list[str] | None = None,
        min_frequency: int = 2,
        sample_bytes: int = 100_000_000,
        memory_bytes: int = 1_000_000_000,
        eot_token: str = END_OF_TEXT,
        seed: int = 0,
    ) -> None:
        super().__init__(vocab_size, split, special_tokens, sample_bytes, memory_bytes, eot_token, seed)
        within("min_frequency", min_frequency, 1, MOST_64, "occurrences of a pair")
        self.min_frequency = min_frequency

    def tokenizer(self, vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
        """Return the tokenizer of a trained vocabulary, without its special tokens.

        Args:
            vocab: text -> id, the special tokens among them.
            merges: the pairs of texts that were merged, in order.
        """
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizer(self.split)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _learnt(self, counted: Counted, sample_bytes: int, checked: list[str]) -> bytes:
        special = self._special
        num_tokens = self.vocab_size - len(special)
        with progress("merge pairs", num_tokens - NUM_BYTE_TOKENS, "merges") as meter:
            found = find_merges(counted, num_tokens, self.min_frequency, meter)
        self._check_size(found, sample_bytes)
        chars = byte_chars()
        texts = ["".join(chars[byte] for byte in token) for token in found.tokens]
        self._check_apart(set(texts))
        vocab = {text: number for number, text in enumerate([*special, *texts])}
        tokenizer = self.tokenizer(vocab, [(texts[left], texts[right]) for left, right in found.pairs])
        return self._finished(tokenizer, checked)

    def _check_apart(self, made: set[str]) -> None:
        """Refuse a special token whose text is a token that text can give."""
        for key, text in self._keyed_special:
            if text in made:
                raise TokenizerError(
                    f"tokenizer.{key}: {text!r} is a token that merges make: text would give the special token; "
                    f"choose a text that no piece of text has, e.g. {END_OF_TEXT}"
                )

    def _check_size(self, found: Merges, sample_bytes: int) -> None:
        size = len(found.tokens) + 1 + len(self.special_tokens)
        if size < self.vocab_size:
            raise TokenizerError(
                f"tokenizer.vocab_size: {self.vocab_size} is more than the text supports: {len(found.pairs)} "
                f"merges occur at least {self.min_frequency} times in the sample of {sample_bytes:,} bytes, which "
                f"makes a vocabulary of {size}; set tokenizer.vocab_size={size} or less, or give more text"
            )

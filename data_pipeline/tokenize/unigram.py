"""Byte-level Unigram: of all ways to cut a piece into tokens a text gives the likeliest one."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models

from data_pipeline.tokenize.byte_level import ByteLevelTrainer, within
from data_pipeline.tokenize.checks import END_OF_TEXT
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.split import SplitName, pre_tokenizer
from data_pipeline.tokenize.unigram_training import (
    MAX_PIECE_BYTES,
    MAX_TOKEN_BYTES,
    PACKAGE,
    find_tokens,
    num_supported,
    require_installed,
)
from foundation.progress import progress


class ByteLevelUnigram(ByteLevelTrainer):
    """A unigram language model over bytes: any text round-trips, and there is no unknown token.

    sentencepiece trains it on the counted pieces, those of more than 1000 bytes cut; a text's pieces are never cut. Its
    version and the processor's arithmetic of floats decide the bytes of the file. Encoded by `tokenizers` alone.
    Source: Kudo 2018, arXiv:1804.10959.

    Args:
        max_token_bytes: that a token may have; the default is 16 characters, sentencepiece's own bound, of the three
            bytes that most scripts need.
        vocab_size, split, special_tokens, sample_bytes, memory_bytes, eot_token, seed: as of ByteLevelTrainer.
    Raises:
        SettingError: as of ByteLevelTrainer; or a special token's text could be found inside of a piece.
    """

    max_piece_bytes = MAX_PIECE_BYTES

    def __init__(
        self,
        vocab_size: int = 16384,
        split: SplitName = "gpt2",
        special_tokens: list[str] | None = None,
        max_token_bytes: int = 48,
        sample_bytes: int = 100_000_000,
        memory_bytes: int = 1_000_000_000,
        eot_token: str = END_OF_TEXT,
        seed: int = 0,
    ) -> None:
        super().__init__(vocab_size, split, special_tokens, sample_bytes, memory_bytes, eot_token, seed)
        within("max_token_bytes", max_token_bytes, 1, MAX_TOKEN_BYTES, "bytes of a token")
        self.max_token_bytes = max_token_bytes

    def inputs(self) -> list[Path]:
        require_installed()
        return []

    def libraries(self) -> tuple[str, ...]:
        return (PACKAGE,)

    def _learnt(self, counted: Counted, sample_bytes: int, checked: list[str]) -> bytes:
        num_tokens = self.vocab_size - len(self._special)
        with progress("train unigram", None, "tokens") as meter:
            tokens = find_tokens(counted, num_tokens, self.max_token_bytes)
            meter.add(len(tokens))
        if len(tokens) < num_tokens:
            raise self._too_large(counted, len(tokens), sample_bytes)
        least = min(score for _, score in tokens)  # of the special ones, whose texts no piece holds
        vocab = [*((text, least) for text in self._special), *tokens]
        tokenizer = Tokenizer(models.Unigram(vocab, unk_id=None, byte_fallback=False))
        tokenizer.pre_tokenizer = pre_tokenizer(self.split)
        tokenizer.decoder = decoders.ByteLevel()
        return self._finished(tokenizer, checked)

    def _too_large(self, counted: Counted, num_found: int, sample_bytes: int) -> TokenizerError:
        size = num_supported(counted, num_found, self.max_token_bytes) + len(self._special)
        return TokenizerError(
            f"tokenizer.vocab_size: {self.vocab_size} is more than the text supports: of the sample of "
            f"{sample_bytes:,} bytes {PACKAGE}'s training leaves {num_found} tokens; tokenizer.vocab_size={size} was "
            "tried and works; set that or less, or give more text"
        )

    def _check_special(self) -> None:
        super()._check_special()
        self._check_no_piece_holds_special()  # they stand in the vocabulary beside the tokens

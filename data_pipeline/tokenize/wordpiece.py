"""Byte-level WordPiece: the vocabulary of BPE, of which a text gives, from the left, the longest tokens that fit."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.split import pre_tokenizer

# Longer pieces would become the unknown token: tokenizers looks for the longest token again at each place, which takes
# the square of a piece's length, and gives up beyond this one. So they are cut.
MAX_PIECE_BYTES = 100


class ByteLevelWordPiece(ByteLevelBPE):
    """WordPiece over bytes: any text round-trips; as all bytes are tokens the unknown token can't come up.

    Its tokens are those of BPE on the same text, and so is the time of training. What differs is which of them a text
    gives: from the left the longest that fits, not those that merges make. There is no prefix for tokens inside of a
    word: pieces begin with their space. Pieces of more than 100 bytes are cut. Encoded by `tokenizers` alone.

    Args: as of ByteLevelBPE.
    Raises:
        SettingError: as of ByteLevelBPE; or a special token's text could be found inside of a piece.
    """

    max_piece_bytes = MAX_PIECE_BYTES

    def tokenizer(self, vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
        model = models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=MAX_PIECE_BYTES)
        model.continuing_subword_prefix = ""
        tokenizer = Tokenizer(model)
        cut = pre_tokenizers.Split(Regex(f".{{1,{MAX_PIECE_BYTES}}}"), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizer(self.split), cut])
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _check_special(self) -> None:
        super()._check_special()
        self._check_no_piece_holds_special()  # the longest match would be the special token

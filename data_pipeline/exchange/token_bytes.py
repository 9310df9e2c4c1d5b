"""How many bytes of text stand behind each token: what the text behind foreign tokens is counted by, unseen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers

from data_pipeline.exchange.errors import ExchangeError

NO_TOKEN = -1  # of an id that the vocabulary leaves out


def byte_lengths(tokenizer: Tokenizer, vocab_size: int) -> np.ndarray:
    """Return (vocab_size,) int32: UTF-8 bytes behind each id, 0 for special tokens, NO_TOKEN where there is none.

    A byte-level token is written with one character a byte.

    Args:
        tokenizer: byte-level, as `tokenize.checks.check` admits it.
        vocab_size: one more than the largest id.
    Raises:
        ExchangeError: a token is not byte-level.
    """
    lengths = np.full(vocab_size, NO_TOKEN, np.int32)
    alphabet, added_ids = set(pre_tokenizers.ByteLevel.alphabet()), set(tokenizer.get_added_tokens_decoder())
    for token, number in tokenizer.get_vocab(with_added_tokens=False).items():
        if number not in added_ids and not alphabet.issuperset(token):
            raise ExchangeError(
                f"the tokenizer's token {token!r} is not byte-level: how many bytes stand behind it is not known; only "
                "shards of byte-level tokenizers can be imported"
            )
        lengths[number] = len(token)
    for number, added in tokenizer.get_added_tokens_decoder().items():
        lengths[number] = 0 if added.special else len(added.content.encode())
    return lengths


def num_bytes(counts: np.ndarray, lengths: np.ndarray) -> int:
    """Return the bytes behind tokens of which `counts`, (vocab_size,) int64, says how often each occurs."""
    return int(counts @ np.maximum(lengths, 0).astype(np.int64))


def num_bytes_plainly(ids: Iterable[int], tokenizer: Tokenizer) -> int:
    """Return the bytes behind tokens, one after the other."""
    added = tokenizer.get_added_tokens_decoder()
    total = 0
    for number in ids:
        if number not in added:
            token = tokenizer.id_to_token(number)
            assert token is not None, number
            total += len(token)
        elif not added[number].special:
            total += len(added[number].content.encode())
    return total

"""How many bytes of text stand behind each token: what the text behind foreign tokens is counted by, unseen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data_pipeline.shards.token_bytes import TokenBytes

NO_TOKEN = -1  # of an id that the vocabulary leaves out


def byte_lengths(behind: TokenBytes, vocab_size: int) -> np.ndarray:
    """Return (vocab_size,) int32: UTF-8 bytes behind each id, 0 for special tokens, NO_TOKEN where there is none.

    Args:
        behind: of the tokenizer.
        vocab_size: one more than the largest id.
    """
    pieces = behind.pieces(vocab_size)
    return np.array([NO_TOKEN if piece is None else len(piece) for piece in pieces], np.int32)


def num_bytes(counts: np.ndarray, lengths: np.ndarray) -> int:
    """Return the bytes behind tokens of which `counts`, (vocab_size,) int64, says how often each occurs."""
    return int(counts @ np.maximum(lengths, 0).astype(np.int64))


def num_bytes_plainly(ids: Iterable[int], behind: TokenBytes) -> int:
    """Return the bytes behind tokens, one after the other."""
    return sum(len(behind.of_id[number]) for number in ids if number not in behind.special)

"""What each token stands for: its bytes, whatever the tokenizer.json writes them as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_pipeline.shards.token_bytes import token_bytes_of


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """The bytes of every token, by its id.

    Attributes:
        data: (n,) uint8, end to end.
        offsets: (vocab_size + 1,) int64; an id that no token has, or a special token, stands for no bytes.
        is_ordinary: (vocab_size,) bool: ids that text may become.
        has_prefix: whether a text is encoded as if a space stood before it.
        unknown_id: of the token for what the vocabulary can't say; -1 where there is none.
    """

    data: np.ndarray
    offsets: np.ndarray
    is_ordinary: np.ndarray
    has_prefix: bool = False
    unknown_id: int = -1

    @classmethod
    def of(cls, tokenizer_json: bytes) -> TokenTable:
        """Return the table of a tokenizer.json that passed the checks."""
        behind = token_bytes_of(tokenizer_json)
        pieces = behind.pieces(max(behind.of_id) + 1)
        is_ordinary = np.array([piece is not None for piece in pieces], np.bool_)
        is_ordinary[list(behind.special)] = False
        offsets = np.cumsum([0, *(len(piece or b"") for piece in pieces)], dtype=np.int64)
        data = np.frombuffer(b"".join(piece or b"" for piece in pieces), np.uint8)
        unknown_id = -1 if behind.unknown is None else behind.unknown
        return cls(data, offsets, is_ordinary, bool(behind.prefix), unknown_id)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each token, (vocab_size,) int64."""
        lengths: np.ndarray = np.diff(self.offsets)
        return lengths

    def bytes_of(self, index: int) -> bytes:
        """Return what a token stands for."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

"""The shards' tokenizer as training needs it: prompts to ids, ids to text, the bytes behind each token."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as HfTokenizer

from data_pipeline.shards.manifest import NAME as MANIFEST
from data_pipeline.shards.manifest import TOKENIZER, Manifest, read_tokenizer
from data_pipeline.shards.token_bytes import TokenBytes, token_bytes_of
from foundation.errors import GroundworkError
from foundation.files import write_atomic
from foundation.hashes import hash_file

KEPT = "tokenizer"  # folder inside a run's, for what tells ids from text
VOCAB_MULTIPLE = 128  # matrix units work on tiles: 50257 -> 50304 made nanoGPT 25 % faster (A. Karpathy, February 2023)
REPLACEMENT = "\ufffd".encode()  # what an id without a token shows as


class TokenizerError(GroundworkError):
    """The file is no tokenizer that training can read, or a text can't be encoded."""


class Tokenizer:
    """A byte-exact tokenizer. Ordinary text only: the text of a special token in a prompt stays text.

    Args:
        tokenizer_json: bytes of the file.
        vocab_size: one more than the largest id.
        eot_id: the token after each document.
    Raises:
        TokenizerError: the file is no tokenizer.json.
    """

    def __init__(self, tokenizer_json: bytes, vocab_size: int, eot_id: int) -> None:
        self.vocab_size, self.eot_id, self._json = vocab_size, eot_id, tokenizer_json
        try:
            self._tokenizer = HfTokenizer.from_str(tokenizer_json.decode())
        except Exception as error:  # tokenizers raises Exception itself
            raise TokenizerError(f"{TOKENIZER}: not a file that tokenizers can read ({error}); restore it") from error
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @classmethod
    def load(cls, data_dir: Path, manifest: Manifest) -> Tokenizer:
        """Load the tokenizer that encoded the shards of `data_dir`.

        Raises:
            ForeignTokenizer: tokenizer.json is not the one that the manifest names by its hash.
            ShardError: it is missing.
        """
        return cls(read_tokenizer(data_dir, manifest), manifest.vocab_size, manifest.eot_id)

    @property
    def padded_vocab_size(self) -> int:
        """Rows of a model's embedding and output layer; those beyond `vocab_size` stand for no token."""
        return -(-self.vocab_size // VOCAB_MULTIPLE) * VOCAB_MULTIPLE

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without an end-of-text token.

        Raises:
            TokenizerError: the text holds a lone surrogate, which no UTF-8 document can.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TokenizerError(f"the text can't be UTF-8 ({error}); give it as valid Unicode") from error
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`, special tokens included, as of documents that begin with the first of them.

        Bytes that are no UTF-8 (a token may end amid a character) and ids without a token (the output layer is padded
        beyond the vocabulary) show as U+FFFD.
        """
        return self.bytes_of(ids, begins=True).decode(errors="replace")

    def bytes_of(self, ids: Iterable[int], begins: bool = False) -> bytes:
        """Return the bytes of `ids`; they may begin or end amid a character.

        Args:
            begins: a document begins with the first, so that the space that some tokenizers put there is left out.
        """
        behind, pieces = self._behind, []
        for index in ids:
            piece = behind.of_id.get(index, REPLACEMENT)
            pieces.append(piece.removeprefix(behind.prefix) if begins else piece)
            begins = index == self.eot_id
        return b"".join(pieces)

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """(vocab_size,) int32: UTF-8 bytes of text behind each token, 0 for special tokens and ids without a token.

        The first token of a document counts `prefix_bytes` too many.
        """
        sizes = np.zeros(self.vocab_size, np.int32)
        for index, piece in self._behind.of_id.items():
            sizes[index] = len(piece)
        sizes[list(self._behind.special)] = 0
        return sizes

    @property
    def prefix_bytes(self) -> int:
        """Bytes that the first token of each document holds beside its text: 1 for the space of SentencePiece, or 0."""
        return len(self._behind.prefix)

    @cached_property
    def _behind(self) -> TokenBytes:
        try:
            return token_bytes_of(self._json)
        except ValueError as error:
            raise TokenizerError(
                f"{TOKENIZER}: {error}; only byte-level and byte-fallback tokenizers are read; train one with "
                "tokenizer=bpe of the pipeline"
            ) from error


def keep_tokenizer(data_dir: Path, run_dir: Path) -> None:
    """Copy the tokenizer and the manifest that vouches for it into the run's folder: samples need no data folder.

    Raises:
        TokenizerError: the disk is full or the folder can't be written.
    """
    folder = run_dir / KEPT
    try:
        folder.mkdir(exist_ok=True)
        for name in (MANIFEST, TOKENIZER):
            write_atomic(folder / name, (data_dir / name).read_bytes())
    except OSError as error:
        raise TokenizerError(
            f"{folder}: the tokenizer of {data_dir} can't be copied there ({error}); make room, or set runs_dir="
        ) from error


def was_trained_on(run_dir: Path, data_hash: str) -> bool:
    """Return whether the manifest that `keep_tokenizer` copied is that of the data; true where none was."""
    manifest = run_dir / KEPT / MANIFEST
    return not manifest.is_file() or hash_file(manifest) == data_hash

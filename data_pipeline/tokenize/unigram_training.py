"""The tokens of a unigram language model and their scores, found by sentencepiece's trainer on counted pieces.

Source: Kudo 2018, arXiv:1804.10959, 3.2. The trainer of sentencepiece 0.2.3 gives the same model on the same lines: its
threads take every n-th piece each, and what they found is added in their order. So the number of threads is fixed, as
another one rounds otherwise, and how many cores there are changes nothing.

It runs in a process of its own: it can't be interrupted, ends the process where one of its own checks fails, and its
memory is given back.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.merges import NUM_BYTE_TOKENS
from data_pipeline.tokenize.sentencepiece_model import Kind, read_model

PACKAGE = "sentencepiece"
SCRIPT = Path(__file__).with_name("unigram_child.py")
NUM_THREADS = 16  # its own default
# It adds up logarithms of 32 bits along a piece, and passes over longer ones than it was told of: they are cut before.
MAX_PIECE_BYTES = 1000
MAX_TOKEN_BYTES = 512  # its bound
LEAST_SEEDS, SEEDS_A_TOKEN = 1_000_000, 8  # strings that training begins with: its own default, or more
_MOST = (1 << 31) - 1
_UNKNOWN = "\u2047"  # a piece that it must have; no byte's character, so none of the counted pieces holds it
_QUIET = 2  # errors alone


def require_installed() -> None:
    """Refuse to begin where sentencepiece is not installed.

    Raises:
        TokenizerError: it is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise TokenizerError(
            f"tokenizer: a unigram tokenizer is trained by the package {PACKAGE}, which is not installed; pip install "
            "-e '.[unigram]', or train another kind: tokenizer=bpe"
        )


def find_tokens(counted: Counted, num_tokens: int, max_token_bytes: int) -> list[tuple[str, float]]:
    """Return tokens, each as the characters of its bytes, and their scores; all bytes are among them.

    Args:
        counted: pieces of MAX_PIECE_BYTES at most.
        num_tokens: how many to find, 256 or more; fewer come back where the pieces don't support so many.
        max_token_bytes: that a token may have.
    Returns:
        (text, log probability), the likely ones first; bytes that the pieces lack come last, with the lowest score.
    Raises:
        TokenizerError: sentencepiece is not installed, or its process failed.
    """
    room, alphabet = num_tokens - NUM_BYTE_TOKENS, set(byte_chars())
    found: list[tuple[str, float]] = []
    if room and len(counted.ends):
        # Its alphabet is that of the pieces, whatever it is told to require, short of what rounding takes for nothing.
        present = len(np.unique(counted.data))
        model = train_model(counted, present + room, max_token_bytes)
        pieces = read_model(model, f"the model that {PACKAGE} trained").pieces
        found = [(piece.text, piece.score) for piece in pieces if piece.kind is Kind.NORMAL]
    least = min((score for _, score in found), default=0.0)
    longer = [text for text, _ in found if text not in alphabet]
    kept = alphabet.union(longer[:room])
    known = {text for text, _ in found}
    return [each for each in found if each[0] in kept] + [(char, least) for char in byte_chars() if char not in known]


def num_supported(counted: Counted, num_tokens: int, max_token_bytes: int) -> int:
    """Return a number of tokens, `num_tokens` or fewer, that training finds when it is asked for so many.

    Training passes over the size that it ended at when it is asked for that one: each is tried.
    """
    while (found := len(find_tokens(counted, num_tokens, max_token_bytes))) < num_tokens:
        num_tokens = found
    return num_tokens


def train_model(counted: Counted, num_tokens: int, max_token_bytes: int) -> bytes:
    """Return the bytes of the .model that sentencepiece trains; num_tokens: at most, its unknown piece not counted.

    Raises:
        TokenizerError: it is not installed, or its process failed.
    """
    require_installed()
    given = {"parent": os.getpid(), "settings": _settings(num_tokens, max_token_bytes)}
    # -P: the script's own folder holds modules of other packages' names
    command = [sys.executable, "-P", str(SCRIPT), json.dumps(given)]
    done = subprocess.run(command, input=b"".join(_lines(counted)), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        is_killed = done.returncode == -signal.SIGKILL
        why = "it was killed, for want of memory as a rule" if is_killed else f"exit code {done.returncode}"
        raise TokenizerError(
            f"tokenizer: {PACKAGE}'s training of {num_tokens:,} tokens on {len(counted.ends):,} distinct pieces failed "
            f"({why}); what it wrote stands above; try a smaller tokenizer.sample_bytes, or tokenizer=bpe"
        )
    return done.stdout


def _settings(num_tokens: int, max_token_bytes: int) -> dict[str, Any]:
    return {
        "model_type": "unigram",
        "input_format": "tsv",
        "vocab_size": num_tokens + 1,  # the unknown piece
        "hard_vocab_limit": False,
        "max_sentencepiece_length": max_token_bytes,
        "seed_sentencepiece_size": min(max(LEAST_SEEDS, SEEDS_A_TOKEN * num_tokens), _MOST),
        "max_sentence_length": 2 * MAX_PIECE_BYTES,  # a byte's character has up to two bytes
        "num_threads": NUM_THREADS,
        "character_coverage": 1.0,
        # pieces are taken as they are: cut already, and without a space
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "split_by_whitespace": False,
        "split_by_number": False,
        "split_by_unicode_script": False,
        "byte_fallback": False,
        # a name of these in a piece would be cut out of it: none but the one that must be
        "unk_piece": _UNKNOWN,
        "bos_id": -1,
        "eos_id": -1,
        "pad_id": -1,
        "minloglevel": _QUIET,
    }


def _lines(counted: Counted) -> Iterator[bytes]:
    chars = dict(enumerate(byte_chars()))
    for piece, count in counted.pieces():
        yield f"{piece.decode('latin-1').translate(chars)}\t{count}\n".encode()

"""The sides of bpe.py, each in a process of its own: bpe_sides.py SIDE SPLIT VOCAB_SIZE FOLDER.

FOLDER has the documents, task_*.jsonl. Writes FOLDER/<side>_<split>/tokenizer.json, and tokens.json: the bytes of what
each merge makes, in order, in hexadecimal. Prints {"train_s"} as JSON, the seconds after the imports. But for our own
side it imports nothing of this project: the interpreter may be that of another environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORKERS, FILES = 2, 8
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"gpt2": GPT2, "cl100k": CL100K}
END_OF_TEXT = "<|endoftext|>"
SEPARATOR = b"\x00\x01\x02\x03"  # between documents, where they must be one text: in none of them


def tokens_path(folder: Path, side: str, split: str) -> Path:
    """Return the file of the tokens that a side made."""
    return folder / f"{side}_{split}" / "tokens.json"


def paths_of(folder: Path) -> list[Path]:
    """Return the files of the documents."""
    return sorted(folder.glob("task_*.jsonl"))


def texts_of(folder: Path) -> Iterator[str]:
    """Yield the documents."""
    import orjson

    for path in paths_of(folder):
        with path.open("rb") as lines:
            for line in lines:
                yield orjson.loads(line)["text"]


def groundwork(split: str, vocab_size: int, folder: Path, out: Path) -> None:
    """Count in WORKERS processes, merge in this one."""
    from bpe_ours import train

    (out / "tokenizer.json").write_bytes(train(split, vocab_size, paths_of(folder), out, WORKERS))


def tokenizers(split: str, vocab_size: int, folder: Path, out: Path) -> None:
    """Train as the library's own documentation does."""
    from tokenizers import models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer = _tokenizer(split, models.BPE())
    tokenizer.train_from_iterator(texts_of(folder), trainer)
    (out / "tokenizer.json").write_text(tokenizer.to_str(pretty=True))


def gigatoken(split: str, vocab_size: int, folder: Path, out: Path) -> None:
    """Train on all documents as one text; its split is GPT-2's."""
    from gigatoken import train_bpe
    from tokenizers import models

    data = SEPARATOR.join(text.encode() for text in texts_of(folder))
    vocab, merges = train_bpe(data, vocab_size, [END_OF_TEXT], separator=SEPARATOR)
    chars = byte_chars()
    ids = {_shown(token, chars): number for number, token in vocab.items()}
    pairs = [(_shown(left, chars), _shown(right, chars)) for left, right in merges]
    ids = {text: number for text, number in ids.items() if text != _shown(END_OF_TEXT.encode(), chars)} | {
        END_OF_TEXT: next(number for number, token in vocab.items() if token == END_OF_TEXT.encode())
    }
    tokenizer = _tokenizer(split, models.BPE(vocab=ids, merges=pairs))
    (out / "tokenizer.json").write_text(tokenizer.to_str(pretty=True))


def rustbpe(split: str, vocab_size: int, folder: Path, out: Path) -> None:
    """Train; it writes no file of its own."""
    import rustbpe as library

    tokenizer = library.Tokenizer()
    tokenizer.train_from_iterator(texts_of(folder), vocab_size - 1, pattern=PATTERNS[split])
    _write_ranks(dict(tokenizer.get_mergeable_ranks()), out)


def bpeasy(split: str, vocab_size: int, folder: Path, out: Path) -> None:
    """Train; its file is tiktoken's."""
    import bpeasy as library

    _write_ranks(library.train_bpe(texts_of(folder), PATTERNS[split], 1 << 20, vocab_size - 1), out)


SIDES: dict[str, Callable[[str, int, Path, Path], None]] = {
    side.__name__: side for side in (groundwork, tokenizers, gigatoken, rustbpe, bpeasy)
}


def _tokenizer(split: str, model: Any) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split == "gpt2")
    cut = [] if split == "gpt2" else [pre_tokenizers.Split(Regex(CL100K), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cut, whole]) if cut else whole
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _write_ranks(ranks: dict[Any, int], out: Path) -> None:
    """Write tokens by rank as those without merges."""
    tokens = sorted(ranks, key=ranks.__getitem__)
    (out / "tokenizer.json").write_text(json.dumps({bytes(token).hex(): rank for rank, token in enumerate(tokens)}))


def byte_chars() -> list[str]:
    """Return the character that stands for each byte: `bytes_to_unicode` of OpenAI's gpt-2/src/encoder.py."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def _shown(token: bytes, chars: list[str]) -> str:
    return "".join(chars[byte] for byte in token)


def tokens_of(tokenizer_json: bytes) -> list[str]:
    """Return the bytes of what each merge makes, in order; of a file without merges the tokens of two bytes or more."""
    record = json.loads(tokenizer_json)
    if "model" not in record:
        return [token for token in record if len(token) > 2]
    values = {char: byte for byte, char in enumerate(byte_chars())}
    return [bytes(values[char] for char in left + right).hex() for left, right in record["model"]["merges"]]


def main() -> None:
    """Train by one side; print its seconds."""
    side, split, vocab_size, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    path = tokens_path(folder, side, split)
    path.parent.mkdir(exist_ok=True)
    started = time.perf_counter()
    SIDES[side](split, vocab_size, folder, path.parent)
    seconds = time.perf_counter() - started
    path.write_text(json.dumps(tokens_of((path.parent / "tokenizer.json").read_bytes())))
    print(json.dumps({"train_s": seconds}))


if __name__ == "__main__":
    main()

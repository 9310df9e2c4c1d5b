"""The peers of tokens.py, each in a process of its own: tokens_peers.py SIDE DOCUMENTS.jsonl TOKENIZER.json BYTES OUT.

Encodes the first documents, up to so many bytes of text, without end-of-text. Prints {"seconds", "tokens",
"utf8_bytes"} as JSON; OUT receives tokens.bin (int32, end to end) and lengths.bin (int64), after the clock has stopped
for what encodes in memory. Imports nothing of this project: the interpreter may be that of another environment.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WORKERS = 2
CHUNK = 32  # documents that a process is given at a time, as Megatron-LM's tool does by default
_tokenizer: Any = None  # of a process of the pool


def lines_of(path: Path, max_bytes: int) -> Iterator[bytes]:
    """Yield the first lines, until their texts are so many bytes."""
    taken = 0
    with path.open("rb") as file:
        for line in file:
            yield line
            taken += len(json.loads(line)["text"].encode())
            if taken >= max_bytes:
                return


def by_batch(texts: list[str], tokenizer: Path, out: Path) -> float:
    """Encode a list of texts at once, in threads; return the seconds."""
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.encode_special_tokens = True
    started = time.perf_counter()
    found = encoder.encode_batch(texts, add_special_tokens=False)
    seconds = time.perf_counter() - started
    _write([np.array(each.ids, np.int32) for each in found], out)
    return seconds


def by_line(lines: list[bytes], tokenizer: Path, out: Path) -> float:
    """Encode line by line in a pool, and write as the lines come back; return the seconds."""
    lengths = []
    started = time.perf_counter()
    with multiprocessing.Pool(WORKERS, _load, (str(tokenizer),)) as pool, (out / "tokens.bin").open("wb") as file:
        for ids in pool.imap(_encode_line, lines, CHUNK):
            array = np.array(ids, np.int32)
            file.write(array.tobytes(order="C"))
            lengths.append(array.size)
    seconds = time.perf_counter() - started
    np.array(lengths, np.int64).tofile(out / "lengths.bin")
    return seconds


def _load(tokenizer: str) -> None:
    global _tokenizer
    from tokenizers import Tokenizer

    _tokenizer = Tokenizer.from_file(tokenizer)
    _tokenizer.encode_special_tokens = True


def _encode_line(line: bytes) -> list[int]:
    ids: list[int] = _tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids
    return ids


def by_gigatoken(texts: list[str], tokenizer: Path, out: Path) -> float:
    """Encode all at once, in threads; return the seconds."""
    import awkward
    import gigatoken

    record = json.loads(tokenizer.read_bytes())
    record["added_tokens"] = [each for each in record["added_tokens"] if not each["special"]]
    encoder = gigatoken.Tokenizer.from_json(json.dumps(record))
    array = awkward.Array(texts)
    started = time.perf_counter()
    found = encoder.encode_batch(array, parallel=True)
    seconds = time.perf_counter() - started
    offsets = np.asarray(found.layout.offsets.data, np.int64)
    np.asarray(found.layout.content.data)[offsets[0] : offsets[-1]].astype(np.int32).tofile(out / "tokens.bin")
    np.diff(offsets).tofile(out / "lengths.bin")
    return seconds


def _write(parts: list[np.ndarray], out: Path) -> None:
    np.concatenate(parts).tofile(out / "tokens.bin")
    np.array([part.size for part in parts], np.int64).tofile(out / "lengths.bin")


def main() -> None:
    """Measure one side."""
    side, documents, tokenizer, max_bytes, out = sys.argv[1:]
    lines = list(lines_of(Path(documents), int(max_bytes)))
    texts = [json.loads(line)["text"] for line in lines]
    num_bytes = sum(len(text.encode()) for text in texts)
    if side == "megatron":
        del texts
        seconds = by_line(lines, Path(tokenizer), Path(out))
    else:
        del lines
        seconds = {"tokenizers": by_batch, "gigatoken": by_gigatoken}[side](texts, Path(tokenizer), Path(out))
    num_tokens = (Path(out) / "tokens.bin").stat().st_size // 4
    print(json.dumps({"seconds": seconds, "tokens": num_tokens, "utf8_bytes": num_bytes}))


if __name__ == "__main__":
    main()

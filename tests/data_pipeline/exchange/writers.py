"""Shards as other trainers' own code writes them, each by its published layout."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

Documents = list[list[int]]


def llmc_bytes(tokens: list[int]) -> bytes:
    """A file as llm.c's data_common.py writes it."""
    header = [20240520, 1, len(tokens)] + [0] * 253
    return struct.pack("<256i", *header) + struct.pack(f"<{len(tokens)}H", *tokens)


def datatrove(path: Path, documents: Documents, width: str = "H", says_width: bool = True) -> Path:
    """A file, its index and its metadata as datatrove's TokenizedFile writes them; documents with their end-of-text.

    Args:
        says_width: whether the metadata do, as those of datatrove 0.10.1.
    """
    ends, total = [], 0
    with path.open("wb") as file:
        for document in documents:
            file.write(struct.pack(f"<{len(document)}{width}", *document))
            total += len(document)
            ends.append(total)
    name = f"gpt2|{struct.calcsize(width)}" if says_width else "gpt2"
    path.with_name(f"{path.name}.index").write_bytes(struct.pack(f"<{len(ends)}Q", *ends))
    path.with_name(f"{path.name}.metadata").write_text(f"{name}\n{total}\n{total / 1000:.1f} KT")
    return path


def megatron(prefix: Path, documents: list[Documents], code: int = 8) -> Path:
    """A pair as Megatron's builder writes it; each document is a list of sequences."""
    width, size = ("H", 2) if code == 8 else ("i", 4)
    sequences = [sequence for document in documents for sequence in document]
    lengths = [len(sequence) for sequence in sequences]
    boundaries = np.cumsum([0, *map(len, documents)]).tolist()
    offsets = (np.cumsum([0, *lengths])[:-1] * size).tolist()
    flat = [number for sequence in sequences for number in sequence]
    prefix.with_name(f"{prefix.name}.bin").write_bytes(struct.pack(f"<{len(flat)}{width}", *flat))
    prefix.with_name(f"{prefix.name}.idx").write_bytes(
        struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, code, len(lengths), len(boundaries))
        + struct.pack(f"<{len(lengths)}i", *lengths)
        + struct.pack(f"<{len(offsets)}q", *offsets)
        + struct.pack(f"<{len(boundaries)}q", *boundaries)
    )
    return prefix

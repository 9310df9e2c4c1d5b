"""Other trainers' shards as they lie on disk: where the tokens begin, how many there are, where documents end.

nanogpt: uint16 ids and nothing else. Source: nanoGPT, data/openwebtext/prepare.py.
llmc: 256 int32, of which the first three are magic, version and the number of tokens, then uint16 ids. Source: llm.c,
    dev/data/data_common.py and llmc/dataloader.h.
megatron: `.bin` and `.idx`, as ours (shards.index); a document may be several sequences.
datatrove: `.ds`, ids of 2 or 4 bytes; `.ds.index`, the uint64 end of each document in tokens; `.ds.metadata`, lines of
    the tokenizer's name (`|` and the bytes of an id behind it), the number of tokens, the same in words.
    Source: datatrove 0.10.1, pipeline/tokens/tokenizer.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.shards.pair import open_pair

Place = Literal["start", "end"]  # where a document has its end-of-text token
LLMC_MAGIC, LLMC_VERSION, LLMC_HEADER = 20240520, 1, 256  # of the header: int32s
LLMC_OTHERS = {20240801: "uint32 ids, those of Llama 3", 20240522: "an evaluation set, no text"}
SEEN_IDS = 256  # of a file that does not say how wide they are: text has no one id at every second place of so many
UINT16, UINT32 = np.dtype("<u2"), np.dtype("<u4")


@dataclass(frozen=True, slots=True, eq=False)
class TokenFile:
    """A file of tokens.

    Attributes:
        dtype: of the ids.
        offset: bytes before the first one.
        ends: (num_documents,) int64, the token after each document's last; None where nothing but end-of-text tokens
            tells documents apart.
        note: what is there beside the tokens and does not come along, in words; mostly empty.
    """

    path: Path
    dtype: np.dtype[Any]
    num_tokens: int
    offset: int = 0
    ends: np.ndarray | None = None
    note: str = ""


def open_nanogpt(path: Path, vocab_size: int) -> TokenFile:
    """Return a headerless file of uint16 ids."""
    size = _size(path)
    if size % 2:
        raise ExchangeError(
            f"{path}: {size:,} bytes, an odd number: ids of uint16 have two bytes each; it was cut short, or is no "
            "such file: copy it again from its origin"
        )
    begin = np.fromfile(path, "<i4", 2).tolist()
    if begin[:1] == [LLMC_MAGIC]:
        raise ExchangeError(f"{path}: begins with the header of llm.c; import it with --format llmc")
    _check_width(path, vocab_size)
    return TokenFile(path, UINT16, size // 2)


def open_llmc(path: Path, vocab_size: int) -> TokenFile:
    """Return a file of llm.c, its header checked."""
    size, header = _size(path), np.fromfile(path, "<i4", LLMC_HEADER)
    magic = int(header[0]) if len(header) else None
    if magic != LLMC_MAGIC or len(header) < LLMC_HEADER:
        other = LLMC_OTHERS.get(magic or 0)
        what = f"its magic number {magic} stands for {other}" if other else f"begins with {magic}, not {LLMC_MAGIC}"
        mend = "only uint16 ids of version 1 are read" if other else "ids without a header are --format nanogpt"
        raise ExchangeError(f"{path}: no llm.c shard: {what}; {mend}")
    if header[1] != LLMC_VERSION:
        raise ExchangeError(f"{path}: version {header[1]} of llm.c's format; version {LLMC_VERSION} is read")
    expected = 4 * LLMC_HEADER + 2 * int(header[2])
    if size != expected:
        raise ExchangeError(
            f"{path}: {size:,} bytes, its header's {header[2]:,} tokens make {expected:,}: "
            f"{'cut short' if size < expected else 'longer than it was written'}; copy it again from its origin"
        )
    return TokenFile(path, UINT16, int(header[2]), 4 * LLMC_HEADER)


def open_megatron(path: Path, vocab_size: int) -> TokenFile:
    """Return the `.bin` of a pair, named by either file or by what both begin with."""
    tokens, index = open_pair(path)
    starts = index.document_starts()
    return TokenFile(tokens, index.dtype, int(starts[-1]), ends=starts[1:])


def open_datatrove(path: Path, vocab_size: int) -> TokenFile:
    """Return a `.ds` file; how wide its ids are, its index or metadata tells, else the size of the vocabulary."""
    size = _size(path)
    index, metadata = (path.with_name(f"{path.name}{suffix}") for suffix in (".index", ".metadata"))
    ends = _datatrove_ends(index) if index.is_file() else None
    stated, width = _datatrove_metadata(metadata) if metadata.is_file() else (None, None)
    told = {metadata.name: stated, index.name: None if ends is None else int(ends[-1]) if len(ends) else 0}
    counts = {name: count for name, count in told.items() if count is not None}
    if width is None:  # as earlier versions of datatrove left it
        wide = any(size == UINT32.itemsize * count for count in counts.values()) or (
            vocab_size > 1 << 16 and not counts
        )
        width = UINT32.itemsize if wide else UINT16.itemsize
    for name, count in counts.items():
        if size != count * width:
            raise ExchangeError(
                f"{path}: {size:,} bytes, which are not the {count:,} ids of {width} bytes of {name}: one of both was "
                "cut short, or belongs to another file; copy them again from their origin"
            )
    if size % width:
        raise ExchangeError(f"{path}: {size:,} bytes are no whole number of ids of {width} bytes: it was cut short")
    if not counts and width == UINT16.itemsize:
        _check_width(path, vocab_size)
    loss = path.with_name(f"{path.name}.loss").is_file()
    note = f"{path.name}.loss: which tokens were to be left out of the loss is not carried over" if loss else ""
    return TokenFile(path, np.dtype(f"<u{width}"), size // width, ends=ends, note=note)


# name -> how a file is opened, given the size of the vocabulary, and where the writer puts end-of-text
FORMATS: dict[str, tuple[Callable[[Path, int], TokenFile], Place]] = {
    "nanogpt": (open_nanogpt, "end"),
    "llmc": (open_llmc, "start"),
    "megatron": (open_megatron, "end"),
    "datatrove": (open_datatrove, "end"),
}


def _datatrove_ends(path: Path) -> np.ndarray:
    if path.stat().st_size % 8:
        raise ExchangeError(f"{path}: {path.stat().st_size:,} bytes, each document's end has 8: it was cut short")
    ends = np.fromfile(path, "<u8").astype(np.int64)
    if len(ends) and (ends[0] < 0 or (np.diff(ends) < 0).any()):
        raise ExchangeError(f"{path}: its documents' ends don't ascend; it is no index of datatrove's")
    return ends


def _datatrove_metadata(path: Path) -> tuple[int, int | None]:
    """Return the number of tokens and the bytes of each, None where the metadata does not say."""
    lines = path.read_text(errors="replace").splitlines()
    if len(lines) < 2 or not lines[1].isdecimal():
        raise ExchangeError(f"{path}: its second line is not a number of tokens; it is no metadata of datatrove's")
    width = lines[0].rpartition("|")[2]
    return int(lines[1]), int(width) if width in ("2", "4") else None


def _check_width(path: Path, vocab_size: int) -> None:
    """Refuse ids of 4 bytes: read as uint16 they are twice as many, every second one the upper half of one."""
    begin = np.fromfile(path, UINT16, SEEN_IDS)
    upper = begin[1::2]
    if len(begin) < SEEN_IDS or not begin.any() or int(upper.max()) > (vocab_size - 1) >> 16:
        return
    raise ExchangeError(
        f"{path}: every second of its first {SEEN_IDS} ids is at most {upper.max()}, as upper halves of uint32 ids "
        "are; a file that does not say how wide its ids are is read as uint16: write them so, with numpy's "
        "fromfile(path, 'uint32').astype('uint16').tofile(other)"
    )


def _size(path: Path) -> int:
    if not path.is_file():
        raise ExchangeError(f"{path}: is no file; name shards that are there")
    return path.stat().st_size

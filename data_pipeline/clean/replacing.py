"""Texts with some of their spans written anew, by byte places, as kernels find them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.documents import utf8_buffers


def replaced(
    texts: pa.LargeStringArray,
    of_text: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    chosen: np.ndarray,
    replacements: tuple[str, ...],
) -> pa.LargeStringArray:
    """Return texts in which spans hold something else; time and memory are linear in the texts and the spans.

    Args:
        texts: without nulls.
        of_text: (spans,) int64, the text's place, ascending.
        starts, stops: (spans,) int64, UTF-8 bytes in it, at borders of characters; a text's ascending and apart.
        chosen: (spans,) int64, which of `replacements` each becomes.
    """
    data, offsets = utf8_buffers(texts)
    encoded = [text.encode() for text in replacements]
    sizes = np.array([len(text) for text in encoded], np.int64)[chosen]
    begins, ends = offsets[of_text] + starts, offsets[of_text] + stops
    pieces: list[bytes | memoryview] = []
    view, last = data.data, int(offsets[0])
    for begin, end, choice in zip(begins.tolist(), ends.tolist(), chosen.tolist(), strict=True):
        pieces += [view[last:begin], encoded[choice]]
        last = end
    pieces.append(view[last : int(offsets[-1])])
    grown = np.zeros(len(texts) + 1, np.int64)
    np.add.at(grown, of_text + 1, sizes - (stops - starts))
    new_offsets = offsets - offsets[0] + np.cumsum(grown)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(new_offsets), pa.py_buffer(b"".join(pieces)))

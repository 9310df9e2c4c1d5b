"""Where in a document the n-grams of a test item lie."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from data_pipeline.decontaminate.index import NGramIndex
from data_pipeline.decontaminate.kernels import Hits
from data_pipeline.documents import SNIPPET_CHARS

Span = tuple[int, int]  # UTF-8 bytes of the document's text, from the first up to the one behind the last
_BEFORE_BYTES = 80  # of the text before a span, in an excerpt


def item_spans(
    index: NGramIndex, counting: np.ndarray, hits: Hits, wanted: set[tuple[int, int]]
) -> dict[tuple[int, int], list[Span]]:
    """Return where documents hold items: runs of bytes that the items' n-grams cover, in order.

    Args:
        counting: (num_ngrams,) bool: which n-grams count.
        wanted: document and item.
    """
    counts = np.flatnonzero(counting[hits.ngrams])
    holders = index.holders(hits.ngrams[counts])
    hit, items = counts[holders.rows], holders.items
    keys = hits.documents[hit] * index.num_items + items
    chosen = np.isin(keys, [document * index.num_items + item for document, item in wanted])
    hit, items = hit[chosen], items[chosen]
    order = np.lexsort((hits.starts[hit], items, hits.documents[hit]))
    found: dict[tuple[int, int], list[Span]] = defaultdict(list)
    columns = (hits.documents[hit], items, hits.starts[hit], hits.ends[hit])
    for document, item, start, end in zip(*(column[order].tolist() for column in columns), strict=True):
        _add(found[document, item], start, end)
    return dict(found)


def _add(spans: list[Span], start: int, end: int) -> None:
    if spans and start <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((start, end))


def excerpt(data: bytes, start: int) -> str:
    """Return the part of a text that holds a byte, with a little of what is before it.

    Args:
        data: the text in UTF-8: encoded once, as a document may hold thousands of items.
        start: of a span.
    """
    begin = max(0, start - _BEFORE_BYTES)
    return data[begin : begin + 4 * SNIPPET_CHARS].decode(errors="ignore")[:SNIPPET_CHARS]

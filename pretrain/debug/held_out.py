"""Held-out documents must not stand in the training set: their tokens are looked for there.

Of each document a few windows of tokens are taken, and every window of the training tokens is hashed as it rolls by. A
hash that is met is compared token by token, so nothing is found that isn't there. A document counts as found when all
of its windows are: one alone may be a licence, a header, a phrase that many share.

Source: Karp and Rabin 1987, with powers of an odd number modulo 2^64, whose inverses make the hashes of all windows a
difference of two prefix sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.reader import TokenStream
from foundation.progress import human
from foundation.text import number_of
from pretrain.debug.data import stretches
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning

WINDOW_TOKENS = 32
WINDOWS = 3  # of a document: at its beginning, its middle and its end
MARGIN_TOKENS = 8  # more than a word has
MAX_DOCUMENTS = 2000  # of the held-out split, spread evenly
STRETCHES, STRETCH_TOKENS = 64, 1 << 20  # of each training source that are looked through: 67 M tokens
MANY_FRAC = 0.01  # of the documents: more is no accident
BASE = 0x9E3779B97F4A7C15  # odd: it has an inverse modulo 2^64

Uint64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class Sought:
    """Windows of held-out documents.

    Attributes:
        windows_WL: (windows, WINDOW_TOKENS) int64 ids.
        documents_W: (windows,) int64, the number of each one's document.
        found_W: (windows,) bool, whether it has been met.
    """

    windows_WL: Int64s
    documents_W: Int64s
    found_W: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.found_W = np.zeros(len(self.documents_W), np.bool_)

    @property
    def num_documents(self) -> int:
        """Documents that are looked for."""
        return len(np.unique(self.documents_W))

    def documents_found(self) -> Int64s:
        """Return the numbers of the documents all of whose windows were met."""
        return np.setdiff1d(self.documents_W, self.documents_W[~self.found_W])


class HeldOutText(Rung):
    """Whether validation is of text that was not learnt."""

    name = "held-out text"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        dataset = subject.run.loader.dataset
        sought = windows_of(dataset.val.values())
        if not sought.num_documents:
            return self.found(f"no document of {WINDOW_TOKENS} tokens or more: nothing can be looked for")
        looked_through = total = 0
        for stream in dataset.train.values():
            total += stream.num_tokens
            looked_through += search(stream, sought)
        found = len(sought.documents_found())
        figure = (
            f"{found:,} of {number_of(sought.num_documents, 'document')} stand among "
            f"{human(looked_through)} of {human(total)} training tokens"
        )
        return self.found(figure, judged(found, sought.num_documents))


def judged(found: int, compared: int) -> list[Problem]:
    """Return what is said of held-out documents that stand in the training set."""
    if not found:
        return []
    told = (
        f"{found / compared:.1%} of the held-out documents that were looked for are trained on: the validation loss "
        "would flatter; make the shards again with dedup=minhash and decontaminate=ngram"
    )
    return [stop(told) if found > MANY_FRAC * compared else warning(told)]


def windows_of(streams: Iterable[TokenStream]) -> Sought:
    """Return windows of held-out documents, spread evenly over all of them; none where they are too short for one."""
    sources, windows, documents = list(streams), list[Int64s](), list[int]()
    wanted, number = max(1, MAX_DOCUMENTS // max(len(sources), 1)), 0
    for stream in sources:
        for shard in stream.shards:
            count = max(1, min(shard.num_documents, wanted * shard.num_documents // num_documents(stream)))
            for document in np.unique(np.linspace(0, shard.num_documents - 1, count).astype(int)).tolist():
                start, end = shard.document_starts[document : document + 2].tolist()
                places = window_starts(start, end - 1)
                windows += [shard.tokens(place, place + WINDOW_TOKENS).astype(np.int64) for place in places]
                documents += [number] * len(places)
                number += 1
    return Sought(np.array(windows, np.int64).reshape(-1, WINDOW_TOKENS), np.array(documents, np.int64))


def num_documents(stream: TokenStream) -> int:
    """Return the documents of a stream."""
    return sum(shard.num_documents for shard in stream.shards)


def window_starts(start: int, end: int) -> list[int]:
    """Return where the windows of a document begin: tokens [start, end), its end-of-text left aside.

    Its first and last words are left out where it is longer than a window: amid other text their tokens are others.
    """
    if end - start >= WINDOW_TOKENS + 2 * MARGIN_TOKENS:
        start, end = start + MARGIN_TOKENS, end - MARGIN_TOKENS
    last = end - WINDOW_TOKENS
    if last < start:
        return []
    return sorted({start + (last - start) * number // (WINDOWS - 1) for number in range(WINDOWS)})


def search(stream: TokenStream, sought: Sought) -> int:
    """Mark the windows that stand in a training source; return how many of its tokens were looked through."""
    hashes_W = window_hashes(sought.windows_WL.ravel())[::WINDOW_TOKENS]
    order = np.argsort(hashes_W, kind="stable")
    ranked = hashes_W[order]
    looked_through = 0
    for start, end in stretches(stream, STRETCHES, STRETCH_TOKENS):
        end = min(end + WINDOW_TOKENS - 1, stream.num_tokens)  # windows that begin here may end behind it
        tokens = stream.tokens(start, end).astype(np.int64)
        looked_through += min(STRETCH_TOKENS, end - start)
        if len(tokens) < WINDOW_TOKENS:
            continue
        rolled = window_hashes(tokens)
        ranks = np.searchsorted(ranked, rolled)
        hits = np.flatnonzero(ranked[np.minimum(ranks, len(ranked) - 1)] == rolled)
        for rank in np.unique(ranks[hits]).tolist():
            equal = np.searchsorted(ranked, ranked[rank], side="right")  # several windows may be of the same tokens
            for window in order[rank:equal].tolist():
                places = hits[ranks[hits] == rank]
                sought.found_W[window] |= stands_at(tokens, places, sought.windows_WL[window])
    return looked_through


def stands_at(tokens: Int64s, places: Int64s, window_L: Int64s) -> bool:
    """Return whether a window stands at one of the places, token by token."""
    return any(np.array_equal(tokens[place : place + WINDOW_TOKENS], window_L) for place in places.tolist())


def window_hashes(tokens: Int64s) -> Uint64s:
    """Return (n - WINDOW_TOKENS + 1,) uint64: sum over j of tokens[i + j] BASE^j modulo 2^64, for every i.

    Args:
        tokens: (n,) int64, at least WINDOW_TOKENS of them.
    """
    count = len(tokens)
    powers = _powers(BASE, count)
    sums = np.zeros(count + 1, np.uint64)
    np.cumsum(tokens.astype(np.uint64) * powers, out=sums[1:])
    windows = sums[WINDOW_TOKENS:] - sums[: count - WINDOW_TOKENS + 1]
    hashed: Uint64s = windows * _powers(pow(BASE, -1, 1 << 64), count)[: len(windows)]
    return hashed


def reference_window_hashes(tokens: Iterable[int]) -> list[int]:
    """Return what `window_hashes` returns, window by window in Python's integers, for tests to hold it against."""
    ids = [int(token) for token in tokens]
    return [
        sum(ids[start + place] * BASE**place for place in range(WINDOW_TOKENS)) % (1 << 64)
        for start in range(len(ids) - WINDOW_TOKENS + 1)
    ]


def _powers(base: int, count: int) -> Uint64s:
    """Return (count,) uint64, base^0 to base^(count - 1) modulo 2^64."""
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    product: Uint64s = np.cumprod(powers)
    return product

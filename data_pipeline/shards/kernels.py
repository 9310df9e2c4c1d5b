"""The loops over tokens: into the order of a shard, checked and counted on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipeline.compiled import kernel

MASK = (1 << 64) - 1


@kernel
def lay_out(ids: np.ndarray, offsets: np.ndarray, order: np.ndarray, eot_id: int, out: np.ndarray) -> np.int64:
    """Lay documents end to end in another order, an end-of-text token behind each; return the largest id.

    Args:
        ids: (num_tokens,) uint32, the documents end to end, without end-of-text.
        offsets: (documents + 1,) int64 into it.
        order: (documents,) int64, which document comes first, second, ...
        eot_id: below the limit of `out`.
        out: (num_tokens + documents,) of the dtype on disk, receives the tokens; an id that does not fit is cut off.
    """
    place, largest = 0, np.int64(0)
    for number in range(len(order)):
        begin, end = offsets[order[number]], offsets[order[number] + 1]
        for at in range(begin, end):
            token = np.int64(ids[at])
            if token > largest:
                largest = token
            out[place] = ids[at]
            place += 1
        out[place] = eot_id
        place += 1
    return largest


@kernel
def gather(tokens: np.ndarray, starts: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
    """Copy runs of tokens end to end.

    Args:
        tokens: (n,) integers.
        starts, lengths: (documents,) int64, (documents,) int32 of the runs in it.
        out: (sum of the lengths,) of the tokens' dtype, receives them.
    """
    place = 0
    for number in range(len(starts)):
        begin = starts[number]
        for at in range(lengths[number]):
            out[place + at] = tokens[begin + at]
        place += lengths[number]


@kernel
def add_checks(values: np.ndarray, offsets: np.ndarray, checks: np.ndarray) -> None:
    """Add Fletcher's checksum, mod 2^64, of each run of values: of n of them the first counts n times, the last once.

    So one changed bit changes it, whatever it was, and so does another order.

    Args:
        values: (n,) unsigned integers of up to 32 bits.
        offsets: (runs + 1,) int64 into them.
        checks: (runs,) uint64, to which they are added.
    Source: J. G. Fletcher, "An Arithmetic Checksum for Serial Transmissions", IEEE Trans. Comm. 30 (1982).
    """
    for number in range(len(checks)):
        first = second = np.uint64(0)
        for at in range(offsets[number], offsets[number + 1]):
            first += np.uint64(values[at])
            second += first
        checks[number] += second


@kernel
def count_tokens(tokens: np.ndarray, lengths: np.ndarray, counts: np.ndarray, is_blank: np.ndarray) -> int:
    """Count each id of documents, their end-of-text left out; return how many tokens have the id of the one before and
    are no white space.

    Args:
        tokens: (n,) ids below len(counts), the documents end to end, each with its end-of-text.
        lengths: (documents,) int32, tokens of each, at least 1.
        counts: (vocabulary,) int64, to which they are added.
        is_blank: (vocabulary,) bool, ids whose text is white space.
    """
    repeated, begin = 0, 0
    for number in range(len(lengths)):
        end = begin + lengths[number] - 1
        before = np.int64(-1)
        for at in range(begin, end):
            token = np.int64(tokens[at])
            counts[token] += 1
            repeated += token == before and not is_blank[token]
            before = token
        begin = end + 1
    return repeated


def lay_out_plainly(documents: Sequence[Sequence[int]], order: Sequence[int], eot_id: int) -> list[int]:
    """Return what `lay_out` writes, document by document."""
    return [token for number in order for token in (*documents[number], eot_id)]


def check_plainly(values: Sequence[int]) -> int:
    """Return what `add_checks` adds for one run."""
    return sum((len(values) - at) * value for at, value in enumerate(values)) & MASK


def count_plainly(documents: Sequence[Sequence[int]], is_blank: Sequence[bool]) -> tuple[list[int], int]:
    """Return the counts and the number of repeated tokens, as `count_tokens`; documents have no end-of-text."""
    counts, repeated = [0] * len(is_blank), 0
    for document in documents:
        for at, token in enumerate(document):
            counts[token] += 1
            repeated += at > 0 and document[at - 1] == token and not is_blank[token]
    return counts, repeated

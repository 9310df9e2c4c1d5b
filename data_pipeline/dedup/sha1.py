"""SHA-1 of many short messages at once, a message a lane: what datasketch's signatures are made of.

Source: FIPS 180-4; the rounds of all lanes side by side so that the compiler makes vectors of them.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.compiled import array_kernel

LANES = 64  # fewer leave the loops' own cost visible: 16 lanes take three times as long a message, 128 no less
_BLOCK = 64  # bytes
_LENGTH_BYTES = 9  # of the padding: one bit, and the length in 8 bytes
_START = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0], np.uint32)
# Of a word of which so many bytes are the message's: what of it stays, and the bit behind the message
_INSIDE = np.array([0, 0xFF000000, 0xFFFF0000, 0xFFFFFF00], np.uint32)
_PADDING = np.array([0x80000000, 0x800000, 0x8000, 0x80], np.uint32)
_ROUND = np.array([0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6], np.uint32)


def sha1_32(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the first 4 bytes of each message's SHA-1 as a little-endian number, as datasketch's `sha1_hash32` does.

    Args:
        data: (n,) uint8; message i is data[starts[i] : stops[i]].
    Returns:
        (len(starts),) uint32.
    """
    num_blocks = (stops - starts + _LENGTH_BYTES - 1) // _BLOCK + 1
    data = np.concatenate([data, np.zeros(4, np.uint8)])  # words are read whole
    found = np.empty(len(starts), np.uint32)
    for blocks in np.flatnonzero(np.bincount(num_blocks)).tolist():
        chosen = np.flatnonzero(num_blocks == blocks)  # lanes work on messages of as many blocks
        found[chosen] = _sha1_32(data, starts[chosen], stops[chosen], blocks).byteswap()
    return found


@array_kernel
def _sha1_32(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, num_blocks: int) -> np.ndarray:
    found = np.empty(len(starts), np.uint32)
    schedule, state = np.zeros((80, LANES), np.uint32), np.empty((5, LANES), np.uint32)
    work = np.empty_like(state)
    for first in range(0, len(starts), LANES):
        lanes = min(LANES, len(starts) - first)
        for row in range(5):
            state[row] = _START[row]
        for block in range(num_blocks):
            for lane in range(lanes):
                _load(data, starts[first + lane], stops[first + lane], block, schedule, lane)
            _compress(schedule, state, work)
        found[first : first + lanes] = state[0, :lanes]
    return found


@array_kernel
def _load(data: np.ndarray, start: int, stop: int, block: int, schedule: np.ndarray, lane: int) -> None:
    """Write the 16 words of one block of a message, padding included; reads up to 3 bytes beyond the message."""
    at = start + block * _BLOCK
    whole = min(max(stop - at, 0) // 4, 16)
    for word in range(whole):
        schedule[word, lane] = _word(data, at + 4 * word)
    for word in range(whole, 16):
        schedule[word, lane] = 0
    left = stop - at - 4 * whole
    if whole < 16 and left >= 0:
        schedule[whole, lane] = (_word(data, at + 4 * whole) & _INSIDE[left]) | _PADDING[left]
    if at + _BLOCK >= stop + _LENGTH_BYTES:
        bits = np.uint64(stop - start) * np.uint64(8)
        schedule[14, lane], schedule[15, lane] = np.uint32(bits >> np.uint64(32)), np.uint32(bits)


@array_kernel
def _word(data: np.ndarray, at: int) -> np.uint32:
    high = np.uint32(data[at]) << np.uint32(24) | np.uint32(data[at + 1]) << np.uint32(16)
    return high | np.uint32(data[at + 2]) << np.uint32(8) | np.uint32(data[at + 3])


@array_kernel
def _compress(w: np.ndarray, state: np.ndarray, v: np.ndarray) -> None:
    """Take one block of each lane into its state.

    Args:
        w: (80, LANES) uint32, the first 16 rows given.
        state: (5, LANES) uint32.
        v: (5, LANES) uint32, to work in.
    """
    for t in range(16, 80):
        for lane in range(LANES):
            w[t, lane] = _rotated(w[t - 3, lane] ^ w[t - 8, lane] ^ w[t - 14, lane] ^ w[t - 16, lane], 1)
    v[:] = state
    a, b, c, d, e = 0, 1, 2, 3, 4  # rows of v: instead of the values their names move on
    for t in range(80):
        constant = _ROUND[t // 20]
        if t < 20:
            for lane in range(LANES):
                one = v[b, lane]
                mixed = v[d, lane] ^ (one & (v[c, lane] ^ v[d, lane]))
                v[e, lane] += _rotated(v[a, lane], 5) + mixed + constant + w[t, lane]
                v[b, lane] = _rotated(one, 30)
        elif 40 <= t < 60:
            for lane in range(LANES):
                one = v[b, lane]
                mixed = (one & v[c, lane]) | (v[d, lane] & (one | v[c, lane]))
                v[e, lane] += _rotated(v[a, lane], 5) + mixed + constant + w[t, lane]
                v[b, lane] = _rotated(one, 30)
        else:
            for lane in range(LANES):
                one = v[b, lane]
                mixed = one ^ v[c, lane] ^ v[d, lane]
                v[e, lane] += _rotated(v[a, lane], 5) + mixed + constant + w[t, lane]
                v[b, lane] = _rotated(one, 30)
        a, b, c, d, e = e, a, b, c, d
    state += v


@array_kernel
def _rotated(value: np.uint32, bits: int) -> np.uint32:
    # each half by itself: numba would go on in 64 bits
    return np.uint32(value << np.uint32(bits)) | np.uint32(value >> np.uint32(32 - bits))

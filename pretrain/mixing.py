"""A hash of 64 bits in plain tensor operations: a bijection whose every output bit hangs on every input bit.

Source: Stafford's mix 13, as in splitmix64: shift right and xor, multiply, twice; shift and xor.
"""

from __future__ import annotations

from torch import Tensor

SHIFTS = (30, 27, 31)
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def mix64(words: Tensor) -> Tensor:
    """Return int64 words hashed, in place; products wrap, so it is not for code that torch.compile makes C++ of."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        words ^= _shifted(words, shift)
        words *= multiplier - (1 << 64)  # both have their highest bit set
    words ^= _shifted(words, SHIFTS[-1])
    return words


def _shifted(words: Tensor, shift: int) -> Tensor:
    """Return the words shifted right, zeros coming in: torch's shift brings the sign."""
    return (words >> shift).bitwise_and_((1 << (64 - shift)) - 1)

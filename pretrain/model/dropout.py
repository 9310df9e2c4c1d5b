"""Dropout without a generator: whether a value is zeroed is a hash of its sample's key, its site and its place.

So a sample has the same masks in any batch, on any rank, at any accumulation, after a resume, in a replay and when an
activation is computed again. There is no state, so there is nothing to save.

A site is a place in the model that drops, numbered from 0; sample and site give 64 bits, two words of 32. A row (all
places but the last dim) turns them into two words of its own, and a channel takes the one in before the first
multiplication and the other before the second. All in plain tensor operations, which torch.compile fuses: words of 32
bits in int64, times constants of 31 bits and a sign, so nothing overflows. In int32 it would, and C++ that is compiled
may take it that a signed number never does: with 16 rows of 32 the masks were others.

Source: counter-based generators, Salmon et al., SC 2011; the multipliers of 32 bits are Chris Wellons' lowest-bias pair
(hash-prospector), those of 64 bits Stafford's mix 13, as in splitmix64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pretrain import mixing
from pretrain.mixing import SHIFTS, mix64
from pretrain.pieces import choose

Drop = Callable[[Tensor, float, Tensor], Tensor]  # as `dropout`

MULTIPLIERS = (0x21F0AAAD, 0xD35A2D97)
GOLDEN, GOLDEN_64 = 0x9E3779B9, 0x9E3779B97F4A7C15  # steps between neighbours: 2^32 and 2^64 over the golden ratio
LOW_32_BITS = (1 << 32) - 1
BITS = 31  # of the hash that are compared with the probability


def site_keys(keys_B: Tensor, num_sites: int) -> Tensor:
    """Return (num_sites, B, 2) int32, the words of each site for each sample: what `dropout` takes, site by site.

    Args:
        keys_B: (B,) int64, one a sample (`Batch.keys_B`).
        num_sites: places in the model that drop.
    """
    sites_S1 = torch.arange(1, num_sites + 1, device=keys_B.device).unsqueeze(1)
    return mix64(keys_B + sites_S1 * _signed(GOLDEN_64, 64)).unsqueeze(-1).view(torch.int32)


def dropout(x: Tensor, probability: float, keys_B2: Tensor) -> Tensor:
    """Return `x` with values zeroed at this probability, and the others divided by one minus it.

    Args:
        x: (B, ..., C) of any float dtype.
        probability: from 0 to below 1, of which 31 bits count.
        keys_B2: (B, 2) int32, of `site_keys`.
    """
    return x.masked_fill(dropped(x.shape, probability, keys_B2), 0.0) * (1 / (1 - probability))


def dropout_plainly(x: Tensor, probability: float, keys_B2: Tensor) -> Tensor:
    """Return what `dropout` returns, its masks made value by value in plain integers."""
    sizes = x.size(0), math.prod(x.shape[1:-1]), x.size(-1)
    mask = [
        is_dropped_by((low, high), row, channel, probability)
        for low, high in keys_B2.tolist()
        for row in range(sizes[1])
        for channel in range(sizes[2])
    ]
    return torch.where(torch.tensor(mask, dtype=torch.bool, device=x.device).view(x.shape), 0.0, x / (1 - probability))


def drop_of(plain_pieces: frozenset[str]) -> Drop:
    """Return `dropout`, or the plain one."""
    return choose("dropout", plain_pieces, dropout, dropout_plainly)


def dropped(shape: torch.Size, probability: float, keys_B2: Tensor) -> Tensor:
    """Return bool of this shape, True where `dropout` zeroes.

    Args:
        shape: (B, ..., C).
        probability: from 0 to below 1.
        keys_B2: (B, 2) int32, of `site_keys`.
    """
    rows_R = torch.arange(math.prod(shape[1:-1]), device=keys_B2.device) * _signed(GOLDEN, 32)
    channels_C = torch.arange(shape[-1], device=keys_B2.device) * _signed(GOLDEN, 32)
    words_BR2 = _mix(rows_R.unsqueeze(-1) + keys_B2.unsqueeze(1))
    hashed_BRC = _mix(words_BR2[..., :1] + channels_C, words_BR2[..., 1:])
    return (hashed_BRC.bitwise_and_((1 << BITS) - 1) < _threshold(probability)).view(shape)


def keys_of_sites(
    training: bool, probability: float, inputs_BT: Tensor, keys_B: Tensor | None, num_sites: int
) -> Tensor | None:
    """Return (num_sites, B, 2) int32, what each site of a model drops by; None where nothing is dropped.

    Args:
        training: whether the model is. probability: of dropping.
        inputs_BT: (B, T) int64.
        keys_B: (B,) int64, of the samples; None draws them from torch's global generator.
    """
    if not training or probability == 0:
        return None
    if keys_B is None:
        keys_B = torch.randint(2**63 - 1, inputs_BT.shape[:1], device=inputs_BT.device)
    return site_keys(keys_B, num_sites)


def is_dropped(key: int, site: int, row: int, channel: int, probability: float) -> bool:
    """Return what `dropped` says of one value, in plain integers.

    Args:
        key: of the sample, 64 bits with or without a sign.
        site: number of the place in the model; row: number of all dims between; channel: place in the last dim.
        probability: from 0 to below 1.
    """
    mixed = (key + (site + 1) * GOLDEN_64) % 2**64
    for shift, multiplier in zip(SHIFTS, mixing.MULTIPLIERS, strict=False):
        mixed = (mixed ^ mixed >> shift) * multiplier % 2**64
    high, low = divmod(mixed ^ mixed >> SHIFTS[-1], 2**32)
    return is_dropped_by((low, high), row, channel, probability)


def is_dropped_by(words: tuple[int, int], row: int, channel: int, probability: float) -> bool:
    """Return the same for the two words of a sample's site, each 32 bits with or without a sign."""
    first, second = (_mix_one((row * GOLDEN + word) % 2**32) for word in words)
    return _mix_one((first + channel * GOLDEN) % 2**32, second) % (1 << BITS) < _threshold(probability)


def _threshold(probability: float) -> int:
    return round(probability * (1 << BITS))


def _mix(words: Tensor, second: Tensor | int = 0) -> Tensor:
    """Return int64 hashed in place: a bijection of `words`, and of `second`, which joins half way."""
    words &= LOW_32_BITS
    words ^= words >> 16
    words *= _signed(MULTIPLIERS[0], 32)
    words += second
    words &= LOW_32_BITS
    words ^= words >> 15
    words *= _signed(MULTIPLIERS[1], 32)
    words &= LOW_32_BITS
    words ^= words >> 15
    return words


def _mix_one(word: int, second: int = 0) -> int:
    word = ((word ^ word >> 16) * MULTIPLIERS[0] + second) % 2**32
    word = (word ^ word >> 15) * MULTIPLIERS[1] % 2**32
    return word ^ word >> 15


def _signed(constant: int, width: int) -> int:
    """Return the number that has these bits as a signed one of this width."""
    return constant - (1 << width) if constant >> (width - 1) else constant

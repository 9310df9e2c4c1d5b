"""Characters and words of eight bytes are read as Python reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode, decode_last, eight_bytes

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


@kernel
def read_eight(data: Any, place: int) -> Any:
    return eight_bytes(data, place)


def test_every_character_is_read_from_both_sides() -> None:
    for char in EVERY[:0x3100] + EVERY[0x3100::1001]:
        data, size = np.frombuffer(f"é{char}".encode(), np.uint8), len(char.encode())
        assert decode(data, 2) == (ord(char), size)
        assert decode_last(data, 0, len(data)) == (ord(char), 2)


@pytest.mark.parametrize("place", range(5))
def test_eight_bytes_are_one_number_the_first_the_lowest(place: int) -> None:
    data = np.random.default_rng(place).integers(0, 256, 12).astype(np.uint8)
    assert read_eight(data, place) == int.from_bytes(data[place : place + 8].tobytes(), "little")

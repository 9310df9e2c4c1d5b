from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from foundation.hashes import READ_BYTES, hash_bytes, hash_file, hash_json

# of xxHash's own test suite: XXH3_128bits of no bytes with seed 0
EMPTY = "99aa06d3014798d86001c324468d497f"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=8,
)


def test_the_known_value_of_no_bytes() -> None:
    assert hash_bytes(b"") == EMPTY


def test_a_file_longer_than_one_read_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = bytes(range(256)) * (READ_BYTES // 256) + b"and a bit more"
    path.write_bytes(data)
    assert hash_file(path) == hash_bytes(data)
    path.write_bytes(data[:-1])
    assert hash_file(path) != hash_bytes(data)


@given(st.dictionaries(st.text("abcdef", max_size=4), JSON, max_size=6))
def test_the_order_of_keys_does_not_count(value: dict[str, object]) -> None:
    assert hash_json(dict(reversed(value.items()))) == hash_json(value)


@given(st.binary(min_size=1), st.data())
def test_a_flipped_bit_changes_the_hash(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data) * 8 - 1))
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    assert hash_bytes(changed) != hash_bytes(data)

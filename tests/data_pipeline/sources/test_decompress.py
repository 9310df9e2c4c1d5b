from __future__ import annotations

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.sources.decompress import TrailingGarbage, read_pieces
from data_pipeline.sources.source import InputFile, TruncatedInput
from foundation.errors import InputError

WINDOW = 128 << 20
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
SMALL = "".join(f"line {i} {i * i % 97}\n" for i in range(40)).encode()


def decompressed(path: Path, data: bytes, window: int = WINDOW) -> bytes:
    path.write_bytes(data)
    return b"".join(piece.data for piece in read_pieces(InputFile(path.name, path, len(data)), window))


def zst(data: bytes, write_checksum: bool = False, write_content_size: bool = True) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=write_checksum, write_content_size=write_content_size)
    return compressor.compress(data)


def zst_stream(data: bytes) -> bytes:
    """A frame without its content size, as pipes write it."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(data) + compressor.flush()


@pytest.fixture
def big() -> bytes:
    return random.Random(1).randbytes(3 << 20) + b"a" * (3 << 20)


def test_plain_gzip_and_zst_give_the_same_bytes(tmp_path: Path, big: bytes) -> None:
    for data in (big, SMALL, b"x"):
        for form in (data, gzip.compress(data), zst(data), zst_stream(data)):
            assert decompressed(tmp_path / "f", form) == data


@pytest.mark.bad_input(3, 5)
def test_several_members_zero_padding_and_frames_are_all_read(tmp_path: Path, big: bytes) -> None:
    members = gzip.compress(SMALL) + gzip.compress(b"") + bytes(512) + gzip.compress(big) + bytes(1 << 21)
    assert decompressed(tmp_path / "f.gz", members) == SMALL + big
    frames = SKIPPABLE + zst(SMALL) + SKIPPABLE + zst_stream(big) + zst(b"") + SKIPPABLE
    assert decompressed(tmp_path / "f.zst", frames) == SMALL + big


@pytest.mark.bad_input(9)
def test_magic_bytes_decide_not_the_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misnamed = {
        "f.zst": (gzip.compress(SMALL), "gzip by its first bytes, not zstandard as its name says; read as gzip"),
        "f.gz": (SMALL, "plain by its first bytes, not gzip as its name says; read as plain"),
        "f.jsonl": (zst(SMALL), "zstandard by its first bytes, not plain as its name says; read as zstandard"),
    }
    for name, (data, told) in misnamed.items():
        assert decompressed(tmp_path / name, data) == SMALL
        assert capsys.readouterr().err == f"warning: {tmp_path / name}: is {told}\n"
    for name, data in {
        "empty.jsonl": b"",
        "a.jsonl": SMALL,
        "a.JSONL.GZ": gzip.compress(SMALL),
        "a.zst": zst(SMALL),
    }.items():
        decompressed(tmp_path / name, data)
    assert capsys.readouterr().err == ""


@pytest.mark.bad_input(6)
def test_bytes_that_no_checksum_vouches_for_are_counted(tmp_path: Path, big: bytes) -> None:
    def unchecked(data: bytes) -> int:
        (tmp_path / "f").write_bytes(data)
        return list(read_pieces(InputFile("f", tmp_path / "f", len(data)), WINDOW))[-1].unchecked_bytes

    without, with_one = zst(big), zst(SMALL, write_checksum=True)
    assert unchecked(SMALL) == len(SMALL)
    assert unchecked(gzip.compress(SMALL)) == unchecked(with_one) == 0
    assert unchecked(without) == unchecked(without + with_one) == len(without)
    assert unchecked(with_one + without + SKIPPABLE) == len(without)


@pytest.mark.bad_input(1, 4)
@pytest.mark.parametrize("form", ["gz", "zst", "zst_stream", "zst_no_checksum", "zst_skippable"])
def test_a_cut_at_every_byte_is_noticed(tmp_path: Path, form: str) -> None:
    whole = {
        "gz": gzip.compress(SMALL),
        "zst": zst(SMALL, write_checksum=True),
        "zst_stream": zst_stream(SMALL),
        "zst_no_checksum": zst(SMALL, write_content_size=False),
        "zst_skippable": SKIPPABLE + zst(SMALL),
    }[form]
    path = tmp_path / f"cut.{'gz' if form == 'gz' else 'zst'}"
    for cut in range(len(whole)):
        if form == "zst_skippable" and cut == len(SKIPPABLE):
            continue  # a whole file of no content
        with pytest.raises(TruncatedInput, match=rf"{path.name}: ends after byte {cut}\b"):
            decompressed(path, whole[:cut])
    assert decompressed(path, whole) == SMALL


@pytest.mark.bad_input(1, 4)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.booleans(), st.data())
def test_a_cut_anywhere_in_a_chain_gives_an_error_or_whole_members(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], is_gzip: bool, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / ("chain.gz" if is_gzip else "chain.zst")
    members = [gzip.compress(content) if is_gzip else zst_stream(content) for content in contents]
    ends = {sum(map(len, members[:count])): b"".join(contents[:count]) for count in range(len(members) + 1)}
    cut = data.draw(st.integers(0, max(ends)))
    whole = b"".join(members)[:cut]
    if cut in ends and cut > 0:  # between two members nothing shows that there was more
        assert decompressed(path, whole) == ends[cut]
    else:
        with pytest.raises(TruncatedInput):
            decompressed(path, whole)


@pytest.mark.bad_input(3)
def test_what_follows_a_member_and_is_none_is_an_error(tmp_path: Path) -> None:
    for whole in (gzip.compress(SMALL), zst(SMALL)):
        with pytest.raises(TrailingGarbage, match=rf"at byte {len(whole)} .* b'garbage'"):
            decompressed(tmp_path / "f", whole + b"garbage")
    with pytest.raises(TrailingGarbage):  # zero padding is a habit of gzip files only
        decompressed(tmp_path / "f.zst", zst(SMALL) + bytes(8))


@pytest.mark.bad_input(2)
def test_every_flipped_bit_of_a_checked_file_is_noticed(tmp_path: Path) -> None:
    for whole, first in ((gzip.compress(SMALL, mtime=0), 10), (zst(SMALL, write_checksum=True), 0)):
        for bit in range(8 * first, 8 * len(whole), 3):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                result = decompressed(tmp_path / "f.zst", bytes(flipped))
            except InputError:
                continue
            # what flips the magic is no compressed file any more, and shows as raw bytes; anything else must be whole
            assert result in (SMALL, bytes(flipped))


@pytest.mark.bad_input(7)
def test_a_window_above_the_limit_names_the_setting(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=21, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(SMALL) + compressor.flush()
    assert decompressed(tmp_path / "f", data, window=1 << 21) == SMALL
    with pytest.raises(InputError, match=r"window of 2,097,152 bytes, .* 1,048,576 .*corpus\.max_window_bytes"):
        decompressed(tmp_path / "f", data, window=1 << 20)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonl: can't be read \(No such file"):
        list(read_pieces(InputFile("gone.jsonl", tmp_path / "gone.jsonl", 0), WINDOW))


@pytest.mark.bad_input(8)
@pytest.mark.parametrize("is_gzip", [True, False])
def test_a_bomb_is_read_in_flat_memory(tmp_path: Path, is_gzip: bool) -> None:
    size = 600 << 20
    path = tmp_path / "bomb"
    compressor = zstandard.ZstdCompressor().compressobj()
    with gzip.open(path, "wb", compresslevel=1) if is_gzip else path.open("wb") as file:
        for _ in range(size >> 23):
            file.write(bytes(1 << 23) if is_gzip else compressor.compress(bytes(1 << 23)))
        file.write(b"" if is_gzip else compressor.flush())
    tracemalloc.start()
    try:
        total = sum(len(piece.data) for piece in read_pieces(InputFile("bomb", path, 0), WINDOW))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 400 << 20


MEMBER = bytes(64 << 20)


@pytest.mark.bad_input(8)
@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_bomb_stops_within_a_gib_in_flat_memory(tmp_path: Path, form: str) -> None:
    member, ratio = (gzip.compress(MEMBER), "1,02[0-9]") if form == "gz" else (zst(MEMBER), "32,[0-9]+")
    good = random.Random(1).randbytes(8 << 20)  # what comes before it makes it no better
    whole = (gzip.compress(good) if form == "gz" else zst(good)) + member * 40
    path = tmp_path / "bomb"
    path.write_bytes(whole)
    size = 0
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"bomb: before byte .* a ratio of {ratio} .* 500 .*corpus\.max_ratio"):
            for piece in read_pieces(InputFile("bomb", path, 0), WINDOW):
                size += len(piece.data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < 2.5 * (1 << 30)
    assert peak < 400 << 20
    if form == "zst":
        pieces = read_pieces(InputFile("bomb", path, 0), WINDOW, max_ratio=40_000)
        assert sum(len(piece.data) for piece in pieces) == len(good) + 40 * len(MEMBER)


def test_less_than_a_gib_is_no_bomb_whatever_its_ratio(tmp_path: Path) -> None:
    assert len(decompressed(tmp_path / "f", zst(MEMBER) * 15)) == 15 * len(MEMBER)

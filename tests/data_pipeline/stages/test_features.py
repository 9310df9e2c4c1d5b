from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dedup.exact import Exact
from data_pipeline.dedup.minhash import MinHash
from data_pipeline.stages.features import features_path, read_features, write_features
from data_pipeline.storage import DamagedFile

TEXTS = pa.array([f"the words of document {number}" for number in range(50)], pa.large_string())


def test_what_was_written_comes_back_row_by_row(tmp_path: Path) -> None:
    made = MinHash(num_perm=32).features(TEXTS)
    write_features(features_path(tmp_path, "p"), made)
    stored = np.asarray(made.signatures)
    mask = np.arange(50) % 3 == 0
    for chosen, back in (
        (np.arange(50), read_features(tmp_path, "p")),
        (np.flatnonzero(mask), read_features(tmp_path, "p", mask)),
    ):
        assert len(back) == len(back.signatures) == len(chosen)
        assert np.array_equal(back.num_chars, made.num_chars[chosen])
        assert np.array_equal(back.word_hashes, made.word_hashes[chosen])
        assert np.array_equal(back.signatures[3:9], stored[chosen[3:9]])
        assert np.array_equal(back.signatures[np.array([5, 2])], stored[chosen[[5, 2]]])
        assert back.signatures[:].flags.aligned


def test_documents_without_signatures(tmp_path: Path) -> None:
    write_features(features_path(tmp_path, "p"), Exact().features(TEXTS))
    assert read_features(tmp_path, "p").signatures[:].shape == (50, 0)


@pytest.mark.parametrize("place", [-5000, -3000, 300])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, place: int) -> None:
    path = features_path(tmp_path, "p")
    write_features(path, MinHash(num_perm=32).features(TEXTS))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"p\.npz.*remove its folder"):
        read_features(tmp_path, "p")


def test_a_file_cut_short_is_noticed(tmp_path: Path) -> None:
    path = features_path(tmp_path, "p")
    write_features(path, MinHash(num_perm=32).features(TEXTS))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedFile):
        read_features(tmp_path, "p")

"""How the row of a document is found among stored signatures, and which rows are compared with the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.stages.signature_files import SignatureFile, id_keys
from data_pipeline.stages.stored import index_stored, sample_of

NUM_PERM = 16


def test_keys_that_share_a_half_are_told_apart(tmp_path: Path) -> None:
    """Against a dict, with keys so few that firsts repeat."""
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(0, 12, (90, 2), dtype=np.uint64), axis=0)
    rng.shuffle(keys)
    keys.tofile(tmp_path / "stored-00000.keys")
    file = SignatureFile(0, tmp_path / "x", by_words=True, has_metadata=True)
    stored = index_stored(tmp_path, [file], [{"rows": len(keys), "content": ""}], NUM_PERM)
    rows = {tuple(key): row for row, key in enumerate(keys.tolist())}
    asked = rng.integers(0, 14, (500, 2), dtype=np.uint64)
    assert stored.find(asked).tolist() == [rows.get(tuple(key), -1) for key in asked.tolist()]
    assert stored.find(asked[:0]).tolist() == []


def test_ids_of_every_script_have_keys_of_their_own() -> None:
    ids = ["", "a", "é", "e\u0301", "中", "\U0001f600", "a\x00", "\x00a"]
    for type_ in (pa.string(), pa.large_string()):
        array = pa.array(["before", *ids], type_)[1:]
        assert len(np.unique(id_keys(array), axis=0)) == len(ids)
        assert np.array_equal(id_keys(array), id_keys(pa.array(ids, pa.large_string())))
    assert id_keys(pa.array([], pa.string())).shape == (0, 2)


@pytest.mark.parametrize(
    ("known", "size"), [(0, 0), (1, 1), (64, 64), (65, 64), (1024, 64), (1040, 65), (16_000, 1000)]
)
def test_the_sample_is_spread_over_all(known: int, size: int) -> None:
    sample = sample_of(np.arange(known) * 3)
    assert len(np.unique(sample)) == len(sample) == size
    assert not size or np.diff([*sample, known * 3]).max() <= 3 * -(-known // size)

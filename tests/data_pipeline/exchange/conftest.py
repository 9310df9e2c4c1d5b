"""What the tests of the exchange share: documents, an import, and what came of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.exchange.importing import Foreign, import_shards
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from tests.data_pipeline.exchange.writers import Documents


@pytest.fixture(scope="session")
def documents(finished: Path) -> Documents:
    """Documents of the finished folder, without their end-of-text tokens."""
    manifest = Manifest.load(finished)
    found = []
    for stream in open_split(finished, manifest, "train").values():
        ids, document = stream.tokens(0, stream.num_tokens).tolist(), []
        for number in ids:
            if number == manifest.eot_id:
                found.append(document)
                document = []
            else:
                document.append(number)
    return found


@pytest.fixture
def bring_in(finished: Path, tmp_path: Path) -> Callable[..., Manifest]:
    """Import files of one format into `tmp_path/in` with the finished folder's tokenizer."""

    def bring_in(form: str, *files: Path, **changes: object) -> Manifest:
        splits = {"train": list(files), "val": changes.pop("val", [])}
        tokenizer = changes.pop("tokenizer", finished)  # a folder that has one
        foreign = Foreign(splits, form, "other", tokenizer, **changes)  # type: ignore[arg-type]
        return import_shards(tmp_path / "in", foreign, 1 << 16)

    return bring_in


@pytest.fixture
def back(tmp_path: Path) -> Callable[..., Documents]:
    """The documents of a split in `tmp_path/in`, without their end-of-text tokens, by the index."""

    def back(split: str = "train") -> Documents:
        manifest = Manifest.load(tmp_path / "in")
        found = []
        for shard in open_split(tmp_path / "in", manifest, split)["other"].shards:
            ids, starts = shard.tokens(0, shard.num_tokens).tolist(), shard.document_starts.tolist()
            for start, stop in itertools.pairwise(starts):
                assert ids[stop - 1] == manifest.eot_id
                found.append(ids[start : stop - 1])
        return found

    return back

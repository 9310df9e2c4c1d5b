"""What the tests of all sources share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.documents import Quarantined
from data_pipeline.sources.source import Source

Read = Callable[..., tuple[list[dict[str, Any]], list[Quarantined]]]


@pytest.fixture(scope="session")
def read() -> Read:
    """Read a whole source: its documents as dicts, in order, and what was quarantined. Checks the counts on the way."""

    def read_all(source: Source, partition_bytes: int = 1 << 20) -> tuple[list[dict[str, Any]], list[Quarantined]]:
        documents: list[dict[str, Any]] = []
        quarantined: list[Quarantined] = []
        for number, file in enumerate(source.files()):
            for block in source.blocks(file, partition_bytes):
                parsed = source.parse(block, file, number)
                parsed.documents.validate(full=True)  # valid UTF-8, offsets in order
                assert parsed.num_records == parsed.documents.num_rows + len(parsed.quarantined)
                documents += parsed.documents.to_pylist()
                quarantined += parsed.quarantined
        keys = [(document["file"], document["row"]) for document in documents]
        assert keys == sorted(set(keys))
        return documents, quarantined

    return read_all


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Write a file below the test's folder and return its path."""

    def write_file(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return write_file

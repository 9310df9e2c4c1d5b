"""1,000 damaged files: each fails by its name, or its books balance and what could still be read came out."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data_pipeline.corruption import FORMS, TABULAR, Read, attempt, broken_promise, read, texts_of

pytest.importorskip("fastwarc")
pytest.importorskip("resiliparse")

SEEDS = 1_000
BLOCK = 125  # of seeds in a test
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, where there is one: each case writes and flushes dozens of files."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize(
    "first",
    [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(BLOCK, SEEDS, BLOCK))],
)
def test_a_damaged_file_fails_or_is_accounted_for(folder: Path, first: int) -> None:
    ended: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        name, how, wrong = attempt(seed, folder)
        assert not wrong, f"{name}, {wrong}"
        ended[how] += 1
    assert min(ended["failed"], ended["accounted for"]) > BLOCK // 10, ended  # neither is all that ever happens


@pytest.mark.parametrize("name", FORMS)
def test_an_undamaged_file_is_read_as_it_was(folder: Path, name: str) -> None:
    form, texts = FORMS[name], texts_of(random.Random(0))
    path = folder / f"whole{form.suffix}"
    path.write_bytes(form.store(form.make(texts)))
    for number, partition_bytes in enumerate((700, 1 << 20)):
        found = read(form.source(str(path)), folder / str(number), partition_bytes)
        assert (found.error, found.quarantined, found.texts) == ("", [], texts)
        assert broken_promise(name, texts, path.read_bytes(), found) == ""


@pytest.mark.parametrize("name", FORMS)
def test_the_judge_sees_what_is_lost(name: str) -> None:
    form, texts = FORMS[name], texts_of(random.Random(0))
    stored = form.store(form.make(texts))
    rest = texts[:5] + texts[6:]
    assert "23" in broken_promise(name, texts, stored, Read(rest, [], 24, 0))
    balanced = broken_promise(name, texts, stored, Read(rest, [], 23, 0))
    assert "23" in balanced or "lost" in balanced
    doubled = broken_promise(name, texts, stored, Read([*rest, texts[0]], [], 24, 0))
    assert doubled or (name in TABULAR and "checksums" not in name)  # they can't tell a changed text
    assert broken_promise(name, texts, stored, Read(texts, [], 24, 0)) == ""

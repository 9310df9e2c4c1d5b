"""1,000 damaged files: each fails by its name, or its books balance and what could still be read came out."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import GroundworkError
from tests.data_pipeline.corruption import (
    FORMS,
    SEPARATOR,
    TABULAR,
    Read,
    attempt,
    broken_promise,
    damaged_file,
    pieces_of,
    read,
    texts_of,
)

pytest.importorskip("fastwarc")
pytest.importorskip("resiliparse")

SEEDS = 1_000
BLOCK = 125  # of seeds in a test
MEMORY = Path("/dev/shm")
Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Any]
CHANGES: dict[str, Any] = {
    "mix__held_out_frac": 0.3,
    "decontaminate__test_sets": [],
    "tokenizer__vocab_size": 270,
    "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
    "max_bad_frac": 1.0,
}


def settings_of(name: str, folder: Path) -> dict[str, Any]:
    """The config of a source of one format."""
    kind = name.partition("_")[0]
    paths = [f"{folder}/{name}/*"]
    settings = {"_target_": f"data_pipeline.sources.{kind}.{kind.capitalize()}", "paths": paths, "source": name}
    return settings | ({"separator": SEPARATOR} if kind == "text" else {})


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


@pytest.mark.parametrize("name", TABULAR)
def test_pieces_of_tables_hold_the_texts_of_their_rows(name: str) -> None:
    form = FORMS[name]
    texts = texts_of(random.Random(0))
    stored = form.store(form.make(texts))
    outside, pieces = pieces_of(stored)
    assert sum(rows.stop - rows.start for _, rows in pieces) >= len(texts)
    assert b"".join(stored[each] for each in (outside[0], *(piece for piece, _ in pieces), outside[1])) == stored
    for number, (_, rows) in enumerate(pieces):
        others = ["other" if rows.start <= row < rows.stop else text for row, text in enumerate(texts)]
        changed = form.store(form.make(others))
        pairs = zip(pieces_of(changed)[1], pieces, strict=True)
        differs = [changed[mine] != stored[theirs] for (mine, _), (theirs, _) in pairs]
        assert differs[number]
        assert differs.count(True) == 1 or "arrow" in name  # a batch holds a few offsets of the next one as padding


@pytest.mark.slow
def test_the_ledger_of_a_run_over_damaged_files_is_the_sum_of_theirs(folder: Path, config: Config, go: Go) -> None:
    found: dict[str, list[Read]] = {}
    failed: list[tuple[str, Path, str]] = []
    for seed in range(2_000, 2_000 + 3 * len(FORMS)):
        name, _, stored, _ = damaged_file(seed)
        source = name.replace(" ", "_").replace(",", "")
        path = folder / "in" / source / f"{seed}{FORMS[name].suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)
        alone = read(FORMS[name].source(str(path)), folder / "alone" / str(seed), 1 << 20)
        if alone.error:
            failed.append((source, path.rename(folder / path.name), alone.error))
        else:
            found.setdefault(source, []).append(alone)
    assert len(failed) > 10 and sum(map(len, found.values())) > 10
    sources = {source: settings_of(source, folder / "in") for source in found if any(e.texts for e in found[source])}
    corpus = {"_target_": "data_pipeline.sources.several.Several", "sources": sources}
    changes = CHANGES | {"corpus": corpus, "partition_bytes": 8_000}
    ledgers = []
    for workers in (1, 2):
        go(config(folder, folder / f"out{workers}", **changes, executor__workers=workers))
        ledgers.append((folder / f"out{workers}" / "ledger.json").read_bytes())
    assert ledgers[0] == ledgers[1]
    book = json.loads(ledgers[0])["stages"]["clean"]
    for source in sources:
        reasons = sum(book[source]["quarantined"].values())
        summed = [sum(each.num_in for each in found[source]), sum(len(each.texts) for each in found[source])]
        assert [book[source]["in"], book[source]["out"]] == summed, source
        assert reasons == sum(len(each.quarantined) for each in found[source]), source
    source, path, error = next(each for each in failed if each[0] in sources)
    path.rename(folder / "in" / source / path.name)  # one that can't be read, beside all others
    with pytest.raises(GroundworkError) as raised:
        go(config(folder, folder / "out2", **changes, executor__workers=2))
    assert path.name in str(raised.value) and path.name in error
    assert not (folder / "out2" / "ledger.json").exists()


@pytest.mark.parametrize("name", FORMS)
def test_the_judge_sees_what_is_lost(name: str) -> None:
    form, texts = FORMS[name], texts_of(random.Random(0))
    stored = form.store(form.make(texts))
    rest = texts[:5] + texts[6:]
    assert "23" in broken_promise(name, texts, stored, Read(rest, [], 24, 0))
    balanced = broken_promise(name, texts, stored, Read(rest, [], 23, 0))
    assert "23" in balanced or "lost" in balanced
    doubled = broken_promise(name, texts, stored, Read([*rest, texts[0]], [], 24, 0))
    assert doubled
    assert broken_promise(name, texts, stored, Read(texts, [], 24, 0)) == ""

"""What is drawn: the same by seed, something of each file that is read, true sizes, no more read than needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zstandard

from data_pipeline.preflight import draw as module
from data_pipeline.preflight.draw import Wish, draw, wishes
from data_pipeline.preflight.drawn import Drawn, DrawnSource
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import Source
from data_pipeline.sources.synthetic import Synthetic
from data_pipeline.sources.text import Text

ROWS = 400


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files, every other one compressed, of 400 documents each."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for number in range(6):
        sizes = random.integers(20, 400, ROWS)
        lines = [json.dumps({"id": f"{number}-{row}", "text": random.bytes(n).hex()}) for row, n in enumerate(sizes)]
        data = "\n".join(lines).encode() + b"\n"
        compressed = number % 2
        path = folder / f"{number}.jsonl{'.zst' if compressed else ''}"
        path.write_bytes(zstandard.compress(data) if compressed else data)
    return folder


def drawn_of(files: Path, tmp_path: Path, frac: float = 0.05, seed: int = 0, least: int = 1) -> Drawn:
    return draw(Jsonl([f"{files}/*"], source="web"), Wish(frac, least, 1 << 30, seed), tmp_path / "spool")


def ids(drawn: Drawn) -> list[str]:
    source = DrawnSource(drawn)
    return [
        name
        for number, file in enumerate(source.files())
        for block in source.blocks(file, 1 << 20)
        for name in source.parse(block, file, number).documents.column("id").to_pylist()
    ]


def test_the_same_settings_draw_the_same_and_another_seed_others(files: Path, tmp_path: Path) -> None:
    first = ids(drawn_of(files, tmp_path))
    assert first == ids(drawn_of(files, tmp_path))
    assert first != ids(drawn_of(files, tmp_path, seed=1))
    assert len(first) == len(set(first)) > 50


def test_the_part_is_spread_over_all_files_and_its_whole_is_true(files: Path, tmp_path: Path) -> None:
    drawn = drawn_of(files, tmp_path)
    assert set(drawn.files) == {path.name for path in files.iterdir()}
    records = sum(
        len(zstandard.decompress(path.read_bytes()) if path.suffix == ".zst" else path.read_bytes())
        for path in files.iterdir()
    )
    assert drawn.whole == records  # all was read
    assert 0.03 < drawn.size / drawn.whole < 0.08
    assert not drawn.is_all and not drawn.by_file


def test_every_document_is_drawn_as_often_as_another(files: Path, tmp_path: Path) -> None:
    times = dict.fromkeys((f"{number}-{row}" for number in range(6) for row in range(ROWS)), 0)
    for seed in range(100):
        for name in ids(drawn_of(files, tmp_path, frac=0.2, seed=seed)):
            times[name] += 1
    counts = np.array(list(times.values())).reshape(6, ROWS)
    mean = counts.mean()
    assert 15 < mean < 30
    assert (np.abs(counts.mean(axis=1) - mean) < 0.1 * mean).all()  # of each file
    assert (np.abs(counts.reshape(6, 10, -1).mean(axis=(0, 2)) - mean) < 0.15 * mean).all()  # of each tenth of a file


def test_of_a_large_source_only_the_beginnings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("READ_BYTES", 1), ("READ_TIMES", 4), ("MIN_FILES", 3), ("LEAST_READ_BYTES", 1 << 21)):
        monkeypatch.setattr(module, name, value)
    line = json.dumps({"text": "some words " * 90}).encode() + b"\n"
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_bytes(line * (8_000_000 // len(line)))
    plain = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    drawn = draw(Jsonl([f"{tmp_path}/[012].jsonl"], source="web"), Wish(0.02, 1, 1 << 30, 0), tmp_path / "spool")
    assert drawn.read_bytes < 0.6 * plain * 3 / 4
    assert drawn.whole == pytest.approx(plain * 3 / 4, rel=0.02)
    assert len(drawn.files) == 3 and not drawn.by_file
    few = draw(Jsonl([f"{tmp_path}/*.jsonl"], source="web"), Wish(0.02, 1, 1 << 30, 0), tmp_path / "spool")
    assert few.by_file and few.read_files == 3 and few.num_files == 4
    assert few.whole == pytest.approx(plain, rel=0.02)


def test_something_is_drawn_of_every_source_and_a_small_one_is_taken_whole(files: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a few words and no more\n")
    one = draw(Text([str(tmp_path / "one.txt")], source="one"), Wish(0.01, 1, 1 << 30, 0), tmp_path / "spool")
    assert one.is_all and len(one.blocks) == 1
    assert drawn_of(files, tmp_path, least=1 << 30).is_all
    assert drawn_of(files, tmp_path, frac=1.0).is_all


def test_blocks_that_are_recipes_count_by_the_file(tmp_path: Path) -> None:
    drawn = draw(Synthetic(num_documents=5000, mean_words=50), Wish(0.05, 1, 1 << 30, 0), tmp_path / "spool")
    documents = len(ids(drawn))
    assert documents / 5000 == pytest.approx(drawn.size / drawn.whole, rel=0.05)
    assert 0.03 < drawn.size / drawn.whole < 0.1


def test_fewer_of_it_is_a_part_of_it(files: Path, tmp_path: Path) -> None:
    drawn = drawn_of(files, tmp_path)
    fewer = drawn.fewer(4)
    assert len(fewer.blocks) == -(-len(drawn.blocks) // 4)
    assert set(ids(fewer)) < set(ids(drawn))


def test_stages_see_every_attribute_of_the_source_that_was_drawn_from(files: Path, tmp_path: Path) -> None:
    """Also one that `Source` gets some day; and each of its methods is answered, none by the seat's default."""
    drawn = drawn_of(files, tmp_path)
    public = {name for name in (*Source.__annotations__, *vars(Source)) if not name.startswith("_")}
    methods = {name for name in public if callable(getattr(Source, name, None))}
    told = {name for name in public if isinstance(getattr(Source, name, None), property)}  # by attributes, as they are
    values = {name: f"its {name}" for name in sorted({*public, *Source.__annotations__} - methods - told)}
    assert {"name", "weight", "budget", "tags", "extras"} <= set(values)
    vars(drawn.source).update(values)
    wrapped = DrawnSource(drawn)
    assert {name: getattr(wrapped, name) for name in values} == values
    assert wrapped.key == "its _key"
    assert methods - {"sources", "keyed", "is_first"} <= set(vars(DrawnSource))
    assert wrapped.sources() == [wrapped]


def test_what_is_drawn_at_most_is_shared_by_size_and_each_source_has_some() -> None:
    huge, *tiny = wishes(0.01, 800.0, 1000.0, 7, [1_000_000.0] + [100.0] * 99)
    assert huge.most_bytes == pytest.approx(1000 * (0.1 / 100 + 0.9 * 1_000_000 / 1_009_900))
    assert huge.most_bytes + sum(each.most_bytes for each in tiny) == pytest.approx(1000.0)
    assert all(each.most_bytes >= each.least_bytes >= 1 for each in tiny)
    assert (huge.frac, huge.seed, huge.least_bytes) == (0.01, 7, 8.0)
    assert [each.most_bytes for each in wishes(0.01, 1.0, 100.0, 0, [0.0, 0.0])] == [50.0, 50.0]  # sizes unknown
    assert [each.most_bytes for each in wishes(0.01, 1.0, 100.0, 0, [0.0, 5.0])] == [50.0, 50.0]

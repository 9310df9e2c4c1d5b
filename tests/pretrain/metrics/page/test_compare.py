from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page.compare import names_of, write_comparison


@pytest.fixture
def make_run(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    def make(name: str, last: int, lr: float, **of_last: Any) -> Path:
        file = MetricsFile(tmp_path / name)
        for step in range(1, last + 1):
            file.append(make_line(step, **(of_last if step == last else {})))
        file.close()
        (tmp_path / name / "config.yaml").write_text(f"run_name: {name}\noptim: {{lr: {lr}}}\nseed: 1\n")
        return tmp_path / name

    return make


def test_runs_side_by_side(make_run: Callable[..., Path], parse_page: Callable[[Path], Any], tmp_path: Path) -> None:
    runs = [make_run("a", 40, 0.001, val_loss=3.5), make_run("b", 60, 0.002, val_loss=3.25, probe=1.5)]
    page = parse_page(write_comparison(runs, tmp_path / "compare.html"))
    closing, differing = page.tables
    rows = {row[0]: row[1:] for row in closing}
    assert rows[""] == ["a", "b"] and rows["steps"] == ["40", "60"] and rows["target tokens"] == ["40,960", "61,440"]
    assert rows["val_loss"] == ["3.5", "3.25"] and rows["probe"] == ["–", "1.5"]
    assert differing == [["key", "a", "b"], ["optim.lr", "0.001", "0.002"]]
    charts = [json.loads(tag["data-curves"]) for tag in page.of("div") if "data-curves" in tag]
    assert [[(curve["name"], curve["run"]) for curve in chart["curves"]] for chart in charts] == [
        *(2 * [[("a", 0), ("b", 1)]]),  # training and validation loss
        [("b", 1)],
        *(3 * [[("a", 0), ("b", 1)]]),
    ]
    (bar,) = [json.loads(tag["data-clocks"]) for tag in page.of("div") if "data-clocks" in tag]
    assert bar["axes"] == ["step", "target tokens", "hours of training"]
    assert [clock[0] for clock in bar["clocks"]] == ["1*40", "1*60"]


def test_what_can_t_be_compared_is_said(make_run: Callable[..., Path], tmp_path: Path) -> None:
    def made_of(name: str, tokenizer: str, held_out: str) -> Path:
        run = make_run(name, 3, 0.1)
        sources = [{"split": split, "source": "web", "hash": held_out} for split in ("train", "val")]
        data = {"hashes": {"tokenizer.json": tokenizer}, "sources": sources}
        (run / "about.json").write_text(json.dumps({"data": data}))
        return run

    runs = [made_of("a", "1", "x"), made_of("b", "1", "x"), made_of("c", "1", "y"), made_of("d", "2", "x")]
    runs.append(make_run("e", 3, 0.1))

    def told(*places: int) -> list[str]:
        page = write_comparison([runs[place] for place in places], tmp_path / "page.html").read_text()
        return [text for text in ("Their tokenizers differ", "Their held-out texts differ") if text in page]

    assert told(0, 1) == told(0, 4) == []
    assert told(0, 2) == ["Their held-out texts differ"] and told(1, 0, 3) == ["Their tokenizers differ"]
    assert told(2, 3) == ["Their tokenizers differ", "Their held-out texts differ"]


def test_names_are_as_short_as_they_differ() -> None:
    assert names_of([Path("/r/a"), Path("/r/b")]) == ["a", "b"]
    assert names_of([Path("/r/x/1"), Path("/s/x/1"), Path("/s/y/1")]) == ["r/x/1", "s/x/1", "s/y/1"]


def test_a_run_without_a_step_or_a_config_is_shown_as_such(
    make_run: Callable[..., Path], parse_page: Callable[[Path], Any], tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/config.yaml").write_text("seed: 2\n")
    bare = make_run("bare", 5, 0.1)
    (bare / "config.yaml").unlink()
    page = parse_page(write_comparison([tmp_path / "new", bare], tmp_path / "page.html"))
    assert "No config.yaml in bare." in page.texts
    assert ["steps", "–", "5"] in page.tables[0] and ["seed", "2", "–"] in page.tables[1]


def test_where_an_option_differs_its_name_is_told_and_its_keys_are_folded(
    make_run: Callable[..., Path], parse_page: Callable[[Path], Any], tmp_path: Path
) -> None:
    runs = [make_run("a", 40, 0.001), make_run("b", 60, 0.001), make_run("c", 60, 0.001)]
    same = "watch: {_target_: x.Watch, every_steps: 1}\n"
    for run, more in zip(runs, ("spike: {_target_: x.NoGuard}\n", "spike: {_target_: x.Guard, z: 6}\n"), strict=False):
        (run / "config.yaml").write_text(same + more)
    (runs[2] / "config.yaml").write_text("watch: {_target_: x.Watch, every_steps: 9}\n")
    page = parse_page(write_comparison(runs, tmp_path / "compare.html"))
    assert page.tables[1][1:] == [["spike", "NoGuard", "Guard", "–"], ["watch.every_steps", "1", "1", "9"]]
    assert page.tables[2][1:] == [["spike.z", "–", "6", "–"]]


def test_an_object_that_a_run_lacks_is_one_row(
    make_run: Callable[..., Path], parse_page: Callable[[Path], Any], tmp_path: Path
) -> None:
    runs = [make_run("a", 40, 0.001), make_run("b", 60, 0.001)]
    log = "m: {_target_: x.M}"
    (runs[0] / "config.yaml").write_text(
        f"g: {{_target_: x.G, rewind: null, logs: {{l: {{_target_: x.L, n: 1}}, {log}}}}}"
    )
    (runs[1] / "config.yaml").write_text(
        f"g: {{_target_: x.G, rewind: {{_target_: x.Rewinds, n: 3}}, logs: {{{log}}}}}"
    )
    page = parse_page(write_comparison(runs, tmp_path / "compare.html"))
    assert page.tables[1][1:] == [["g.rewind", "–", "Rewinds"], ["g.logs.l", "L", "–"]]
    assert page.tables[2][1:] == [["g.logs.l.n", "1", "–"], ["g.rewind.n", "–", "3"]]


def test_a_mean_over_the_last_steps_says_over_how_many(
    make_run: Callable[..., Path], parse_page: Callable[[Path], Any], tmp_path: Path
) -> None:
    def labels(*lengths: int) -> str:
        runs = [make_run(f"{lengths}_{length}_{place}", length, 0.1) for place, length in enumerate(lengths)]
        page = parse_page(write_comparison(runs, tmp_path / "page.html"))
        return next(row[0] for row in page.tables[0] if row[0].startswith("training loss"))

    assert labels(28, 28) == "training loss, mean of the last 28 steps"
    assert labels(60, 70) == "training loss, mean of the last 50 steps"
    assert labels(60, 28) == "training loss, mean of the last 50 steps, or of all where there are fewer"

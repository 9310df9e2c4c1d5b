"""timing.json of a real run holds what each stage took; a stage that stands keeps what its own run wrote down."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.files import read_json

KEYS = {
    "seconds",
    "cpu_s",
    "compiled_s",
    "documents",
    "utf8_bytes",
    "disk_bytes",
    "written_bytes",
    "main_bytes",
    "worker_bytes",
    "memory_bytes",
    "workers",
}


def test_each_stage_tells_what_it_took(finished: Path) -> None:
    stages = read_json(finished / "timing.json")["stages"]
    assert {"clean", "near", "tokenizer", "shards"} <= set(stages)
    for took in stages.values():
        assert set(took) == KEYS
        assert took["memory_bytes"] == took["main_bytes"] > 20_000_000  # one worker is the process itself
        assert took["workers"] == took["worker_bytes"] == 0
        assert took["written_bytes"] >= took["disk_bytes"]
    stays = [path for name in ("work/clean", "quarantine/clean") for path in (finished / name).rglob("*")]
    # its record of itself is written after it was measured
    sizes = sum(path.stat().st_size for path in stays if path.is_file() and path.name != "stage.json")
    assert stages["clean"]["disk_bytes"] == sizes
    shards = sum(path.stat().st_size for path in (finished / "shards").rglob("*") if path.is_file())
    assert stages["shards"]["disk_bytes"] == shards
    assert stages["shards"]["written_bytes"] > shards  # the parts that were laid end to end


def test_a_stage_that_stands_keeps_what_it_took(
    out: Path, made: Any, config: Callable[..., dict[str, Any]], go: Callable[[dict[str, Any]], Any]
) -> None:
    before = read_json(out / "timing.json")["stages"]
    shutil.rmtree(out / "shards")
    result = go(config(made.folder, out, executor__workers=2))
    after = read_json(out / "timing.json")["stages"]
    assert [stage.name for stage in result.stages if stage.redone] == ["shards"]
    assert {name: took for name, took in after.items() if name != "shards"} == {
        name: took for name, took in before.items() if name != "shards"
    }
    assert after["shards"]["workers"] == 2
    assert after["shards"]["memory_bytes"] > after["shards"]["main_bytes"] + after["shards"]["worker_bytes"]

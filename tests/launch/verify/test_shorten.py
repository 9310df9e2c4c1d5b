"""The short run is the user's in all but its length, its intervals and where it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.writer import SourceWriter
from foundation.config import DEFAULT_TARGETS, build
from foundation.config.compose import plain
from foundation.errors import ConfigError
from launch.verify.shorten import prefix_for, shortened
from pretrain.checkpoint.changes import leaves
from pretrain.data.loader import ShardLoader
from pretrain.data.mixture import BLOCK_SAMPLES, block_counts
from pretrain.main import check_config
from pretrain.mesh import Mesh
from pretrain.plan import TrainerSettings

CONF = Path(__file__).parents[3] / "conf"


def tree_of(*overrides: str) -> dict[str, object]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", ["run_name=x", *overrides]))


def test_only_length_intervals_and_places_differ(tmp_path: Path) -> None:
    tree = tree_of("trainer.max_tokens=1_000_000_000", "schedule.warmup_steps=2000", "eval=several", "resume=never")
    before = leaves(tree)
    short = shortened(tree, steps=16, max_steps=32_000, runs_dir=tmp_path)
    assert leaves(tree) == before
    check_config(short, DEFAULT_TARGETS)
    now = leaves(short)
    changed = {key: value for key, value in now.items() if before.get(key) != value}
    assert changed == {
        "runs_dir": f'"{tmp_path}"',
        "resume": '"auto"',
        "trainer.max_steps": "16",
        "trainer.max_tokens": "null",
        "schedule.warmup_steps": "1",
        "data.max_epochs_per_source": "null",
        "checkpoint.every_steps": "4",
        "checkpoint.keep_last": "1000",
        "eval.evaluators.loss.every_steps": "6",
        "eval.evaluators.loss.max_tokens": "65536",
        "eval.evaluators.loss.max_new_tokens": "8",
        "logger._target_": '"pretrain.metrics.loggers.NoLogger"',
    }


def test_smaller_bounds_of_the_users_stay(tmp_path: Path) -> None:
    tree = tree_of("eval.max_tokens=500", "eval.max_new_tokens=3", "schedule.warmup_frac=0.1")
    short = shortened(tree, steps=16, max_steps=100, runs_dir=tmp_path)
    assert (short["eval"]["max_tokens"], short["eval"]["max_new_tokens"]) == (500, 3)
    assert (short["schedule"]["warmup_frac"], short["schedule"]["warmup_steps"]) == (0.1, None)


def test_budgets_become_weights_in_the_shares_of_the_whole_run(tmp_path: Path) -> None:
    mixture = "data.mixture={web: 1, books: {epochs: 2}, notes: {tokens: 4800}, code: {tokens: 5e9}}"
    planned = {"books": 4_000_000, "code": 41_000_000, "notes": 300, "web": 100_999_700}
    short = shortened(tree_of(mixture), 16, 100_000, tmp_path, planned)
    check_config(short, DEFAULT_TARGETS)
    weights = short["data"]["mixture"]
    assert weights.keys() == planned.keys()
    total, counts = sum(planned.values()), block_counts(list(weights.values())).tolist()
    for name, count in zip(weights, counts, strict=True):
        assert abs(count - planned[name] / total * BLOCK_SAMPLES) < 3
        assert count > 0  # 300 of 146 M are less than one sample in a block, which a weight may not be


def test_a_run_with_budgets_in_its_mixture_or_its_manifest_can_be_shortened(tmp_path: Path) -> None:
    """Sixteen steps hold fewer samples than the budgets: the plan of the short run must not know them."""
    rng = np.random.default_rng(0)
    splits: dict[str, dict[str, SourceManifest]] = {"train": {}, "val": {}}
    for split, source, budget in (("train", "web", None), ("train", "books", {"epochs": 2.0}), ("val", "web", None)):
        with SourceWriter(tmp_path / "shards" / split, source, np.dtype("<u2"), max_shard_bytes=1 << 20) as writer:
            writer.add(rng.integers(1, 99, 40_000).astype(np.uint16), np.array([40_000], dtype=np.int32))
            splits[split][source] = SourceManifest(1.0, 40_000, 1, 80_000, writer.finish(), budget)
    Manifest("0" * 32, 99, 0, "uint16", splits).save(tmp_path)
    for mixture in (None, {"web": {"tokens": 30_000}, "books": {"epochs": 3}}):
        tree = tree_of() | {"data": tree_of()["data"] | {"path": str(tmp_path), "mixture": mixture}}  # type: ignore[operator]
        whole = loader_of(tree, max_steps=None)
        assert whole.planned is not None
        short = shortened(tree, 16, 1000, tmp_path, whole.planned)
        loader = loader_of(short, max_steps=16)
        assert loader.planned is None
        drawn, read = sum(whole.planned.values()), loader.samples.drawn(16 * 8)
        for name, count in whole.planned.items():
            assert abs(read[name] - 16 * 8 * count / drawn) < 1


def loader_of(tree: dict[str, object], max_steps: int | None) -> ShardLoader:
    shards = build(check_config(tree, DEFAULT_TARGETS)["data"])
    plan = TrainerSettings(64, 8, 1, max_steps=max_steps).plan(1, shards.samples_per_epoch(64), 0, shards.budgets(64))
    return shards.loader(plan, Mesh(0, 1, 0, torch.device("meta")))


def test_a_run_that_saves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint: .*NoCheckpoint has no every_steps.*choose checkpoint=default"):
        shortened(tree_of("checkpoint=none"), 16, 100, tmp_path)


def test_ranks_are_started_by_the_configs_own_launcher_where_it_counts_them() -> None:
    assert "--nproc_per_node=3" in prefix_for(tree_of("launcher=torchrun"), 3, DEFAULT_TARGETS)
    assert "--nproc_per_node=3" in prefix_for(tree_of(), 3, DEFAULT_TARGETS)
    assert len(prefix_for(tree_of(), 1, DEFAULT_TARGETS)) == 1  # this Python alone


@pytest.mark.parametrize("launcher", ["local", "torchrun", "inline"])
def test_no_start_heals_by_a_restart(launcher: str) -> None:
    prefix = prefix_for(tree_of(f"launcher={launcher}"), 2, DEFAULT_TARGETS)
    assert "--max-restarts=0" in prefix

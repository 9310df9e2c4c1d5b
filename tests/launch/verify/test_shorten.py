"""The short run is the user's in all but its length, its intervals and where it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from foundation.errors import ConfigError
from launch.verify.shorten import prefix_for, shortened
from pretrain.checkpoint.changes import leaves
from pretrain.main import check_config

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


def test_a_run_that_saves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint: .*NoCheckpoint has no every_steps.*choose checkpoint=default"):
        shortened(tree_of("checkpoint=none"), 16, 100, tmp_path)


def test_ranks_are_started_by_the_configs_own_launcher_where_it_counts_them() -> None:
    assert "--nproc_per_node=3" in prefix_for(tree_of("launcher=torchrun"), 3, DEFAULT_TARGETS)
    assert "--nproc_per_node=3" in prefix_for(tree_of(), 3, DEFAULT_TARGETS)
    assert len(prefix_for(tree_of(), 1, DEFAULT_TARGETS)) == 1  # this Python alone

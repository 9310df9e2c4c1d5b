"""What a `_target_` may name: an allow-list, checked against ways around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.config.targets import DEFAULT_TARGETS, own_prefixes, resolve
from foundation.errors import ConfigError

MALICIOUS = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "posix.system",
    "logging.os.system",
    "timeit.timeit",
    "pickle.loads",
    "shutil.rmtree",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "torch.load",
    "torch.hub.load",
    "torch.optim.os.system",
    "foundation.files.os.replace",
    "foundation.files.Path.write_text",
    "foundation.files.contextlib.suppress",
    "pretrain.run_folder.os.rename",
    "pretrain.mesh.dist.init_process_group",
    "launch.launchers.subprocess.run",
    "pretrain.run_folder.Path",
    "foundation.config.targets.importlib.import_module",
    "pretrain.plan.TrainerSettings.__init__.__globals__",
    "pretrain.plan.TrainerSettings.plan",
    "pretrain..plan",
    "foundation.files.__builtins__",
    "data_pipelines.evil.run",
    "pretrain_evil.x.Y",
    "",
    "pretrain",
    17,
    ["os.system"],
    {"_target_": "os.system"},
]


@pytest.mark.parametrize("path", MALICIOUS, ids=str)
def test_a_malicious_target_is_refused_with_its_key(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"^optim\._target_: "):
        resolve(path, "optim")


@pytest.mark.parametrize("path", ["torch.optim.AdamW", "torch.optim.adamw.AdamW"])
def test_a_class_is_found_where_it_is_defined_and_where_its_package_exports_it(path: str) -> None:
    assert resolve(path, "optim", ("torch.optim.",)).__name__ == "AdamW"


def test_own_classes_are_found() -> None:
    assert resolve("pretrain.plan.TrainerSettings", "optim").__name__ == "TrainerSettings"


def test_a_module_that_is_not_there_is_told_how_ones_own_is_found() -> None:
    with pytest.raises(
        ConfigError, match=r"no module 'mine\.sgd'; check the path, and install the package or set PYTHON"
    ):
        resolve("mine.sgd.Sgd", "optim", ("mine.",))
    with pytest.raises(ConfigError, match=r"no module 'pretrain\.sgd'; check the path$"):
        resolve("pretrain.sgd.Sgd", "optim")


def test_a_name_reached_through_an_import_is_refused_by_its_home() -> None:
    with pytest.raises(ConfigError, match=r"only imported there, its home is 'foundation\.errors'"):
        resolve("pretrain.plan.ConfigError", "trainer")


def test_a_name_reached_through_a_module_of_the_same_package_is_refused_too() -> None:
    with pytest.raises(ConfigError, match=r"only imported there, its home is 'data_pipeline\.shards\.sums'"):
        resolve("data_pipeline.shards.writer.BlockHasher", "shards")


def test_a_package_whose_name_only_begins_like_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "launchpad.py").write_text("class Evil: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="lies outside"):
        resolve("launchpad.Evil", "x")


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'TrainerSettings'"):
        resolve("pretrain.plan.TrainerSetings", "trainer")


def test_an_extra_prefix_admits_a_users_package() -> None:
    with pytest.raises(ConfigError, match="extra_targets"):
        resolve("fractions.Fraction", "x")
    assert resolve("fractions.Fraction", "x", (*DEFAULT_TARGETS, "fractions.")).__name__ == "Fraction"


def test_the_packages_that_a_config_needs_admitted_are_those_of_its_own_targets() -> None:
    mine = {"_target_": "my_rules.deep.Lorem"}
    tree = {
        "clean": {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"mine": mine}},
        "logger": {"loggers": [{"_target_": "other.Log"}, {"_target_": "my_rules.More"}]},
        "n": 3,
    }
    assert own_prefixes(tree) == ["my_rules.", "other."] and own_prefixes({"a": "my_rules.Lorem"}) == []

"""Which groups a command has: those of its root file's defaults list, not every folder beside it.

A group is called as Hydra calls it: `corpus`, or `corpus@good` where the options of conf/corpus/ stand below the key
`good`, its package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.config.scan import read_yaml


def read_root(conf_dir: Path, root: str) -> dict[str, Any]:
    """Return a command's own YAML file as it stands; `root` is its name in the conf folder, without suffix."""
    tree: dict[str, Any] = read_yaml((conf_dir / f"{root}.yaml").read_text(encoding="utf-8"))
    return tree


def default_options(conf_dir: Path, root: str) -> dict[str, str]:
    """Return the command's groups in their order, each with the option that is taken without a choice."""
    defaults = read_root(conf_dir, root).get("defaults", [])
    return {str(group): str(option) for item in defaults if isinstance(item, dict) for group, option in item.items()}


def package_of(group: str) -> str:
    """Return the key that a group's settings stand below: `corpus` of `corpus`, `good` of `corpus@good`."""
    return group.rpartition("@")[2]


def options_of(conf_dirs: list[Path], group: str) -> dict[str, Path]:
    """Return the options of a group, sorted, each with its file: that of the first folder that has one, as Hydra's."""
    name = group.partition("@")[0]
    found = {path.stem: path for folder in reversed(conf_dirs) for path in (folder / name).glob("*.yaml")}
    return dict(sorted(found.items()))


def commands_with(conf_dir: Path, group: str) -> list[str]:
    """Return what to type for the commands that have this group, e.g. `python -m data_pipeline`."""
    roots = sorted(path.stem for path in conf_dir.glob("*.yaml"))
    having = [read_root(conf_dir, root) for root in roots if group in default_options(conf_dir, root)]
    return [str(tree["hydra"]["help"]["app_name"]) for tree in having]

"""What stages share: the code that a stage is known by, users' own packages included."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from data_pipeline.executors.local import Local
from data_pipeline.mix.split import HeldOut
from data_pipeline.stages.split import Split
from data_pipeline.stages.stage import Workplace


def code_hash(target: str) -> str:
    return Split(Workplace(Path("out"), Local()), HeldOut(), {"rules": [{"_target_": target}]}).code_hash


def test_a_change_anywhere_in_a_users_package_is_a_change_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "users_rules"
    package.mkdir()
    (package / "__init__.py").write_text("from users_rules._impl import Drop\n")
    (package / "_impl.py").write_text("class Drop: ...\n")
    (tmp_path / "users_module.py").write_text("class Drop: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, changed in (("users_rules", package / "_impl.py"), ("users_module", tmp_path / "users_module.py")):
        importlib.import_module(name)
        before = code_hash(f"{name}.Drop")
        assert code_hash(f"{name}.Drop") == before != code_hash("data_pipeline.clean.length.Length")
        changed.write_text("class Drop:\n    every = 2\n")
        assert code_hash(f"{name}.Drop") != before

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from importlib.metadata import distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from foundation.hashes import hash_file
from pretrain.about import packages, write_about
from pretrain.mesh import Mesh
from pretrain.metrics.report import write_run_report


def test_the_page_shows_data_environment_and_packages_of_the_run(
    worker: ModuleType, overrides: list[str], tmp_path: Path, data_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), overrides)
    write_about(run, {"model": {"_target_": "pretrain.model.transformer.Transformer"}}, tmp_path)
    run.loader.close()
    about = json.loads((tmp_path / "about.json").read_text())
    manifest = json.loads((data_dir / "manifest.json").read_text())
    assert (
        about["packages"]["torch"] == version("torch") and about["environment"]["python"] == platform.python_version()
    )
    tokens = {(row["split"], row["source"]): row["tokens"] for row in about["data"]["sources"]}
    assert tokens == {
        (split, name): source["tokens"]
        for split, sources in manifest["splits"].items()
        for name, source in sources.items()
    }
    assert about["data"]["hashes"]["manifest.json"] == hash_file(data_dir / "manifest.json")
    page = parse_page(write_run_report(tmp_path))
    sources, hashes, environment, packages = page.tables
    assert sources[1][:2] == ["train", next(iter(manifest["splits"]["train"]))] and len(sources) == 1 + len(tokens)
    assert ["manifest.json", hash_file(data_dir / "manifest.json")] in hashes
    assert ["python", platform.python_version()] in environment and ["torch", version("torch")] in packages


def told() -> dict[str, str]:
    """Return what the metadata of all packages tell."""
    found: dict[str, str] = {}
    for each in distributions():
        if each.metadata["Name"]:
            found.setdefault(re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(), each.version)
    return found


def test_packages_are_those_that_their_metadata_tell_of() -> None:
    assert packages() == told()


def test_packages_of_setuptools_are_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"Old_Tool-1.2.egg-info": "Old-Tool", "my.kit-0.4rc1-py3.11.egg-info": "my.kit", "beside.egg-info": "beside"}
    for (folder, name), number in zip(made.items(), ("1.2", "0.4rc1", "7.0"), strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (tmp_path / "of_distutils-3.0-py3.12.egg-info").write_text(
        "Metadata-Version: 1.1\nName: of_distutils\nVersion: 3.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = {"old-tool": "1.2", "my-kit": "0.4rc1", "beside": "7.0", "of-distutils": "3.0"}
    assert mine.items() <= packages().items() and packages() == told()


def test_a_damaged_file_leaves_its_sections_out(tmp_path: Path, parse_page: Callable[[Path], Any]) -> None:
    (tmp_path / "about.json").write_text('{"facts": ')
    assert "Environment" not in parse_page(write_run_report(tmp_path)).texts

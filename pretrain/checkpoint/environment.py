"""What a checkpoint was made with: versions, device, code. It tells why a run that goes on elsewhere has other bits."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from foundation.hashes import hash_file, hash_json
from pretrain.mesh import Mesh

ENVIRONMENT = "environment"  # the key of the facts that this room adds
PACKAGES = ("torch", "numpy", "triton", "orjson", "xxhash")
SOURCES = ("foundation", "data_pipeline", "pretrain", "launch")
REPOSITORY = Path(__file__).resolve().parents[2]
GIT_TIMEOUT_S = 10  # a clone on a slow network disk; without an answer the sources' hash says it all


def environment(mesh: Mesh, config: Any = None) -> dict[str, str]:
    """Return what this process computes with, flat: `python`, `torch`, ..., `code`, `device`, `cuda`, `world_size`.

    Args:
        mesh: the ranks.
        config: the resolved config. Each package that a `_target_` in it comes from and that is not ours is known by
            all of its code, as `code.<package>`: its classes call helpers.
    """
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    found |= {name: text for name in PACKAGES if (text := _version(name)) is not None}
    found |= {"device": _device_name(mesh.device), "cuda": torch.version.cuda or "none"}
    found |= {f"code.{package}": hash_of_package(package) for package in sorted(_users_packages(config))}
    return found | {"world_size": str(mesh.world_size), "code": code_version(REPOSITORY)}


@functools.cache
def _version(package: str) -> str | None:
    if package == "torch":
        return str(torch.__version__)  # with the build's tag, such as +cu128
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@functools.cache
def code_version(repository: Path) -> str:
    """Return the commit of the clone, `+ changes` where files differ from it, and the hash of the sources.

    Args:
        repository: the folder of the packages in SOURCES. Without git, or where git knows it as a part of something
            else, the hash alone says which code it is.
    """
    sources = f"sources {_hash_of_sources(repository)[:12]}"
    top = _git(repository, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != repository.resolve():
        return sources
    changed = _git(repository, "status", "--porcelain", "--untracked-files=no")
    if (commit := _git(repository, "rev-parse", "--short=12", "HEAD")) is None or changed is None:
        return sources
    return f"git {commit}{' + changes' if changed else ''}, {sources}"


def _users_packages(config: Any) -> set[str]:
    """Return the top-level packages, not ours and not those known by their version, that a `_target_` comes from."""
    if isinstance(config, list):
        return {package for value in config for package in _users_packages(value)}
    if not isinstance(config, dict):
        return set()
    top = str(config.get("_target_", "")).partition(".")[0]
    found = {package for value in config.values() for package in _users_packages(value)}
    return found | ({top} - {"", *SOURCES, *PACKAGES})


@functools.cache
def hash_of_package(name: str) -> str:
    """Return `sources` and the hash of all .py files of an imported top-level package, of a lone module its file.

    Once a process: the code is what it was when the run began.
    """
    module = sys.modules.get(name)
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    files = {path.relative_to(folder).as_posix(): path for folder in folders for path in folder.rglob("*.py")}
    if not folders and (alone := getattr(module, "__file__", None)):
        files = {"": Path(alone)}
    return f"sources {hash_json({place: hash_file(path) for place, path in files.items()})[:12]}"


def _git(repository: Path, *arguments: str) -> str | None:
    """Return what git answers; None where it is missing, too slow or of another mind."""
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _hash_of_sources(repository: Path) -> str:
    paths = sorted(path for package in SOURCES for path in (repository / package).rglob("*.py"))
    return hash_json({path.relative_to(repository).as_posix(): hash_file(path) for path in paths})

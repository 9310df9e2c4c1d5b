"""What a checkpoint was made with: versions, device, code. It tells why a run that goes on elsewhere has other bits."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from foundation.hashes import hash_file, hash_json
from pretrain.mesh import Mesh

ENVIRONMENT = "environment"  # the key of the facts that this room adds
PACKAGES = ("torch", "numpy", "triton", "orjson", "xxhash")
SOURCES = ("foundation", "data_pipeline", "pretrain", "launch")
REPOSITORY = Path(__file__).resolve().parents[2]
GIT_TIMEOUT_S = 10  # a clone on a slow network disk; without an answer the sources' hash says it all


def environment(mesh: Mesh) -> dict[str, str]:
    """Return what this process computes with, flat: `python`, `torch`, ..., `code`, `device`, `cuda`, `world_size`."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    found |= {name: text for name in PACKAGES if (text := _version(name)) is not None}
    found |= {"device": _device_name(mesh.device), "cuda": torch.version.cuda or "none"}
    return found | {"world_size": str(mesh.world_size), "code": code_version(REPOSITORY)}


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


def _git(repository: Path, *arguments: str) -> str | None:
    """Return what git answers; None where it is missing, too slow or of another mind."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _hash_of_sources(repository: Path) -> str:
    paths = sorted(path for package in SOURCES for path in (repository / package).rglob("*.py"))
    return hash_json({path.relative_to(repository).as_posix(): hash_file(path) for path in paths})

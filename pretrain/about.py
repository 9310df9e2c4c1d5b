"""about.json: what a run is of, for whoever reads its page later: its data, its environment, its hardware."""

from __future__ import annotations

import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

from foundation.cores import usable_cores
from foundation.files import write_json
from foundation.hashes import hash_json
from foundation.memory import machine_bytes
from pretrain.checkpoint.environment import environment
from pretrain.data.dataset import Dataset
from pretrain.describe import facts_of
from pretrain.run import Run
from pretrain.run_files import ABOUT

EGG_INFO = ".egg-info"  # setuptools': name-version[-pyX.Y].egg-info, a folder or a file
INFO_SUFFIXES = (".dist-info", EGG_INFO)
EGG_PYTHON = re.compile(r"-py\d.*")


def write_about(run: Run, tree: dict[str, Any], run_dir: Path) -> None:
    """Write about.json of the start that begins.

    Args:
        tree: the resolved config.
    """
    content = {
        "facts": facts_of(run),
        "environment": environment(run.mesh, tree),
        "hardware": hardware(run),
        "packages": packages(),
        "data": data_of(run.loader.dataset),
    }
    write_json(run_dir / ABOUT, content)


def hardware(run: Run) -> dict[str, str]:
    """Return what rank 0 computes on, label -> value."""
    return {
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": str(usable_cores()),
        "memory": f"{machine_bytes() / 2**30:.1f} GiB",
        "devices": facts_of(run)["Device"],
    }


def packages() -> dict[str, str]:
    """Return the installed packages, normalised name -> version, as their folders are called.

    The names of folders alone are read (PEP 427, PEP 503): metadata of 250 packages take half a second. Those beside
    the source of a package (`name.egg-info`) have no version in their name: theirs is read.
    """
    folders = [folder for folder in map(Path, sys.path) if folder.is_dir()]
    found: dict[str, str] = {}
    for info in (info for folder in folders for info in folder.iterdir() if info.suffix in INFO_SUFFIXES):
        name, _, rest = info.stem.partition("-")
        version = EGG_PYTHON.sub("", rest) if info.suffix == EGG_INFO else rest
        # the first on the path is what is imported
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version or _version_inside(info))
    return dict(sorted(found.items()))


def _version_inside(info: Path) -> str:
    """Return the version that metadata tell, a folder or a file; empty where they tell none."""
    path = info / "PKG-INFO" if info.is_dir() else info
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")


def data_of(dataset: Dataset) -> dict[str, Any]:
    """Return what a run's data folder holds: a row a source of each split, and the hashes that vouch for it."""
    rows = [
        {
            "split": split,
            "source": name,
            "weight": source.weight,
            "budget": source.budget,
            "documents": source.documents,
            "tokens": source.tokens,
            "utf8_bytes": source.utf8_bytes,
            "shards": len(source.shards),
            "hash": hash_json([shard.sum_hash for shard in source.shards]),
        }
        for split, sources in dataset.manifest.splits.items()
        for name, source in sources.items()
    ]
    hashes = {"manifest.json": dataset.fingerprint, "tokenizer.json": dataset.manifest.tokenizer_hash}
    return {"path": str(dataset.path), "hashes": hashes, "sources": rows}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())

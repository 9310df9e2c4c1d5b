"""The output folder: where it is, where it must not be, the names in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from data_pipeline.shards.manifest import SHARDS
from data_pipeline.sources.remote import is_remote
from data_pipeline.sources.source import InputFile, Source
from data_pipeline.sources.walk import matches
from foundation.errors import ConfigError
from foundation.text import one_line

# folders; the shards' is the manifest's to name
WORK, REMOVED, CLUSTERS, SIGNATURES = "work", "removed", "clusters", "signatures"
QUARANTINE, DEDUPLICATION, DECONTAMINATION = "quarantine", "deduplication", "decontamination"
PREFLIGHT = "preflight"  # in work/, and gone when a preflight ends
TEMPORARY = ".*.tmp*"  # as foundation.files and the shards' writer name them
LEDGER, TIMING, CONFIG, REPORT = "ledger.json", "timing.json", "config.yaml", "report.html"
FORECAST, FORECAST_PAGE = "forecast.json", "forecast.html"  # of a preflight; no other file speaks of them
STOPPED = "stopped.html"  # the page of a run that was stopped where a finished folder keeps its own
# some of what is written, of each kind that a pattern may mean
WRITTEN = (
    LEDGER,
    CONFIG,
    REPORT,
    f"{SHARDS}/source_00000.bin",
    f"{QUARANTINE}/clean/00000-00000.jsonl",
    f"{REMOVED}/clean/00000-00000.parquet",
    f"{WORK}/clean/00000-00000.arrow",
)
MAX_NAME_BYTES = 255  # on every file system in use; a missing parent hides that a name is too long


def choose_output_dir(name: str, output_dir: str | None) -> Path:
    """Return the absolute output folder: `output_dir`, else data/<name> below the working folder.

    Raises:
        ConfigError: the name leads out of data/, or the system can't take it.
    """
    if output_dir is not None:
        return _usable("output_dir", Path(output_dir).expanduser().absolute())
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part in (".", "..") for part in name.split("/")):
        raise ConfigError(
            f"name: {name!r} is no name of a folder below data/; give one such as web, or set output_dir="
        )
    return _usable("name", Path("data").absolute().joinpath(*parts))


def _usable(key: str, folder: Path) -> Path:
    """Return a folder that can be looked at; it need not exist.

    Raises:
        ConfigError: it is longer than the system's names may be, or lies where this process may not look.
    """
    shown = one_line(str(folder), 200)
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in folder.parts):
        raise ConfigError(f"{key}: {shown}: a folder's name has at most {MAX_NAME_BYTES} bytes; give a shorter one")
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # whether it can be made shows when it is
    except OSError as error:
        raise ConfigError(f"{key}: {shown}: {error.strerror}; give another one") from error
    return folder


def patterns_of(sources: Iterable[Source]) -> list[str]:
    """Return the patterns of files of this machine that sources read."""
    return [path for source in sources for path in getattr(source, "paths", []) if not is_remote(path)]


def check_output_dir(folder: Path, inputs: list[InputFile], patterns: Sequence[str] = ()) -> None:
    """Refuse a folder that holds something that isn't ours, or whose files would be input the next time.

    Args:
        patterns: of the inputs on this machine.
    Raises:
        ConfigError: it holds an input, or files that the pipeline didn't write, or is no folder.
    """
    real = folder.resolve()
    for file in inputs:
        if file.path is not None and real in file.path.resolve().parents:
            raise ConfigError(
                f"output_dir: {folder} holds the input {file.path}; outputs go to a folder of their own: "
                "set name= or output_dir= to another one"
            )
    for pattern in patterns:
        for name in WRITTEN:
            if matches(pattern, folder / name):
                raise ConfigError(
                    f"output_dir: {folder} lies where {pattern!r} looks for input, and would be read itself the next "
                    f"time (its {name}); set name= or output_dir= to a folder elsewhere, or narrow the pattern"
                )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"output_dir: {folder} is a file; give a folder")
    others = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    if others and not (folder / WORK).is_dir():
        raise ConfigError(
            f"output_dir: {folder} holds files that the pipeline didn't write ({', '.join(others[:3])}, ...); "
            "give an empty or a new folder"
        )


def reclaim(folder: Path) -> None:
    """Remove what killed writers and a killed preflight left in an output folder. Only under the folder's lock.

    Other folders below it are not looked at: data/web/v2 lies in data/web, and another run may be writing it.
    """
    own = (WORK, REMOVED, CLUSTERS, SIGNATURES, QUARANTINE, DEDUPLICATION, DECONTAMINATION, SHARDS)
    ours = (folder / name for name in own)
    left = [*folder.glob(TEMPORARY), *(path for each in ours for path in each.rglob(TEMPORARY))]
    for path in left:
        path.unlink(missing_ok=True)
    if (folder / WORK / PREFLIGHT).exists():
        shutil.rmtree(folder / WORK / PREFLIGHT)

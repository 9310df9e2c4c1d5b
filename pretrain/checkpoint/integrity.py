"""A checkpoint is complete or it does not exist: the manifest with every file's hash, the commit, the verification."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.errors import GroundworkError
from foundation.files import pretty_json, read_json, sync_dir, sync_file
from foundation.hashes import hash_bytes, hash_file, hash_json
from pretrain.checkpoint.blocks import BlockReader
from pretrain.checkpoint.errors import DamagedCheckpoint, NewerCheckpoint
from pretrain.checkpoint.labels import LABEL

FORMAT = 1
MANIFEST = "manifest.json"
STEP_FOLDER = re.compile(r"step_(\d{8,})")
SHOWN_NAMES = 5  # of tensors that hold NaN or infinity
FILE_NAME = re.compile(r"[a-z0-9_]+\.(json|bin|sum)")  # nothing that a path could be made of


@dataclass(frozen=True, slots=True)
class FileSum:
    """Size and hash of one file. A `.bin` is hashed in blocks: its `hash` is that of the `.sum` beside it."""

    size_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What belongs to a checkpoint.

    Attributes:
        step: finished steps.
        world_size: ranks that wrote it.
        not_finite: names of the tensors that held NaN or infinity; empty in a healthy checkpoint.
        files: name -> size and hash, of every file but the manifest and the label.
        final: whether the step was the run's last; one that an older version wrote doesn't say.
    """

    step: int
    world_size: int
    not_finite: list[str]
    files: dict[str, FileSum]
    final: bool = False

    @property
    def healthy(self) -> bool:
        return not self.not_finite

    @property
    def problem(self) -> str:
        """What is wrong with its values, in words; empty in a healthy checkpoint."""
        if self.healthy:
            return ""
        more = len(self.not_finite) - SHOWN_NAMES
        names = ", ".join(self.not_finite[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
        return f"NaN or infinity was saved in {names}"


def folder_name(step: int) -> str:
    """Return the name of the checkpoint after `step` finished steps: `step_00000100`."""
    return f"step_{step:08d}"


def step_of(folder: Path) -> int | None:
    """Return the step that a checkpoint's folder is named after; None when it has no such name."""
    name = STEP_FOLDER.fullmatch(folder.name)
    return int(name[1]) if name else None


def step_folders(folder: Path, after: int = -1) -> list[Path]:
    """Return the checkpoints' folders in `folder`, the latest step first, whatever state they are in.

    Args:
        folder: may be missing.
        after: only those of later steps.
    """
    if not folder.is_dir():
        return []
    steps = ((step_of(path), path) for path in folder.iterdir() if path.is_dir())
    named = [(step, path) for step, path in steps if step is not None and step > after]
    return [path for _, path in sorted(named, reverse=True)]


def write_file(path: Path, data: bytes) -> FileSum:
    """Write one small file, flushed to disk, and return what the manifest holds of it."""
    path.write_bytes(data)
    sync_file(path)
    return FileSum(len(data), hash_bytes(data))


def commit(temporary: Path, final: Path, manifest: Manifest) -> None:
    """Turn the finished files in `temporary` into the checkpoint `final`: the manifest last, then one rename.

    All other files are on disk already. A checkpoint of another timeline at `final` is moved aside first.

    Raises:
        OSError: the disk is full, or a flush failed; `final` is then missing or whole.
    """
    content = {"format": FORMAT, **asdict(manifest)}
    write_file(temporary / MANIFEST, pretty_json({**content, "hash": hash_json(content)}))
    sync_dir(temporary)
    if os.path.lexists(final):  # also a link that leads nowhere
        set_aside(final)
    temporary.rename(final)
    sync_dir(final.parent)


def set_aside(folder: Path) -> Path:
    """Rename a checkpoint so that it is neither loaded nor pruned any more; return its new path."""
    number = 1
    while os.path.lexists(target := folder.with_name(f"{folder.name}.set_aside{number}")):
        number += 1
    folder.rename(target)
    sync_dir(folder.parent)
    return target


def remove(folder: Path) -> None:
    """Delete a checkpoint: renamed first, so that a crash in the middle leaves no half of one under its name."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    sync_dir(folder.parent)
    shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Delete what an interrupted save or removal left behind."""
    for path in folder.glob(".step_*"):
        if path.is_dir():
            shutil.rmtree(path)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the system's error of a read into ours: a file that can't be read counts as damaged."""
    try:
        yield
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: can't be read ({error.strerror or error})") from error


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and hold the folder's listing against it: names and sizes, no content yet.

    Raises:
        DamagedCheckpoint: the manifest is missing or changed, or a file is missing, foreign or of another size.
        NewerCheckpoint: its format is newer than this version.
    """
    with readable(folder):
        manifest = _parse(folder / MANIFEST)
        _check_listing(folder, manifest)
    return manifest


def _check_listing(folder: Path, manifest: Manifest) -> None:
    if step_of(folder) not in (None, manifest.step):
        raise DamagedCheckpoint(f"{folder}: its manifest says step {manifest.step}; rename it back")
    present = {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    for foreign in sorted(present - set(manifest.files) - {MANIFEST, LABEL}):
        raise DamagedCheckpoint(f"{folder / foreign}: not in the manifest; a checkpoint holds its own files only")
    for file, expected in sorted(manifest.files.items()):
        if file not in present:
            raise DamagedCheckpoint(f"{folder / file}: missing, {expected.size_bytes} bytes were saved")
        if (size := (folder / file).stat().st_size) != expected.size_bytes:
            raise DamagedCheckpoint(f"{folder / file}: {size} bytes, {expected.size_bytes} were saved")


def _parse(path: Path) -> Manifest:
    if not path.is_file():
        raise DamagedCheckpoint(f"{path}: missing; a folder without a manifest is no checkpoint")
    try:
        content = read_json(path)
    except GroundworkError as error:
        raise DamagedCheckpoint(str(error)) from error
    if not isinstance(content, dict) or path.read_bytes() != pretty_json(content):
        raise DamagedCheckpoint(f"{path}: not the bytes that were saved")
    stated = content.pop("hash", None)
    if stated != hash_json(content):
        raise DamagedCheckpoint(f"{path}: its content has another hash than it states")
    if content.get("format") != FORMAT:
        raise NewerCheckpoint(f"{path}: format {content.get('format')}, this version reads {FORMAT}; update groundwork")
    try:
        return _manifest(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path}: not a manifest of a checkpoint ({error!r})") from error


def _manifest(content: dict[str, Any]) -> Manifest:
    files = {name: FileSum(**entry) for name, entry in content["files"].items()}
    for name in files:
        if not FILE_NAME.fullmatch(name):
            raise TypeError(f"file name {name!r}")
    final = content.get("final") is True
    return Manifest(content["step"], content["world_size"], content["not_finite"], files, final)


def verify_file(folder: Path, manifest: Manifest, name: str, between: Callable[[], None] | None = None) -> None:
    """Read one file whole and compare every byte with its sums.

    Args:
        folder, manifest: of the checkpoint. name: of the file.
        between: called after each 16 MiB of tensors.
    Raises:
        DamagedCheckpoint: it differs or can't be read; names the file and, in a `.bin`, the block.
    """
    if name.endswith(".bin"):
        with readable(folder / name):
            block_reader(folder, manifest, name).verify_all(between)
        return
    with readable(folder / name):
        found = hash_file(folder / name)
    if found != manifest.files[name].hash:
        raise DamagedCheckpoint(f"{folder / name}: not the bytes that were saved")


def read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Return a small file's bytes after their hash was compared.

    Raises:
        DamagedCheckpoint: they differ, or the manifest has no such file.
    """
    expected = manifest.files.get(name)
    if expected is None:
        raise DamagedCheckpoint(f"{folder / name}: not in the manifest")
    with readable(folder / name):
        data = (folder / name).read_bytes()
    if hash_bytes(data) != expected.hash:
        raise DamagedCheckpoint(f"{folder / name}: not the bytes that were saved")
    return data


def block_reader(folder: Path, manifest: Manifest, name: str) -> BlockReader:
    """Return a reader of the `.bin` file `name`, its block sums verified.

    Raises:
        DamagedCheckpoint: the sums are not those that were saved, or there is no such file.
    """
    sums = read_verified(folder, manifest, name.removesuffix(".bin") + ".sum")
    if name not in manifest.files or hash_bytes(sums) != manifest.files[name].hash:
        raise DamagedCheckpoint(f"{folder / name}: the manifest does not know it by these block sums")
    return BlockReader(folder / name, sums, manifest.files[name].size_bytes)


def verify(folder: Path) -> list[str]:
    """Read every byte of a checkpoint; return what is wrong, a sentence a file, empty when nothing is.

    The listing is checked first: where it is wrong, that is the one problem told.
    """
    try:
        manifest = read_manifest(folder)
    except (DamagedCheckpoint, NewerCheckpoint) as error:
        return [str(error)]
    problems = []
    for name in sorted(manifest.files):
        try:
            verify_file(folder, manifest, name)
        except DamagedCheckpoint as error:
            problems.append(str(error))
    return problems

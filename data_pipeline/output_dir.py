"""Where the outputs go, and where they must not."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from data_pipeline.sources.source import InputFile
from foundation.errors import ConfigError

WORK = "work"


def choose_output_dir(name: str, output_dir: str | None) -> Path:
    """Return the absolute output folder: `output_dir`, else data/<name> below the working folder.

    Raises:
        ConfigError: the name leads out of data/.
    """
    if output_dir is not None:
        return Path(output_dir).expanduser().absolute()
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part in (".", "..") for part in name.split("/")):
        raise ConfigError(
            f"name: {name!r} is no name of a folder below data/; give one such as web, or set output_dir="
        )
    return Path("data").absolute().joinpath(*parts)


def check_output_dir(folder: Path, inputs: list[InputFile]) -> None:
    """Refuse a folder that holds something that isn't ours.

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

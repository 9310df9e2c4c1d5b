"""What to type in place of a path that holds no shards."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from data_pipeline.shards.manifest import NAME as MANIFEST

DEFAULT_PATH = Path("data/pydocs")  # where `python -m data_pipeline` writes when it is told nothing
SHOWN = 5  # folders in a message
RAW = re.compile(r".+?(\.(?:jsonl|ndjson|txt)(?:\.(?:gz|gzip|zst|zstd))?)", re.IGNORECASE)  # a file of raw text


def instead(path: Path) -> str:
    """Return what to type in place of a path without shards: a data folder near it, or how to make the shards."""
    if (path.parent / MANIFEST).is_file():
        return f"the folder above it is a data folder; give data.path={path.parent}"
    if not any(path.glob(f"*/{MANIFEST}")) and (raw := _raw_text(path)):
        return raw
    beside = sorted(each.parent for root in (path, path.parent) for each in root.glob(f"*/{MANIFEST}"))
    if not beside:
        return _make(path)
    similar = {each.name: each for each in beside}
    near = difflib.get_close_matches(path.name, similar, n=len(similar), cutoff=0.5)
    shown = [similar[name] for name in near] or beside
    return f"data folders near it: {', '.join(map(str, shown[:SHOWN]))}; give one as data.path=, or {_make(path)}"


def _raw_text(path: Path) -> str | None:
    """Return how to make shards of the raw text that `path` is, or holds; None where there is none."""
    files = [path] if path.is_file() else sorted(path.glob("*"))
    suffixes = [found[1] for each in files if each.is_file() and (found := RAW.fullmatch(each.name))]
    if not suffixes:
        return None
    stem = path.name.removesuffix(suffixes[0])
    made = DEFAULT_PATH.parent / stem
    if made.exists():  # the pipeline writes to no folder that holds files of others
        made = made.with_name(f"{stem}_shards")
    corpus = "text" if ".txt" in suffixes[0].lower() else "jsonl"
    paths = path if path.is_file() else f"'[{path}/*{suffixes[0]}]'"
    command = f"python -m data_pipeline corpus={corpus} corpus.paths={paths} name={made.name}"
    return f"it is raw text, of which shards are made first: `{command}`; then give data.path={made}"


def _make(folder: Path) -> str:
    """Return the words that name the command for the shards of `folder`."""
    if folder == DEFAULT_PATH:
        return "make its shards with `python -m data_pipeline`"
    place = f"name={folder.name}" if folder.parent == DEFAULT_PATH.parent else f"output_dir={folder}"
    # Without corpus= the pipeline would make the embedded corpus, under this name.
    command = f"python -m data_pipeline corpus=jsonl corpus.paths='[<your files>]' {place}"
    return f"make its shards with the line for your text, such as `{command}` (corpus=text for plain text)"

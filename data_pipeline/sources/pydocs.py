"""The embedded corpus: the documentation of Python and of installed packages. Real prose without a download."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import orjson

from data_pipeline.documents import Quarantined
from data_pipeline.sources.batches import NO_METADATA, document_batch
from data_pipeline.sources.docstrings import help_topics, module_text
from data_pipeline.sources.inputs import check_source
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import InputError, require

# In the order in which they fill max_bytes: all are installed with the project, the best prose comes first.
PACKAGES = ("python", "numpy", "scipy", "pandas", "networkx", "torch", "sympy", "pyarrow", "datasets", "numba")
PYTHON = "python"  # stands for the standard library and the topics of help()
# Tests document themselves; site-packages lies inside the standard library's folder.
SKIPPED_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "_bundled", "__pycache__"})
TOPICS = Path("pydoc_data", "topics.py")


class PyDocs(Source):
    """Docstrings and help topics: a document is a module (its own docstring and those of its classes and functions) or
    a topic. Modules are parsed, never imported. The same installed versions give the same bytes.

    An input file is a package, a document's id is `<module>#<version>`, e.g. `numpy.linalg#2.4.6`.

    Args:
        max_bytes: the corpus ends before the module that would exceed it, in bytes of source code over all packages;
            more than a quarter of them becomes text.
        packages: top-level modules in the order in which they fill `max_bytes`; `python` is the standard library
            with the topics of help(). None: PACKAGES.
        source: names the source's shards.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        max_bytes: int = 70_000_000,
        packages: list[str] | None = None,
        source: str = "pydocs",
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        require(max_bytes >= 1, "max_bytes", max_bytes, "1 byte or more")
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.max_bytes = max_bytes
        self.packages = list(PACKAGES) if packages is None else list(packages)
        is_allowed = 0 < len(self.packages) == len(set(self.packages))
        require(is_allowed, "packages", self.packages, "at least one package, each once")

    def files(self) -> list[InputFile]:
        files, left = [], self.max_bytes
        for package in self.packages:
            sizes = [path.stat().st_size for path in _module_files(_root(package))]
            size_bytes = _fitting(sizes, left)
            files.append(InputFile(f"{package}-{_version(package)}", None, size_bytes))
            left = left - size_bytes if size_bytes == sum(sizes) else 0  # what did not fit ends the corpus
        return files

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        held: list[bytes] = []
        row = offset = size = read_bytes = 0
        for name, is_topic, data, read_bytes in _records(file.name.rpartition("-")[0], file.size_bytes):
            record = orjson.dumps([name, is_topic, len(data)]) + b"\n" + data
            if held and size + len(record) > partition_bytes:
                yield Block(row, offset, read_bytes, b"".join(held))
                row, offset, size = row + len(held), offset + size, 0
                held.clear()
            held.append(record)
            size += len(record)
        if held:
            yield Block(row, offset, file.size_bytes, b"".join(held))

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        version = file.name.rpartition("-")[2]
        rows: list[int] = []
        ids: list[bytes] = []
        texts: list[bytes] = []
        quarantined: list[Quarantined] = []
        with _no_collection():
            for row, (name, is_topic, data) in enumerate(_unpacked(block.data), block.first_row):
                try:
                    text = data if is_topic else _utf8(module_text(name, data))
                except (SyntaxError, ValueError) as error:
                    quarantined.append(Quarantined(row, 0, "python_syntax", f"{name}: {error}".encode()))
                    continue
                if text:
                    rows.append(row)
                    ids.append(f"{name}#{version}".encode())
                    texts.append(text)
        documents = document_batch(file_number, rows, ids, texts, [NO_METADATA] * len(rows))
        return Parsed(documents, quarantined, len(rows) + len(quarantined))


def _fitting(sizes: list[int], left: int) -> int:
    """Return the sum of the first sizes that do not exceed `left` together."""
    total = 0
    for size in sizes:
        if total + size > left:
            break
        total += size
    return total


def _records(package: str, size_bytes: int) -> Iterator[tuple[str, bool, bytes, int]]:
    """Yield what a package's first `size_bytes` of source hold: topics with their text, modules with their source.

    Returns:
        name, whether it is a topic, its bytes, and how many bytes of source were read before it.
    """
    root = _root(package)
    prefix = () if package == PYTHON else (package,)
    read_bytes = 0
    for path in _module_files(root):
        source = path.read_bytes()
        if read_bytes + len(source) > size_bytes:
            return
        if path == root / TOPICS:
            for topic, text in sorted(help_topics(source).items()):
                yield f"help.{topic}", True, _utf8(text), read_bytes
        else:
            parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), False, source, read_bytes
        read_bytes += len(source)


def _unpacked(data: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Yield the records of a block: a line of JSON with name, is_topic and length, then so many bytes."""
    at = 0
    while at < len(data):
        line_end = data.index(b"\n", at)
        name, is_topic, length = orjson.loads(data[at:line_end])
        at = line_end + 1 + length
        yield name, is_topic, data[line_end + 1 : at]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the search for cycles: syntax trees have none, and it walks each of them several times while it grows."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _module_files(root: Path) -> list[Path]:
    """Return the Python files below a folder, sorted by their path in it, tests left out; topics come first."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = set(folders) - SKIPPED_FOLDERS  # what is taken out is not entered
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found, key=lambda path: (path != root / TOPICS, path))


def _root(package: str) -> Path:
    """Return the folder of a package, found without importing it."""
    if package == PYTHON:
        return Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise InputError(
            f"corpus.packages: {package!r} is no installed package (a top-level module that is a folder); "
            "install it, or leave it out"
        )
    return Path(folders[0])


def _version(package: str) -> str:
    if package == PYTHON:
        return platform.python_version()
    try:
        return importlib.metadata.version(package).partition("+")[0]  # the docstrings of +cpu and +cu130 are the same
    except importlib.metadata.PackageNotFoundError:  # the distribution has another name than its module
        return "unknown"


def _utf8(text: str) -> bytes:
    """Return text as UTF-8; halves of surrogate pairs, which string literals may hold, become question marks."""
    return text.encode("utf-8", "replace")

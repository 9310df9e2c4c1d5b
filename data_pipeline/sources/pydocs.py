"""The embedded corpus: the documentation of Python and of installed packages. Real prose without a download."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
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
BLOCK_BYTES = 1 << 20  # at most: reading a package takes seconds, and each block shows as progress


@dataclass(frozen=True, slots=True)
class _Entry:
    """A document, or a module that can't be read: then `text` is empty and `problem` says why."""

    name: str
    text: bytes
    problem: str
    source_bytes: int


class PyDocs(Source):
    """Docstrings and help topics: a document is a module (its own docstring and those of its classes and functions) or
    a topic. Modules are parsed, never imported. The same installed versions give the same bytes.

    An input file is a package, a document's id is `<module>#<version>`, e.g. `numpy.linalg#2.4.6`.

    Args:
        max_bytes: the corpus ends before the document that would exceed it, in bytes of text over all packages.
        packages: top-level modules in the order in which they fill `max_bytes`; `python` is the standard library
            with the topics of help(). None: PACKAGES.
        source: names the source's shards.
        weight: share of the training mixture, relative to the other sources'.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        max_bytes: int = 20_000_000,
        packages: list[str] | None = None,
        source: str = "pydocs",
        weight: float = 1.0,
    ) -> None:
        check_source(source, weight)
        require(max_bytes >= 1, "max_bytes", max_bytes, "1 byte or more")
        self.name, self.weight = source, weight
        self.max_bytes = max_bytes
        self.packages = list(PACKAGES) if packages is None else list(packages)
        is_allowed = 0 < len(self.packages) == len(set(self.packages))
        require(is_allowed, "packages", self.packages, "at least one package, each once")
        self._text_bytes: dict[str, int] = {}  # of packages read so far: it takes a while, and is asked for again

    def files(self) -> list[InputFile]:
        files = []
        for package in self.packages:
            size_bytes = sum(path.stat().st_size for path in _module_files(_root(package)))
            files.append(InputFile(f"{package}-{_version(package)}", None, size_bytes))
        return files

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        package = file.name.rpartition("-")[0]
        earlier = self.packages[: self.packages.index(package)]
        budget = self.max_bytes - sum(self._bytes_of(each) for each in earlier)
        lines: list[bytes] = []
        row = offset = size = taken = read_bytes = 0
        for entry in _entries(package):
            taken += len(entry.text)
            if taken > budget:
                break
            line = orjson.dumps([entry.name, entry.text.decode(), entry.problem]) + b"\n"
            if lines and size + len(line) > min(partition_bytes, BLOCK_BYTES):
                yield Block(row, offset, read_bytes, b"".join(lines))
                row, offset, size = row + len(lines), offset + size, 0
                lines.clear()
            lines.append(line)
            size += len(line)
            read_bytes += entry.source_bytes
        self._text_bytes[package] = taken  # above the budget where it ended the corpus, so later packages get nothing
        if lines:
            yield Block(row, offset, file.size_bytes, b"".join(lines))

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        version = file.name.rpartition("-")[2]
        rows: list[int] = []
        ids: list[bytes] = []
        texts: list[bytes] = []
        quarantined: list[Quarantined] = []
        for row, line in enumerate(block.data.splitlines(), block.first_row):
            name, text, problem = orjson.loads(line)
            if problem:
                quarantined.append(Quarantined(row, 0, "python_syntax", f"{name}: {problem}".encode()))
                continue
            rows.append(row)
            ids.append(f"{name}#{version}".encode())
            texts.append(text.encode())
        documents = document_batch(file_number, rows, ids, texts, [NO_METADATA] * len(rows))
        return Parsed(documents, quarantined, len(rows) + len(quarantined))

    def _bytes_of(self, package: str) -> int:
        """Return the bytes of all of a package's documents."""
        if package not in self._text_bytes:
            self._text_bytes[package] = sum(len(entry.text) for entry in _entries(package))
        return self._text_bytes[package]


def _entries(package: str) -> Iterator[_Entry]:
    """Yield a package's documents in order: topics, then modules by path; those without documentation are left out."""
    root = _root(package)
    if package == PYTHON and (root / TOPICS).exists():
        for topic, text in sorted(help_topics((root / TOPICS).read_bytes()).items()):
            yield _Entry(f"help.{topic}", _utf8(text), "", 0)
    prefix = () if package == PYTHON else (package,)
    for path in _module_files(root):
        parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        source = path.read_bytes()
        try:
            text = module_text(module, source)
        except (SyntaxError, ValueError) as error:
            yield _Entry(module, b"", str(error), len(source))
            continue
        if text:
            yield _Entry(module, _utf8(text), "", len(source))


def _module_files(root: Path) -> list[Path]:
    """Return the Python files below a folder, sorted by their path in it, tests left out."""
    found = [path.relative_to(root) for path in root.rglob("*.py")]
    return [root / path for path in sorted(found) if SKIPPED_FOLDERS.isdisjoint(path.parts)]


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

"""The seat of every source: list the files, cut each into blocks (cheap, in order), parse a block (pure, anywhere)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa

from data_pipeline.documents import Quarantined
from foundation.errors import InputError


class TruncatedInput(InputError):
    """An input file ends before its own format says so."""


class InputChanged(InputError):
    """An input file changed while it was read."""


class Remote(ABC):
    """A file on another machine. Small, and another process may have it: it holds no connection, key or password.

    The query of a signed address is in it, as in the paths of its source: both go to workers through pipes and memory
    (of a cluster: through its object store, which others who may use that cluster can read), and into no file of ours.

    Attributes:
        where: its address without user, password and query.
    """

    where: str

    @abstractmethod
    def open(self) -> BinaryIO:
        """Return its bytes; see `InputFile.open`."""

    @abstractmethod
    def state(self, again: bool = False) -> list[Any]:
        """Return what changes when it does; see `InputFile.state`."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input. `name` is what reports and ids show: no folder above the inputs' shared one, so outputs can move.

    `size_bytes` is the size as stored, for progress; 0 when unknown. `path` is that of a file of this machine, `remote`
    one of another; both are None for inputs that are no files, whose `version` changes when they do.
    """

    name: str
    path: Path | None
    size_bytes: int
    remote: Remote | None = None
    version: str = ""

    @property
    def where(self) -> str:
        """Where to find it: for error messages alone, outputs hold no path of a machine."""
        return self.remote.where if self.remote else str(self.path or self.name)

    def open(self) -> BinaryIO:
        """Return the bytes as they are stored, from the first on. It can seek, at the price of a request where remote.

        Raises:
            InputError: it can't be read; from a remote file's stream also later, and never an early end.
        """
        if self.remote:
            return self.remote.open()
        assert self.path is not None
        try:
            return self.path.open("rb")
        except OSError as error:
            raise InputError(f"{self.where}: can't be read ({error.strerror}); put it back or leave it out") from error

    def state(self, again: bool = False) -> list[Any]:
        """Return what changes when it does, without reading it: JSON values.

        Of a local file its size and times, as make, rsync and git compare them. The time of the inode's change is among
        them: nobody can set it, so that a file with another content and its old date is noticed. Of a remote file its
        size and what its server calls its version. Inputs that are no files have a version, or are made from the
        settings, or from an installed version that their name tells.

        Args:
            again: ask the server of a remote file once more; else what it said when the files were listed.
        Raises:
            InputError: it can't be looked at.
        """
        if self.remote:
            return self.remote.state(again)
        if self.path is None:
            return [self.size_bytes, self.version]
        try:
            status = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.where}: can't be read ({error.strerror}); put it back, or leave it out") from error
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of whole records of one file, still unparsed; a partition is one or more of them.

    `first_row` and `offset_bytes` say where it begins in the (decompressed) file; `read_bytes` is how far into the file
    on disk the reader is, for progress. `unpacked_bytes` is what its records take in memory, where `data` is packed.
    `unchecked_bytes` is how many of the file's bytes up to there no checksum of their format vouches for.
    """

    first_row: int
    offset_bytes: int
    read_bytes: int
    data: bytes
    unpacked_bytes: int = 0
    unchecked_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed block. `documents` has documents.SCHEMA; num_records = documents.num_rows + len(quarantined).

    `passed_over` counts the records of the file that are no documents by design, by what they are: no one looks for
    them in the books of documents, but their number is told.
    """

    documents: pa.RecordBatch
    quarantined: list[Quarantined]
    num_records: int
    passed_over: Counter[str] = field(default_factory=Counter)


class Corpus(ABC):
    """What `corpus=` builds: one source or several."""

    @abstractmethod
    def sources(self) -> list[Source]:
        """Return the sources in the order their files are numbered."""

    def keyed(self, key: str) -> Self:
        """Tell it the key that it stands below in the config, for messages; return it."""
        return self


class Source(Corpus):
    """One source of documents.

    Attributes whose names don't begin with _ are its settings, JSON values: when one changes, it is read again. Each
    argument of the constructor is kept under its own name (`source` as `name`).

    Attributes:
        name: names its shards, `<name>_00000.bin`.
        weight: its share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight, {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents once they are parsed, by `sources.tags`.
        extras: packages of the project's extra `web` that it needs; when the version of one changes, it is read again.
        key: of its settings in the config, for messages: the name of the source is not always what was typed.
    """

    name: str
    weight: float
    budget: dict[str, float] | None = None
    tags: dict[str, str] | None = None
    extras: tuple[str, ...] = ()
    _key: str = "corpus"
    _is_told: bool = False

    def sources(self) -> list[Source]:
        return [self]

    def keyed(self, key: str) -> Self:
        self._key = key
        return self

    @property
    def key(self) -> str:
        return self._key

    def is_first(self) -> bool:
        """Return whether this is asked for the first time: what is amiss in each of its files is told once."""
        is_first, self._is_told = not self._is_told, True
        return is_first

    @abstractmethod
    def files(self) -> list[InputFile]:
        """Return the input files, each once, in an order that is the same on every machine: files sorted by name.

        Raises:
            InputError: a pattern matches nothing (names it and the nearest existing path), a file can't be read.
        """

    @abstractmethod
    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        """Yield the file's blocks of at most `partition_bytes` (one longer record excepted), cut by content alone.

        Raises:
            TruncatedInput: the file ends early. Nothing of a file may be committed before this iterator is exhausted.
            InputError: the file as a whole is not what the source expects, e.g. none of its records has the text key.
        """

    @abstractmethod
    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        """Parse one block. Pure: the same documents in any process. Bad records are quarantined."""

    def advice(self) -> str:
        """Return what else to try when too few documents of the source are left: a clause that ends the message.

        Asked only then: it may look at the files again.
        """
        return ""

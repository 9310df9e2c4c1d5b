"""What all stages share: the key that says whether one must be redone, parts worked on by executors, the commit."""

from __future__ import annotations

import importlib.metadata
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

import numpy as np

from data_pipeline.documents import fingerprint
from data_pipeline.executors.executor import Executor, Item
from data_pipeline.ledger import Account, Book
from data_pipeline.output_dir import LEDGER, REPORT, WORK
from data_pipeline.records import Part, Records
from data_pipeline.stages.view import View
from data_pipeline.storage import DamagedFile
from foundation.hashes import hash_bytes, hash_json

BYTES_REMOVED = "bytes_removed"  # in facts
BYTES_REWRITTEN = "bytes_rewritten"
ROOM = Path(__file__).parent.parent
SHARED_CODE = (
    "documents.py",
    "ledger.py",
    "records.py",
    "storage.py",
    "utf8.py",
    "stages/cuts.py",
    "stages/stage.py",
    "stages/view.py",
)  # of all stages


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the stages work and who works.

    Attributes:
        output_dir: absolute.
        executor: runs their parts.
    """

    output_dir: Path
    executor: Executor

    @property
    def work(self) -> Path:
        """The folder of what is kept for resuming."""
        return self.output_dir / WORK


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage did.

    Attributes:
        output: hash of what the later stages see of it: when it is the same as before, they need not be redone.
        book: source -> account; empty for a stage that no documents pass through.
        files: all that it wrote and that must stay.
        facts: JSON values for the stages and reports to come. For people, where there are any: `note`, a few words for
            the closing table; `warnings`, texts printed below it; `remark`, a text for the page; `counts`, name ->
            number, for the ledger and the page;
            `training`, source -> documents left to train on; `bytes_in_and_removed`, source -> bytes of text, for the
            warning and the page; `bytes_removed`, source -> reason -> bytes of documents that did not come out;
            `bytes_rewritten`, source -> documents that stay, bytes of their text as it was read, and as rules left it.
        utf8_bytes: of the text that it went through, for its speed.
    """

    output: str
    book: Book
    files: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)
    utf8_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished stage.

    Attributes:
        output: hash of what the later stages see.
        facts: what it wrote down for them and for reports.
        timing: what it took the run that did it, as `stages.taken` measures it.
        redone: whether this run did it.
        is_off: whether its settings left nothing to do.
    """

    name: str
    output: str
    book: Book
    facts: dict[str, Any]
    timing: dict[str, float]
    redone: bool
    is_off: bool = False


class Stage(ABC):
    """One stage.

    Attributes:
        name: names its folders and its line in the ledger.
        title: names it on the page.
        code: the modules and folders of data_pipeline that it runs, relative paths.
        libraries: packages whose versions may change the bytes that it gives.
        loosen: what to set so that it removes less, for the error when nothing is left.
        is_told: whether how much it removes is what the settings say in numbers: no warning then that it is much.
        is_off: whether its settings leave every document as it is, without a look at it.
        vouching: files of the output folder that speak of what it writes, and go before that changes.
        releases: whether its run takes these back itself, at the moment when what they speak of changes; else they go
            before it runs.
    """

    name: str
    title: str
    code: tuple[str, ...]
    libraries: tuple[str, ...] = ("numpy", "pyarrow")
    loosen: str = ""
    is_told: bool = False
    is_off: bool = False
    vouching: tuple[str, ...] = (LEDGER, REPORT)
    releases: bool = False

    def __init__(self, place: Workplace) -> None:
        self.place = place

    @property
    def folder(self) -> Path:
        """Its folder in work/."""
        return self.place.work / self.name

    @property
    def records(self) -> Records:
        """The records of its parts."""
        return Records(self.folder, self.place.output_dir)

    def say_damage(self) -> None:
        """Say what became of the files of a finished stage, some of which are missing or have other sizes."""
        with suppress(DamagedFile):  # a record that is no longer what was written was named as it was read
            missing = [path for path in self.records.files("stage") if not path.is_file()]
            if self.stands(self.records.facts("stage")["facts"]):  # else it has named what it found
                size = f"{self.place.output_dir}: a file of stage {self.name} has another size than was written"
                what = f"{missing[0]}: missing" if missing else size
                print(f"{what}; stage {self.name} is done again", file=sys.stderr)

    def release(self) -> None:
        """Take back what vouches for the files that are about to change: its own record, and those of the folder."""
        self.records.forget("stage")
        for name in self.vouching:
            (self.place.output_dir / name).unlink(missing_ok=True)

    @abstractmethod
    def settings(self) -> Any:
        """Return, as JSON values, all that its result depends on beside its code and the stages before."""

    @abstractmethod
    def run(self, view: View, before: Book) -> Outcome:
        """Do the work; parts that an earlier run finished are taken as they are.

        Args:
            view: the corpus as the stages before left it.
            before: the book of the stage before.
        """

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        """Raise when nothing can be built on its result, be it of this run or an earlier one; most have no such limit.

        Args:
            books: stage and its book, in the order of the stages; its own is the last.
        Raises:
            GroundworkError: says what is wrong with it.
        """
        return

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        """Return the corpus as the finished stage leaves it to the next.

        Args:
            view: the corpus as it came to this one.
            facts: what it wrote down.
        """
        return view.after(self.name)

    def stands(self, facts: dict[str, Any]) -> bool:
        """Return whether a finished result still holds; its key is checked already. Where it doesn't, say so."""
        return True

    def key(self, before: str) -> str:
        """Return the hash of all that its result depends on.

        Args:
            before: the output hash of the stage before.
        """
        return hash_json([self.name, self.identity, before])

    @cached_property
    def identity(self) -> str:
        """Hash of its settings and its code: what each of its parts depends on beside the input."""
        return hash_json([self._settings, self.code_hash])

    @cached_property
    def code_hash(self) -> str:
        """Hash of the code that this stage runs, its users' own classes and its libraries included."""
        return code_hash(self.code, self.libraries, _users_code(self._settings))

    @cached_property
    def _settings(self) -> Any:
        """Its settings as they are at the beginning: some look at every input file."""
        return self.settings()


def code_hash(code: Sequence[str], libraries: Sequence[str], users: Iterable[Path] = ()) -> str:
    """Return the hash of some of the pipeline's code, of libraries' versions, and of files of a user's own.

    Args:
        code: files and folders below data_pipeline/; what all stages share is added.
    """
    files = sorted(path for name in (*SHARED_CODE, *code) for path in _sources(ROOM / name))
    files += sorted(users)
    versions = [importlib.metadata.version(library) for library in libraries]
    return hash_json([[hash_bytes(path.read_bytes()) for path in files], versions, unicodedata.unidata_version])


def _sources(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _users_code(settings: Any) -> set[Path]:
    """Return the files of the packages that every `_target_` inside comes from: a user's own rule is code too, and so
    is whatever it imports from its own package. Ours is in `Stage.code`."""
    if isinstance(settings, list):
        return {path for value in settings for path in _users_code(value)}
    if not isinstance(settings, dict):
        return set()
    found = {path for value in settings.values() for path in _users_code(value)}
    top = str(settings.get("_target_", __package__)).partition(".")[0]
    package = sys.modules.get(top)
    if package is None or top == ROOM.name:
        return found
    if not hasattr(package, "__path__"):  # a module that stands alone
        return found | {Path(str(package.__file__))}
    return found.union(*(Path(folder).rglob("*.py") for folder in package.__path__))


@dataclass(frozen=True, slots=True)
class Task(Generic[Item]):
    """One part to do: its name, its key, and what to do it on; or the facts that were found of it."""

    name: str
    key: str
    item: Item | None
    found: dict[str, Any] | None = None


class _Committing(Generic[Item]):
    """Runs in the worker: do the part, then declare it finished."""

    def __init__(self, function: Callable[[Item], Part], records: Records) -> None:
        self._function, self._records = function, records

    def __call__(self, task: Task[Item]) -> tuple[str, dict[str, Any]]:
        if task.found is not None:
            return task.name, task.found
        assert task.item is not None
        self._records.forget(task.name)  # its files are about to change
        try:
            part = self._function(task.item)
        except Exception as error:
            error.add_note(f"while working on {self._records.folder / task.name}")
            raise
        self._records.commit(task.name, task.key, part)
        return task.name, part.facts


def do_parts(
    executor: Executor, records: Records, tasks: Iterable[Task[Item]], function: Callable[[Item], Part]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, facts) of each task, in order; what was finished before is not done again.

    Args:
        function: runs in a worker; writes its files, each complete or absent, and returns them.
    """
    return executor.map(_Committing(function, records), tasks)


def task(records: Records, name: str, key: str, item: Item) -> Task[Item]:
    """Return the task, with its facts in place of its item when it was finished before."""
    found = records.find(name, key)
    return Task(name, key, None if found is not None else item, found)


def account_decision(view: View, gone: np.ndarray, reason: str, before: Book) -> Book:
    """Return the book of a stage that removed documents, all for one reason.

    The fingerprint of what came in is the one that the stage before wrote; those of what went are taken anew from the
    stored keys: that they add up is a check and no tautology.

    Args:
        view: before the removal.
        gone: (m,) int64 indices of the removed documents, each once.
        before: the book of the stage before.
    """
    stays = view.alive.copy()
    stays[gone] = False
    removed = np.zeros_like(stays)
    removed[gone] = True
    book: Book = {}
    for source, mask in view.source_masks():
        lost = int(mask[gone].sum())
        book[source] = Account(
            num_in=before[source].num_out,
            num_out=int((stays & mask).sum()),
            dropped=Counter({reason: lost} if lost else {}),
            fingerprint_in=before[source].fingerprint_out,
            fingerprint_out=fingerprint(view.files[stays & mask], view.rows[stays & mask]),
            fingerprint_dropped=fingerprint(view.files[removed & mask], view.rows[removed & mask]),
        )
    return book


def bytes_in_and_removed(view: View, gone: np.ndarray) -> dict[str, list[int]]:
    """Return, by source, the bytes of text before a removal and of those removed; `gone` are their indices."""
    removed = np.zeros_like(view.alive)
    removed[gone] = True
    return {
        source: [int(view.sizes[view.alive & mask].sum()), int(view.sizes[removed & mask].sum())]
        for source, mask in view.source_masks()
    }

"""The groups of the documents, read from their metadata: partition by partition, then named for the whole corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.executors.executor import Executor
from data_pipeline.mix.groups import UNKNOWN, check_number, components, read_groups
from data_pipeline.mix.split import NoFieldError, SplitError
from data_pipeline.records import Part, Records
from data_pipeline.stages.fields import none_has
from data_pipeline.stages.stage import Task, do_parts, task
from data_pipeline.stages.view import Slice, View
from data_pipeline.storage import read_arrays, write_arrays
from foundation.errors import SettingError, nearest
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress

LISTED = 20  # groups in an error


@dataclass(frozen=True, slots=True)
class Grouped:
    """The components of the mixture that the documents belong to.

    Attributes:
        names: of all components.
        numbers: (documents of the corpus,) int32 by index, each one's place in `names`; of those gone it is -1.
        files: that were written on the way.
    """

    names: list[str]
    numbers: np.ndarray
    files: list[Path]


@dataclass(frozen=True, slots=True)
class Grouping:
    """How documents are grouped.

    Attributes:
        field: of the metadata.
        min_frac: as of `mix.groups.components`.
        named: as of `mix.groups.named_groups`.
    """

    field: str
    min_frac: float
    named: dict[str, str]

    def group(self, view: View, executor: Executor, records: Records, identity: str) -> Grouped:
        """Read the groups of all documents that are still in, and name the components.

        Args:
            records: of the stage that does it. identity: what its parts depend on beside the input.
        Raises:
            NoFieldError: no document has the field.
            SplitError: two components would have one name.
            SettingError: no document has one of the named groups, or there are too many.
        """
        numbers = np.full(len(view.alive), -1, np.int32)
        of_source: dict[str, dict[str, int]] = {}  # source -> group -> its number
        files: list[Path] = []
        firsts = {piece.partition.name: piece for piece in view.slices(view.alive)}
        read = _ReadGroups(self.field, records.folder)
        with progress("groups", len(view.positions), "docs") as meter:
            for name, facts in do_parts(executor, records, self._tasks(view, records, identity), read):
                piece = firsts[name]
                known = of_source.setdefault(piece.partition.source, {})
                here = [known.setdefault(group, len(known)) for group in facts["groups"]]
                numbers[piece.indices()] = np.array(here, np.int32)[read_arrays(_path(records.folder, name))["groups"]]
                files += records.files(name)
                meter.add(int(piece.mask.sum()))
        names = self._number(view, numbers, of_source)
        return Grouped(names, numbers, files)

    def _tasks(self, view: View, records: Records, identity: str) -> Iterator[Task[Slice]]:
        settings = hash_json([identity, self.field])
        for piece in view.slices(view.alive):
            key = hash_json([settings, piece.partition.batch_hash, hash_bytes(piece.mask.tobytes())])
            yield task(records, piece.partition.name, key, piece)

    def _number(self, view: View, numbers: np.ndarray, of_source: dict[str, dict[str, int]]) -> list[str]:
        """Turn the numbers of groups within their sources into those of components, in place; return the names."""
        names: list[str] = []
        source_of: dict[str, str] = {}
        text_bytes: dict[str, dict[str, int]] = {}
        for source, mask in view.source_masks():
            mine, known = mask & view.alive, of_source.get(source, {})
            sizes = np.bincount(numbers[mine], weights=view.sizes[mine], minlength=len(known)).astype(np.int64).tolist()
            text_bytes[source] = dict(zip(known, sizes, strict=True))
            joined = components(source, text_bytes[source], self.min_frac, self.named)
            places = {name: len(names) + place for place, name in enumerate(sorted(set(joined.values())))}
            names += places
            for name in places:
                other = source_of.setdefault(name.lower(), source)  # on macOS a.en_00000.bin and A.en_00000.bin are one
                if other != source:
                    raise SplitError(
                        f"mix.group_by: {name!r} would be a component of the sources {other!r} and {source!r}; call "
                        "one of them otherwise"
                    )
            numbers[mine] = np.array([places[joined[group]] for group in known], np.int32)[numbers[mine]]
        if all(set(groups) == {UNKNOWN} for groups in of_source.values()):
            raise self._none_has_it(view)
        check_number(len(names), text_bytes, self.named)
        self._check_named({group for groups in of_source.values() for group in groups})
        return names

    def _check_named(self, found: Iterable[str]) -> None:
        """Warn of each group that is named and that no document has; refuse where all are such."""
        there = sorted(found)
        missing = [spelt for name, spelt in self.named.items() if name not in there]
        if missing and len(missing) == len(self.named):
            more = f" and {len(there) - LISTED:,} more" if len(there) > LISTED else ""
            raise SettingError(
                f"mix.group_weights: no document has one of the groups {', '.join(missing)}; there are "
                f"{', '.join(there[:LISTED])}{more}; name some of these"
            )
        for spelt in missing:
            print(
                f"warning: mix.group_weights.{spelt}: no document has this group{nearest(spelt.lower(), there)}; "
                "groups that are not named are joined into `other`",
                file=sys.stderr,
            )

    def _none_has_it(self, view: View) -> NoFieldError:
        return NoFieldError(
            f"mix.group_by: {none_has(self.field, view)}; name another field, or type "
            "+clean/rules@clean.rules.language=language, a rule that writes the field 'language'"
        )


class _ReadGroups:
    """Runs in a worker."""

    def __init__(self, field: str, folder: Path) -> None:
        self._field, self._folder = field, folder

    def __call__(self, piece: Slice) -> Part:
        names, places = read_groups(piece.metadata().to_pylist(), self._field)
        path = _path(self._folder, piece.partition.name)
        write_arrays(path, {"groups": places})
        return Part({"groups": names}, [path])


def _path(folder: Path, partition: str) -> Path:
    """Return the file of a partition's groups: `groups`, (documents still in,) int32 places in its record's list."""
    return folder / f"{partition}.npz"

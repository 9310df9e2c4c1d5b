"""Exact and near duplicates: features of each partition in workers, then one decision over the whole corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.corpus import Corpus
from data_pipeline.dedup.dedup import Dedup, none_of
from data_pipeline.dedup.planted import SelfTest, sampled
from data_pipeline.ledger import Book
from data_pipeline.limits import DuplicateLimit
from data_pipeline.output_dir import DEDUPLICATION, REMOVED, SIGNATURES
from data_pipeline.records import Records, keep_only
from data_pipeline.stages.corpus import StoredCorpus
from data_pipeline.stages.decide import decide
from data_pipeline.stages.deduplication import write_summary
from data_pipeline.stages.features import read_features
from data_pipeline.stages.measure import Measure, check_ids, in_words
from data_pipeline.stages.preference import num_without, preference
from data_pipeline.stages.signature_files import LayOut, look_at, path_state, signature_paths
from data_pipeline.stages.signatures import SaveSignatures
from data_pipeline.stages.stage import (
    Outcome,
    Stage,
    Task,
    Workplace,
    do_parts,
    task,
)
from data_pipeline.stages.stored import Stored, index_stored
from data_pipeline.stages.view import Slice, View
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress
from foundation.text import number_of

EXACT, NEAR = "exact", "near"
STORED = "stored"  # in settings and facts: what stored signatures are known by
WITHOUT_FIELD = "documents_without_keep_field"  # in counts
COUNTS = {"stored_signatures_taken": "stored", "stored_signatures_compared": "compared"}  # name -> of a part's facts


class _Duplicates(Stage):
    """What both stages are built from.

    Args:
        raw: the plain config of `dedup`.
    """

    code = (
        "dedup",
        "stages/clusters.py",
        "stages/corpus.py",
        "stages/decide.py",
        "stages/deduplication.py",
        "stages/described.py",
        "stages/duplicates.py",
        "stages/features.py",
        "stages/inputs.py",
        "stages/mapped.py",
        "stages/measure.py",
        "stages/fields.py",
        "stages/preference.py",
        "stages/removed.py",
        "stages/signature_files.py",
        "stages/signatures.py",
        "stages/stored.py",
    )
    libraries = ("datasketch", "numpy", "pyarrow", "xxhash")

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._dedup, self._raw = dedup, raw
        self._stored_paths = signature_paths(dedup.signatures, place.output_dir)

    def _without(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the config but for these arguments, those that name files, and the limits."""
        names |= self._dedup.files_alone | self._dedup.limits
        return {name: value for name, value in self._raw.items() if name not in names}

    @property
    def _measured(self) -> dict[str, Any]:
        """The settings that what is measured of a document depends on."""
        return self._without(self._dedup.near_alone | self._dedup.order_alone)

    def _preference(self, view: View, counts: dict[str, int]) -> np.ndarray | None:
        """Return what the order goes by; say and count how many documents have nothing of it."""
        values = preference(self._dedup.order, view, self.place.executor)
        without = 0 if values is None else num_without(values)
        if values is not None and without:
            counts[WITHOUT_FIELD] = without
            print(
                f"{self.name}: {without:,} of {number_of(len(values), 'document')} without {self._dedup.order.field!r} "
                "(dedup.keep_field): they go before any that has it",
                file=sys.stderr,
            )
        return values

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        """What is gone by now, exact and near duplicates together, may be too much of a source."""
        mine = [(stage, book) for stage, book in books if stage in (EXACT, NEAR)]
        DuplicateLimit(self._dedup.max_loss_frac).check(mine, self.place.output_dir / REMOVED)


class ExactDuplicates(_Duplicates):
    """Measures every document, and removes those whose words equal a kept one's."""

    name = EXACT
    title = "exact duplicates"
    loosen = "dedup=none removes nothing"

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place, dedup, raw)
        self.is_off = not (dedup.seeks_exact or dedup.seeks_near)
        # what is wrong with them is said before the long work begins
        files = enumerate(self._stored_paths)
        self._files = [look_at(path, number, dedup.signing) for number, path in files if dedup.signing]
        self._warn_of_unsaid()

    def _warn_of_unsaid(self) -> None:
        """Signatures of a table of the user's own are held against the text, which is late: after cleaning."""
        bare = [file.path for file in self._files if not file.has_metadata]
        if bare and self._dedup.signing and self._dedup.signing.engine == "fast":
            print(
                f"warning: dedup.signatures: {bare[0]} does not say how its signatures were made, and no other program "
                "makes those of dedup.engine=fast; for datasketch's, set dedup.engine=compatible",
                file=sys.stderr,
            )

    def settings(self) -> Any:
        """All but those of `near` alone: another threshold measures nothing anew."""
        saved = {"save_signatures": True} if self._dedup.save_signatures else {}
        states = [path_state(path) for path in self._stored_paths]
        return self._without(self._dedup.near_alone) | saved | ({STORED: states} if states else {})

    def run(self, view: View, before: Book) -> Outcome:
        saved = self.place.output_dir / SIGNATURES
        if self.is_off:
            keep_only(saved, [])
            return decide(self, view, before, none_of("exact_duplicate"), None, [])
        stored, content = self._stored()
        tasks = list(self._tasks(view, content))
        files, counts = self._measure(view, tasks, stored)
        written = self._save(view, tasks, saved) if self._dedup.save_signatures else []
        keep_only(saved, written)
        parts = [read_features(self.folder, piece.partition.name) for piece in view.slices(view.alive)]
        removals = none_of("exact_duplicate")
        if self._dedup.seeks_exact:
            removals = self._dedup.exact(parts, self._preference(view, counts))
        return decide(self, view, before, removals, None, [*files, *written], {"counts": counts, STORED: content})

    def _stored(self) -> tuple[Stored | None, str]:
        """Return the stored signatures that were given, and the hash of their content."""
        if not self._files:
            return None, ""
        assert self._dedup.signing is not None
        num_perm = self._dedup.signing.num_perm
        settings = hash_json([self.code_hash, self._dedup.signing.metadata()])
        tasks = (
            task(self.records, file.name, hash_json([settings, path_state(file.path)]), file) for file in self._files
        )
        found = do_parts(self.place.executor, self.records, tasks, LayOut(self.folder, num_perm))
        facts = [facts for _, facts in found]
        return index_stored(self.folder, self._files, facts, num_perm), hash_json(sorted(f["content"] for f in facts))

    def _tasks(self, view: View, stored: str) -> Iterator[Task[Slice]]:
        for piece in view.slices(view.alive):
            documents = [piece.content_hash, hash_bytes(piece.mask.tobytes())]
            key = hash_json([self._measured, self.code_hash, documents, *([stored] if stored else [])])
            yield task(self.records, piece.partition.name, key, piece)

    def _measure(
        self, view: View, tasks: list[Task[Slice]], stored: Stored | None
    ) -> tuple[list[Path], dict[str, int]]:
        """Return the files written, and counts for reports."""
        files: list[Path] = []
        parts: list[dict[str, Any]] = []
        measure = Measure(self._dedup, self.folder, stored, view.file_names)
        with progress(self.name, int(view.sizes[view.alive].sum()), "B", "text") as meter:
            for name, facts in do_parts(self.place.executor, self.records, tasks, measure):
                files += self.records.files(name)
                parts.append(facts)
                meter.add(facts["utf8_bytes"])
        if stored is None:
            return files, {}
        check_ids(self.folder, [each.name for each in tasks], stored)
        print(f"{self.name}: {in_words(parts, len(view.positions))}", file=sys.stderr)
        return files, {name: sum(part[key] for part in parts) for name, key in COUNTS.items()}

    def _save(self, view: View, measured: list[Task[Slice]], folder: Path) -> list[Path]:
        """Write the signatures as an output; return its files and their records."""
        assert self._dedup.signing is not None
        names, tasks = hash_json(view.file_names), []
        for each, piece in zip(measured, view.slices(view.alive), strict=True):
            key = hash_json([each.key, piece.partition.source, names])  # these stand in every row
            tasks.append(task(self.records, f"signatures-{each.name}", key, piece))
        save = SaveSignatures(self._dedup.signing, self.folder, folder, view.file_names)
        done = do_parts(self.place.executor, self.records, tasks, save)
        return [path for name, _ in done for path in self.records.files(name)]


class NearDuplicates(_Duplicates):
    """Removes documents that are verified to be similar to a kept one."""

    name = NEAR
    title = "near duplicates"
    loosen = "dedup.threshold= sets the limit, dedup=exact removes copies alone"

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place, dedup, raw)
        self.is_off = not dedup.seeks_near

    def settings(self) -> Any:
        """With what is in stored signatures, as `exact` found it: a file that was only touched changes nothing here."""
        if not self._stored_paths:
            return self._without(frozenset())
        exact = Records(self.place.work / EXACT, self.place.output_dir).facts("stage")  # finished: its turn is over
        return self._without(frozenset()) | {STORED: exact["facts"].get(STORED)}

    def stands(self, facts: dict[str, Any]) -> bool:
        """Return whether it would not be stopped now: under a smaller limit it is done again, and says by what text."""
        largest: int = facts.get("counts", {}).get("largest_cluster", 0)
        return largest <= self._dedup.max_cluster

    def run(self, view: View, before: Book) -> Outcome:
        keep_only(self.place.output_dir / DEDUPLICATION, [])  # it describes what is about to change
        if self.is_off:
            return decide(self, view, before, none_of("near_duplicate"), None, [])
        description = self._dedup.describe()
        if description and len(view.positions) > 1:
            for line in description.splitlines():
                print(f"{self.name}: {line}", file=sys.stderr)
        folder = self.place.work / EXACT
        measured = view.before(EXACT).alive
        parts = [
            read_features(folder, piece.partition.name, piece.mask[measured[piece.span]])
            for piece in view.slices(view.alive)
        ]
        corpus = StoredCorpus(self, view, hash_json([self._measured, self.code_hash]))
        counts: dict[str, int] = {}
        result = self._dedup.near(parts, corpus, self._preference(view, counts))
        tested = self._tested(view, corpus)
        files = write_summary(self.place.output_dir / DEDUPLICATION, view, corpus.texts_at, result, tested)
        counts |= result.counts | (tested.counts if tested is not None else {})
        facts = {"counts": counts, "remark": description}
        return decide(self, view, before, result.removals, result.clusters, files, facts)

    def _tested(self, view: View, corpus: Corpus) -> SelfTest | None:
        """Return what planted near-duplicates say of the settings. Taken after the search, when texts are at hand."""
        tested = self._dedup.test_on(corpus.texts_at(sampled(len(view.positions))))
        if tested is None:
            return None
        for line in str(tested).splitlines():
            print(f"{'warning: ' if tested.misses else ''}{self.name}: {line}", file=sys.stderr)
        return tested

"""What `preflight=` builds: nothing, or the probe that foretells the run."""

from __future__ import annotations

import contextlib
import inspect
import math
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipeline.executors.executor import Executor
from data_pipeline.losses import BadLimit, NothingLeft
from data_pipeline.mix.split import SplitError
from data_pipeline.output_dir import (
    FORECAST,
    FORECAST_PAGE,
    PREFLIGHT,
    REPORT,
    WORK,
    check_output_dir,
    choose_output_dir,
    reclaim,
)
from data_pipeline.pipeline import LIMITS, Result
from data_pipeline.preflight.apart import run_apart
from data_pipeline.preflight.draw import Wish, draw
from data_pipeline.preflight.drawn import Drawn, DrawnCorpus
from data_pipeline.preflight.forecast import Forecast, Probed, Whole, forecast
from data_pipeline.preflight.outcomes import outcomes
from data_pipeline.preflight.show import Room, print_forecast
from data_pipeline.preflight.stops import stops
from data_pipeline.sources.source import Source
from data_pipeline.stages.inputs import group_files
from data_pipeline.storage import room_for
from data_pipeline.tokenize.errors import TokenizerError
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.errors import GroundworkError, require
from foundation.files import folder_lock, read_json, write_json
from foundation.hashes import hash_json
from foundation.memory import machine_bytes

# the first probe is one block of so many of the second's, more where nothing is left of it: it compiles, and the two
# tell fixed costs from those that grow
SMALLER = (4, 2)
LARGE = "large"  # folder of the second
PARTS = 4  # partitions a worker, where the whole run has as many: the probe keeps the workers busy as the run would
TRIES, MORE = 4, 4  # a part of which nothing is left is too small, not the run doomed: so often so much more is drawn
TOO_SMALL = (NothingLeft, SplitError, TokenizerError)
NONE = {"_target_": "data_pipeline.preflight.preflight.NoPreflight"}


class RunForetoldToStop(GroundworkError):
    """The run would not come to its end: what stops it, and what to do."""


class Preflight(ABC):
    """The seat of what happens before a run."""

    @abstractmethod
    def goes_on(self, arguments: dict[str, Any]) -> bool:
        """Look ahead at a run, and return whether it is to begin.

        Args:
            arguments: of `pipeline.run`.
        Raises:
            RunForetoldToStop: it should not.
        """


class NoPreflight(Preflight):
    """The run begins at once."""

    def goes_on(self, arguments: dict[str, Any]) -> bool:
        return True


class Probe(Preflight):
    """Runs the same stages with the same settings over a small part of each source, and foretells the whole run.

    The part is drawn in blocks spread over the files (`draw`). A quarter of it is run first: it compiles the kernels,
    and with it a stage's fixed cost is told from what goes by the size of the input. The limits that stop a run are
    lifted meanwhile and put to the forecast.

    Args:
        frac: share of each source's bytes that is drawn, in (0, 1].
        least_bytes: of a source that are drawn all the same, as stored; all of it where it is smaller.
        most_bytes: that are drawn at most: more makes the forecast no better.
        seed: of the choice.
        go_on: whether the run follows, unless it is foretold to stop.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        frac: float = 0.01,
        least_bytes: int = 2 << 20,
        most_bytes: int = 1 << 30,
        seed: int = 0,
        go_on: bool = False,
    ) -> None:
        require(0 < frac <= 1, "frac", frac, "a share above 0, up to 1; 0.01 is usual")
        require(least_bytes >= 1, "least_bytes", least_bytes, f"1 or more bytes; {2 << 20} (2 MiB) is usual")
        require(most_bytes >= least_bytes, "most_bytes", most_bytes, "no less than least_bytes")
        require(seed >= 0, "seed", seed, "a number from 0")
        self.frac, self.least_bytes, self.most_bytes, self.seed = frac, least_bytes, most_bytes, seed
        self.go_on = go_on

    def goes_on(self, arguments: dict[str, Any]) -> bool:
        folder = choose_output_dir(arguments["name"], arguments.get("output_dir"))
        sources = build(arguments["corpus"]).sources()
        executor: Executor = build(arguments["executor"])
        groups = group_files(sources, _partition_bytes(arguments))
        check_output_dir(folder, [each.file for group in groups for each in group.files])
        with folder_lock(folder), room_for(folder):
            scratch = folder / WORK / PREFLIGHT
            scratch.parent.mkdir(exist_ok=True)
            reclaim(folder)
            try:
                found, passed = self._look(arguments, sources, executor, scratch, folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        lacking = [] if found is None else print_forecast(*found)
        if passed or lacking:
            page = folder / FORECAST_PAGE
            shown = f" What became of the documents of the probe: {page}" if page.exists() and passed else ""
            raise RunForetoldToStop(f"preflight: the run would stop. {' '.join([*passed, *lacking])}{shown}")
        return self.go_on

    def _look(
        self, arguments: dict[str, Any], sources: list[Source], executor: Executor, scratch: Path, folder: Path
    ) -> tuple[tuple[Forecast, list[Drawn], Room] | None, list[str]]:
        """Return the forecast, none where the probe itself came to no end; and what would stop the run."""
        for name in (FORECAST, FORECAST_PAGE):
            (folder / name).unlink(missing_ok=True)
        frac, least = self.frac, float(self.least_bytes)
        for attempt in range(TRIES):
            wish = Wish(min(frac, 1.0), least / len(sources), self.most_bytes / len(sources), self.seed)
            drawn = [draw(source, wish, scratch / f"{number}.drawn") for number, source in enumerate(sources)]
            try:
                small, large, result = self._probe(arguments, drawn, executor, scratch)
                break
            except (*LIMITS, TokenizerError) as error:
                is_all = all(each.is_all for each in drawn)
                if is_all or attempt == TRIES - 1 or not isinstance(error, TOO_SMALL):
                    return None, [_without(str(error), scratch, _keep_page(scratch, folder))]
                print(
                    f"preflight: nothing is left of so small a part; {SMALLER} times as much is drawn", file=sys.stderr
                )
                frac, least = frac * MORE, least * MORE
        probe_dir = result.output_dir
        page = _keep_page(scratch, folder)
        whole = _whole(arguments, drawn, executor)
        made = forecast(whole, small, large, result, outcomes(probe_dir, drawn, result.stages))
        passed = stops(
            made.books,
            probe_dir,
            BadLimit(arguments.get("max_bad_frac", 1e-3), arguments.get("min_bad_records", 10)),
            getattr(build(arguments["clean"]), "max_loss_frac", 1.0),
            build(arguments["dedup"]),
        )
        room = Room(folder, _bytes_below(folder, scratch), machine_bytes())
        write_json(folder / FORECAST, {"config": config_hash(arguments), **made.to_json()})
        return (made, drawn, room), [_without(each, scratch, page) for each in passed]

    def _probe(
        self, arguments: dict[str, Any], drawn: list[Drawn], executor: Executor, scratch: Path
    ) -> tuple[Probed | None, Probed, Result]:
        """Run a part of what was drawn, then all of it."""
        small: Probed | None = None
        parts = _num_partitions(arguments, drawn, executor)
        for number, every in enumerate(SMALLER):
            if min(len(each.blocks) for each in drawn) < every:
                continue
            fewer = [each.fewer(every) for each in drawn]
            changed = _probing(arguments, fewer, parts, scratch / f"small{number}")
            is_whole = False
            with contextlib.suppress(*TOO_SMALL):
                run_apart(changed, "probe 1 of 2")
                is_whole = True
            small = Probed(fewer, changed["partition_bytes"], _took(Path(changed["output_dir"])))
            if is_whole:
                break
        changed = _probing(arguments, drawn, parts, scratch / LARGE)
        result = run_apart(changed, "probe 2 of 2")
        return small, Probed(drawn, changed["partition_bytes"], _took(result.output_dir)), result


def check_preflight(tree: dict[str, Any], allowed: tuple[str, ...] = DEFAULT_TARGETS) -> Node[Preflight]:
    """Return the node of a config's `preflight`, checked; NoPreflight's where there is none.

    Args:
        tree: the plain config.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: the first key that is wrong.
    """
    node: Node[Preflight] = check({"preflight": tree.get("preflight") or NONE}, _schema, allowed)["preflight"]
    return node


def _schema(preflight: Node[Preflight]) -> None:
    """Its signature is what a config may hold."""


def config_hash(arguments: dict[str, Any]) -> str:
    """Return the hash of all settings that decide what a run gives and takes: a forecast of others is none of it."""
    plain = {key: value.raw if isinstance(value, Node) else value for key, value in arguments.items()}
    return hash_json({key: value for key, value in plain.items() if key not in ("name", "output_dir")})


def _probing(arguments: dict[str, Any], drawn: list[Drawn], parts: int, folder: Path) -> dict[str, Any]:
    """Return the arguments of a run over what was drawn, which no limit stops.

    Args:
        parts: partitions that it is to have.
        folder: where its outputs go.
    """
    partition_bytes = max(math.ceil(sum(each.size for each in drawn) / parts), 1)
    return arguments | {
        "corpus": Node("corpus", DrawnCorpus, {"drawn": drawn}),
        "output_dir": str(folder),
        "partition_bytes": min(partition_bytes, _partition_bytes(arguments)),
        "max_bad_frac": 1.0,
        **{group: _never_stopping(arguments[group]) for group in ("clean", "dedup")},
    }


def _took(folder: Path) -> dict[str, dict[str, float]]:
    """Return stage -> what it took, of the stages that came to their end in an output folder."""
    records = (folder / WORK).glob("*/stage.json")
    return {path.parent.name: read_json(path)["facts"]["timing"] for path in records}


def _never_stopping(node: Node[Any]) -> Node[Any]:
    if "max_loss_frac" not in inspect.signature(node.target).parameters:
        return node
    unlimited = {"max_loss_frac": 1.0}
    return replace(node, values=node.values | unlimited, raw=node.raw | unlimited)


def _partition_bytes(arguments: dict[str, Any]) -> int:
    found: int = arguments.get("partition_bytes", 64 << 20)
    return found


def _group_sizes(arguments: dict[str, Any], drawn: Sequence[Drawn]) -> list[float]:
    """Return the bytes of each group of files that the whole run reads in one go, in the measure of what was drawn."""
    times = {each.source.name: each.whole / each.stored_bytes if each.stored_bytes else None for each in drawn}
    whole = {each.source.name: each.whole for each in drawn}
    groups = group_files([each.source for each in drawn], _partition_bytes(arguments))
    sizes = []
    for group in groups:
        ratio = times[group.source.name]
        stored = sum(each.file.size_bytes for each in group.files)
        sizes.append(whole[group.source.name] if ratio is None else stored * ratio)
    return sizes


def _num_partitions(arguments: dict[str, Any], drawn: Sequence[Drawn], executor: Executor) -> int:
    """Return how many partitions a probe is to have: as many as the whole run, or enough to keep the workers busy."""
    limit = _partition_bytes(arguments)
    whole = sum(max(math.ceil(size / limit), 1) for size in _group_sizes(arguments, drawn))
    return min(whole, PARTS * executor.num_workers())


def _whole(arguments: dict[str, Any], drawn: list[Drawn], executor: Executor) -> Whole:
    largest = max(_group_sizes(arguments, drawn))
    read = [each.read_s * max(each.stored_bytes / max(each.read_bytes, 1), 1.0) for each in drawn]
    sample = arguments["tokenizer"].values.get("sample_bytes", math.inf)
    return Whole(
        size=sum(each.whole for each in drawn),
        partition_bytes=round(min(_partition_bytes(arguments), largest)),
        workers=executor.num_workers(),
        sample_bytes=sample,
        read_s=sum(read),
    )


def _keep_page(scratch: Path, folder: Path) -> Path:
    """Copy the page of the largest probe that wrote one to the output folder, and return its place there."""
    kept = folder / FORECAST_PAGE
    pages = [scratch / name / REPORT for name in (LARGE, *(f"small{number}" for number in range(len(SMALLER))))]
    for page in [page for page in pages if page.exists()][:1]:
        shutil.copyfile(page, kept)
    return kept


def _without(message: str, scratch: Path, page: Path) -> str:
    """Return a message in which the page stands for the files of the probe, which are gone."""
    words = message.split(" ")
    return " ".join(f"{page}" if str(scratch) in word else word for word in words)


def _bytes_below(folder: Path, scratch: Path) -> int:
    """Return what an earlier run left in the output folder: the run takes its place."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(scratch))
    return sum(path.stat().st_size for path in files)

"""What `preflight=` builds: nothing, or the probe that foretells the run."""

from __future__ import annotations

import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from data_pipeline.executors.executor import Executor
from data_pipeline.limits import BadLimit, RuleLimit
from data_pipeline.output_dir import (
    FORECAST,
    FORECAST_PAGE,
    PREFLIGHT,
    REPORT,
    WORK,
    check_output_dir,
    choose_output_dir,
    patterns_of,
    reclaim,
)
from data_pipeline.pipeline import LIMITS
from data_pipeline.preflight.draw import draw, wishes
from data_pipeline.preflight.drawn import Drawn
from data_pipeline.preflight.forecast import Forecast, forecast
from data_pipeline.preflight.forecast_page import write_forecast
from data_pipeline.preflight.outcomes import outcomes
from data_pipeline.preflight.probing import (
    TOO_SMALL,
    config_hash,
    partition_bytes,
    probe_folders,
    probe_twice,
    whole_of,
)
from data_pipeline.preflight.show import Room, print_forecast
from data_pipeline.preflight.stops import stops
from data_pipeline.sources.source import Corpus, Source
from data_pipeline.stages.inputs import group_files
from data_pipeline.storage import room_for
from data_pipeline.tokenize.errors import TokenizerError
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.errors import GroundworkError, require
from foundation.files import folder_lock, write_json
from foundation.memory import machine_bytes

TRIES, MORE = 4, 4  # a part of which nothing is left is too small, not the run doomed: so often so much more is drawn
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
        least_bytes: that are drawn all the same, as stored, in equal parts of each source; all where it is smaller.
        most_bytes: that are drawn at most, of each source by its size: more makes the forecast no better.
        seed: of the choice.
        go_on: whether the run follows, unless it is foretold to stop.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        frac: float = 0.01,
        least_bytes: int = 8 << 20,
        most_bytes: int = 1 << 30,
        seed: int = 0,
        go_on: bool = False,
    ) -> None:
        require(0 < frac <= 1, "frac", frac, "a share above 0, up to 1; 0.01 is usual")
        require(least_bytes >= 1, "least_bytes", least_bytes, f"1 or more bytes; {8 << 20} (8 MiB) is usual")
        require(most_bytes >= least_bytes, "most_bytes", most_bytes, "no less than least_bytes")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        self.frac, self.least_bytes, self.most_bytes, self.seed = frac, least_bytes, most_bytes, seed
        self.go_on = go_on

    def goes_on(self, arguments: dict[str, Any]) -> bool:
        folder = choose_output_dir(arguments["name"], arguments.get("output_dir"))
        corpus: Node[Corpus] = arguments["corpus"]
        sources = build(corpus).keyed(corpus.key).sources()
        executor: Executor = build(arguments["executor"])
        groups = group_files(sources, partition_bytes(arguments))
        check_output_dir(folder, [each.file for group in groups for each in group.files], patterns_of(sources))
        with folder_lock(folder), room_for(folder):
            scratch = folder / WORK / PREFLIGHT
            scratch.parent.mkdir(exist_ok=True)
            reclaim(folder)
            try:
                found, passed = self._look(arguments, sources, executor, scratch, folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        lacking = [] if found is None else print_forecast(*found)
        stopping = [_ended(each) for each in [*passed, *lacking]]
        page = write_forecast(folder, found, stopping)
        if stopping:
            why = " ".join(stopping)
            named = "" if str(page) in why else f" The whole forecast: {page}"
            raise RunForetoldToStop(f"preflight: the run would stop. {why}{named}")
        print(f"page:   {page}", file=sys.stderr)
        return self.go_on

    def _look(
        self, arguments: dict[str, Any], sources: list[Source], executor: Executor, scratch: Path, folder: Path
    ) -> tuple[tuple[Forecast, list[Drawn], Room] | None, list[str]]:
        """Return the forecast, none where the probe itself came to no end; and what would stop the run."""
        for name in (FORECAST, FORECAST_PAGE):
            (folder / name).unlink(missing_ok=True)
        frac, least = self.frac, float(self.least_bytes)
        sizes = [sum(file.size_bytes for file in source.files()) for source in sources]
        for attempt in range(TRIES):
            shutil.rmtree(scratch, ignore_errors=True)
            wished = wishes(min(frac, 1.0), least, self.most_bytes, self.seed, sizes)
            drawn = [draw(each, wished[number], scratch / f"{number}.drawn") for number, each in enumerate(sources)]
            try:
                small, large, result = probe_twice(arguments, drawn, executor.num_workers(), scratch)
                break
            except (*LIMITS, TokenizerError) as error:
                is_all = all(each.is_all for each in drawn)
                if is_all or attempt == TRIES - 1 or not isinstance(error, TOO_SMALL):
                    return None, [_without(str(error), scratch, _keep_page(scratch, folder))]
                print(f"preflight: that part is too small; {MORE} times as much is drawn", file=sys.stderr)
                frac, least = frac * MORE, least * MORE
        probe_dir = result.output_dir
        page = _keep_page(scratch, folder)
        whole = whole_of(arguments, drawn, executor.num_workers())
        made = forecast(whole, small, large, result, outcomes(probe_dir, drawn, result.stages))
        rule = build(arguments["clean"])
        passed = stops(
            made.books,
            probe_dir,
            BadLimit(arguments.get("max_bad_frac", 1e-3), arguments.get("min_bad_records", 10)),
            RuleLimit(rule.max_loss_frac, rule.owners),
            build(arguments["dedup"]),
        )
        room = Room(folder, _bytes_below(folder, scratch), machine_bytes())
        probes = [probe.to_json() for probe in (small, large) if probe is not None]
        write_json(folder / FORECAST, {"config": config_hash(arguments), **made.to_json(), "probes": probes})
        return (made, drawn, room), [_without(each, scratch, page) for each in passed]


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


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _keep_page(scratch: Path, folder: Path) -> Path:
    """Copy the page of the largest probe that wrote one to the output folder, and return its place there."""
    kept = folder / FORECAST_PAGE
    pages = [probe / REPORT for probe in probe_folders(scratch)]
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

"""What the stages of a run take: time, disk and memory, from two probes of different size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.preflight.drawn import Drawn
from data_pipeline.preflight.estimate import Cost, cost
from data_pipeline.stages.clean import Clean
from data_pipeline.stages.tokenizer import TrainTokenizer

NOISE_BYTES = 8 << 20  # by which the peaks of two equal runs differ
Taken = dict[str, float]  # what a stage took, `stages.taken`


@dataclass(frozen=True, slots=True)
class Probed:
    """A run over a drawn part.

    Attributes:
        drawn: of each source.
        partition_bytes: of this run.
        took: stage -> what it took, of those that came to their end.
    """

    drawn: list[Drawn]
    partition_bytes: int
    took: dict[str, dict[str, float]]

    @property
    def size(self) -> float:
        """Bytes that were drawn of all sources."""
        return sum(each.size for each in self.drawn)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"bytes": round(self.size), "partition_bytes": self.partition_bytes, "stages": self.took}


@dataclass(frozen=True, slots=True)
class Whole:
    """The run that is foretold.

    Attributes:
        size: bytes of all sources, in the measure of what was drawn.
        partition_bytes: the largest partition that it will have.
        workers: that the executor may have.
        sample_bytes: of text that a tokenizer is trained on at most.
        read_s: seconds that reading the input takes one process.
    """

    size: float
    partition_bytes: int
    workers: int
    sample_bytes: float
    read_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What one stage takes.

    Attributes:
        seconds, cpu_s: compiling, which the probes have done, left out.
        most_seconds, most_memory_bytes: if nothing of it were a fixed cost.
        disk_bytes: of the files that stay.
        written_bytes: with those that it removes at its end.
        memory_bytes: at its peak, of all processes.
    """

    seconds: float
    most_seconds: float
    cpu_s: float
    disk_bytes: float
    written_bytes: float
    memory_bytes: float
    most_memory_bytes: float

    def to_json(self) -> dict[str, float]:
        """Return it as JSON values."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def costs_of(stage: str, whole: Whole, small: Probed | None, large: Probed) -> Costs:
    """Return what a stage of the whole run takes.

    Args:
        small: a probe of a part of the large one; None where there was none.
        large: the probe that came to its end.
    """

    def at(value: Callable[[Taken], float]) -> float:
        return _cost(stage, small, large, value).at(size)

    size = _work(stage, whole, large)
    seconds = _cost(stage, small, large, lambda took: took["seconds"])
    usual, most = seconds.at(size), seconds.most(size)
    if stage == Clean.name:  # one process reads while the workers work; the probes read from their spool
        join: Callable[[float, float], float] = max if whole.workers > 1 else lambda work, read: work + read
        usual, most = join(usual, whole.read_s), join(most, whole.read_s)
    memory = _memory(stage, whole, small, large)
    is_fixed = stage == TrainTokenizer.name  # its file goes by the vocabulary, which is smaller in the first probe
    return Costs(
        seconds=usual,
        most_seconds=most,
        cpu_s=at(lambda took: took["cpu_s"]),
        disk_bytes=large.took[stage]["disk_bytes"] if is_fixed else at(lambda took: took["disk_bytes"]),
        written_bytes=large.took[stage]["written_bytes"] if is_fixed else at(lambda took: took["written_bytes"]),
        memory_bytes=memory[0],
        most_memory_bytes=memory[1],
    )


def _cost(stage: str, small: Probed | None, large: Probed, value: Callable[[Taken], float]) -> Cost:
    """Return what a stage takes by its work; a small probe that did not come so far tells nothing."""
    before = None
    if small is not None and stage in small.took:
        before = _worked(small, stage), value(small.took[stage])
    return cost(before, (_worked(large, stage), value(large.took[stage])))


def _worked(probe: Probed, stage: str) -> float:
    """Return the size of a probe in what a stage's cost goes by: the tokenizer's sample, else the input."""
    return max(probe.took[stage]["utf8_bytes"], 1.0) if stage == TrainTokenizer.name else probe.size


def _work(stage: str, whole: Whole, large: Probed) -> float:
    """Return the same of the whole run: the tokenizer is trained on a sample of bounded size."""
    if stage != TrainTokenizer.name:
        return whole.size
    return min(large.took[stage]["utf8_bytes"] / large.size * whole.size, whole.sample_bytes)


def _memory(stage: str, whole: Whole, small: Probed | None, large: Probed) -> tuple[float, float]:
    """Return a stage's peak memory, and at most.

    This process's goes by the corpus, a worker's by the partition. Where one process does both, it is what goes by the
    larger of the two: which of them made the difference between the probes, nothing tells.
    """
    last = large.took[stage]
    before = small.took.get(stage) if small is not None else None
    grown = max(whole.size / large.size, 1.0)
    wider = max(whole.partition_bytes / large.partition_bytes, 1.0)
    if not last["workers"]:
        grown = wider if stage == Clean.name else max(grown, wider)
    size = small.size / large.size if small is not None else 0.0
    main = _grown("main_bytes", before, last, size, grown)
    part = small.partition_bytes / large.partition_bytes if small is not None else 0.0
    worker = _grown("worker_bytes", before, last, part, wider)
    num = last["workers"]
    return main[0] + num * worker[0], main[1] + num * worker[1]


def _grown(key: str, before: Taken | None, last: Taken, part: float, times: float) -> tuple[float, float]:
    """Return a peak in a run so many times the large probe, and at most: equal runs differ by some megabytes.

    Args:
        before: what the small probe took; None where it didn't come so far: then most of it is taken for fixed, which
            the libraries are.
        part: the small probe's size, as a share of the large one's.
    """
    if before is None or part >= 1:
        return last[key], last[key] * times
    difference = last[key] - before[key]
    rates = (max(difference - NOISE_BYTES, 0.0) / (1 - part), max(difference + NOISE_BYTES, 0.0) / (1 - part))
    at, most = (last[key] + min(rate, last[key]) * (times - 1) for rate in rates)
    return at, most

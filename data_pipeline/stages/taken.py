"""What a stage takes: time, processors, memory, disk. For timing.json, which no output's bytes depend on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from data_pipeline.executors.usage import Watched
from data_pipeline.stages.stage import Outcome, Stage
from foundation.progress import aside_s

Taken = dict[str, float]


class Watch:
    """Counts from its making to `taken`.

    Args:
        stage: whose executor's workers count, those that have nothing to do in it with what they hold.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage, self._executor = stage, stage.place.executor
        self._executor.take_usage()
        self._watched = Watched()
        self._started, self._aside_s = time.monotonic(), aside_s()

    def taken(self, outcome: Outcome) -> Taken:
        """Return what the stage took.

        Memory is resident memory at its peak (`foundation.memory`), pages of mapped files among it, which processes
        share: the sum over the processes is an upper bound of what the machine lacked meanwhile. Processes that a rule
        starts of its own (the one that reads HTML) are not in it. A stage that goes on after a kill tells of the rest.

        Returns:
            seconds, compiled_s (of these: compiling kernels, once for all runs on a machine), cpu_s (of all processes);
            documents, utf8_bytes (of the text that it went through); disk_bytes (its files that stay, those in work/
            among them), written_bytes (with those that it removes at its end); main_bytes (peak memory of this
            process), worker_bytes (of the worker that took most), memory_bytes (of this process and all workers
            together), workers (how many).
        """
        stays = set(outcome.files)
        written = stays | {path for path in self._stage.folder.rglob("*") if path.is_file()}
        main, workers = self._watched.usage(), self._executor.take_usage()
        return {
            "seconds": round(time.monotonic() - self._started, 3),
            "compiled_s": round(aside_s() - self._aside_s, 3),
            "cpu_s": round(main.cpu_s + sum(each.cpu_s for each in workers), 3),
            "documents": sum(account.num_in for account in outcome.book.values()),
            "utf8_bytes": outcome.utf8_bytes,
            "disk_bytes": _num_bytes(stays),
            "written_bytes": _num_bytes(written),
            "main_bytes": main.peak_bytes,
            "worker_bytes": max((each.peak_bytes for each in workers), default=0),
            "memory_bytes": main.peak_bytes + sum(each.peak_bytes for each in workers),
            "workers": len(workers),
        }


def _num_bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)

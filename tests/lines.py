"""Lines as people type them: processes forked from one that has imported torch, ranks as torchrun starts them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.distributed import TCPStore

PRELOADED = ["tests.data_pipeline.prepared", "tests.forked"]  # the last freezes what is there
TINY = [
    "model.num_layers=2",
    "model.num_heads=2",
    "model.d_model=32",
    "model.context_len=64",
    "trainer.seq_len=32",
    "trainer.global_batch_size=8",
    "trainer.micro_batch_size=2",
    "data.max_epochs_per_source=null",  # of a few pages of text, which a test reads as often as it likes
    "precision=float32",
    "eval.prompts=[]",
    "logger=console",
]


def loop_alone(tiny: Sequence[str], runs_dir: Path) -> list[str]:
    """Return the line of a run of the loop alone: nothing is logged, evaluated or saved."""
    quiet = ["logger=none", "eval=none", "checkpoint=none", "data.mask_after_eot=true", "trainer.max_steps=8"]
    changed = {text.partition("=")[0] for text in quiet}
    kept = [text for text in tiny if text.partition("=")[0] not in changed and not text.startswith("eval.")]
    return [*kept, *quiet, f"runs_dir={runs_dir}", "run_name=run"]


def one_thread() -> dict[str, str]:
    """Return the environment for child processes: one thread each, so that several share two cores, no torchrun's."""
    ours = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return ours | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}


@dataclass
class Line:
    """A line that was typed: its processes, a rank each, what they print, and the store they meet at."""

    ranks: list[BaseProcess]
    output: Path
    store: TCPStore | None

    def wait(self) -> tuple[int, str]:
        """Return the largest exit code (a signal's number is negative) and what all ranks printed."""
        for rank in self.ranks:
            rank.join(240)
            assert rank.exitcode is not None, f"still running: {self.output.read_text()}"
        codes = [rank.exitcode or 0 for rank in self.ranks]
        return max(codes, key=abs), self.output.read_text()


class Lines:
    """Types lines without paying two seconds of imports for each: processes are forked from one that has imported."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, itertools.count()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*PRELOADED])

    def start(
        self,
        script: Path,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        ranks: int = 1,
        before: str = "",
    ) -> Line:
        """Start `script`; several ranks find each other as torchrun would have told them.

        Args:
            before: Python that runs in each process before the script: what a test makes go wrong in there.
        """
        output = self._folder / f"{next(self._count)}.txt"
        output.touch()
        from torch.distributed import TCPStore

        # in a process that outlives the ranks, as torchrun's does: what one that fails leaves there, the others read
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if ranks > 1 else None
        processes = []
        for rank in range(ranks):
            group = {} if store is None else _place(rank, ranks, store.port)
            line = {"script": str(script), "arguments": list(arguments), "folder": str(folder), "before": before}
            line |= {"environment": environment | group, "output": str(output)}
            worker = str(Path(__file__).with_name("typed_line.py"))
            process = self._context.Process(target=runpy.run_path, args=(worker, {"LINE": line}))
            process.start()
            processes.append(process)
        return Line(processes, output, store)


def _place(rank: int, ranks: int, port: int) -> dict[str, str]:
    """Return what torchrun puts into a worker's environment."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in place.items()} | {"TORCHELASTIC_USE_AGENT_STORE": "True"}

"""The proof in its order: a run that is never stopped, the same with kills, one run on other numbers of ranks."""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from foundation.config import build
from foundation.config.compose import CommandLine, config_yaml
from foundation.errors import ConfigError, GroundworkError
from foundation.files import write_atomic
from launch.child import Child
from launch.trials import checked, compose
from launch.verify.compare import Row, compare_runs, table
from launch.verify.kills import EVALUATION, SAVE, Files, Killer, Moment, moments
from launch.verify.line import Settings, ranks_of
from launch.verify.shorten import intervals, prefix_for, shortened
from launch.verify.witness import batches_of
from pretrain.checkpoint.integrity import folder_name
from pretrain.main import check_config, rehearse
from pretrain.metrics.lines import read_metrics
from pretrain.plan import Plan, counted
from pretrain.run_files import CHECKPOINTS, METRICS

WHOLE, KILLED, RANKS = "whole", "killed", "ranks"  # the runs' names
LOSS_TOLERANCE = 1e-6  # relative, of the first step on another number of ranks
TAIL_LINES = 15  # of what a child printed, where it failed
WITNESS = "launch.verify.witness.Witness"


class ProofFailed(GroundworkError):
    """A run that was to be compared did not come to its end."""


def prove(command: CommandLine, settings: Settings) -> bool:
    """Train, kill, compare and print the table; return whether every promise holds.

    Raises:
        GroundworkError: the config can't be trained at all, or not in this way; says why.
    """
    if command.multirun:
        raise ConfigError("-m: one run is verified at a time; type the values of one trial")
    (found,) = (checked(config, hydra, command) for config, hydra in compose(command))
    folder = Path(tempfile.mkdtemp(prefix="verify_resume_"))
    holds = False
    try:
        proof = Proof(command, settings, found.tree, folder)
        rows = proof.rows()
        holds = all(row.holds is not False for row in rows)
        print(f"\n{table(rows)}\n\n{proof.closing(holds)}", flush=True)
    except KeyboardInterrupt:
        holds = True  # nothing to look into
        raise
    finally:
        if holds:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept to look into: {folder} (log.txt: what the runs printed)", flush=True)
    return holds


@dataclass(frozen=True, slots=True)
class Ended:
    """How one start of a run ended. `killed`: by this process; `told`: where it then was."""

    code: int
    killed: bool
    told: str
    took_s: float


class Proof:
    """The runs of one proof, all in one folder.

    Args:
        command: the command line, for what its config may name.
        settings: of the proof.
        tree: the user's resolved config.
        folder: of the runs.
    """

    def __init__(self, command: CommandLine, settings: Settings, tree: dict[str, Any], folder: Path) -> None:
        self._allowed, self._extra_targets = command.allowed, command.extra_targets
        self._settings, self._folder, self._log = settings, folder, folder / "log.txt"
        (folder / "tmp").mkdir()
        on_gpus = (
            build(check_config(tree, command.allowed)["trainer"]).device_type != "cpu" and torch.cuda.is_available()
        )
        self._num_gpus = torch.cuda.device_count() if on_gpus else None
        self._processes = ranks_of(settings.processes, self._num_gpus)
        tree = tree | {"trainer": tree["trainer"] | ({"deterministic": True} if on_gpus else {})}
        whole = rehearse(tree, self._allowed)
        plan = whole.plan
        self._tree = shortened(tree, settings.steps, plan.max_steps, folder / "runs", whole.loader.planned)
        rehearse(self._tree, self._allowed)  # refused here, before any child is started
        self._sizes = self._usable_sizes(plan)
        self._starts = itertools.count(1)
        self._num_starts = 1 + settings.kills + 1 + len(self._sizes)
        share = plan.micro_batch_size * self._processes
        if plan.global_batch_size % share:
            raise ConfigError(
                f"verify.processes: {self._processes} ranks x trainer.micro_batch_size={plan.micro_batch_size} do "
                f"not divide trainer.global_batch_size={plan.global_batch_size}; lower one of them"
            )

    def _usable_sizes(self, plan: Plan) -> list[int]:
        """Return the numbers of ranks, in their order, to which the batch can be shared out on this machine."""
        fitting = [
            size
            for size in self._settings.world_sizes
            if plan.global_batch_size % (plan.micro_batch_size * size) == 0
            and (self._num_gpus is None or size <= self._num_gpus)
        ]
        sizes = [size for size, _ in itertools.groupby(fitting)]
        return sizes if len(sizes) > 1 else []

    def rows(self) -> list[Row]:
        """Train all runs and return the table's rows."""
        self._train_whole()
        rows = self._kill()
        rows += self._change_ranks()
        return rows

    def closing(self, holds: bool) -> str:
        """Return what the table means, and what else would hold elsewhere."""
        told = (
            "every promise holds" if holds else "a promise is BROKEN: what is not saved, or not a function of the step?"
        )
        if self._num_gpus is not None:
            return f"{told}; shown with trainer.deterministic=true: without it GPUs sum in no fixed order"
        return f"{told}; shown on CPUs. On GPUs the same holds with trainer.deterministic=true"

    def _train_whole(self) -> None:
        ended = self._start(WHOLE, "never stopped", self._processes, witness=WHOLE)
        if ended.code:
            raise ProofFailed(f"{WHOLE}: the shortened run itself fails, exit code {ended.code}:\n{self._tail()}")
        minutes = ended.took_s * (self._num_starts - 1) * 0.7 / 60
        print(f"  took {ended.took_s:.0f} s; the rest takes about {max(minutes, 0.1):.1f} minutes", flush=True)

    def _kill(self) -> list[Row]:
        """Kill a run and start it again, as often as asked; then compare it with the whole one."""
        steps, processes = self._settings.steps, self._processes
        every, eval_every = intervals(steps)
        hits: list[str] = []
        for moment in moments(self._settings.kills, steps, every, eval_every, self._settings.seed):
            ended = self._start(KILLED, f"to be killed: {moment.kind} {moment.step}", processes, moment=moment)
            if not ended.killed and ended.code:
                return [
                    Row("going on", f"after {counted(len(hits), 'kill')}", f"exit code {ended.code}", False),
                    self._why(),
                ]
            if ended.killed:
                hits.append(ended.told)
                print(f"  killed {ended.told}", flush=True)
        ended = self._start(KILLED, "goes on to its end", processes)
        row = Row(
            "going on",
            f"{counted(len(hits), 'kill')} of {self._settings.kills}",
            f"exit code {ended.code}",
            not ended.code,
        )
        if ended.code:
            return [row, self._why()]
        if not hits:
            row = Row("going on", "no kill", "the run had ended each time; raise verify.steps", None)
        runs = self._folder / "runs"
        return [row, *compare_runs(runs / WHOLE, runs / KILLED)]

    def _why(self) -> Row:
        return Row("", "", self._tail().splitlines()[-1] if self._tail() else "it printed nothing", False)

    def _change_ranks(self) -> list[Row]:
        """Go on with one run on other numbers of ranks; compare what each rank was given, and the first losses."""
        told = " -> ".join(map(str, self._sizes))
        if not self._sizes:
            asked = ", ".join(map(str, self._settings.world_sizes)) or "none"
            where = "" if self._num_gpus is None else f" on {counted(self._num_gpus, 'GPU')}"
            return [Row("other numbers of ranks", asked, f"no two of them share the batch out{where}", None)]
        every, worst = intervals(self._settings.steps)[0], 0.0
        expected = list(batches_of(self._folder / "witness" / WHOLE))
        before, other_batches = None, []
        for number, size in enumerate(self._sizes):
            first, is_last = number * every, number == len(self._sizes) - 1
            until = None if is_last else first + every + 1
            ended = self._start(
                RANKS, f"steps {first + 1} on", size, f"{RANKS}_{number}", until=until, go_back_to=first
            )
            if ended.code and not ended.killed:
                return [Row("other numbers of ranks", told, f"exit code {ended.code} on {size}", False), self._why()]
            losses = {int(line["step"]): float(line["loss"]) for line in read_metrics(self._run_dir(RANKS) / METRICS)}
            if before is not None:
                worst = max(worst, abs(losses[first + 1] - before) / abs(before))
            before = losses.get(first + every + 1)
            given = list(batches_of(self._folder / "witness" / f"{RANKS}_{number}"))
            steps = range(first, min(first + len(given), len(expected)))
            other_batches += [f"step {step + 1} on {size}" for step in steps if given[step - first] != expected[step]]
            if len(given) < every:
                other_batches.append(f"only {len(given)} steps on {size}")
        sequences = len(expected[0])
        batches = f"{told}: {len(expected)} batches of {counted(sequences, 'sequence')}, their tokens"
        result = f"differ: {', '.join(other_batches[:3])}" if other_batches else "the same ones in the same steps"
        close = f"relative difference at most {worst:.1e}"
        return [
            Row("samples of a step", batches, result, not other_batches),
            Row("first loss on other ranks", f"{told}, within {LOSS_TOLERANCE:.0e}", close, worst <= LOSS_TOLERANCE),
        ]

    def _run_dir(self, name: str) -> Path:
        return self._folder / "runs" / name

    def _start(
        self,
        name: str,
        what: str,
        processes: int,
        witness: str | None = None,
        moment: Moment | None = None,
        until: int | None = None,
        go_back_to: int = 0,
    ) -> Ended:
        """Start a run as its user would, once.

        Args:
            name: of the run. what: of this start, for the console. processes: ranks.
            witness: name of a folder that takes what the ranks are given.
            moment: of the kill. until: or the step whose line is waited for; with neither it is not killed.
            go_back_to: step of its own checkpoint that it is to begin with; 0 leaves that to the run.
        """
        number = next(self._starts)
        print(f"{number} of {self._num_starts}: {name}, {what}, {counted(processes, 'rank')}", flush=True)
        run_dir = self._run_dir(name)
        tree = self._tree | {"run_name": name}
        if witness is not None:
            into = str(self._folder / "witness" / witness)
            tree |= {"parallel": {"_target_": WITNESS, "of": tree["parallel"], "into": into}}
        if go_back_to:
            tree |= {"resume": str(run_dir / CHECKPOINTS / folder_name(go_back_to))}
        config_dir = self._folder / "starts" / str(number)
        write_atomic(config_dir / "config.yaml", config_yaml(tree))
        # what is killed leaves its temporary files: they go with the folder
        prefix = ["env", f"TMPDIR={self._folder / 'tmp'}", *prefix_for(tree, processes, self._allowed)]
        child = Child(prefix, config_dir, self._extra_targets, self._log)
        files = Files(run_dir)
        steps = self._settings.steps
        killer = Killer(
            child,
            _due(files, moment, until),
            self._wait_s(moment),
            tell=lambda: print(f"  step {files.last_step()} of {steps}", flush=True),
        )
        started_s = time.monotonic()
        killer.start()
        try:
            code = child.run()
        finally:
            killer.end()
            told = files.told() if killer.has_killed else ""
            files.close()
        if child.stopped:
            raise KeyboardInterrupt
        return Ended(code, killer.has_killed, told, time.monotonic() - started_s)

    def _wait_s(self, moment: Moment | None) -> float:
        """Return how long after its moment a kill comes: a save of a small model is over before a step is."""
        if moment is None or moment.kind == SAVE:
            return 0.0
        times = [float(line["step_time_s"]) for line in read_metrics(self._run_dir(WHOLE) / METRICS)]
        return moment.wait_frac * statistics.median(times) * (0.3 if moment.kind == EVALUATION else 1.0)

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])


def _due(files: Files, moment: Moment | None, until: int | None) -> Callable[[], bool]:
    if moment is not None:
        return lambda: files.has_come(moment)
    if until is not None:
        # a save may go on beside the steps: the next start goes back to the one before this line
        return lambda: files.last_step() >= until and files.has_saved(until - 1)
    return lambda: False

"""What launch/replay.py does and shows."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import read_config
from foundation.errors import ConfigError
from foundation.text import one_line, visible
from launch.pairs import nearest_run
from launch.replay import Settings
from pretrain.inside import Inside, write_inside
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh, set_determinism, start_mesh
from pretrain.replay import Line, Replayed, config_for, lines_to, nearest_checkpoint, replay
from pretrain.run_files import CONFIG

NOTHING = {"logger": "pretrain.metrics.loggers.NoLogger", "profile": "pretrain.metrics.profiler.NoProfiler"}
NOTHING |= {"eval": "pretrain.evaluate.evaluator.NoEval"}
SHOWN_NORMS = 8


def show_step(settings: Settings, scratch_dir: Path) -> None:
    """Do the step again and print what was in it.

    Raises:
        GroundworkError: there is no such run or step, or what it takes to do it again is not there any more.
    """
    if settings.write is not None and settings.write.exists():
        raise ConfigError(f"write: {settings.write} is there already; name a new folder")
    trainer = _config(settings)["trainer"]
    lines = lines_to(settings.run, settings.step, settings.dropped)
    with start_mesh(trainer.get("device_type", "auto")) as mesh:
        # one rank chooses: in a run that goes on, checkpoints come and go
        chosen, tree = mesh.on_main(lambda: _chosen(settings, lines))
        checkpoint = Path(chosen) if chosen else None
        tree |= {"runs_dir": str(scratch_dir), "run_name": "replay", "resume": "auto"}
        tree |= {name: {"_target_": target} for name, target in NOTHING.items()}
        config = check_config(tree, DEFAULT_TARGETS + settings.extra_targets)
        set_determinism(tree["trainer"].get("deterministic", False))
        run = assemble(mesh, Config(**config))
        try:
            with _quiet(mesh):
                found = replay(run, checkpoint, lines)
        finally:
            run.loader.close()
            run.checkpointer.close()
        if found.inside is not None:
            _show(found, found.inside, settings, mesh.world_size)
            if settings.write is not None:
                write_inside(found.inside, settings.write.absolute())
                print(f"written: {settings.write}")


def _chosen(settings: Settings, lines: list[Line]) -> tuple[str, dict[str, Any]]:
    """Return the checkpoint to begin with, empty for the initial weights, and the config that was in force."""
    checkpoint = nearest_checkpoint(settings.run, lines)
    return str(checkpoint or ""), config_for(settings.run, checkpoint, settings.step)


def _config(settings: Settings) -> dict[str, Any]:
    path = settings.run / CONFIG
    if not path.is_file():
        raise ConfigError(f"run: {settings.run} is not the folder of a run{nearest_run(settings.run)}")
    return dict(read_config(path))


@contextlib.contextmanager
def _quiet(mesh: Mesh) -> Iterator[None]:
    """Ranks other than 0 have nothing to say."""
    if mesh.is_main:
        yield
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            yield


def _show(found: Replayed, inside: Inside, settings: Settings, world_size: int) -> None:
    record, logged = found.record, found.logged
    print(f"step {record.step}, batch {record.data_step}: from {found.begun}, {found.num_steps} steps done again")
    verdict = "skipped" if record.skipped else "let through"
    print(f"loss {record.loss:.6g}, gradient norm {record.grad_norm:.6g}, lr {record.lr:.4g}, {verdict}")
    print(_compared(found, logged, world_size))
    if world_size > 1:
        ranks = inside.facts["loss_per_rank"].items()
        print("loss per rank: " + ", ".join(f"{rank}: {loss:.6g}" for rank, loss in ranks))
    norms = sorted(inside.facts["grad_norm_per_parameter"].items(), key=lambda item: -_height(item[1]))
    print("largest gradient norms:")
    for name, norm in norms[:SHOWN_NORMS]:
        print(f"  {norm:10.4g}  {name}")
    ordered = sorted(inside.sequences, key=lambda sequence: -_height(sequence["loss"]))
    shown = ordered[: settings.show]
    print(f"sequences, highest loss first, {len(shown)} of {len(ordered)}:")
    for sequence in shown:
        _show_sequence(sequence, settings.characters)


def _compared(found: Replayed, logged: dict[str, Any], world_size: int) -> str:
    if found.differs is None:
        return "every step had the bits that were logged"
    return (
        f"other bits than were logged (loss {logged['loss']:.6g}) from step {found.differs} on: other ranks than then "
        f"(here {world_size}), another machine or version, sums without trainer.deterministic on a GPU, or a fault"
    )


def _show_sequence(sequence: dict[str, Any], characters: int) -> None:
    print(
        f"  loss {sequence['loss']:.4g}  sample {sequence['sample']}  {sequence['source']}, epoch {sequence['epoch']}, "
        f"token {sequence['first_token']}  rank {sequence['rank']}, micro batch {sequence['micro_batch']}"
    )
    for document in sequence["documents"]:
        part = f"tokens {document['first']} to {document['end'] - 1}"
        whose = f"{document['file']} row {document['row']}, id {document['id']}" if "file" in document else ""
        print(f"    {part}: {visible(whose or document['unknown'])}")
    print(f"    {one_line(sequence['text'], characters)}")


def _height(value: float) -> float:
    return value if math.isfinite(value) else math.inf

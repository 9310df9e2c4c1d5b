"""Assembly: the order of these lines is the architecture."""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from foundation.config import Node, build, check
from foundation.errors import ConfigError, GroundworkError
from foundation.hashes import hash_json
from pretrain.about import write_about
from pretrain.attempts import close_attempt, withdraw_attempt
from pretrain.checkpoint.gate import CONFIG, DEFAULTS, gate_facts
from pretrain.checkpoint.state import seed_generators
from pretrain.control import Control
from pretrain.data.loader import ShardLoader, Shards
from pretrain.debug.deterministic import nondeterminism_named
from pretrain.debug.errors import NotCleared
from pretrain.debug.preflight import look_before
from pretrain.describe import (
    describe,
    facts_of,
    first_step,
    missing_told,
    plain_told,
    reason_of,
    reason_of_error,
)
from pretrain.heartbeat import Phase
from pretrain.mesh import Mesh, set_determinism, start_mesh
from pretrain.metrics.fields import StepFields, bytes_per_token
from pretrain.metrics.flops import peak_flops
from pretrain.metrics.lines import MetricsFile, read_metrics
from pretrain.metrics.loggers import NoLogger
from pretrain.metrics.report import write_run_report
from pretrain.parallel.compile import compile_as_set
from pretrain.pieces import OF_THE_MACHINE, held_of
from pretrain.plan import Plan, TrainerSettings
from pretrain.resuming import resumed, tell_changes
from pretrain.run import Progress, Run
from pretrain.run_files import DROPPED, FINAL, METRICS
from pretrain.run_folder import begin, claimed, has_trained, require_name, require_resume, staying, write_status
from pretrain.run_log import RunLog
from pretrain.seats import (
    RUNTIME,
    Checkpointer,
    Debug,
    Evaluator,
    Guard,
    Launcher,
    Logger,
    Model,
    Numerics,
    Optimizer,
    Parallel,
    Profiler,
    Schedule,
    Watch,
)
from pretrain.signals import StopSignal
from pretrain.tokenizer import Tokenizer, keep_tokenizer, was_trained_on
from pretrain.torchrun import ASKED_BY, is_launched, under_torchrun, word, would_be_restarted
from pretrain.train import train
from pretrain.types import Status
from pretrain.watchdog.watched import exchange_timeout, watched

# Keys that are derived and never set, but that users look for: what to set instead.
DERIVED = {
    "trainer.grad_accum_steps": "set trainer.global_batch_size and trainer.micro_batch_size: "
    "grad_accum_steps = global_batch_size / (micro_batch_size x ranks)",
    "model.vocab_size": "it is the tokenizer's, padded to a multiple of 128; set tokenizer.vocab_size of the pipeline",
    "logger.loggers.wandb.watch": "wandb runs in a process of its own, where no model is for its watch to hook into; "
    "watch=default, or watch=full, sends it each layer's norms and the histograms of its weights and gradients",
    "schedule.max_steps": "set trainer.max_steps, trainer.max_tokens or trainer.max_epochs",
}


def run_config(tree: dict[str, Any], allowed: tuple[str, ...]) -> tuple[Status, bool]:
    """Run one training from a resolved config, on this rank.

    Args:
        tree: plain dicts and lists; rank 0's is used on all ranks.
        allowed: module prefixes that a `_target_` may come from.
    Returns:
        How it ended, and whether a Ctrl-C meant for this process was why.
    Raises:
        GroundworkError: something the user can mend; a run that had begun goes on from its last checkpoint.
    """
    with assembled(tree, allowed) as (run, tree):
        mesh, run_dir = run.mesh, Path(tree["runs_dir"]) / tree["run_name"]
        hang_timeout_s = build(check_config(tree, allowed)["trainer"]).hang_timeout_s
        with (
            claimed(run_dir, tree, mesh, run.checkpointer.saves) as ended,
            run.signal.listening(),
            watched(mesh, run_dir, None if ended else hang_timeout_s, kills=would_be_restarted()),
        ):
            if ended and mesh.is_main and not was_trained_on(run_dir, run.loader.dataset.fingerprint):
                print(f"data.path: {tree['data']['path']} holds other shards now than those {run_dir} was trained on")
            status = ended or execute(run, tree, run_dir)
            return status, run.signal.interrupted


@contextlib.contextmanager
def assembled(tree: dict[str, Any], allowed: tuple[str, ...]) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Meet the other ranks and build the run; inside this block they are a group.

    Args:
        tree, allowed: as `run_config` takes them.
    Returns:
        The run, and rank 0's tree.
    """
    config = check_config(tree, allowed)
    settings = build(config["trainer"])
    with start_mesh(settings.device_type, timeout=exchange_timeout(settings.hang_timeout_s)) as mesh:
        tree = mesh.broadcast_json(tree)
        if not mesh.is_main:
            config = check_config(tree, allowed)
        set_determinism(build(config["trainer"]).deterministic)
        yield assemble(mesh, Config(**config)), tree


def rehearse(tree: dict[str, Any], allowed: tuple[str, ...]) -> Run:
    """Build all of a run as one rank would, but on the meta device, without the memory: nothing runs or is written.

    Raises:
        GroundworkError: what the run's start would be refused with, for its values or its data. What hangs on its
            device or the number of its ranks is not seen here.
    """
    return assemble(Mesh(0, 1, 0, torch.device("meta")), Config(**check_config(tree, allowed)))


def check_config(tree: dict[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments for `Config`, checked.

    Raises:
        ConfigError: the first key that is wrong.
    """
    require_resume(tree.get("resume", "auto"))  # before its type is: `resume=true` is no text, and not meant as one
    arguments = check(tree, Config, allowed, DERIVED, RUNTIME)
    require_name(arguments["run_name"])
    return arguments


@dataclass(frozen=True, slots=True)
class Config:
    """The config's top-level keys: the groups, an object each, and what a run has of its own.

    `launcher` has done its work by now; `resume` and `allow_change` are asked when the run's folder is opened.
    """

    model: Node[Model]
    data: Node[Shards]
    optim: Node[Optimizer]
    schedule: Node[Schedule]
    parallel: Node[Parallel]
    precision: Node[Numerics]
    trainer: Node[TrainerSettings]
    spike: Node[Guard]
    checkpoint: Node[Checkpointer]
    eval: Node[Evaluator]
    logger: Node[Logger]
    profile: Node[Profiler]
    watch: Node[Watch]
    debug: Node[Debug]
    launcher: Node[Launcher]
    run_name: str
    seed: int = 1234
    runs_dir: str = "runs"
    resume: str = "auto"
    allow_change: list[str] | None = None


def assemble(mesh: Mesh, config: Config) -> Run:
    """Build everything; nothing is written yet."""
    settings, run_dir = build(config.trainer), Path(config.runs_dir) / config.run_name
    seed_generators(hash_seed(config.seed, mesh.rank))  # of a user's code; our model draws from none
    plain = {"plain_pieces": settings.plain_pieces}
    shards = build(config.data, **plain)
    per_epoch, budgets = shards.samples_per_epoch(settings.seq_len), shards.budgets(settings.seq_len)
    plan = settings.plan(mesh.dp_size, per_epoch, config.seed, budgets)
    tokenizer = Tokenizer.load(shards.dataset.path, shards.dataset.manifest)
    loader = shards.loader(plan, mesh)

    bare = build_model(config.model, tokenizer.padded_vocab_size, plan, mesh.device, settings.plain_pieces)
    compiled = compile_as_set(bare, settings.compile, mesh.device, settings.plain_pieces & bare.pieces)
    sharding = build(config.parallel)
    wrapped = sharding.wrap(bare, mesh)
    optimizer = build(config.optim, **plain, model=bare)
    seats = {"mesh": mesh, "plan": plan, "device": mesh.device, "run_dir": run_dir}
    guard = build(config.spike, **seats, **plain)
    pieces = bare.pieces | optimizer.pieces | guard.pieces | loader.samples.pieces | pieces_of_every_run(mesh)
    checkpointer = build(config.checkpoint, **seats)
    return Run(
        run_dir=run_dir,
        tokenizer=tokenizer,
        plan=plan,
        mesh=mesh,
        model=bare,
        wrapped=wrapped,
        parallel=sharding,
        numerics=build(config.precision),
        optimizer=optimizer,
        schedule=build(config.schedule, plan=plan),
        guard=guard,
        loader=loader,
        checkpointer=checkpointer,
        evaluator=build(config.eval, **seats, model=bare, loader=loader, tokenizer=tokenizer),
        profiler=build(config.profile, **seats),
        watch=build(config.watch, **seats, model=bare, loader=loader, tokenizer=tokenizer),
        debug=build(config.debug, model=bare),
        log=build_log(config.logger, bare, plan, mesh, run_dir, loader, settings.max_grad_norm),
        signal=stop_signal(config.launcher, mesh, checkpointer),
        control=Control(run_dir, mesh.is_main),
        progress=Progress(),
        max_grad_norm=settings.max_grad_norm,
        check_replicas_every_steps=settings.check_replicas_every_steps,
        compiled=compiled,
        preflight=settings.preflight,
        pieces=pieces,
        plain_pieces=held_of(settings.reference, pieces),
        gate=gate_of(config, loader, plan),
    )


def stop_signal(launcher: Node[Launcher], mesh: Mesh, checkpointer: Checkpointer) -> StopSignal:
    """Build what listens for signals; it knows how long a stop may take."""
    limit_s = launcher.values.get("shutdown_timeout_s") if is_launched() else None
    seat = {"saves": checkpointer.saves, "beside": checkpointer.beside}
    told_by = partial(word, ASKED_BY)
    return StopSignal(mesh.is_main, under_torchrun(), **seat, limit_s=limit_s, word=told_by)


def pieces_of_every_run(mesh: Mesh) -> frozenset[str]:
    """Return which pieces the loop itself has twice; of a rehearsal also those that hang on the machine of the run."""
    if mesh.device.type == "meta":
        return OF_THE_MACHINE | {"grad_norm"}
    return frozenset({"grad_norm", "digest"} if mesh.world_size > 1 else {"grad_norm"})


def gate_of(config: Config, loader: ShardLoader, plan: Plan) -> dict[str, Any]:
    """Return what a resumed run is compared with: the config, and what decides which tokens a step holds."""
    data = loader.dataset
    facts = gate_facts(config.model.values, data.manifest.tokenizer_hash, data.fingerprint, plan)
    facts |= {f"data.{key}": value for key, value in loader.identity().items()}
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    tree = {key: value.raw if isinstance(value, Node) else value for key, value in values.items()}
    defaults = {key: value for node in values.values() if isinstance(node, Node) for key, value in defaults_of(node)}
    return facts | {CONFIG: tree, DEFAULTS: defaults}


def defaults_of(node: Node[Any]) -> Iterator[tuple[str, Any]]:
    """Yield full key and value of each plain default of a node's class."""
    for name, parameter in inspect.signature(node.target).parameters.items():
        if name not in RUNTIME and isinstance(parameter.default, str | int | float | None):
            yield f"{node.key}.{name}", parameter.default


def execute(run: Run, tree: dict[str, Any], run_dir: Path) -> Status:
    """Restore, say what will be done, train, and write how it ended: nothing where nothing had begun."""
    say = partial(print, flush=True) if run.mesh.is_main else _silent  # in a file, too, before what stderr says later
    say(f"run: {run_dir}\n{describe(run)}")
    for line in plain_told(run):
        say(line, file=sys.stderr)
    status, reason, begun, refused, cleared = Status.FAILED, "an error; see the console", False, False, True
    try:
        with run.mesh.failing_together():
            goes_on = resumed(run, tree["resume"], run_dir)
            if goes_on:
                run.mesh.on_main(lambda: tell_changes(run, run_dir))
                if missing := run.mesh.on_main(lambda: missing_told(run, run_dir)):
                    say(missing, file=sys.stderr)
                say(f"resume: from step {run.progress.step} of {run.plan.max_steps}")
            elif run.mesh.is_main and next(read_metrics(run_dir / METRICS), None):
                say(f"no checkpoint in {run_dir}; starting anew: its earlier lines move to {DROPPED}")
            if not goes_on and not run.mesh.restarts:
                look_before(run, run_dir)
            run.mesh.on_main(lambda: keep_tokenizer(run.loader.dataset.path, run_dir))
            run.mesh.on_main(lambda: begin(run_dir, tree))
            run.mesh.on_main(lambda: write_about(run, tree, run_dir))
            begun = True
            if run.progress.step < run.plan.max_steps:
                say(first_step(run))
            gc.collect()
            gc.freeze()  # what start-up made lives to the end: a collection that looks at it holds up all ranks
            run.log.start()
            with staying(run_dir, lambda: run.progress.step), nondeterminism_named(run.model):
                status = train(run)
        reason = reason_of(status, run)
    except KeyboardInterrupt:
        status, reason = Status.PREEMPTED, "stopped by a second Ctrl-C; nothing was saved after the last checkpoint"
        refused = True
        run.checkpointer.abandon()
        raise
    except BaseException as error:
        reason = reason_of_error(error, run, run_dir)
        if isinstance(error, GroundworkError):
            error.restart_helps = begun if error.restart_helps is None else error.restart_helps
            refused, cleared = not error.restart_helps, not isinstance(error, NotCleared)
        raise
    finally:
        end(run, run_dir, status, reason, begun, refused, cleared)
    return status


def end(run: Run, run_dir: Path, status: Status, reason: str, begun: bool, refused: bool, cleared: bool) -> None:
    """Close everything and say how the run ended. Each part is tried; none of them changes how it ended.

    A start that did not come as far as the first step says nothing of the run that is in the folder: its status.json
    and its page stay. One that was refused, by a checkpoint of other data or a wrong path, was no try either; one that
    failed, as with a rank that ran out of memory, was: the launcher would start it for ever. What preflight has not
    cleared says so in status.json, where no run is in the folder.
    """
    step, under_way = run.progress.step, run.mesh.heartbeat.step_under_way
    run.mesh.heartbeat.at(Phase.ENDING)
    parts: list[tuple[str, Callable[[], object]]] = [
        ("the last checkpoint", run.checkpointer.close),
        ("the loader", run.loader.close),
        ("the profiler", run.profiler.close),
        ("the log", lambda: run.log.close(status.value)),
    ]
    tried = partial(close_attempt, run_dir, status, reason, step, run.progress.data_step)
    if run.mesh.is_main and begun:
        at = f"{step}, in step {under_way}" if status is Status.FAILED and under_way == step + 1 else step
        shown = "the error follows" if status is Status.FAILED else reason  # launch/train.py says it
        final = refused and status is Status.FAILED
        parts += [
            ("status.json", lambda: write_status(run_dir, status, reason, step, FINAL if final else "")),
            ("attempts.json", tried),
            ("the last line", lambda: print(status.told(at, shown), flush=True)),
            ("the page", lambda: print(f"page: {write_run_report(run_dir, facts_of(run))}", flush=True)),
        ]
    elif run.mesh.is_main:
        parts += [("attempts.json", partial(withdraw_attempt, run_dir) if refused else tried)]
        if not cleared and not has_trained(run_dir):
            parts += [("status.json", lambda: write_status(run_dir, status, reason, step, FINAL))]
    for name, finish in parts:
        try:
            finish()
        except Exception as error:
            print(f"{run_dir}: {name} failed at the end ({type(error).__name__}: {error})", file=sys.stderr)


def build_model(
    node: Node[Model], vocab_size: int, plan: Plan, device: torch.device, plain_pieces: frozenset[str]
) -> Model:
    """Build on the meta device, then fill on the real one: no weight is ever made twice.

    Raises:
        ConfigError: trainer.seq_len is longer than the model's context.
    """
    with torch.device("meta"):
        model = build(node, vocab_size=vocab_size, plain_pieces=plain_pieces)
    if plan.seq_len > model.context_len:
        raise ConfigError(
            f"trainer.seq_len: {plan.seq_len} tokens are more than model.context_len={model.context_len}; "
            "shorten the one or lengthen the other"
        )
    model.to_empty(device=device)
    model.init_weights(plan.seed)
    return model


def build_log(
    node: Node[Logger],
    model: Model,
    plan: Plan,
    mesh: Mesh,
    run_dir: Path,
    loader: ShardLoader,
    max_grad_norm: float | None,
) -> RunLog:
    """Build what writes metrics: files and loggers on rank 0, nothing elsewhere."""
    peak = peak_flops(mesh.device)
    flops_per_token, total = model.flops_per_token(plan.seq_len), peak * mesh.world_size if peak else None
    names, sources = [name for name, _ in model.named_parameters()], list(loader.samples.sources)
    sizes = bytes_per_token(loader.dataset.manifest.splits["train"], sources)
    fields = StepFields(names, sources, sizes, max_grad_norm, plan.global_batch_size, mesh.device)
    if not mesh.is_main:
        return RunLog(plan, None, NoLogger(), flops_per_token, total, loader.epochs_at, fields)
    logger = build(node, run_dir=run_dir, plan=plan, mesh=mesh)
    return RunLog(plan, MetricsFile(run_dir), logger, flops_per_token, total, loader.epochs_at, fields)


def hash_seed(seed: int, rank: int) -> int:
    """Return a seed of 63 bits for one rank: neighbouring seeds and ranks have nothing in common."""
    return int(hash_json([seed, rank]), 16) % 2**63


def _silent(*_: object, **__: object) -> None:
    pass

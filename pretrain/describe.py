"""What a run says of itself: before it begins, on its page, and of how it ended."""

from __future__ import annotations

from pathlib import Path

import torch

from foundation.progress import human
from pretrain.attempts import hang_since, read_attempts
from pretrain.checkpoint.changes import table
from pretrain.journal import BEGUN
from pretrain.json_lines import read_lines
from pretrain.mesh import PeerLost
from pretrain.metrics.flops import peak_flops
from pretrain.metrics.lines import missing_steps
from pretrain.pieces import PIECES
from pretrain.plan import counted, epochs
from pretrain.run import Run
from pretrain.run_files import JOURNAL, METRICS
from pretrain.types import Status

SHOWN_GAPS = 5


def describe(run: Run) -> str:
    """Return what will be trained, on what and where, in a line each; of several sources, how often each is read."""
    facts = facts_of(run)
    lines = [
        f"data: {facts['Data']}: {facts['Tokens']} tokens, {facts['Tokens held out']} held out, "
        f"vocabulary {facts['Vocabulary']}",
        f"model: {facts['Parameters']} parameters on {facts['Device']}, products in {facts['Products in']}",
        f"arithmetic: {_arithmetic(run)}",
        f"plan: {run.plan.describe()}",
        f"evaluation: {run.evaluator.describe()}",
    ]
    weights = run.loader.samples.weights
    if len(weights) > 1:
        counts, total = run.loader.epochs_at(run.plan.max_steps), sum(weights.values())
        shares = [f"{name} {weight / total:.1%}, {epochs(counts[name])}" for name, weight in weights.items()]
        lines.append(f"sources: {'; '.join(shares)}")
    return "\n".join(lines)


def facts_of(run: Run) -> dict[str, str]:
    """Return what a run is of, label -> value."""
    dataset = run.loader.dataset
    num_tokens, num_held_out = (
        sum(stream.num_tokens for stream in split.values()) for split in (dataset.train, dataset.val)
    )
    return {
        "Parameters": human(sum(parameter.numel() for parameter in run.model.parameters())),
        "Device": f"{run.mesh.world_size} x {_device_name(run.mesh.device)}",
        "Products in": f"{_number_format(run)}, {run.compiled}",
        "Data": str(dataset.path),
        "Tokens": human(num_tokens),
        "Tokens held out": human(num_held_out),
        "Vocabulary": f"{dataset.manifest.vocab_size:,}",
    }


def plain_told(run: Run) -> list[str]:
    """Return a warning for each piece that runs plainly."""
    return [f"warning: trainer.reference: {name} runs plainly: {PIECES[name]}" for name in sorted(run.plain_pieces)]


def first_step(run: Run) -> str:
    """Return what is computed before the first line of metrics comes; on a CPU that may take minutes."""
    plan = run.plan
    return (
        f"step {run.progress.step + 1} of {plan.max_steps}: {counted(plan.grad_accum_steps, 'micro batch')} of "
        f"{plan.micro_batch_size * plan.seq_len:,} tokens a rank; its line comes after it"
    )


def changes_told(run: Run) -> str:
    """Return what is other than in the checkpoint that the run goes on from; empty where nothing is."""
    found, now = run.checkpointer.resumption, run.progress
    if found is None or not found.changes:
        return ""
    lines = [f"resume: what changed since step {found.step}", table(found.changes)]
    for group, what in found.afresh.items():
        lines += [f"  {group} begins anew: {text}" for text in what]
    keys = {change.key for change in found.changes}
    lengths = {"trainer.max_steps", "trainer.max_tokens", "trainer.max_epochs"}
    if keys & lengths or any(key.startswith(("optim.", "schedule.")) for key in keys):
        before, next_lr = run.log.last.get("lr"), run.optimizer.lr * run.schedule.factor(now.step)
        was = "" if before is None else f"{before:.3g} in step {now.step}, "
        last = run.optimizer.lr * run.schedule.factor(max(run.plan.max_steps - 1, now.step))
        lines.append(
            f"  the schedule goes on at step {now.step} of {run.plan.max_steps}: learning rate {was}"
            f"{next_lr:.3g} in step {now.step + 1}, {last:.3g} in the last"
        )
    if "optim" not in found.afresh and any(key.startswith("optim.") for key in keys):
        lines.append("  the optimizer's state goes on as it was saved")
    return "\n".join(lines)


def missing_told(run: Run, run_dir: Path) -> str:
    """Return which steps before this one metrics.jsonl has no line of: some were cut out, or it is another file."""
    begun = [int(line["at_step"]) for line in read_lines(run_dir / JOURNAL) if line.get("event") == BEGUN]
    # the line of the step itself comes with the checkpoint
    missing = missing_steps(run_dir / METRICS, max(begun, default=0) + 1, run.progress.step - 1)
    if not missing:
        return ""
    named = [f"{first}" if first == last else f"{first} to {last}" for first, last in missing]
    more = f" and {len(named) - SHOWN_GAPS} more gaps" if len(named) > SHOWN_GAPS else ""
    return (
        f"{run_dir / METRICS}: steps {', '.join(named[:SHOWN_GAPS])}{more} are missing; the run goes on as it "
        "would with them, curves and page lack them: put the lines back from a copy if you have one"
    )


def reason_of_error(error: BaseException, run: Run, run_dir: Path) -> str:
    """Return what ended the run; of a rank that lost its peer because the watchdog killed it, the watchdog's words."""
    if isinstance(error, PeerLost) and run.mesh.is_main:
        attempts = read_attempts(run_dir)
        if attempts and (hang := hang_since(run_dir, attempts[-1]["started_s"])):
            return hang
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def reason_of(status: Status, run: Run) -> str:
    """Return why the loop ended, and what to do next."""
    if status is Status.FINISHED:
        skipped = run.progress.step - run.progress.num_updates
        of_them = "one of them was" if skipped == 1 else f"{skipped} of them were"
        without = f"; {of_them} skipped and changed no weight: {JOURNAL} says why" if skipped else ""
        return f"all steps of the plan are done{without}{not_finite_told(run)}"
    if status is Status.PREEMPTED:
        next_time = "the state is saved, the same line goes on"
        if not run.checkpointer.saves:
            next_time = "checkpoint=none: nothing is saved, the same line begins anew"
        return f"stopped by {run.signal.asked_by}; {next_time}{not_finite_told(run)}"
    return run.guard.diagnosis()


def not_finite_told(run: Run) -> str:
    """Return a warning where the last losses were NaN or infinite and no guard kept them from the weights."""
    since = run.log.not_finite_since
    if since is None:
        return ""
    return (
        f"; warning: the loss has been NaN or infinite since step {since}, and so are the weights, most likely: don't "
        "use them; train again, from a checkpoint before that or anew, with spike=skip, which leaves such steps out"
    )


def _arithmetic(run: Run) -> str:
    """Return how many operations a token costs, by which formula, and what they are measured against."""
    flops, name = run.model.flops_per_token(run.plan.seq_len), _device_name(run.mesh.device)
    peak = peak_flops(run.mesh.device)
    against = (
        f"MFU is of {name}'s {human(peak, 'FLOP')}/s in dense bfloat16"
        if peak
        else (f"the peak of {name} is not known: no MFU")
    )
    return f"{human(flops, 'FLOP')} a token ({run.model.flops_formula}); {against}"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _number_format(run: Run) -> str:
    """Return what matrix products are computed in, as the forward pass finds it."""
    kind = run.mesh.device.type
    with run.numerics.autocast(run.mesh.device):
        return str(torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32)[6:]

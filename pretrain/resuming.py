"""What `resume=` asks for, and what is said of a run that goes on."""

from __future__ import annotations

from pathlib import Path

from pretrain.checkpoint.changes import is_left_behind, journal_lines
from pretrain.describe import changes_told
from pretrain.journal import BEGUN
from pretrain.json_lines import JsonLines, read_lines
from pretrain.run import Run, restore
from pretrain.run_files import JOURNAL
from pretrain.run_folder import is_own_checkpoint


def resumed(run: Run, resume: str, run_dir: Path) -> bool:
    """Restore what `resume=` names, if it is there.

    A checkpoint of this run is a request to go back to it, met once: a restart by torchrun goes on from the newest.
    Any other one is where the run begins: the same line typed again goes on from the run's own.
    """
    if resume in ("auto", "never"):
        return restore(run)
    if is_own_checkpoint(run_dir, resume) and not run.mesh.restarts:
        return restore(run, resume)
    if restore(run):
        return True
    found = restore(run, resume)
    if not is_own_checkpoint(run_dir, resume):
        line = {"event": BEGUN, "checkpoint": resume, "at_step": run.progress.step}  # of the folder, not of a step
        run.mesh.on_main(lambda: JsonLines(run_dir / JOURNAL).append(line, durable=True))
    return found


def tell_changes(run: Run, run_dir: Path) -> None:
    """Show what is other than in the checkpoint, and write down what of it matters, once.

    A change that an earlier start made from here on, and this one doesn't, goes to the journal's dropped lines.
    """
    if text := changes_told(run):
        print(text)
    found, journal = run.checkpointer.resumption, JsonLines(run_dir / JOURNAL)
    if found is None:
        return
    lines = journal_lines(found.changes, found.step, found.afresh)
    written = list(read_lines(journal.path))  # a kill before the next checkpoint brings the run here again
    if any(is_left_behind(line, lines, found.step) for line in written):
        journal.drop(lambda line: is_left_behind(line, lines, found.step))
    for line in lines:
        if line not in written:
            journal.append(line, durable=True)

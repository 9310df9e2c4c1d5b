"""Rows 26 to 28: a run goes on with other ranks, with another config, and twice from one checkpoint."""

from __future__ import annotations

import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

from foundation.hashes import hash_bytes
from tests.prove.bench import SHORT, Bench, Recipe, tail
from tests.prove.faults import Case, Fault, Outcome
from tests.prove.state import checkpoint_of, lines_of, state_of

FAMILY = "resumes"
ALLOWED = 1e-6  # how far a loss may be from the reference's, relative
EXACT = ("step", "data_step", "num_updates", "tokens_seen", "lr", "skipped")


def of(ranks: int) -> Recipe:
    """Return the short run of so many ranks: its micro batches are the same at any number of them."""
    return Recipe(ranks=ranks)


def world_sizes(bench: Bench) -> list[Case]:
    ways = [(2, 1), (1, 2)] if bench.quick else [(2, 1), (1, 2), (4, 2), (4, 1), (2, 4), (1, 4)]
    found = [Case(f"{saved} ranks, then {now}", partial(change_ranks, bench, saved, now)) for saved, now in ways]
    return [*found, Case("2 ranks, then 3, then 2", partial(refuse_ranks, bench))]


def change_ranks(bench: Bench, saved: int, now: int) -> Outcome:
    """Go on with other ranks: the same samples in the same batches, the loss as before."""
    run_dir = bench.killed_run(of(saved))
    since_s = time.monotonic()
    ended = bench.type(of(now), run_dir)
    note = differing(bench.reference(of(saved)).lines, lines_of(run_dir))
    seconds = ended.first_step_s - since_s
    bench.clean(run_dir)
    if ended.code:
        return Outcome(None, False, False, seconds, tail(ended.text))
    return Outcome(None, not note, bool(note), seconds, note)


def differing(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """Return in what two runs' lines differ by more than rounding; empty when in nothing."""
    if [line["step"] for line in one] != [line["step"] for line in other]:
        return "steps are missing or double"
    for then, now in zip(one, other, strict=True):
        if any(then[key] != now[key] for key in EXACT):
            return f"step {now['step']}: counts differ"
        if not math.isclose(then["loss"], now["loss"], rel_tol=ALLOWED):
            return f"step {now['step']}: loss {now['loss']!r}, uninterrupted {then['loss']!r}"
    return ""


def refuse_ranks(bench: Bench) -> Outcome:
    """Type it with 3 ranks, that no batch of 8 can be dealt to; then as before."""
    run_dir = bench.killed_run(of(2))
    ended = bench.type(of(3), run_dir)
    told = ended.code == 2 and "trainer.global_batch_size" in ended.text
    outcome = bench.recover(of(2), run_dir, time.monotonic(), told)
    bench.clean(run_dir)
    return outcome


# key, value, how the table tells it, verdict
REFUSED = (
    ("model.d_model", "64", "64", "refused"),
    ("model.num_layers", "3", "3", "refused"),
    ("seed", "7", "7", "refused"),
    ("trainer.seq_len", "64", "64", "refused"),
    ("trainer.global_batch_size", "16", "16", "refused"),
    ("data.mask_after_eot", "true", "true", "refused"),
    ("model.dropout", "0.5", "0.5", "needs allow_change=[model.dropout]"),
    ("optim.lr", "0.5", "0.5", "needs allow_change=[optim.lr]"),
    ("trainer.max_steps", "7", "7", "needs allow_change=[trainer.max_steps]"),
    ("trainer.max_grad_norm", "3.0", "3", "needs allow_change=[trainer.max_grad_norm]"),
)
FREE = (
    ("checkpoint.keep_last", "1"),
    ("checkpoint.every_steps", "3"),
    ("data.prefetch_steps", "0"),
    ("eval.every_steps", "1000"),
    ("launcher", "inline"),
)


def configs(bench: Bench) -> list[Case]:
    refused = bench.random.sample(REFUSED, bench.pick(len(REFUSED), 2))
    free = bench.random.sample(FREE, bench.pick(len(FREE), 1))
    found = [Case(f"{row[0]}={row[1]}", partial(refuse_key, bench, *row)) for row in refused]
    return [*found, *(Case(f"{key}={value}", partial(take_key, bench, key, value)) for key, value in free)]


def refuse_key(bench: Bench, key: str, value: str, shown: str, verdict: str) -> Outcome:
    """Change a key that makes it another run: refused by a row of the table, the folder as it was; then as before."""
    run_dir = bench.killed_run(SHORT)
    before = _hashes(run_dir)
    ended = bench.type(SHORT, run_dir, f"{key}={value}")
    row = rf"^  {re.escape(key)} +\S+ +{re.escape(shown)} +{re.escape(verdict)}"
    told = ended.code == 2 and re.search(row, ended.text, re.MULTILINE) is not None
    untouched = _hashes(run_dir) == before
    outcome = bench.recover(SHORT, run_dir, time.monotonic(), told and untouched)
    silent = ended.code == 0
    note = outcome.note or "" if told and untouched else f"folder untouched: {untouched}; {tail(ended.text)}"
    bench.clean(run_dir)
    return Outcome(outcome.detected, outcome.recovered and not silent, outcome.silent or silent, outcome.seconds, note)


def take_key(bench: Bench, key: str, value: str) -> Outcome:
    """Change a key that changes nothing of what is computed: the same state at the end."""
    run_dir = bench.killed_run(SHORT)
    since_s = time.monotonic()
    ended = bench.type(SHORT, run_dir, f"{key}={value}")
    same = ended.code == 0 and state_of(checkpoint_of(run_dir, SHORT.max_steps)) == bench.reference(SHORT).state
    bench.clean(run_dir)
    return Outcome(
        None, same, ended.code == 0 and not same, ended.first_step_s - since_s, "" if same else tail(ended.text)
    )


def _hashes(run_dir: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run_dir)): hash_bytes(path.read_bytes())
        for path in run_dir.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def forks(bench: Bench) -> list[Case]:
    return [
        Case(f"from a checkpoint of a run that was killed ({n})", partial(fork, bench)) for n in range(bench.pick(3, 1))
    ]


def fork(bench: Bench) -> Outcome:
    """Begin two runs with one checkpoint: the same state at the end of both, the source as it was."""
    source, runs = bench.killed_run(SHORT), [bench.new_run(), bench.new_run()]
    begin, before = f"resume={checkpoint_of(source, SHORT.max_steps - SHORT.every_steps)}", _hashes(source)
    since_s = time.monotonic()
    ended = [bench.type(SHORT, run_dir, begin) for run_dir in runs]
    seconds = ended[0].first_step_s - since_s
    failed = [tail(each.text) for each in ended if each.code]
    states = {state_of(checkpoint_of(run_dir, SHORT.max_steps)) for run_dir in runs} if not failed else set()
    steps = [[line["step"] for line in lines_of(run_dir)] for run_dir in runs]
    untouched = _hashes(source) == before
    bench.clean(source, *runs)
    same = states == {bench.reference(SHORT).state} and untouched and steps[0] == steps[1]
    note = "" if same else f"untouched: {untouched}, steps {steps}, {failed}"
    return Outcome(None, same, not failed and len(states | {bench.reference(SHORT).state}) > 1, seconds, note)


BITWISE = "the uninterrupted run's state, bit for bit"
FAULTS = [
    Fault(
        (26,),
        FAMILY,
        "another number of ranks: 4, 2 and 1 in both directions, and 3, which the batch can't be dealt to",
        f"the same steps, counts and lr; the loss within {ALLOWED:g} relative; 3 ranks are refused by the key",
        world_sizes,
        6.0,
        processes=2,
    ),
    Fault(
        (27,),
        FAMILY,
        "one key of the config changed",
        "keys that make another run are refused by name with both values and what it takes, and the folder stays as it "
        f"was, then the line as it was ends with {BITWISE}; free keys end with it at once",
        configs,
        2.0,
    ),
    Fault(
        (28,),
        FAMILY,
        "two runs begun with one checkpoint",
        f"both end with {BITWISE}; the source is as it was",
        forks,
        2.5,
    ),
]

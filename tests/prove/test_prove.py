"""The prover can fail: what is silent is counted so. And a few real injections, of kinds that no other test makes."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foundation.hashes import hash_json
from tests.corpus import write_pydocs
from tests.prove import shards
from tests.prove.__main__ import chosen, main
from tests.prove.bench import Bench, lost_peer_told
from tests.prove.damage import ALONE
from tests.prove.faults import Case, Fault, Outcome, Tally
from tests.prove.launched import TORCHRUN, Launched
from tests.prove.matrix import BEYOND, FAULTS
from tests.prove.needs import REPOSITORY, missing
from tests.prove.page import page, table
from tests.prove.runner import Results, run
from tests.prove.state import bytes_of, computed
from tests.prove.writes import require_struck


class Desk(Bench):
    """A bench that starts no run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seed, self.quick, self.random = folder, 0, True, random.Random(0)
        self._names = itertools.count()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    write_pydocs(desk.folder / "small")
    desk.__dict__["data"] = desk.folder / "small"
    return desk


def fault(cases: list[Case], needs: tuple[str, ...] = ()) -> Fault:
    return Fault((13,), "damage", "a bit flipped", "it is found", lambda bench: cases, 0.1, needs, ALONE)


def unguarded(folder: Path) -> str:
    """Read a data folder as many trainers do: the bytes as they lie there."""
    return hash_json({str(path.relative_to(folder)): path.read_bytes().hex() for path in sorted(folder.rglob("*.bin"))})


def test_what_an_unguarded_reader_uses_is_counted_as_silent(desk: Desk) -> None:
    cases = [case for case in shards.flips(desk, read=unguarded) if ".bin" in case.name]
    results = run(desk, [fault(cases)])
    tally = results.tallies[0]
    assert (tally.injected, tally.detected, tally.recovered, tally.silent) == (len(cases), 0, 0, len(cases))
    assert results.failed
    assert f"| {len(cases)} " in table(results).splitlines()[-1]


def test_the_guarded_reader_lets_none_of_them_through(desk: Desk) -> None:
    cases = [case for case in shards.flips(desk) if ".bin" in case.name or "manifest" in case.name]
    results = run(desk, [fault(cases)])
    assert (results.tallies[0].detected, results.tallies[0].silent) == (len(cases), 0)
    assert not results.failed


def broken() -> Outcome:
    raise RuntimeError("the injection itself went wrong")


@pytest.mark.parametrize(
    ("attempt", "counts", "failed"),
    [
        (lambda: Outcome(True, True, False, 2.0), "| 1        | 1 of 1   | 1         | 0      | 2.00     |", False),
        (lambda: Outcome(None, True, False), "| 1        | -        | 1         | 0      | -        |", False),
        (lambda: Outcome(False, False, True, None, "why"), "| 1        | 0 of 1   | 0         | 1      |", True),
        (
            lambda: Outcome(False, True, False, None, "why"),
            "| 1        | 0 of 1   | 1         | 0      | -        |",
            True,
        ),
        (lambda: Outcome(True, False, False, 1.0, "why"), "| 1        | 1 of 1   | 0         | 0      |", True),
        (broken, "| 1        | -        | 0         | 0      |", True),
    ],
)
def test_an_outcome_is_told_and_decides(desk: Desk, attempt: object, counts: str, failed: bool) -> None:
    results = run(desk, [fault([Case("one", attempt)])])  # type: ignore[arg-type]
    assert counts in table(results)
    assert results.failed == failed
    text = page(results, [("8", "a partition")], "--seed=0", 2.0)
    assert ("Nothing." in text) != failed
    assert "- row 8: a partition" in text


def test_a_fault_whose_needs_are_not_met_is_told_and_not_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDWORK_PROVE_INSIDE", raising=False)
    results = run(desk, [fault([Case("one", broken)], ("mounts",))])
    assert results.tallies == []
    assert "mounts of its own" in page(results, [], "--seed=0", 2.0)


def interrupted() -> Outcome:
    raise KeyboardInterrupt


def test_what_was_done_before_a_ctrl_c_is_there(desk: Desk) -> None:
    desk.random.seed(3)
    done = fault([Case("one", lambda: Outcome(None, True, False))])
    faults = [done, fault([Case("two", interrupted)]), done]
    results = run(desk, faults)
    assert results.interrupted
    assert all(tally.injected == (0 if tally.fault is faults[1] else 1) for tally in results.tallies)
    assert faults[1] in [tally.fault for tally in results.tallies]


def test_the_seed_decides_order_and_share() -> None:
    def ran(seed: int) -> list[str]:
        desk, seen = Desk(Path()), list[str]()
        desk.random.seed(seed)
        noted = [Case(f"{n}", lambda n=n: (seen.append(f"{n}"), Outcome(None, True, False))[1]) for n in range(40)]
        one = [Fault((1,), "x", "x", "x", lambda bench: noted, 1.0, processes=99)]
        run(desk, one, share=0.25)
        return seen

    assert ran(1) == ran(1) != ran(2)
    assert len(ran(1)) == 10


def test_rows_and_families_choose_and_a_wrong_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert {row for fault in chosen(["13", "signals"]) for row in fault.rows} >= {2, 3, 4, 5, 6, 13}
    with pytest.raises(SystemExit, match="--only=99: no row, family or name"):
        chosen(["99"])
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(fault.name in listed for fault in FAULTS)


def test_every_row_of_the_matrix_is_there_or_told() -> None:
    here = {row for fault in FAULTS for row in fault.rows}
    told = {int(row) for rows, _ in BEYOND for row in rows.split(", ")}
    assert here | told == set(range(1, 34))
    assert not here & told


def test_a_page_names_what_was_silent() -> None:
    tally = Tally(fault([]), [("at 5", Outcome(False, False, True, None, "was read"))])
    assert "row 13, a bit flipped: at 5: silent: was read" in page(Results([tally], [], 1.0), [], "--seed=0", 2.0)


def test_bytes_of_a_tensor_are_its_bits() -> None:
    assert bytes_of(torch.tensor([1.0, 2.0]).bfloat16()) != bytes_of(torch.tensor([1.0, 2.5]).bfloat16())


def test_an_injection_counts_only_where_it_struck(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("mkdir /\nwrite /.status.json.tmp17\n")
    require_struck(log, 1, ["mkdir /", "write /.status.json.tmp4"])
    with pytest.raises(AssertionError, match="nothing was injected: the run made 2 calls, not 3"):
        require_struck(log, 2)
    with pytest.raises(AssertionError, match="nothing was injected: the run made 0 calls"):
        require_struck(tmp_path / "none", 0)
    with pytest.raises(AssertionError, match="injected before mkdir /, not before fsync /"):
        require_struck(log, 0, ["fsync /"])


@pytest.mark.parametrize(
    ("text", "code", "noticed"),
    [
        ("error: a collective failed, and no rank said why; was one killed, or out of memory?", 2, True),
        ("error: the disk is full", 2, False),
        ("", 0, None),
        ("", -signal.SIGTERM, None),
    ],
)
def test_a_kill_is_noticed_by_words_of_the_rank_that_is_left(
    desk: Desk, tmp_path: Path, text: str, code: int, noticed: bool | None
) -> None:
    assert lost_peer_told(desk, tmp_path, text, code) is noticed
    (tmp_path / "status.json").write_text('{"status": "failed", "reason": "PeerLost: another rank has ended: rank 1"}')
    assert lost_peer_told(desk, tmp_path, text, code) is (noticed if noticed is None else True)


def test_where_and_how_a_run_was_asked_for_is_no_part_of_its_state() -> None:
    def facts(run_name: str, lr: float) -> dict[str, Any]:
        gate = {"config": {"run_name": run_name, "optim": {"lr": lr}, "data": {}, "eval": {}, "trainer": {}}}
        return {"step": 4, "gate": gate, "environment": {"code": run_name, "torch": "2"}}

    assert computed(facts("one", 0.1)) == computed(facts("two", 0.1)) != computed(facts("one", 0.2))


@pytest.mark.slow
def test_a_launched_run_that_is_left_leaves_no_process(tmp_path: Path) -> None:
    if why := missing("proc"):
        pytest.skip(f"needs {why}")
    with Launched(Bench(tmp_path, 0, True), TORCHRUN) as run:
        run.wait_for_step()
        assert len(run.alive()) >= 1 + len(run.ranks)
    assert run.alive() == []


@pytest.mark.slow
def test_a_selection_is_recovered_from(tmp_path: Path) -> None:
    if why := missing("shim"):
        pytest.skip(f"needs {why}")
    some = [
        "--only=SIGKILL before each",
        "--only=power loss",
        "--only=15",
        "--only=28",
        "--quick",
        "--share=0.1",
        "--seed=2",
        f"--page={tmp_path / 'prove.md'}",
    ]
    command = [sys.executable, "-m", "tests.prove", *some]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was silent or unnoticed, everything was recovered from" in done.stdout
    text = (tmp_path / "prove.md").read_text()
    assert "| 15 " in text
    assert "## What was not run" in text

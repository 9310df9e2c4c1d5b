"""A save beside the steps: it writes the state of its moment, its errors are heard, it leaves nothing behind."""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import NotTensorsOnly, SaveFailed
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.saving import Save
from pretrain.heartbeat import BEAT_NS, PHASE, Phase
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

MakeState = Callable[..., TrainState]
Same = Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], bool]
CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


@pytest.fixture
def beside(mesh: Mesh, plan: Plan, run_dir: Path) -> Iterator[DcpCheckpoint]:
    checkpointer = DcpCheckpoint(every_steps=10, keep_last=3, mesh=mesh, plan=plan, run_dir=run_dir)
    yield checkpointer
    checkpointer.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set, no thread begins to write: what a test does before is done while the save is under way."""
    opened, write = threading.Event(), Save.write

    def wait_and_write(self: Save, *arguments: Any) -> None:
        assert opened.wait(60)
        write(self, *arguments)

    monkeypatch.setattr(Save, "write", wait_and_write)
    yield opened
    opened.set()


def spoil(state: TrainState) -> None:
    """Change every tensor and fact in place, as the next step does, and draw random numbers."""
    for tensor in state.tensors.values():
        tensor.view(-1).copy_(torch.full_like(tensor.view(-1), 1))
    state.facts.clear()
    torch.rand(100)


def state_on(device: str, state: TrainState) -> TrainState:
    # the transposed one would come back from the device as it went: this room's tests of layouts are on the CPU
    return TrainState({name: tensor.to(device).contiguous() for name, tensor in state.tensors.items()}, state.facts)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_what_changes_after_save_has_returned_is_not_in_the_checkpoint(
    plan: Plan, run_dir: Path, make_state: MakeState, same_tensors: Same, gate: threading.Event, device: str
) -> None:
    mesh = Mesh(0, 1, 0, torch.device(device))
    beside = DcpCheckpoint(10, 3, mesh, plan, run_dir)
    for step in (10, 20):  # the second one uses the first one's memory
        state = state_on(device, make_state(step))
        gate.clear()
        torch.manual_seed(step)
        beside.save(step, state)
        spoil(state)
        assert f"step_{step:08d}" not in names(run_dir)  # it wasn't written before the change
        gate.set()
        beside.wait()
        live = state_on(device, make_state(99))
        assert beside.load(live)
        expected = state_on(device, make_state(step))
        assert same_tensors({name: tensor.cpu() for name, tensor in live.tensors.items()},
                            {name: tensor.cpu() for name, tensor in expected.tensors.items()})  # fmt: skip
        assert live.facts.pop("environment") and live.facts == expected.facts
        torch_after = torch.rand(3)
        torch.manual_seed(step)
        assert torch.equal(torch_after, torch.rand(3))
    beside.close()


def test_the_bytes_are_those_that_a_synchronous_save_writes(
    mesh: Mesh, plan: Plan, make_state: MakeState, tmp_path: Path
) -> None:
    written = []
    for asynchronous in (False, True):
        checkpointer = DcpCheckpoint(10, 3, mesh, plan, tmp_path / str(asynchronous), asynchronous=asynchronous)
        torch.manual_seed(0)
        checkpointer.save(10, make_state(10))
        checkpointer.close()
        folder = tmp_path / str(asynchronous) / "checkpoints" / "step_00000010"
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1] and len(written[0]) == 7


def test_a_save_waits_for_the_one_before_and_says_so(
    beside: DcpCheckpoint, make_state: MakeState, run_dir: Path, gate: threading.Event, capfd: Any
) -> None:
    beside.save(10, make_state(10))
    beside.save(10, make_state(11))  # a signal at a step whose save is under way
    threading.Timer(0.1, gate.set).start()
    beside.save(20, make_state(20))
    assert names(run_dir)[-1] == "step_00000010"
    said = capfd.readouterr().err
    assert re.search(
        r"step 20 waited \d+\.\d s for the checkpoint of step 10, which took \d+\.\d s; raise checkpoint.every_steps",
        said,
    )
    beside.wait()
    said = capfd.readouterr().err
    assert re.search(r"step_00000020: 240\.2 kB saved in \d+\.\d s, training was held for \d+\.\d s of them\n", said)


def test_what_is_told_is_told_once(beside: DcpCheckpoint, make_state: MakeState, gate: threading.Event) -> None:
    assert beside.poll(0) is None
    beside.save(10, make_state(10))
    assert beside.poll(0) is None  # under way
    gate.set()
    beside.wait()
    took_s = beside.poll(0)
    assert took_s is not None and took_s > 0
    assert beside.poll(0) is None


@pytest.fixture
def no_large_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def polled_until_ended(checkpointer: DcpCheckpoint) -> None:
    for _ in range(10_000):
        checkpointer.poll(0)
        threading.Event().wait(0.001)
    raise AssertionError("no error came")


@pytest.mark.parametrize("how", [polled_until_ended, DcpCheckpoint.wait, DcpCheckpoint.close])
def test_a_save_that_fails_in_the_thread_is_heard_of_and_harms_nothing(
    saved: Path, beside: DcpCheckpoint, make_state: MakeState, run_dir: Path, no_large_files: None, how: Any
) -> None:
    beside.save(20, make_state(20))
    with pytest.raises(SaveFailed, match=r"step 20 could not be saved.*File too large.* it needs \d+ bytes, \d+ are"):
        how(beside)
    assert names(run_dir) == [saved.name] and verify(saved) == []
    assert beside.poll(0) is None  # once
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    beside.save(20, make_state(20))
    beside.wait()
    assert names(run_dir) == [saved.name, "step_00000020"]


def test_the_next_save_hears_of_the_error_too(
    beside: DcpCheckpoint, make_state: MakeState, no_large_files: None
) -> None:
    beside.save(10, make_state(10))
    with pytest.raises(SaveFailed, match="step 10 could not be saved"):
        beside.save(20, make_state(20))


def test_one_that_is_given_up_leaves_nothing(
    saved: Path, beside: DcpCheckpoint, make_state: MakeState, run_dir: Path, gate: threading.Event
) -> None:
    beside.save(20, make_state(20))
    assert names(run_dir) == [".step_00000020.saving", saved.name]
    threading.Timer(0.1, gate.set).start()
    beside.abandon()
    assert names(run_dir) == [saved.name]
    beside.abandon()  # there is none
    beside.close()


def test_a_ctrl_c_while_it_is_waited_for_gives_it_up(
    saved: Path, beside: DcpCheckpoint, make_state: MakeState, run_dir: Path, gate: threading.Event
) -> None:
    beside.save(20, make_state(20))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        beside.wait()
    threading.Timer(0.1, gate.set).start()
    beside.abandon()
    assert names(run_dir) == [saved.name]


def test_who_waits_for_a_slow_disk_gives_signs_of_life_while_pieces_are_written_and_none_while_none_are(
    beside: DcpCheckpoint, make_state: MakeState, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.checkpoint.beside.LOOK_S", 0.001)
    slot, write, is_waited_for = mesh.heartbeat._slot, Save.write, threading.Event()
    still: list[bool] = []

    def write_slowly(self: Save, *arguments: Any) -> None:
        assert is_waited_for.wait(60)
        for _ in range(3):
            before_ns = slot[BEAT_NS]
            self._go_on()
            for _ in range(60_000):
                if slot[BEAT_NS] != before_ns:
                    break
                time.sleep(0.001)
            assert slot[BEAT_NS] != before_ns and slot[PHASE] == Phase.SAVING
            seen_ns = slot[BEAT_NS]
            time.sleep(0.05)  # many looks
            still.append(slot[BEAT_NS] == seen_ns)
        self._share_is_written()
        before_ns = slot[BEAT_NS]
        for _ in range(60_000):
            if slot[BEAT_NS] > before_ns + 20_000_000:  # the others' shares may take as long as they like
                break
            time.sleep(0.001)
        assert slot[BEAT_NS] > before_ns + 20_000_000
        write(self, *arguments)

    monkeypatch.setattr(Save, "write", write_slowly)
    beside.save(10, make_state(10))
    threading.Timer(0.05, is_waited_for.set).start()
    beside.wait()
    assert still == [True] * 3


def test_giving_up_hears_no_error_of_a_peer_that_was_lost(
    beside: DcpCheckpoint, make_state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: Save, *arguments: Any) -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]:4711")  # gloo's own words, in no family of ours

    monkeypatch.setattr(Save, "write", lost)
    beside.save(10, make_state(10))
    beside.abandon()
    beside.close()


def test_a_copy_that_memory_has_no_room_for_is_named(
    beside: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path
) -> None:
    state = make_state(20)
    state.tensors["model.vast"] = torch.zeros(1).expand(1 << 50)
    with pytest.raises(SaveFailed, match=r"^checkpoint.asynchronous: a rank has no memory .*asynchronous=false"):
        beside.save(20, state)
    assert names(run_dir) == [saved.name]


def test_what_cannot_be_saved_is_refused_before_anything_is_done(
    beside: DcpCheckpoint, make_state: MakeState, run_dir: Path
) -> None:
    for wrong in (torch.zeros(3, dtype=torch.complex64), 0.1):
        state = make_state(10)
        state.tensors["model.wrong"] = wrong  # type: ignore[assignment]
        with pytest.raises(NotTensorsOnly, match=r"model\.wrong: "):
            beside.save(10, state)
    assert not run_dir.exists()


def test_a_load_sees_what_is_under_way(beside: DcpCheckpoint, make_state: MakeState, gate: threading.Event) -> None:
    beside.save(10, make_state(10))
    threading.Timer(0.1, gate.set).start()
    live = make_state(99)
    assert beside.load(live) and live.facts["step"] == 10

"""Ranks: what one rank does for all, and settings of the device."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from foundation.errors import ConfigError, GroundworkError
from pretrain.mesh import FAILED, Mesh, PeerLost, set_determinism, start_mesh
from tests.lines import Lines

TORCHRUN = Path(sys.executable).with_name("torchrun")
ALONE = Mesh(0, 1, 0, torch.device("cpu"))


def test_alone_on_main_is_a_call() -> None:
    assert ALONE.on_main(lambda: {"a": 1}) == {"a": 1}

    def refuse() -> None:
        raise ConfigError("a: 1 is not 2")

    with pytest.raises(ConfigError, match="a: 1 is not 2"):
        ALONE.on_main(refuse)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match=r"trainer\.device_type: 'cuda' is not available here; allowed: auto, .*cpu"),
        start_mesh("cuda"),
    ):
        pass
    with start_mesh("auto") as mesh:
        assert mesh.device.type in ("mps", "cpu")


def test_reproducible_sums_prepare_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        set_determinism(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        set_determinism(False)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK: is not set, though WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "LOCAL_RANK: is not set, though WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, "MASTER_ADDR: is not set, though WORLD_SIZE is 2"),
        ({"RANK": "1"}, "RANK: 1, though WORLD_SIZE is not set"),
        ({"RANK": "7", "WORLD_SIZE": "1"}, "RANK: 7, though WORLD_SIZE is 1"),
        ({"WORLD_SIZE": "2", "RANK": "abc"}, "RANK: 'abc' is not a whole number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: 'two' is not a whole number"),
    ],
)
def test_what_torchrun_would_have_set_is_asked_for_by_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=words) as refused, start_mesh("cpu"):
        pass
    assert "start with torchrun, which sets it, or unset RANK, WORLD_SIZE" in str(refused.value)


def test_the_first_rank_that_fails_says_why_and_none_after_it() -> None:
    store = dist.HashStore()  # type: ignore[attr-defined]
    for rank, error in ((1, OSError("the disk is gone")), (0, ValueError("what came of it"))):
        mesh = Mesh(rank, 2, 0, torch.device("cpu"), store=store)
        with pytest.raises(type(error)), mesh.failing_together():
            raise error
    assert store.get(FAILED) == b"rank 1: OSError: the disk is gone"
    with pytest.raises(PeerLost, match="another rank has ended: rank 1: OSError: the disk"), mesh.failing_together():
        raise RuntimeError("Connection closed by peer")


def test_where_no_rank_said_why_the_collective_does() -> None:
    mesh = Mesh(0, 2, 0, torch.device("cpu"), store=dist.HashStore())  # type: ignore[attr-defined]
    words = "no rank said why; was one killed, or out of memory\\? NCCL error: no interface matching eth7"
    with pytest.raises(PeerLost, match=words), mesh.failing_together():
        raise dist.DistBackendError("NCCL error: no interface matching eth7")


TWICE = """
import os
from pretrain.mesh import start_mesh
for _ in range(2):
    with start_mesh("cpu") as mesh:
        mesh.barrier()
        os.write(1, f"rank {mesh.rank}: {mesh.restarts} restarts\\n".encode())
"""


def test_a_process_that_trains_twice_is_no_restart(tmp_path: Path, run_ranks: Callable[..., str]) -> None:
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    said = sorted(run_ranks(script, ranks=2).splitlines())
    assert said == [f"rank {rank}: 0 restarts" for rank in (0, 0, 1, 1)]


LEAVES = """
import os
from datetime import timedelta
import torch.distributed as dist
from pretrain.mesh import PeerLost, start_mesh
if os.environ["RANK"] == "1":
    dist.init_process_group = lambda *a, **k: os._exit(0)  # killed as the others begin to connect
try:
    with start_mesh("cpu", timeout=timedelta(seconds=3)):
        pass
except PeerLost as error:
    os.write(1, f"told: {error}".encode())
"""


def test_a_rank_that_ends_while_they_meet_is_told(tmp_path: Path, run_ranks: Callable[..., str]) -> None:
    script = tmp_path / "leaves.py"
    script.write_text(LEAVES)
    assert "told: another rank ended while they met; was one killed, or out of memory?" in run_ranks(script, ranks=2)


IN_A_CONTAINER = """
import os, socket, sys
os.getpid, socket.gethostname = lambda: 1, lambda: "container"
from torch.distributed import TCPStore
from pretrain.mesh import _restarts
store = TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False)
print(_restarts(store), _restarts(store))
"""


@pytest.mark.slow
def test_a_container_started_again_is_a_restart_though_its_host_and_pid_are_the_same(
    tmp_path: Path, one_thread: dict[str, str], typed: Lines
) -> None:
    script = tmp_path / "contained.py"
    script.write_text(IN_A_CONTAINER)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    for said in ("0 0\n", "1 1\n"):
        assert typed.start(script, [str(store.port)], tmp_path, one_thread).wait() == (0, said)


FORKED = """
import os, sys
from torch.distributed import TCPStore
from pretrain.mesh import _restarts
def said():
    store = TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False)
    return f"{_restarts(store)} {_restarts(store)}\\n".encode()
os.write(1, said())
if os.fork():
    os.wait()
    os.write(1, said())
else:
    os.write(1, said())
"""


@pytest.mark.slow
def test_a_forked_process_is_not_the_one_that_it_was_forked_from(
    tmp_path: Path, one_thread: dict[str, str], typed: Lines
) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    _, text = typed.start(script, [str(store.port)], tmp_path, one_thread).wait()
    assert text.splitlines() == ["0 0", "1 1", "1 1"]


KILLED_ONCE = """
import os, signal, sys, time
from pretrain.mesh import FAILED, start_mesh
attempt, rank = os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]
if (attempt, rank) == ("1", sys.argv[1]):
    time.sleep(1)
with start_mesh("cpu") as mesh:
    mesh.barrier()
    if attempt == "0":
        if rank == "1":
            mesh.store.set(FAILED, "of the attempt before")
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    mesh.barrier()
    os.write(1, f"attempt {attempt}, rank {rank}: left over: {mesh.store.check([FAILED])}\\n".encode())
"""


@pytest.mark.slow
@pytest.mark.parametrize("slower", [0, 1])
def test_a_restart_by_torchrun_meets_nothing_of_the_attempt_before(
    tmp_path: Path, one_thread: dict[str, str], typed: Lines, slower: int
) -> None:
    script = tmp_path / "killed_once.py"
    script.write_text(KILLED_ONCE)
    line = ["--standalone", "--nproc_per_node=2", "--max-restarts=1", str(script), str(slower)]
    code, text = typed.start(TORCHRUN, line, tmp_path, one_thread).wait()
    assert code == 0, text
    said = sorted(re.findall("^attempt.*", text, re.MULTILINE))
    assert said == [f"attempt 1, rank {rank}: left over: False" for rank in (0, 1)]


NODES = """
import os, pathlib, signal, sys
from pretrain.mesh import start_mesh

with start_mesh("cpu") as mesh:
    killed = pathlib.Path(sys.argv[1])
    again = killed.exists()
    mesh.barrier()
    if not again:
        if os.environ["GROUP_RANK"] == "1":
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        mesh.barrier()
    os.write(1, f"met again: {mesh.rank} {mesh.restarts}\\n".encode())
"""


@pytest.mark.slow
def test_two_nodes_meet_again_though_only_the_failed_one_counts_its_restarts(
    tmp_path: Path, one_thread: dict[str, str], typed: Lines
) -> None:
    script = tmp_path / "nodes.py"
    script.write_text(NODES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rendezvous = ["--nnodes=2", "--nproc_per_node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}"]
    line = [*rendezvous, "--rdzv-id=x", "--max-restarts=2", str(script), str(tmp_path / "killed")]
    ended = [node.wait() for node in [typed.start(TORCHRUN, line, tmp_path, one_thread) for _ in range(2)]]
    told = "".join(text for _, text in ended)
    assert [code for code, _ in ended] == [0, 0], told
    assert sorted(re.findall(r"met again: (\d) (\d)", told)) == [("0", "1"), ("1", "1")], told


def test_a_rank_alone_does_not_begin_when_torchrun_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.torchrun.STORE_TIMEOUT", timedelta(seconds=1))
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    place = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setenv(name, value)
    with start_mesh("cpu") as mesh:
        assert mesh.world_size == 1
    del store
    with pytest.raises(PeerLost, match="torchrun has ended"), start_mesh("cpu"):
        pass


def test_what_rank_0_refuses_ends_the_others_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(GroundworkError):
        exit_code, restart_helps = 4, True

    def refuse() -> None:
        raise Loop("a crash loop")

    told: list[Any] = []
    monkeypatch.setattr(Mesh, "broadcast_json", lambda mesh, value: told.append(value) or told[0])
    for rank in (0, 1):
        with pytest.raises(GroundworkError, match="a crash loop") as refused:
            Mesh(rank, 2, rank, torch.device("cpu")).on_main(refuse)
        assert (refused.value.exit_code, refused.value.restart_helps) == (4, True)
    assert GroundworkError.exit_code == 2

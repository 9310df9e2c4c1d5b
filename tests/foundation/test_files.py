from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.errors import InputError
from foundation.files import (
    FolderLocked,
    FolderUnusable,
    canonical_json,
    folder_lock,
    pretty_json,
    read_json,
    replacing,
    write_atomic,
    write_json,
)

OWNER = """
import sys, time
from pathlib import Path
from foundation.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""

# no file may grow beyond 1000 bytes: like a full disk, in the middle of a write
CUT_SHORT = """
import resource, signal, sys
from pathlib import Path
from foundation.files import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), bytes(5000))
except OSError as error:
    print(error.errno)
"""


def test_written_bytes_are_read_back_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_failure_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(RuntimeError, match="power"), replacing(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise RuntimeError("power")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    child = subprocess.run([sys.executable, "-c", CUT_SHORT, str(path)], capture_output=True, text=True, check=False)
    assert child.stdout == f"{errno.EFBIG}\n", child.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, disk_events: list[str]
) -> None:
    write_atomic(tmp_path / "file", b"new")
    assert disk_events == ["flush .file", "name file", f"flush {tmp_path.name}"]


def test_another_process_that_writes_the_same_file_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = "import sys; from pathlib import Path; from foundation.files import write_atomic\n"
    script += "write_atomic(Path(sys.argv[1]), b'theirs')"
    with replacing(path) as temporary:
        temporary.write_bytes(b"ours")
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert path.read_bytes() == b"theirs"
    assert path.read_bytes() == b"ours"


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import sys; from pathlib import Path; from foundation.files import write_atomic\n"
        "print('begun', flush=True)\n"
        "for i in range(10**9): write_atomic(Path(sys.argv[1]), bytes([65 + i % 26]) * 3_000_000)\n"
    )
    for delay_s in (0.02, 0.05, 0.11):
        child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        data = path.read_bytes()
        assert data == data[:1] * 3_000_000


def test_json_is_sorted_and_readable(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": {"y": "ü", "x": True}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value == json.loads((tmp_path / "value.json").read_text("utf-8"))
    assert pretty_json(value).endswith(b"}\n")
    assert canonical_json(value) == '{"a":{"x":true,"y":"ü"},"b":[1,2.5,null]}'.encode()


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"a": ')
    with pytest.raises(InputError, match=r"broken\.json: not valid JSON"):
        read_json(path)


def test_the_second_owner_waits_and_is_told_who_the_first_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path / "new")], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"mine\n"
        started = time.monotonic()
        with (
            pytest.raises(FolderLocked, match=rf"process {child.pid} on .*waited 0 s"),
            folder_lock(tmp_path / "new", 0.3),
        ):
            pass
        assert time.monotonic() - started >= 0.3
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and told.startswith(f"waiting up to 0 s for process {child.pid} on ")
    finally:
        child.kill()
        child.wait()
    with folder_lock(tmp_path / "new", wait_s=5.0):  # the kernel gave back what the dead one held
        assert str(os.getpid()) in (tmp_path / "new" / ".lock").read_text()


def test_an_owner_that_writes_its_name_a_moment_later_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writes = threading.Timer(0.3, lambda: (tmp_path / ".lock").write_text("process 7"))
        writes.start()
        with pytest.raises(FolderLocked, match="process 7 works here"), folder_lock(tmp_path, 0.9):
            pass
        writes.join()
    assert capsys.readouterr().err == f"waiting up to 1 s for process 7, which works in {tmp_path}\n"


@contextlib.contextmanager
def waiting_owner(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start another owner of a folder that is held; yield it when it waits."""
    child = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stderr is not None and child.stdout is not None
        assert child.stderr.readline().startswith(b"waiting up to 10 s")
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("is_held_anew", [True, False])
def test_who_waits_for_a_folder_that_is_moved_gets_the_one_that_takes_its_place(
    tmp_path: Path, is_held_anew: bool
) -> None:
    folder = tmp_path / "run"
    with contextlib.ExitStack() as old:
        old.enter_context(folder_lock(folder))
        with waiting_owner(folder) as child:
            assert child.stdout is not None
            folder.rename(tmp_path / "run.1")
            if is_held_anew:
                with folder_lock(folder, wait_s=0.0):
                    old.close()
                    assert select.select([child.stdout], [], [], 0.5)[0] == []
            old.close()
            assert child.stdout.readline() == b"mine\n"
            assert (folder / ".lock").read_text().startswith(f"process {child.pid} on ")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p400.jsonl"
    file.write_text("{}")
    cases = ((file / "x", "Not a directory"), (Path("/proc/foo"), "No such file or directory"))
    for folder, reason in cases:
        with pytest.raises(FolderUnusable, match=f"{folder}: .*{reason}"), folder_lock(folder, wait_s=0.0):
            pass


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with folder_lock(tmp_path, wait_s=0.0):
            pass


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(FolderUnusable, match=f"{tmp_path}: can't be locked"), folder_lock(tmp_path):
        pass

"""A folder that is built is whole or absent, whatever stops it, and whoever else builds it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.exchange.building import PLAN, building
from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.shards.verify import verify
from foundation.files import FolderLocked, folder_lock

KILLED = """
import os, signal, sys
from pathlib import Path
from data_pipeline.exchange.merge import merge

left = [int(sys.argv[4])]

def kill_at_rename(event, arguments):
    if event == "os.rename" and ".unfinished" in str(arguments[0]):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at_rename)
folder = Path(sys.argv[2])
merge(Path(sys.argv[1]), [folder], {(folder, "web"): "w"}, sys.argv[3] == "link")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("plan", [None, "plan"])
def test_it_appears_whole_at_the_end(tmp_path: Path, plan: str | None) -> None:
    with building(tmp_path / "out", 10, plan) as unfinished:
        (unfinished / "file").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["file"]


def test_what_fails_leaves_nothing_or_what_the_same_plan_can_use(tmp_path: Path) -> None:
    for plan in (None, "plan"):
        with pytest.raises(KeyboardInterrupt), building(tmp_path / "out", 10, plan) as unfinished:
            (unfinished / "file").write_text("1")
            raise KeyboardInterrupt
        assert (unfinished / "file").exists() == (plan is not None) and not (tmp_path / "out").exists()
    with building(tmp_path / "out", 10, "plan") as unfinished:
        assert (unfinished / "file").read_text() == "1"
        (unfinished / "more").write_text("2")
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["file", "more"]


@pytest.mark.parametrize("plan", ["other", None])
def test_what_another_plan_left_is_not_used(tmp_path: Path, plan: str | None) -> None:
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "out", 10, "plan") as unfinished:
        (unfinished / "folder").mkdir()
        (unfinished / "folder" / "file").write_text("1")
        raise KeyboardInterrupt
    with building(tmp_path / "out", 10, plan) as unfinished:
        assert {".lock", *([PLAN] if plan else [])} == set(names(unfinished))


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_pipeline.exchange.building.folder_lock", lambda folder: folder_lock(folder, 0.1))
    with building(tmp_path / "out", 10, "plan") as unfinished:
        (unfinished / "file").write_text("1")
        with pytest.raises(FolderLocked), building(tmp_path / "out", 10, "plan"):
            raise AssertionError
        assert (unfinished / "file").exists()


def test_who_waited_finds_it_made_and_leaves_nothing(tmp_path: Path) -> None:
    command = (
        "import sys; from pathlib import Path; from data_pipeline.exchange.building import building\n"
        "print('begun', flush=True)\n"
        "with building(Path(sys.argv[1]), 1, 'plan'): print('built')"
    )
    with building(tmp_path / "out", 10, "plan") as unfinished:
        (unfinished / "file").write_text("1")
        line = [sys.executable, "-c", command, str(tmp_path / "out")]
        other = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert other.stdout is not None and other.stderr is not None
        assert other.stdout.readline() == "begun\n"
        assert "waiting up to" in other.stderr.readline()
    out, err = other.communicate(timeout=30)
    assert "built" not in out and "is there already and would be overwritten" in err
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["file"]


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for name in ("file", "link"):
        with pytest.raises(ExchangeError, match=f"{name}: is there already"), building(tmp_path / name, 1, "p"):
            raise AssertionError


@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_merge_that_is_killed_at_any_rename_goes_on(finished: Path, tmp_path: Path, how: str) -> None:
    def merge_until(rename: int) -> int:
        line = [sys.executable, "-c", KILLED, str(tmp_path / "out"), str(finished), how, str(rename)]
        return subprocess.run(line, capture_output=True, timeout=60, check=False).returncode

    for rename in (1, 2, 4, 9):
        assert merge_until(rename) in (-signal.SIGKILL, 0)
        if (tmp_path / "out").exists():
            break
    else:
        assert merge_until(1000) == 0
    assert not any(verify(tmp_path / "out").values())
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["manifest.json", "shards", "tokenizer.json"]
    assert not list((tmp_path / "out").rglob(".*"))

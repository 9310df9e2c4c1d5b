"""Patterns match what `glob.glob` does, which is the reference; but what can't be read is an error."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.walk import matches, walk
from foundation.errors import InputError

REPOSITORY = Path(__file__).parents[3]
NAMES = st.sampled_from(["a", "b", "ab", ".a", "[a]", "a.b"])
PATTERNS = st.sampled_from(["a", "b", "*", "a*", "?", "[ab]", "[!a]*", ".*", "**", "[[]a]"])


@settings(max_examples=60)
@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12),
    st.lists(PATTERNS, min_size=1, max_size=4),
    st.booleans(),
)
def test_what_matches_is_what_glob_says(files: list[list[str]], parts: list[str], from_root: bool) -> None:
    with tempfile.TemporaryDirectory() as top:
        for file in files:
            path = Path(top, *file)
            if not any(above.is_file() for above in path.parents) and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        pattern = "/".join([top, *parts, *(["*"] if parts[-1] == "**" else [])])
        if not from_root:
            pattern = os.path.relpath(top) + pattern.removeprefix(top)
        expected = {os.path.normpath(path) for path in glob.glob(pattern, recursive=True)}  # noqa: PTH207
        found = walk(pattern, "paths")
        assert {os.path.normpath(path) for path in found} == expected
        assert found == sorted(set(found))


@pytest.mark.bad_input(42)
@pytest.mark.parametrize("pattern", ["**/*.jsonl", "*/x.jsonl", "*/*.jsonl", "one/x.jsonl", "one/*"])
def test_a_folder_that_is_a_link_in_circles_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "x.jsonl").touch()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    said = r"leads through .*/(one|two)(/x\.jsonl)?, which can't be read \(Too many levels of symbolic links\); mend it"
    with pytest.raises(InputError, match=said):
        Jsonl([f"{tmp_path}/{pattern}"]).files()


def test_what_is_no_folder_is_no_match(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("missing")
    for pattern in ("*/x", "file/*", "gone/*", "missing/*", "**/x", "file/x", "nul\0/*", "*/nul\0"):
        assert walk(f"{tmp_path}/{pattern}", "paths") == []
    with pytest.raises(InputError, match=r"paths leads through .*, which can't be read \(File name too long\)"):
        walk(f"{tmp_path}/{'x' * 300}/*", "paths")


@pytest.mark.bad_input(41)
@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_closed_folder_is_refused(tmp_path: Path, mode: int) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").touch()
    (tmp_path / "closed").chmod(mode)
    script = (
        "import os, sys\n"
        "from data_pipeline.sources.inputs import matching_files\n"
        "from foundation.errors import InputError\n"
        "if os.geteuid() == 0:\n"  # who may read everything becomes nobody
        "    os.setresuid(65534, 65534, 65534)\n"
        "for pattern in ('*/x.jsonl', '*/*.jsonl', '**/*.jsonl', 'closed/x.jsonl', 'closed/*'):\n"
        "    try: print(matching_files(sys.argv[1] + '/' + pattern, 'paths'))\n"
        "    except InputError as error: print(error)\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o111)
    tmp_path.chmod(0o755)
    command = [sys.executable, "-c", script, str(tmp_path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    (tmp_path / "closed").chmod(0o755)
    lines = ended.stdout.splitlines()
    assert len(lines) == 5, ended.stderr
    for line in lines:
        assert f"{tmp_path}/closed" in line
        assert "can't be read (Permission denied); mend it or leave it out" in line


@settings(max_examples=200)
@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(PATTERNS, min_size=1, max_size=4))
def test_what_would_match_is_what_matches_once_it_is_there(file: list[str], parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        path = Path(top, *file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        pattern = str(Path(top, *parts))
        assert matches(pattern, path) == (path in walk(pattern, "x"))

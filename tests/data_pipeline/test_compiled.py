"""Machine code that numba keeps belongs to the sources that it was made of."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.compiled import PACKAGE, cache_dir, sources_hash

HEAD = "from data_pipeline.compiled import kernel\n"
CALLER = f"{HEAD}from data_pipeline.inner import inner\n\n@kernel\ndef outer(x):\n    return inner(x)\n"
INNER = f"{HEAD}from data_pipeline.constant import STEP\n\n@kernel\ndef inner(x):\n    return x + STEP\n"


@pytest.mark.slow
def test_a_changed_kernel_or_constant_reaches_the_kernels_that_call_it(tmp_path: Path) -> None:
    package = tmp_path / "data_pipeline"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(PACKAGE / "compiled.py", package)
    shutil.copytree(
        PACKAGE.parent / "foundation", tmp_path / "foundation", ignore=shutil.ignore_patterns("__pycache__")
    )
    files = {"outer.py": CALLER, "inner.py": INNER, "constant.py": "STEP = 1\n"}
    command = [sys.executable, "-c", "from data_pipeline.outer import outer; print(outer(1), outer.stats.cache_hits)"]
    said = []
    for changes in ({}, {}, {"constant.py": "STEP = 10\n"}, {"inner.py": INNER.replace("x +", "x *")}):
        for name, text in (files | changes).items():
            (package / name).write_text(text)
        files |= changes
        said.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()[0])
    assert said == ["2", "2", "11", "10"]
    assert len(list((package / "__pycache__").glob("kernels-*"))) == 3


def test_what_stays_the_same_keeps_its_code(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text("from data_pipeline.compiled import kernel\nfrom data_pipeline.other import X\n")
    (tmp_path / "other.py").write_text("X = 1\n")
    (tmp_path / "apart.py").write_text("Y = 1\n")
    first = sources_hash(tmp_path)
    (tmp_path / "apart.py").write_text("Y = 2\n")
    assert sources_hash(tmp_path) == first
    (tmp_path / "other.py").write_text("X = 2\n")
    assert sources_hash(tmp_path) != first
    assert cache_dir().is_dir()

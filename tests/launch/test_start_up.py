"""Help and mistyped lines are answered at once: nothing is imported that only a training needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("launch/train.py --help", 0, "optim= "),
        ("launch/train.py model=gpt_smal", 2, "'gpt_smal' is no option of this group"),
        ("launch/train.py trainer.max_steps", 2, "arguments are key=value"),
        ("launch/preflight.py --help", 0, "optim= "),
        ("launch/preflight.py model=gpt_smal", 2, "'gpt_smal' is no option of this group"),
        ("launch/generate.py --help", 0, "num_samples=1"),
        ("launch/generate.py", 0, "num_samples=1"),
        ("launch/generate.py rn=runs/x", 2, "did you mean 'run'"),
        ("launch/verify_resume.py --help", 0, "verify.kills=3"),
        ("launch/verify_resume.py verify.kill=3", 2, "did you mean 'kills'"),
    ],
)
def test_no_torch_for_help_and_mistyped_lines(line: str, code: int, expected: str) -> None:
    command = [sys.executable, "-X", "importtime", *line.split()]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    imported = {text.rpartition("|")[2].strip() for text in ended.stderr.splitlines() if text.startswith("import time")}
    assert ended.returncode == code
    assert expected in ended.stdout + ended.stderr
    assert "foundation.errors" in imported
    assert not {"torch", "numpy", "pyarrow"} & imported
    assert "train.py" in line or "preflight.py" in line or "hydra" not in imported  # generate.py composes nothing

"""A terminal: launch/train.py and its kin, typed in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"
BIN = Path(sys.executable).parent


class Terminal:
    """Types commands in a folder: `torchrun` in earnest, `type` forked, with ranks as torchrun would start them."""

    def __init__(self, folder: Path, environment: dict[str, str], typed: Any) -> None:
        self.folder, self.typed = folder, typed
        self.environment = environment | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def type(self, *arguments: str, code: int = 0, **how: Any) -> str:
        found, text = self.typed.start(TRAIN, arguments, self.folder, self.environment, **how).wait()
        assert found == code, text
        return str(text)

    def torchrun(self, *arguments: str, ranks: int = 1, code: int = 0) -> str:
        child = self.start(*arguments, ranks=ranks)
        text, _ = child.communicate(timeout=240)
        assert child.returncode == code, text
        return text

    def start(self, *arguments: str, ranks: int = 1) -> subprocess.Popen[str]:
        many = ["--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        command = [str(BIN / "torchrun"), *many, str(TRAIN), *arguments]
        pipe, both = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=both, text=True)

    def status(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / "runs" / name / "status.json").read_text()))


@pytest.fixture
def terminal(tmp_path: Path, one_thread: dict[str, str], typed: Any) -> Terminal:
    return Terminal(tmp_path, one_thread, typed)

"""A terminal: launch/train.py and its kin, typed in processes of their own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lines import Line

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"
BIN = Path(sys.executable).parent


class Terminal:
    """Types commands in a folder: `type` with ranks as torchrun would start them, `torchrun` with torchrun itself."""

    def __init__(self, folder: Path, environment: dict[str, str], typed: Any) -> None:
        self.folder, self.typed = folder, typed
        self.environment = environment | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def type(self, *arguments: str, code: int = 0, **how: Any) -> str:
        found, text = self.typed.start(TRAIN, arguments, self.folder, self.environment, **how).wait()
        assert found == code, text
        return str(text)

    def torchrun(self, *arguments: str, ranks: int = 1, code: int = 0) -> str:
        found, text = self.start(*arguments, ranks=ranks).wait()
        assert found == code, text
        return text

    def start(self, *arguments: str, ranks: int = 1) -> Line:
        many = ["--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        line: Line = self.typed.start(BIN / "torchrun", [*many, str(TRAIN), *arguments], self.folder, self.environment)
        return line

    def status(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / "runs" / name / "status.json").read_text()))


@pytest.fixture
def terminal(tmp_path: Path, one_thread: dict[str, str], typed: Any) -> Terminal:
    return Terminal(tmp_path, one_thread, typed)

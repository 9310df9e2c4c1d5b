"""The command as users type it: `python -m data_pipeline.classifier ...`, and its model in those that clean."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.clean.toxicity import word_list
from foundation.config.compose import CommandLine
from tests.typed_line import CONF

Write = Callable[..., Path]


def type_line(folder: Path, *words: str, module: str = "data_pipeline.classifier") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

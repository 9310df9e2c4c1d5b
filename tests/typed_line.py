"""Runs a script as if its line had been typed, in a process forked where torch is imported already: conftest's Lines.

`LINE` is handed over as a global: script, arguments, folder, environment and the file that takes the output.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

LINE: dict[str, Any] = globals()["LINE"]

os.chdir(LINE["folder"])
os.environ.clear()
os.environ.update(LINE["environment"])
output = os.open(LINE["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
for stream in (1, 2):
    os.dup2(output, stream)
import torch  # noqa: E402 (after the environment is set; imported before the fork all the same)

torch.set_num_threads(1)
sys.argv = [LINE["script"], *LINE["arguments"]]
if LINE["before"]:
    exec(LINE["before"])  # what a test makes go wrong in there
runpy.run_path(LINE["script"], run_name="__main__")

"""What the process that lines are forked from has done already: imports, and a config composed once.

Hydra looks for plugins and learns its grammar with the first line that it reads. All that is there then is frozen: a
run's collection of garbage need not look at it, nor copy its memory.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

import numpy.random  # noqa: F401
import torch._dynamo  # which DistributedDataParallel asks for a setting
import torch.distributed.run  # noqa: F401

import launch.continuation  # noqa: F401
from foundation.config.compose import CommandLine
from launch.train import CONF_DIR
from launch.trials import checked, compose
from tests.lines import TINY

argv = sys.argv
with tempfile.TemporaryDirectory() as scratch:
    command = CommandLine([*TINY, "run_name=run"], CONF_DIR, "train", Path(scratch))
    for config, hydra in compose(command):
        checked(config, hydra, command)
sys.argv, tempfile.tempdir = argv, None  # of a line, its own
gc.collect()
gc.freeze()

"""Reads every byte of finished shards: python -m data_pipeline.shards data/web."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.verify import verify
from foundation.reader import reader_may_leave

HELP = """Check the shards in a folder against the sums in manifest.json and in their .sum files, and say of each shard
whether it is ok; of a damaged one, which 64 KiB blocks. Exit code: 0 all are ok, 1 something is damaged, 2 there is
nothing to check. Damaged shards are made again by the `python -m data_pipeline ...` line that made the folder."""


def main() -> None:
    """Read the command line, verify, print; exit with 0, 1 or 2 as the help says."""
    parser = argparse.ArgumentParser("python -m data_pipeline.shards", description=HELP)
    parser.add_argument("folder", type=Path, help="the output folder of a finished pipeline, e.g. data/web")
    folder: Path = parser.parse_args().folder
    try:
        verdicts = verify(folder)
    except ShardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for name, problems in verdicts.items():
        print(f"{name}: {'damaged' if problems else 'ok'}")
        for problem in problems:
            print(f"  {problem}")
    sys.exit(any(verdicts.values()))


if __name__ == "__main__":
    with reader_may_leave():
        main()

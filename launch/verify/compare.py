"""Two runs held against each other: every tensor, counter and random state of their last checkpoints, every line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from pretrain.checkpoint.environment import ENVIRONMENT
from pretrain.checkpoint.gate import GATE
from pretrain.checkpoint.integrity import step_folders
from pretrain.checkpoint.reading import Opened, load_tensors, open_checkpoint
from pretrain.json_lines import read_lines
from pretrain.metrics.lines import MACHINE_FIELDS
from pretrain.plan import counted
from pretrain.run_files import CHECKPOINTS, JOURNAL, METRICS, SAMPLES

# beginning of a tensor's name -> what it is called in the table
ROOMS = {"model": "parameters", "optim": "optimizer state", "guard": "guard: windows"}
_SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `holds` is None where something could not be tried."""

    what: str
    compared: str
    result: str
    holds: bool | None


def compare_runs(one: Path, other: Path) -> list[Row]:
    """Return a row for each part of the state of two runs' ends, and for each of their files.

    Args:
        one: folder of the run that was never stopped.
        other: of the one that was.
    """
    ends = [step_folders(folder / CHECKPOINTS)[:1] for folder in (one, other)]
    if not (ends[0] and ends[1] and ends[0][0].name == ends[1][0].name):
        names = " and ".join(str([path.name for path in end]) for end in ends)
        return [Row("last checkpoint", names, "they do not end with the same one", False)]
    opened = [open_checkpoint(end[0]) for end in ends]
    return [
        *_tensor_rows(*(_tensors(each) for each in opened)),
        _counters_row(*(each.facts for each in opened)),
        _random_row(*opened),
        *(_lines_row(name, one / name, other / name) for name in (METRICS, JOURNAL, SAMPLES)),
    ]


def _tensors(opened: Opened) -> dict[str, Tensor]:
    live = {}
    for name, entry in opened.metadata.state_dict_metadata.items():
        assert isinstance(entry, TensorStorageMetadata)
        live[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
    load_tensors(opened, live)
    return live


def _tensor_rows(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[Row]:
    rooms = {name.partition(".")[0] for name in one.keys() | other.keys()}
    rows = []
    for room in sorted(rooms, key=[*ROOMS, *sorted(rooms - ROOMS.keys())].index):
        names = sorted(name for name in one.keys() | other.keys() if name.startswith(f"{room}."))
        differing = [name for name in names if name not in one or name not in other or not same(one[name], other[name])]
        count = sum(one[name].numel() for name in names if name in one)
        compared = f"{counted(len(names), 'tensor')}, {count:,} values, bit for bit"
        rows.append(Row(ROOMS.get(room, room), compared, _told(differing), not differing))
    return rows


def same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit: NaN is NaN, and -0 is not 0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    flat, other_flat = (each.contiguous().reshape(-1).view(torch.uint8) for each in (one, other))
    return torch.equal(flat, other_flat)


def _counters_row(one: dict[str, Any], other: dict[str, Any]) -> Row:
    keys = sorted((one.keys() | other.keys()) - {GATE, ENVIRONMENT})
    differing = [key for key in keys if timeless(one.get(key)) != timeless(other.get(key))]
    return Row("counters", ", ".join(keys), _told(differing), not differing)


def _random_row(one: Opened, other: Opened) -> Row:
    ranks = one.manifest.world_size
    compared = f"those of {counted(ranks, 'rank')}: Python, NumPy, torch"
    if ranks != other.manifest.world_size:
        return Row("random states", compared, f"saved by {other.manifest.world_size} ranks", False)
    differing = [f"rank {rank}" for rank in range(ranks) if one.rank_facts(rank) != other.rank_facts(rank)]
    return Row("random states", compared, _told(differing), not differing)


def _lines_row(name: str, one: Path, other: Path) -> Row:
    """Compare the lines of steps; those without one are of the folder, such as a checkpoint that was set aside."""
    pair = [[timeless(line) for line in read_lines(path) if "step" in line] for path in (one, other)]
    clocks = ", clocks excepted" if name == METRICS else ""
    compared = f"{counted(len(pair[0]), 'line')}{clocks}"
    if len(pair[0]) != len(pair[1]):
        return Row(name, compared, f"{counted(len(pair[1]), 'line')} in the run that was stopped", False)
    differing = [_first_difference(a, b) for a, b in zip(*pair, strict=True) if a != b]
    return Row(name, compared, _told(differing), not differing)


def _first_difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    key = next(key for key in {**one, **other} if one.get(key) != other.get(key))
    return f"{key} of step {one['step']}"


def timeless(value: Any) -> Any:
    """Return JSON values without what hangs on the machine: fields in seconds or by them, and memory."""
    if isinstance(value, list):
        return [timeless(item) for item in value]
    if isinstance(value, dict):
        kept = ((key, item) for key, item in value.items() if key not in MACHINE_FIELDS and not str(key).endswith("_s"))
        return {key: timeless(item) for key, item in kept}
    return value


def _told(differing: Iterable[str]) -> str:
    names = list(differing)
    if not names:
        return "equal"
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"differ: {', '.join(names[:_SHOWN_NAMES])}{more}"


def table(rows: list[Row]) -> str:
    """Return the rows aligned, with what each comes to."""
    words = {True: "holds", False: "BROKEN", None: "not tried"}
    shown = [("what", "compared", "result", "promise")]
    shown += [(row.what, row.compared, row.result, words[row.holds]) for row in rows]
    widths = [max(len(line[column]) for line in shown) for column in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]]) for line in shown
    )

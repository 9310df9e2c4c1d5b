"""What is refused before a training does any work, and when its examples are too few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipeline.classifier.examples import Examples, Origin
from data_pipeline.classifier.labels import CLASSES
from data_pipeline.output_dir import CONFIG, QUARANTINE, REPORT
from data_pipeline.sources.names import with_source_names
from foundation.config.check import MISSING
from foundation.errors import ConfigError, InputError, require
from foundation.files import LOCK

MODEL, FOLDER = "model.safetensors", "classifiers"
MIN_EXAMPLES = 10  # of a class, for a model; good ones need thousands
LABELLED = "labelled"
GIVE = "give {0}.paths='[{0}.jsonl.zst]', or records of both kinds by labelled.paths="
# keys of addresses whose query may hold a signature, as in `pipeline`
_OURS = frozenset({MODEL, CONFIG, QUARANTINE, REPORT, LOCK})


def without_unsaid(tree: dict[str, Any], typed: Sequence[str], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return a plain config in which examples of which nothing was said are null, and sources have their names.

    Args:
        tree: not checked yet.
        typed: the arguments of the command.
        allowed: module prefixes that a `_target_` may come from.
    """
    found = dict(tree)
    for key in (*CLASSES, LABELLED):
        node = tree.get(key)
        starts = (f"{key}.", f"{key}=", f"corpus@{key}=")
        is_said = any(text.lstrip("+").startswith(starts) for text in typed)
        if isinstance(node, dict) and MISSING in node.values() and not is_said:
            found[key] = None
        elif node is not None:
            found[key] = with_source_names({"corpus": node, "name": key}, allowed)["corpus"]
    return found


def check_settings(name: str, l2: float, held_out_frac: float, seed: int, partition_bytes: int, memory: int) -> None:
    """Refuse what can't work.

    Raises:
        SettingError: names the argument.
    """
    is_name = bool(name) and not set(name) & set("/\\\0") and name not in (".", "..") and len(name.encode()) <= 255
    require(is_name, "name", name, f"a name for the folder of the model below {FOLDER}/, or set output_dir=")
    require(l2 > 0, "l2", l2, "a number above 0; 0.01 is usual")
    require(0 < held_out_frac < 1, "held_out_frac", held_out_frac, "a share between 0 and 1; 0.2 is usual")
    require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
    require(partition_bytes >= 1, "partition_bytes", partition_bytes, f"1 or more bytes; {16 << 20} is usual")
    require(memory >= 1 << 20, "memory_bytes", memory, f"{1 << 20} (1 MiB) or more; {4 << 30} is usual")


def check_given(labels: Sequence[int | None]) -> None:
    """Refuse a training of one class alone.

    Args:
        labels: of the sources that are given, None where records say their class.
    Raises:
        ConfigError: names the class that there are no examples of.
    """
    for label, each in enumerate(CLASSES):
        if label not in labels and None not in labels:
            raise ConfigError(f"{each}: no examples, and a classifier needs some of both classes; {GIVE.format(each)}")


def check_folder(folder: Path, origin: Origin) -> None:
    """Refuse a folder that holds what isn't ours.

    Raises:
        ConfigError: names it.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output_dir: {folder} is a file; give a folder")
    for file in (each.file for group in origin.groups for each in group.files):
        if file.path is not None and folder.resolve() in file.path.resolve().parents:
            raise ConfigError(f"output_dir: {folder} holds the examples {file.path}; give another folder")
    others = [path.name for path in folder.iterdir() if path.name not in _OURS] if folder.is_dir() else []
    others = sorted(name for name in others if not name.startswith("."))  # what a killed writer left is no one else's
    if others:
        raise ConfigError(f"output_dir: {folder} holds other files ({', '.join(others[:3])}); give a new folder")


def check_examples(examples: Examples) -> None:
    """Refuse too few.

    Raises:
        InputError: says of which class, and what became of them.
    """
    for label, each in enumerate(CLASSES):
        held = len(examples.rows[label])
        if held >= MIN_EXAMPLES:
            continue
        lost = [
            (examples.repeated[label], "repeat others"),
            (len(examples.in_both), "stand in both classes"),
            (examples.left_out[label], "are left out, as memory_bytes asks"),
        ]
        why = ", ".join(f"{number:,} {what}" for number, what in lost if number)
        raise InputError(
            f"{each}: {held:,} different examples of {examples.seen[label]:,}{f' ({why})' if why else ''}, where "
            f"{MIN_EXAMPLES} are the least and thousands are good; {GIVE.format(each)}"
        )

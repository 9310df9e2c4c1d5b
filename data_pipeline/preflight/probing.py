"""The two runs over what was drawn, and what is known of the whole one before it begins."""

from __future__ import annotations

import contextlib
import inspect
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipeline.losses import NothingLeft
from data_pipeline.mix.split import SplitError
from data_pipeline.output_dir import WORK
from data_pipeline.pipeline import SIGNED, Result
from data_pipeline.preflight.apart import run_apart
from data_pipeline.preflight.costs import Probed, Whole
from data_pipeline.preflight.drawn import Drawn, DrawnCorpus
from data_pipeline.stages.inputs import group_files
from data_pipeline.tokenize.errors import TokenizerError
from foundation.config import Node, build
from foundation.config.secrets import hide_queries
from foundation.files import read_json
from foundation.hashes import hash_json

# the first probe is one block of so many of the second's, more where nothing is left of it: it compiles, and the two
# tell fixed costs from those that grow
SMALLER = (4, 2)
FEWER_WORDS = 8  # of the first probe's vocabulary, in so many parts: a text is needed for each
COMPILED_S = 0.5  # of compiling; more is no measure of a run
LARGE = "large"  # folder of the second
PARTS = 4  # partitions a worker, where the whole run has as many: the probe keeps the workers busy as the run would
TOO_SMALL = (NothingLeft, SplitError, TokenizerError)  # what a part may be, and the whole need not


def probe_folders(scratch: Path) -> list[Path]:
    """Return where the probes' outputs go, the largest first."""
    return [scratch / LARGE, *(scratch / f"small{number}" for number in reversed(range(len(SMALLER))))]


def probe_twice(
    arguments: dict[str, Any], drawn: list[Drawn], workers: int, scratch: Path
) -> tuple[Probed | None, Probed, Result]:
    """Run a part of what was drawn, then all of it; return both and the result of the second.

    Args:
        workers: that the executor may have.
        scratch: the folder that holds the outputs of both.
    Raises:
        GroundworkError: as of `pipeline.run`, of the second; of the first too, unless it is one of TOO_SMALL.
    """
    parts = _num_partitions(arguments, drawn, workers)
    small = None
    for number, every in enumerate(SMALLER):
        if sum(len(each.blocks) for each in drawn) >= 2 * every:
            fewer = [each.fewer(every) for each in drawn]
            small, is_whole = _probe_small(_probing(arguments, fewer, parts, scratch / f"small{number}"), fewer)
            if is_whole:
                break
    changed = _probing(arguments, drawn, parts, scratch / LARGE)
    result = run_apart(changed, "probe 2 of 2")
    return small, Probed(drawn, changed["partition_bytes"], _took(result.output_dir)), result


def _probe_small(arguments: dict[str, Any], drawn: list[Drawn]) -> tuple[Probed, bool]:
    """Run the first probe, again where its time went into compiling; return it, and whether it came to its end."""
    folder = Path(arguments["output_dir"])
    arguments = arguments | {"tokenizer": _of_few_words(arguments["tokenizer"])}
    for label in ("probe 1 of 2", "probe 1 of 2, now compiled"):
        shutil.rmtree(folder, ignore_errors=True)
        is_whole = False
        with contextlib.suppress(*TOO_SMALL):
            run_apart(arguments, label)
            is_whole = True
        took = _took(folder)
        if sum(stage["compiled_s"] for stage in took.values()) < COMPILED_S:
            break
    return Probed(drawn, arguments["partition_bytes"], took), is_whole


def _of_few_words(node: Node[Any]) -> Node[Any]:
    """Return a tokenizer to train that so small a text supports; a given one as it is."""
    if "vocab_size" not in inspect.signature(node.target).parameters:
        return node
    trainer = build(node)
    least = 280 + len(getattr(trainer, "special_tokens", ()))
    fewer = {"vocab_size": max(trainer.vocab_size // FEWER_WORDS, min(trainer.vocab_size, least))}
    return replace(node, values=node.values | fewer, raw=node.raw | fewer)


def config_hash(arguments: dict[str, Any]) -> str:
    """Return the hash of all settings that decide what a run gives and takes: a forecast of others is none of it.

    Addresses count without the values of their queries: signed anew they are of the same files.
    """
    plain = {key: value.raw if isinstance(value, Node) else value for key, value in arguments.items()}
    hidden = hide_queries(plain, SIGNED)
    return hash_json({key: value for key, value in hidden.items() if key not in ("name", "output_dir")})


def _probing(arguments: dict[str, Any], drawn: list[Drawn], parts: int, folder: Path) -> dict[str, Any]:
    """Return the arguments of a run over what was drawn, which no limit stops.

    Args:
        parts: partitions that it is to have.
        folder: where its outputs go.
    """
    size = max(math.ceil(sum(each.size for each in drawn) / parts), 1)
    return arguments | {
        "corpus": Node("corpus", DrawnCorpus, {"drawn": drawn}),
        "output_dir": str(folder),
        "partition_bytes": min(size, partition_bytes(arguments)),
        "max_bad_frac": 1.0,
        "mix": _keeping_its_part(arguments["mix"], drawn),
        **{group: _never_stopping(arguments[group]) for group in ("clean", "dedup")},
    }


def _keeping_its_part(node: Node[Any], drawn: list[Drawn]) -> Node[Any]:
    """Return a mix that keeps as many times fewer bytes of a source as fewer of it were drawn.

    All stages before take of the part what they take of the whole, so that the rest of it is that many times smaller
    too; a share is the same of both.
    """
    keep = dict(node.values.get("keep") or {})
    for each in drawn:
        part = keep.get(each.source.name)
        if isinstance(part, dict) and not each.is_all:
            keep[each.source.name] = {"bytes": part["bytes"] * each.size / max(each.whole, each.size)}
    return replace(node, values=node.values | {"keep": keep}, raw=node.raw | {"keep": keep}) if keep else node


def _took(folder: Path) -> dict[str, dict[str, float]]:
    """Return stage -> what it took, of the stages that came to their end in an output folder."""
    records = (folder / WORK).glob("*/stage.json")
    return {path.parent.name: read_json(path)["facts"]["timing"] for path in records}


def _never_stopping(node: Node[Any]) -> Node[Any]:
    if "max_loss_frac" not in inspect.signature(node.target).parameters:
        return node
    unlimited = {"max_loss_frac": 1.0}
    return replace(node, values=node.values | unlimited, raw=node.raw | unlimited)


def partition_bytes(arguments: dict[str, Any]) -> int:
    """Return the setting."""
    found: int = arguments.get("partition_bytes", 64 << 20)
    return found


def _group_sizes(arguments: dict[str, Any], drawn: Sequence[Drawn]) -> list[float]:
    """Return the bytes of each group of files that the whole run reads in one go, in the measure of what was drawn."""
    times = {each.source.name: each.whole / each.stored_bytes if each.stored_bytes else None for each in drawn}
    whole = {each.source.name: each.whole for each in drawn}
    groups = group_files([each.source for each in drawn], partition_bytes(arguments))
    sizes = []
    for group in groups:
        ratio = times[group.source.name]
        stored = sum(each.file.size_bytes for each in group.files)
        sizes.append(whole[group.source.name] if ratio is None else stored * ratio)
    return sizes


def _num_partitions(arguments: dict[str, Any], drawn: Sequence[Drawn], workers: int) -> int:
    """Return how many partitions a probe is to have: as many as the whole run, or enough to keep the workers busy."""
    limit = partition_bytes(arguments)
    whole = sum(max(math.ceil(size / limit), 1) for size in _group_sizes(arguments, drawn))
    return min(whole, PARTS * workers)


def whole_of(arguments: dict[str, Any], drawn: list[Drawn], workers: int) -> Whole:
    """Return what is known of the whole run before it begins."""
    largest = max(_group_sizes(arguments, drawn))
    read = [each.read_s * max(each.stored_bytes / max(each.read_bytes, 1), 1.0) for each in drawn]
    sample = getattr(build(arguments["tokenizer"]), "sample_bytes", math.inf)
    return Whole(
        size=sum(each.whole for each in drawn),
        partition_bytes=round(min(partition_bytes(arguments), largest)),
        workers=workers,
        sample_bytes=sample,
        read_s=sum(read),
    )

"""What each cleaning rule did to one document: it is read from the input once more and cleaned step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.rules import Rule, Rules
from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.work import Document
from data_pipeline.output_dir import CONFIG
from data_pipeline.sources.names import with_source_names
from data_pipeline.sources.remote import signed_keys
from data_pipeline.sources.source import Corpus
from data_pipeline.sources.tags import tagged
from data_pipeline.stages.inputs import group_files
from data_pipeline.stages.view import CLEAN, num_bytes
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.config.compose import read_config
from foundation.errors import GroundworkError
from foundation.progress import progress

KEYS = ("corpus", "clean", "partition_bytes")  # of config.yaml, those that cleaning depends on


def cleaning_of(data_dir: Path, document: Document) -> list[dict[str, Any]]:
    """Return, by rule in their order, how much it changed: rule, changes (kind -> times), bytes_before, bytes_after.

    Args:
        data_dir: with the config.yaml of the run.
    Raises:
        InspectionError: the config or the input is gone or is not what it was; says which.
    """
    try:
        corpus, rule, partition_bytes = _built(data_dir)
        batch = _read(corpus, document, partition_bytes)
    except GroundworkError as error:
        raise InspectionError(str(error)) from error
    steps = rule.rules if isinstance(rule, Rules) else {CLEAN: rule}
    found = []
    for label, step in steps.items():
        applied = step.apply(batch)
        before, after = (num_bytes(each.column("text")) for each in (batch, applied.batch))
        found.append({"rule": label, "changes": dict(applied.changed), "bytes_before": before, "bytes_after": after})
        batch = applied.batch
    if batch.column("text").to_pylist() != [document.cleaned_text]:
        raise InspectionError("the input, or what the rules do, is not what it was when the shards were made")
    return found


def _schema(corpus: Node[Corpus], clean: Node[Rule], partition_bytes: int = 64 << 20) -> None:
    """The part of the pipeline's config that is read here."""


def _built(data_dir: Path) -> tuple[Corpus, Rule, int]:
    path = data_dir / CONFIG
    if not path.is_file():
        raise InspectionError(f"{path}: missing; it says how the documents were cleaned")
    tree = with_source_names(read_config(path), DEFAULT_TARGETS)
    arguments = check({key: tree[key] for key in KEYS if key in tree}, _schema, signed=signed_keys("corpus"))
    return build(arguments["corpus"]), build(arguments["clean"]), arguments["partition_bytes"]


def _read(corpus: Corpus, document: Document, partition_bytes: int) -> pa.RecordBatch:
    """Return the document as its source parses it, one row."""
    groups = group_files(corpus.sources(), partition_bytes)
    files = [(group, each) for group in groups for each in group.files]
    chosen = [(group, each) for group, each in files if each.number == document.file_number]
    if not chosen or chosen[0][1].file.name != document.file:
        raise InspectionError(f"the input no longer has {document.file} where it was")
    group, numbered = chosen[0]
    with progress("read the input", numbered.file.size_bytes or None, "B") as meter:
        seen = 0
        for block in group.source.blocks(numbered.file, partition_bytes):
            meter.add(block.read_bytes - seen)
            seen = block.read_bytes
            parsed = group.source.parse(block, numbered.file, numbered.number)
            documents = tagged(parsed.documents, group.source.tags)
            places = np.flatnonzero(documents.column("row").to_numpy() == document.row)
            if len(places):
                return documents.take(pa.array(places))
    raise InspectionError(f"{numbered.file.where}: no longer has row {document.row}")

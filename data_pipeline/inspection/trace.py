"""From a token of the shards to its document, and what each stage of the pipeline did to that."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_pipeline.augment.augmentation import NAME
from data_pipeline.inspection.cleaned import cleaning_of
from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.evidence import REPLACED, Evidence
from data_pipeline.inspection.origin import from_table, from_work
from data_pipeline.inspection.position import Position, locate
from data_pipeline.inspection.text import Decoder
from data_pipeline.inspection.work import CUTTING, Document, Work
from data_pipeline.output_dir import CLUSTERS, REMOVED, WORK
from data_pipeline.shards.documents import Origin
from data_pipeline.shards.manifest import DOCUMENTS, SPLITS, Manifest, read_tokenizer
from data_pipeline.storage import DamagedFile

AROUND = 24  # tokens shown to each side
COPY_ID = re.compile(rf"(.+)#{NAME.pattern}-[1-9][0-9]*", re.DOTALL)  # as augment.copies names them


def trace(data_dir: Path, typed: str, around: int = AROUND) -> dict[str, Any]:
    """Return all that is known of a token, as JSON values.

    Args:
        typed: its position, as `position.locate` takes it.
        around: tokens of the text to each side of it.
    Returns:
        `position`, `split`, `source`, `shard`, `token` (its place in the shard), `token_in_source`, `token_id`;
        `document`: `number_in_shard`, `number_in_source`, `first_token`, `tokens`, `token_in_document`, `text` around
        the token, and `file`, `row`, `id` where they are known, of a copy also `copy_of`, the id of the document that
        it is one of; `stages`: stage -> what it did, of a copy to that document; `unknown`: what can't be said, with
        the reason.
    Raises:
        InspectionError: there is no such position.
        ShardError: a shard is not what the manifest says.
    """
    manifest = Manifest.load(data_dir)
    position = locate(data_dir, manifest, typed)
    decoder = Decoder(read_tokenizer(data_dir, manifest), str(data_dir / "tokenizer.json"))
    ids = position.shard.tokens(position.start, position.stop)
    place = position.token - position.start
    found: dict[str, Any] = {
        "position": position.name,
        "split": position.split,
        "source": position.source,
        "shard": position.shard.name,
        "token": position.token,
        "token_in_source": position.in_source,
        "token_id": int(ids[place]),
        "document": {
            "number_in_shard": position.document,
            "number_in_source": position.before + position.document,
            "first_token": position.start,
            "tokens": len(ids),
            "token_in_document": place,
            "text": decoder.around(ids, place, around),
        },
        "stages": {},
        "unknown": [],
    }
    text = decoder.text(ids[:-1]) if ids[-1] == manifest.eot_id else decoder.text(ids)
    _add_history(found, data_dir, manifest, position, text)
    return found


def _add_history(found: dict[str, Any], data_dir: Path, manifest: Manifest, position: Position, text: str) -> None:
    """Add where the document comes from and what the stages did to it, as far as it is known."""
    unknown: list[str] = found["unknown"]
    origin = document = None
    no_table = ""
    try:
        origin = from_table(data_dir, manifest, position)
    except InspectionError as error:
        no_table = str(error)
    try:
        document = _in_work(data_dir, position, origin, text)
        origin = origin or from_work(document)
    except (InspectionError, DamagedFile) as error:
        unknown.append(f"what the stages measured and changed: {error}")
    if origin is None:
        unknown.append(f"where the document comes from: {no_table}")
    if origin is not None:
        found["document"] |= {"file": origin.file, "row": origin.row, "id": origin.id}
        found["stages"] = _stages(found, data_dir, position, origin, document)


def _in_work(data_dir: Path, position: Position, origin: Origin | None, text: str) -> Document:
    """Return the document in the work folder; without its origin by its place, which shuffled shards don't have.

    Raises:
        InspectionError: there is no such folder, or its document has another text.
    """
    work = Work(data_dir)
    document = work.find(position, origin.file, origin.row, origin.id) if origin else work.document(position)
    if document.record["text"] != text:
        why = (
            "is of another run"
            if origin
            else f"is of another run or another order, without {position.shard.name}{DOCUMENTS}"
        )
        raise InspectionError(f"{data_dir / WORK}: {why}: its document here has another text")
    return document


def _stages(
    found: dict[str, Any], data_dir: Path, position: Position, origin: Origin, document: Document | None
) -> dict[str, Any]:
    """Return what the stages did; of a copy, what they did to the document that it is one of."""
    stages: dict[str, Any] = {}
    unknown: list[str] = found["unknown"]
    if document is not None:
        original = document.original
        stages |= {"clean": _cleaned(data_dir, original, unknown), "filter": _filtered(original)}
    if (data_dir / REMOVED).is_dir() or document is not None:
        stages |= _told(data_dir, origin, document, unknown)
    else:
        unknown.append(f"what was removed in favour of this document: {data_dir / REMOVED} is gone")
    stages["split"] = {"held_out": position.split == SPLITS[1]}
    if document is not None and document.copy:
        found["document"]["copy_of"] = document.copy_of
        stages["augment"] = {"copy": document.copy, "metadata": document.record["metadata"]}
    return stages


def _told(data_dir: Path, origin: Origin, document: Document | None, unknown: list[str]) -> dict[str, Any]:
    """Return what the evidence of the folder says, by stage; unknown: receives what it may not say."""
    work = document.work if document is not None else None
    evidence = Evidence(data_dir, origin.file, origin.row, _identifiers(data_dir, origin, document, unknown), work)
    stages: dict[str, Any] = {stage: _replaced(evidence, stage, unknown) for stage in REPLACED}
    if missing := evidence.missing(CLUSTERS, REPLACED[-1]):
        unknown.append(f"the cluster of near-duplicates that this document is in: {missing}")
    elif (cluster := evidence.cluster()) is not None:
        stages[REPLACED[-1]] |= {"cluster": cluster[0], "cluster_documents": cluster[1]}
    return stages | {stage: _cut(evidence, stage, document, unknown) for stage in CUTTING}


def _identifiers(data_dir: Path, origin: Origin, document: Document | None, unknown: list[str]) -> list[str]:
    """Return the ids that the evidence may name the document by: a copy's is its original's."""
    if document is not None:
        return [document.copy_of or origin.id]
    match = COPY_ID.fullmatch(origin.id)
    if match is None:
        return [origin.id]
    unknown.append(
        f"whether this is a copy of {match[1]}, as its id reads: {data_dir / WORK} does not say; what was removed and "
        "cut out is told of both"
    )
    return [origin.id, match[1]]


def _replaced(evidence: Evidence, stage: str, unknown: list[str]) -> dict[str, Any]:
    rows, missing = evidence.replaced(stage), evidence.missing(REMOVED, stage)
    if missing:
        unknown.append(f"what {stage} removed in favour of this document: {missing}")
    return {"replaced": rows} if rows or not missing else {}


def _cut(evidence: Evidence, stage: str, document: Document | None, unknown: list[str]) -> dict[str, Any]:
    """Return the spans that a stage cut out, and their bytes where the work folder knows them."""
    rows, missing = evidence.spans(stage), evidence.missing(REMOVED, stage)
    if document is None:
        if missing:
            unknown.append(f"what {stage} cut out of this document: {missing}")
        return {"cut": rows} if rows or not missing else {}
    bytes_cut = _covered((cut.start, cut.stop) for cut in document.original.cuts(stage))
    told = _covered((row["start"], row["stop"]) for row in rows if row["start"] is not None)
    if told != bytes_cut:
        why = f": {missing}" if missing else ""
        unknown.append(f"which {bytes_cut:,} bytes {stage} cut out of this document: its tables tell of {told:,}{why}")
    return {"cut": rows, "bytes_cut": bytes_cut}


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many bytes lie in spans, (start, stop) each, which may overlap."""
    covered = end = 0
    for start, stop in sorted(spans):
        covered += max(stop - max(start, end), 0)
        end = max(end, stop)
    return covered


def _cleaned(data_dir: Path, document: Document, unknown: list[str]) -> dict[str, Any]:
    try:
        return {"rules": cleaning_of(data_dir, document)}
    except InspectionError as error:
        unknown.append(f"how cleaning changed this document: {error}")
        return {}


def _filtered(document: Document) -> dict[str, Any]:
    """Return the scores of a document with the limits that they kept."""
    limits: dict[str, dict[str, float]] = {}
    for limit in document.work.facts("filter").get("measured", {}).get("limits", []):
        if isinstance(limit["threshold"], int | float) and limit["group"] is None:
            limits.setdefault(limit["score"], {})[limit["end"]] = limit["threshold"]
    scores = {name: value for name, value in document.scores().items() if math.isfinite(value)}
    return {"scores": {name: {"value": value} | limits.get(name, {}) for name, value in scores.items()}}

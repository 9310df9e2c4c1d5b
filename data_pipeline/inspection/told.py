"""A trace in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foundation.text import number_of, one_line, visible

MOST = 5  # rows of a kind; --json has all
SNIPPET_CHARS = 80


def lines_of(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that tell of what `trace` found."""
    document = found["document"]
    yield f"position   {found['position']}, token {found['token_in_source']:,} of source {found['source']!r}"
    yield (
        f"document   {document['number_in_shard']:,} of the shard, {document['number_in_source']:,} of the source: "
        f"tokens {document['first_token']:,} to {document['first_token'] + document['tokens']:,}"
    )
    yield f"token      {document['token_in_document']:,} of its {document['tokens']:,}, id {found['token_id']}"
    if "file" in document:
        yield f"from       {visible(document['file'])}, row {document['row']:,}, id {visible(document['id'])}"
    if "copy_of" in document:
        yield f"copy of    {visible(document['copy_of'])}, of which the stages tell"
    yield ""
    yield visible(document["text"])
    yield ""
    for stage, what in found["stages"].items():
        for number, line in enumerate(_TOLD[stage](what)):
            yield f"{stage if not number else '':<14} {line}"
    for reason in found["unknown"]:
        yield f"{'unknown':<14} {one_line(reason)}"


def _clean(what: dict[str, Any]) -> Iterator[str]:
    changed = [each for each in what.get("rules", []) if each["changes"] or each["bytes_before"] != each["bytes_after"]]
    for each in changed:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in each["changes"].items())
        size = f"{each['bytes_before']:,} to {each['bytes_after']:,} bytes"
        yield f"{each['rule']}: {size}{f' ({kinds})' if kinds else ''}"
    if "rules" in what and not changed:
        yield "no rule changed it"


def _filter(what: dict[str, Any]) -> Iterator[str]:
    for name, score in what["scores"].items():
        limits = [
            f"{'at least' if end == 'least' else 'at most'} {score[end]:g}" for end in ("least", "most") if end in score
        ]
        yield f"{name} {score['value']:g}" + (f" ({', '.join(limits)})" if limits else "")
    if not what["scores"]:
        yield "nothing was measured of it"


def _kept(what: dict[str, Any]) -> Iterator[str]:
    if "cluster" in what:
        yield f"in cluster {what['cluster']} of {number_of(what['cluster_documents'], 'document')}"
    rows = what.get("replaced", [])
    for row in rows[:MOST]:
        alike = f", similarity {row['similarity']:.3f}" if row["similarity"] is not None else ""
        yield f"kept for {one_line(row['id'], SNIPPET_CHARS)} ({one_line(row['file'])}, row {row['row']:,}){alike}"
    if len(rows) > MOST:
        yield f"... and for {len(rows) - MOST:,} more; --json names them"
    if "replaced" in what and not rows and "cluster" not in what:
        yield "no other document was removed for it"


def _cut(what: dict[str, Any]) -> Iterator[str]:
    rows = what.get("cut", [])
    if what.get("bytes_cut"):
        yield f"{number_of(what['bytes_cut'], 'byte')} cut out of it"
    for row in rows[:MOST]:
        of = f", of {row['test_item']}" if row["test_item"] else ""
        where = f"bytes {row['start']:,} to {row['stop']:,}" if row["start"] is not None else "all of it"
        yield f"cut out {where}{of}: {one_line(row['snippet'], SNIPPET_CHARS)!r}"
    if len(rows) > MOST:
        yield f"... and {len(rows) - MOST:,} more; --json names them"
    if what and not rows and not what.get("bytes_cut"):
        yield "nothing was cut out of it"


def _split(what: dict[str, Any]) -> Iterator[str]:
    yield "held out for validation" if what["held_out"] else "for training"


def _augment(what: dict[str, Any]) -> Iterator[str]:
    yield f"copy {what['copy']} of the document in this row: {one_line(what['metadata'], 2 * SNIPPET_CHARS)}"


_TOLD = {
    "clean": _clean,
    "filter": _filter,
    "exact": _kept,
    "near": _kept,
    "paragraphs": _cut,
    "decontaminate": _cut,
    "split": _split,
    "augment": _augment,
}

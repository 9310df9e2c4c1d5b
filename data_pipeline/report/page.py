"""report.html of a corpus: the way of its documents, what was removed and why, what the shards hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.clean.empty import EMPTY
from data_pipeline.clean.rules import Example
from data_pipeline.ledger import Account, Book, total
from data_pipeline.output_dir import CONFIG, LEDGER, QUARANTINE, REMOVED, REPORT, STOPPED, TIMING
from data_pipeline.report import duplicates
from data_pipeline.report.changes import show_added, show_changes, show_copies
from data_pipeline.report.contamination import show_contamination
from data_pipeline.report.counts import MEANINGS
from data_pipeline.report.evidence import Removed, quarantined_samples, removed_samples
from data_pipeline.report.flow import NOTHING, Flow, show_flow
from data_pipeline.report.limits import anchors, show_limits
from data_pipeline.report.mixture import Mixed, show_mixture
from data_pipeline.report.speed import show_speed
from data_pipeline.report.tokenizer import show_tokenizer
from data_pipeline.report.tokens import show_tokens
from data_pipeline.shards.manifest import SPLITS, Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.tokens.sampled import Sampled
from data_pipeline.unreadable import place_of
from foundation.config.scan import read_yaml
from foundation.config.targets import own_prefixes
from foundation.files import read_json
from foundation.page import Bar, Page, Pair, Sample, number
from foundation.progress import human
from foundation.text import number_of, one_line

SPLIT_NAMES = {"train": "training", "val": "validation"}
MAX_QUARANTINED = 20
TITLE_CHARS = 90
FILE_NAMES = (
    "Names of files are their paths below the folder that all files of the source share; records are counted from 0, "
    "lines from 1."
)


def write_report(
    output_dir: Path,
    titles: Mapping[str, str],
    remarks: Mapping[str, str],
    flow: Flow = NOTHING,
    examples: Mapping[str, Sequence[Example]] | None = None,
    mixed: Mixed | None = None,
    tokens: Sampled | None = None,
    alarms: Sequence[str] = (),
) -> Path:
    """Write report.html from the ledger, the manifest, the shards' indexes and the evidence files.

    Args:
        output_dir: of a finished pipeline.
        titles: stage -> its title, in the order in which documents pass them; those that are off left out.
        remarks: stage -> text on how it works with its settings, e.g. the S-curve of deduplication.
        flow: what the stages measured of the documents that pass them.
        examples: stage -> some of the texts that it changed, or made changed copies of.
        mixed: the mixture, planned and true.
        tokens: what a sample of the texts is in tokens.
        alarms: a line for each limit that a source's tokens pass.
    Returns:
        The page's path.
    Raises:
        ShardError: the shards are not what the manifest says.
    """
    books = read_books(output_dir)
    manifest = Manifest.load(output_dir)
    timing = read_json(output_dir / TIMING)["stages"] if (output_dir / TIMING).is_file() else {}
    page = Page(output_dir.name, f"{_subtitle(books, manifest)} Written {_now()}.")
    _glance(page, books, manifest, timing)
    _documents(page, output_dir, books, titles, flow)
    show_changes(page, (examples or {}).get("clean", ()))
    show_copies(page, (examples or {}).get("augment", ()))
    _counts(page, output_dir, titles, remarks)
    _lengths(page, output_dir, manifest)
    show_tokens(page, manifest, alarms)
    _sources(page, manifest)
    if mixed is not None:
        show_mixture(page, mixed)
    if tokens is not None:
        show_tokenizer(page, manifest, tokens)
    show_speed(page, timing, titles)
    _settings(page, output_dir)
    return page.write(output_dir / REPORT)


def write_stopped(
    output_dir: Path, books: dict[str, Book], titles: Mapping[str, str], why: str, flow: Flow = NOTHING
) -> Path:
    """Write the page of a run that was stopped by what became of its documents: as far as it came.

    It is report.html, but stopped.html where the folder is still a finished one: that keeps its own.

    Args:
        books: stage -> book, of those that ran.
        titles: as for `write_report`.
        why: the error's message.
        flow: as for `write_report`, of those that ran.
    Returns:
        Its path.
    """
    page = Page(output_dir.name, f"Stopped. Written {_now()}.")
    page.section("Why it stopped")
    page.text(one_line(why))
    _documents(page, output_dir, {stage: book for stage, book in books.items() if book}, titles, flow)
    return page.write(output_dir / (STOPPED if (output_dir / LEDGER).exists() else REPORT))


def _documents(page: Page, output_dir: Path, books: dict[str, Book], titles: Mapping[str, str], flow: Flow) -> None:
    """Show what became of the documents, and the evidence of each stage; of one without a title nothing: it is off."""
    books = {stage: book for stage, book in books.items() if stage in titles}
    _way(page, books, titles)
    # what an empty text was stands with the evidence, its scores say nothing of it
    by_limits = {reason: place for reason, place in anchors(flow.measured).items() if reason != EMPTY}
    show_flow(page, books, titles, flow, lambda stage, reason: by_limits.get(reason, _anchor(stage, reason)))
    show_added(page, books, titles)
    show_limits(page, flow.measured)
    for stage in books:
        if stage == duplicates.STAGE:
            duplicates.show_near_duplicates(page, output_dir, titles[stage])
        else:
            _removed(page, output_dir, stage, titles[stage], by_limits)
    if "decontaminate" in books:
        show_contamination(page, output_dir)
    _quarantined(page, output_dir)


def read_books(output_dir: Path) -> dict[str, Book]:
    """Return ledger.json as stage -> source -> account, the stages in their order."""
    stages: dict[str, Any] = read_json(output_dir / LEDGER)["stages"]
    return {
        stage: {source: Account.from_json(account) for source, account in book.items()}
        for stage, book in stages.items()
    }


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _ends(books: dict[str, Book]) -> tuple[int, int]:
    """Return how many documents were read and how many are left."""
    accounts = [total(book) for book in books.values()]
    return (accounts[0].num_in, accounts[-1].num_out) if accounts else (0, 0)


def _num_created(books: dict[str, Book]) -> int:
    return sum(total(book).created.total() for book in books.values())


def _sum(manifest: Manifest, split: str, field: str) -> int:
    return sum(getattr(source, field) for source in manifest.splits[split].values())


def _subtitle(books: dict[str, Book], manifest: Manifest) -> str:
    (read, left), created = _ends(books), _num_created(books)
    tokens = sum(_sum(manifest, split, "tokens") for split in SPLITS)
    kept = f"{left - created:,} kept and {created:,} changed copies added," if created else f"{left:,} kept"
    return f"{number_of(read, 'document')} read, {kept} as {tokens:,} tokens."


def _glance(page: Page, books: dict[str, Book], manifest: Manifest, timing: dict[str, Any]) -> None:
    (read, left), created = _ends(books), _num_created(books)
    text_bytes = sum(_sum(manifest, split, "utf8_bytes") for split in SPLITS)
    # end-of-text stands for no bytes
    text_tokens = sum(_sum(manifest, split, "tokens") - _sum(manifest, split, "documents") for split in SPLITS)
    page.section("At a glance")
    page.facts(
        {
            "Documents kept": left - created,
            "of all that were read": _share(left - created, read),
            **({"Copies added": created} if created else {}),
            "Training tokens": _sum(manifest, "train", "tokens"),
            "Validation tokens": _sum(manifest, "val", "tokens"),
            "Vocabulary": manifest.vocab_size,
            "Bytes per token": round(text_bytes / text_tokens, 3) if text_tokens else None,
            "Text": human(text_bytes, "B"),
            "Time": f"{sum(stage['seconds'] for stage in timing.values()):,.1f} s" if timing else None,
        }
    )


def _way(page: Page, books: dict[str, Book], titles: Mapping[str, str]) -> None:
    page.section("The way of the documents")
    page.text(
        "Full: what a stage passed on, with what it created. Hatched: what it removed. Each bar begins with what the "
        "one before left."
    )
    bars = []
    for stage, book in books.items():
        account = total(book)
        lost = account.dropped.total() + account.quarantined.total()
        created = account.created.total()
        note = f"{account.num_out:,}" + (f"  (−{lost:,})" if lost else "") + (f"  (+{created:,})" if created else "")
        bars.append(Bar(titles[stage], account.num_out, lost, note))
    page.bars(bars)


def _anchor(stage: str, reason: str) -> str:
    return f"{stage}-{reason}"


def _removed(page: Page, output_dir: Path, stage: str, title: str, elsewhere: Mapping[str, str]) -> None:
    """Show a few of what a stage removed; elsewhere: reasons whose samples stand with their limit."""
    samples = removed_samples(output_dir, stage)
    samples = {reason: found for reason, found in samples.items() if reason not in elsewhere}
    if not samples:
        return
    page.section(f"Removed: {title}")
    page.text(f"A few of each reason, spread over the corpus; all of them are in {REMOVED}/{stage}/. {FILE_NAMES}")
    for reason, removed in samples.items():
        page.heading(reason, _anchor(stage, reason))
        page.pairs([_pair(each) for each in removed if _has_other(each)], open_first=True)
        page.samples([_sample(each) for each in removed if not _has_other(each)])


def _has_other(removed: Removed) -> bool:
    """Return whether there is a text to show beside the removed one."""
    return removed.kept_snippet is not None or removed.test_snippet is not None


def _pair(removed: Removed) -> Pair:
    if removed.test_snippet is None:
        other = f"kept: {one_line(removed.kept_id or '', TITLE_CHARS)}"
        alike = "" if removed.similarity is None else f"similarity {removed.similarity:.3f}"
    else:
        other = f"test item: {one_line(removed.test_item or '', TITLE_CHARS)}"
        alike = _measured(removed)
    title = one_line(removed.id, TITLE_CHARS)
    return Pair(
        title,
        alike,
        f"removed: {title}",
        removed.snippet,
        other,
        removed.kept_snippet or removed.test_snippet or "",
        common=removed.test_snippet is not None,
    )


def _sample(removed: Removed) -> Sample:
    return Sample(one_line(removed.id, TITLE_CHARS), _measured(removed), removed.snippet)


def _measured(removed: Removed) -> str:
    measured = {
        "emptied by": removed.rule and f"clean.rules.{removed.rule}",
        "value": removed.value if removed.coverage is None else None,  # the same, by its name
        "test item": removed.test_item,
        "coverage": removed.coverage,
        "limit": removed.threshold,
        "of": removed.kept_id,
    }
    return ", ".join(
        f"{name} {one_line(value, TITLE_CHARS) if isinstance(value, str) else number(value)}"
        for name, value in measured.items()
        if value is not None
    )


def _quarantined(page: Page, output_dir: Path) -> None:
    records = quarantined_samples(output_dir, MAX_QUARANTINED)
    if not records:
        return
    page.section("Unreadable records", "unreadable")
    page.text(f"A few of them; all are in {QUARANTINE}/, byte by byte. {FILE_NAMES}")
    page.samples(
        [
            Sample(
                f"{record['file']}, record {record['row']}, {place_of(record)}",
                record["reason"],
                record["text"],
            )
            for record in records
        ]
    )


def _counts(page: Page, output_dir: Path, titles: Mapping[str, str], remarks: Mapping[str, str]) -> None:
    counts: dict[str, dict[str, int]] = read_json(output_dir / LEDGER)["counts"]
    if not counts and not remarks:
        return
    page.section("Measured on the way")
    places = {name: place for place, name in enumerate(MEANINGS)}  # "of these" stands behind what it is part of
    rows: list[list[str | int]] = [
        [titles[stage], name.replace("_", " "), count, MEANINGS.get(name, "")]
        for stage in titles
        if stage in counts
        for name, count in sorted(counts[stage].items(), key=lambda item: places.get(item[0], len(places)))
    ]
    if rows:
        page.table(["stage", "what", "number", "meaning"], rows)
    page.samples([Sample(titles[stage], "", remarks[stage]) for stage in titles if stage in remarks], open_first=True)


def _lengths(page: Page, output_dir: Path, manifest: Manifest) -> None:
    page.section("Length of the documents")
    for split in SPLITS:
        if not _sum(manifest, split, "tokens"):
            continue
        lengths = np.concatenate(
            [shard.lengths for stream in open_split(output_dir, manifest, split).values() for shard in stream.shards]
        )
        low, middle, high = np.percentile(lengths, [10, 50, 90])
        page.heading(number_of(len(lengths), f"{SPLIT_NAMES[split]} document"))
        page.text(
            f"Half have at most {middle:,.0f} tokens, a tenth at most {low:,.0f}, a tenth at least {high:,.0f}; "
            f"the longest has {lengths.max():,}. Their end-of-text counts."
        )
        page.histogram(*length_bins(lengths), "tokens per document", "documents")


def length_bins(lengths: np.ndarray) -> tuple[list[int], list[int]]:
    """Return bins that double, and how many documents fall into each.

    Args:
        lengths: (documents,) int64, above 0.
    Returns:
        edges (bins + 1) and counts (bins): edges[i] <= length < edges[i + 1].
    """
    places = np.log2(lengths).astype(np.int64)
    first, last = int(places.min()), int(places.max())
    counts = np.bincount(places - first, minlength=last - first + 1)
    return [2**place for place in range(first, last + 2)], counts.tolist()


def _sources(page: Page, manifest: Manifest) -> None:
    page.section("Sources and mixture")
    page.text(
        "The trainer draws training sequences from the sources in these shares, whatever their sizes. Epochs: how "
        "often it has gone through a source when it has gone through each at least once; up to 4, repeated tokens are "
        "nearly as good as new ones (arXiv:2305.16264). A source with a budget has a part of the run of its own, and "
        "the shares are of the rest."
    )
    weights = sum(source.weight for source in manifest.splits["train"].values() if source.budget is None)
    epochs = _epochs(manifest)
    rows: list[Iterable[str | int | float]] = []
    for split in SPLITS:
        for name, source in manifest.splits[split].items():
            share = "a budget" if source.budget else _share(source.weight, weights)
            mixture = (share, f"{epochs.get(name, 0.0):.2f}") if split == "train" else ("", "")
            counts = (source.documents, source.tokens, source.utf8_bytes, len(source.shards))
            rows.append([name, SPLIT_NAMES[split], *mixture, *counts])
    headers = ["source", "split", "share", "epochs", "documents", "tokens", "bytes of text", "shards"]
    page.table(headers, [list(row) for row in rows])


def _epochs(manifest: Manifest) -> dict[str, float]:
    """Return how often each source is passed over: by its budget, else when the one passed over least has been once."""
    train = manifest.splits["train"]
    read = {name: each for name, each in train.items() if each.tokens and each.weight}  # others take no part
    speeds = {name: each.weight / each.tokens for name, each in read.items() if each.budget is None}
    epochs = {name: speed / min(speeds.values()) for name, speed in speeds.items()}
    for name, source in read.items():
        if source.budget is not None:
            epochs[name] = source.budget.get("epochs") or source.budget["tokens"] / source.tokens
    return epochs


def _settings(page: Page, output_dir: Path) -> None:
    path = output_dir / CONFIG
    if not path.is_file():
        return
    page.section("Settings")
    page.text(
        "What made this data. The same again, other settings behind it; to be typed in the folder where this run was, "
        f"{Path.cwd()}: paths that begin with no / are relative to it."
    )
    text = path.read_text(encoding="utf-8")
    again = f"python -m data_pipeline --config-path {shlex.quote(str(output_dir))} --config-name config"
    if own := own_prefixes(read_yaml(text)):
        again += " " + shlex.quote(f"extra_targets=[{','.join(own)}]")
    page.samples([Sample("command", "", again), Sample(CONFIG, "", text)], open_first=True)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else "–"

"""What became of the documents and their text: by stage, source and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_pipeline.ledger import Book, total
from data_pipeline.report.reasons import meaning_of
from foundation.page import Link, Page
from foundation.progress import human

CUT = "cut out of documents that stay"
Text = dict[str, int]  # source -> UTF-8 bytes
Anchor = Callable[[str, str], str]  # stage, reason -> where the page shows samples


@dataclass(frozen=True, slots=True)
class Flow:
    """What stages measured beside the ledger; empty where it is not known.

    Attributes:
        read: source -> UTF-8 bytes of text that was read, before a rule changed it.
        left: stage -> the same of what it passed on.
        removed: stage -> source -> reason -> bytes of what did not come out; `CUT` is a reason, too.
        measured: of the scores, as the stage `filter` has it in its facts.
    """

    read: Text = field(default_factory=dict)
    left: dict[str, Text] = field(default_factory=dict)
    removed: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, books: Mapping[str, Book], facts: Mapping[str, dict[str, Any]]) -> Flow:
        """Return it of the stages that ran.

        Args:
            books: stage -> book, in the order of the stages.
            facts: stage -> its facts.
        """
        left: dict[str, Text] = {}
        removed: dict[str, dict[str, dict[str, int]]] = {}
        now: Text = {}
        for stage, book in books.items():
            told = facts.get(stage, {})
            if "partitions" in told:
                is_first = "bytes_read" in told  # a later one's are what it adds to those before
                now = dict.fromkeys(book, 0) if is_first else {source: now.get(source, 0) for source in book}
                for partition in told["partitions"]:
                    now[partition["source"]] += partition["utf8_bytes"]
            both: dict[str, list[int]] = told.get("bytes_in_and_removed", {})
            now = {source: now.get(source, 0) - both.get(source, [0, 0])[1] for source in book}
            by_source: dict[str, dict[str, int]] = {source: {} for source in book}
            by_source |= told.get("bytes_removed", {})
            for source, (_, lost) in both.items():
                cut = lost - sum(by_source[source].values())
                by_source[source] = by_source[source] | ({CUT: cut} if cut else {})
            left[stage], removed[stage] = now, by_source
        firsts = [told["bytes_read"] for told in facts.values() if "bytes_read" in told]
        measured = [told["measured"] for told in facts.values() if "measured" in told]
        return cls(firsts[0] if firsts else {}, left, removed, measured[0] if measured else {})


NOTHING = Flow()


def show_flow(page: Page, books: Mapping[str, Book], titles: Mapping[str, str], flow: Flow, anchor: Anchor) -> None:
    """Add what was left by stage and source, and what was removed, by reason.

    Args:
        books: stage -> book, of those to be shown, in the order of the stages.
        titles: stage -> its title.
        anchor: says where samples of a reason are.
    """
    sources = list(dict.fromkeys(source for book in books.values() for source in book))
    if len(sources) > 1 or flow.left:
        _by_source(page, sources, books, titles, flow)
    page.section("What was removed")
    read = total(next(iter(books.values()))).num_in if books else 0
    found = _reasons(books, flow, sources)
    rows = [[*_row(*each, read, titles, anchor), meaning_of(each[1])] for each in found]
    if not rows:
        page.text("Nothing.")
        return
    page.text("A reason leads to samples of it.")
    page.table(["reason", "documents", "of all read", "text", "stage", "kind", "meaning"], rows)
    if len(sources) > 1:
        each_source: list[list[str | int | float | Link | None]] = []
        for source in sources:
            mine = _reasons({stage: {source: book[source]} for stage, book in books.items()}, flow, [source])
            num_read = next(iter(books.values()))[source].num_in
            each_source += [[source, *_row(*each, num_read, titles, anchor)] for each in mine]
        headers = ["source", "reason", "documents", "of its read", "text", "stage", "kind"]
        page.folded_table("The same by source", headers, each_source)


def _by_source(
    page: Page, sources: list[str], books: Mapping[str, Book], titles: Mapping[str, str], flow: Flow
) -> None:
    stages = list(books)
    page.heading("Documents left, by source")
    rows: list[list[str | int]] = [
        [source, books[stages[0]][source].num_in, *(books[stage][source].num_out for stage in stages)]
        for source in sources
    ]
    names = [titles[stage] for stage in stages]
    if len(sources) > 1:
        rows.append(["all", *(sum(int(row[place]) for row in rows) for place in range(1, len(stages) + 2))])
    page.table(["source", "read", *names], rows)
    if not flow.left:
        return
    page.heading("Text left, by source")
    texts = [[flow.read.get(source), *(flow.left[stage].get(source) for stage in stages)] for source in sources]
    lines = [[source, *map(_text, text)] for source, text in zip(sources, texts, strict=True)]
    if len(sources) > 1:
        lines.append(["all", *(_text(sum(each or 0 for each in column)) for column in zip(*texts, strict=True))])
    page.table(["source", "read", *names], lines)


def _reasons(
    books: Mapping[str, Book], flow: Flow, sources: list[str]
) -> list[tuple[str, str, str, int | None, int | None]]:
    """Return stage, reason, kind, documents and bytes of what did not come out, the most frequent reason first."""
    found: list[tuple[str, str, str, int | None, int | None]] = []
    for stage, book in books.items():
        account, by_source = total(book), flow.removed.get(stage)
        text: Counter[str] = Counter()
        for source in sources:
            text.update((by_source or {}).get(source, {}))
        for counts, kind in ((account.dropped, "removed"), (account.quarantined, "unreadable")):
            for reason, count in counts.most_common():
                found.append((stage, reason, kind, count, None if by_source is None else text[reason]))
        if text[CUT]:
            found.append((stage, CUT, "cut", None, text[CUT]))
    return found


def _row(
    stage: str,
    reason: str,
    kind: str,
    count: int | None,
    text: int | None,
    read: int,
    titles: Mapping[str, str],
    anchor: Anchor,
) -> list[str | int | float | Link | None]:
    target = "unreadable" if kind == "unreadable" else anchor(stage, reason)
    share = f"{count / read:.2%}" if count is not None and read else "–"
    return [Link(reason, target), count, share, _text(text), titles[stage], kind]


def _text(utf8_bytes: int | None) -> str:
    return "–" if utf8_bytes is None else human(utf8_bytes, "B")

"""The warning that a stage took out a large share of a source: what for, and where to look."""

from __future__ import annotations

from collections import Counter

from data_pipeline.ledger import Account, Book

LARGE_FRAC = 0.1  # of the documents or of their text; less is the usual work of the rules


def large_losses(stage: str, book: Book, text_bytes: dict[str, list[int]]) -> list[str]:
    """Return a line for each source that this stage took much of.

    Args:
        text_bytes: source -> UTF-8 bytes of the documents that came in, and of those of them that were removed; a
            stage that removes nothing may leave it empty.
    """
    lines = []
    for source, account in book.items():
        total, removed = text_bytes.get(source, [0, 0])
        gone = reasons_of(account).total()
        share = removed / total if total else 0.0
        if gone > LARGE_FRAC * account.num_in or share > LARGE_FRAC:
            of_text = f" ({share:.0%} of the text)" if removed else ""
            lines.append(
                f"{stage}: took out {gone:,} of {account.num_in:,} documents of source {source!r}{of_text}: "
                f"{listed(account)}; see removed/ and report.html"
            )
    return lines


def reasons_of(account: Account) -> Counter[str]:
    """Return how many documents did not come out, by reason."""
    return account.dropped + Counter({f"{reason} (unreadable)": n for reason, n in account.quarantined.items()})


def listed(account: Account) -> str:
    """Return the reasons with their counts, the most frequent first: `gopher_word_count 12, gopher_stop_words 3`."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons_of(account).most_common())


def dropped_before(books: list[tuple[str, Book]]) -> str:
    """Return what earlier stages took out, as a clause that ends a message; empty when it was nothing.

    Args:
        books: stage and its book, in the order of the stages.
    """
    totals = [(stage, sum(book.values(), Account())) for stage, book in books if book]
    taken = [f"{stage}: {listed(account)}" for stage, account in totals if reasons_of(account)]
    return f"; {totals[0][1].num_in:,} were read, earlier stages took out ({'; '.join(taken)})" if taken else ""

"""The books: docs in + created = docs out + dropped + quarantined, in numbers and in fingerprints, at every commit.

A number alone would not see that one document was lost and another doubled; the order-free fingerprint of their keys
(documents.fingerprint) does. The fingerprints of disjoint sets add up, so the books of partitions add up to a source's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from data_pipeline.documents import MODULUS
from foundation.errors import GroundworkError

DEFECT = (
    "nothing of it is committed: remove work/ in the output folder and run again; if it stays, this is a defect of "
    "groundwork, please report it"
)


class LedgerUnbalanced(GroundworkError):
    """A stage gave back other documents than it took; nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one stage did with the documents of one source (or of one partition of it).

    Attributes:
        num_in, num_out: numbers of documents.
        created, dropped, quarantined: numbers by reason.
        fingerprint_*: of the keys of these documents.
    """

    num_in: int = 0
    num_out: int = 0
    created: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    fingerprint_in: int = 0
    fingerprint_out: int = 0
    fingerprint_created: int = 0
    fingerprint_dropped: int = 0
    fingerprint_quarantined: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(
            num_in=self.num_in + other.num_in,
            num_out=self.num_out + other.num_out,
            created=self.created + other.created,
            dropped=self.dropped + other.dropped,
            quarantined=self.quarantined + other.quarantined,
            fingerprint_in=(self.fingerprint_in + other.fingerprint_in) % MODULUS,
            fingerprint_out=(self.fingerprint_out + other.fingerprint_out) % MODULUS,
            fingerprint_created=(self.fingerprint_created + other.fingerprint_created) % MODULUS,
            fingerprint_dropped=(self.fingerprint_dropped + other.fingerprint_dropped) % MODULUS,
            fingerprint_quarantined=(self.fingerprint_quarantined + other.fingerprint_quarantined) % MODULUS,
        )

    def check(self, where: str) -> None:
        """Raise unless the books balance.

        Raises:
            LedgerUnbalanced: says the stage and the numbers.
        """
        created, dropped, quarantined = (each.total() for each in (self.created, self.dropped, self.quarantined))
        if self.num_in + created != self.num_out + dropped + quarantined:
            raise LedgerUnbalanced(
                f"{where}: {self.num_in} documents in + {created} created are not {self.num_out} out "
                f"+ {dropped} dropped + {quarantined} quarantined: this stage loses or doubles documents; {DEFECT}"
            )
        went = self.fingerprint_out + self.fingerprint_dropped + self.fingerprint_quarantined
        if (self.fingerprint_in + self.fingerprint_created - went) % MODULUS:
            raise LedgerUnbalanced(
                f"{where}: as many documents as came in, but not the same ones "
                f"(their fingerprints differ): one was lost and another doubled; {DEFECT}"
            )

    def reasons(self) -> Counter[str]:
        """Return how many documents did not come out, by reason."""
        return self.dropped + Counter({f"{reason} (unreadable)": n for reason, n in self.quarantined.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the account as JSON values: fingerprints as 32 hex digits, reasons sorted."""
        return {
            "in": self.num_in,
            "created": dict(sorted(self.created.items())),
            "out": self.num_out,
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": dict(sorted(self.quarantined.items())),
            "fingerprint_in": f"{self.fingerprint_in:032x}",
            "fingerprint_out": f"{self.fingerprint_out:032x}",
            "fingerprint_created": f"{self.fingerprint_created:032x}",
            "fingerprint_dropped": f"{self.fingerprint_dropped:032x}",
            "fingerprint_quarantined": f"{self.fingerprint_quarantined:032x}",
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Account:
        """Return the account that `to_json` wrote."""
        return cls(
            num_in=value["in"],
            num_out=value["out"],
            created=Counter(value["created"]),
            dropped=Counter(value["dropped"]),
            quarantined=Counter(value["quarantined"]),
            fingerprint_in=int(value["fingerprint_in"], 16),
            fingerprint_out=int(value["fingerprint_out"], 16),
            fingerprint_created=int(value["fingerprint_created"], 16),
            fingerprint_dropped=int(value["fingerprint_dropped"], 16),
            fingerprint_quarantined=int(value["fingerprint_quarantined"], 16),
        )


Book = dict[str, Account]  # of one stage: source -> account


def total(book: Book) -> Account:
    """Return the account of all sources together."""
    return sum(book.values(), Account())


def listed(reasons: Counter[str], most: int | None = None) -> str:
    """Return reasons with their counts, the most frequent first: `gopher_too_few_words 12, gopher_stop_words 3`.

    Args:
        most: how many are named; the rest are summed up as `others`, but for a single one, which has its name.
    """
    named = reasons.most_common(None if most is not None and len(reasons) == most + 1 else most)
    shown = [f"{reason} {count:,}" for reason, count in named]
    others = reasons.total() - sum(count for _, count in named)
    return ", ".join([*shown, f"others {others:,}"] if others else shown)


def check_book(stage: str, book: Book) -> None:
    """Raise LedgerUnbalanced unless each account of one stage balances."""
    for source, account in book.items():
        account.check(f"{stage}, source {source!r}")


def check_chain(books: dict[str, Book]) -> None:
    """Raise unless each stage balances and took in exactly what the stage before it gave out.

    Args:
        books: stage -> book, in the order of the stages.
    Raises:
        LedgerUnbalanced: names both stages and the numbers.
    """
    before: tuple[str, Book] | None = None
    for stage, book in books.items():
        check_book(stage, book)
        if before is not None:
            _check_handover(before, (stage, book))
        before = stage, book


def _check_handover(giver: tuple[str, Book], taker: tuple[str, Book]) -> None:
    for source in giver[1].keys() | taker[1].keys():
        gave, took = giver[1].get(source, Account()), taker[1].get(source, Account())
        if (gave.num_out, gave.fingerprint_out) != (took.num_in, took.fingerprint_in):
            raise LedgerUnbalanced(
                f"source {source!r}: {giver[0]} gave out {gave.num_out} documents, {taker[0]} took in {took.num_in} "
                "(or others); remove work/ in the output folder and run again"
            )


def ledger_json(books: dict[str, Book], counts: dict[str, dict[str, int]]) -> bytes:
    """Return the content of ledger.json: the stages in the order in which documents pass them, all else sorted.

    Args:
        books: stage -> book.
        counts: stage -> name -> number: what the stages measured beside the documents that came, went and stayed.
    """
    content = {
        "stages": {
            stage: {source: account.to_json() for source, account in sorted(book.items())}
            for stage, book in books.items()
        },
        "counts": {stage: dict(sorted(named.items())) for stage, named in counts.items()},
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

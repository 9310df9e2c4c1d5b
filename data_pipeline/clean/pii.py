"""Personal data: what names a person or pays for one is replaced by a placeholder, and counted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean import pii_hints as hints
from data_pipeline.clean.pii_kinds import Span, cards, emails, ibans, ipv4, ipv6, merged, phones
from data_pipeline.clean.rules import EXAMPLES, Applied, Example, Limit, Rule, with_text
from foundation.errors import require

Finder = tuple[str, int, Callable[[str], list[Span]]]  # kind, hints without which it finds nothing, what finds it

_SHAPE = re.compile(r"([0-9])|([^\W\d_])")


class PersonalData(Rule):
    """Replaces e-mail addresses, IP addresses, phone numbers, numbers of payment cards and IBANs.

    Names and postal addresses are not looked for: no rule of characters finds them. Counts as changed:
    `emails_replaced`, `ibans_replaced`, `cards_replaced`, `ips_replaced`, `phones_replaced`; the score `pii_count` is
    their sum in a document. Examples show the shape alone, letters as `x` and digits as `9`: reports must not hold what
    the texts may not.

    Of two that overlap the one stays that comes first in the order above. Phone numbers need the package phonenumbers
    (the extra `web`).

    FineWeb (arXiv:2406.17557) replaces e-mail addresses and public IP addresses, by addresses that nobody has; such
    ones work as placeholders too (`email@example.com`).

    Args:
        email, iban, card, ip, phone: what is written in place of one; None: this kind stays.
        public_ips_only: leave private, reserved and documentation addresses as they are.
        phone_regions: regions (ISO 3166, two letters) whose national numbers are looked for, e.g. ["US", "DE"]; numbers
            with `+` and a country are always found. None or []: no others.
        max_count: a document with more goes, as `pii`; None: none goes.
    Raises:
        SettingError: a region is no two capital letters, `max_count` is negative.
    """

    decide_alone = frozenset({"max_count"})

    def __init__(
        self,
        email: str | None = "<EMAIL>",
        iban: str | None = "<IBAN>",
        card: str | None = "<CARD>",
        ip: str | None = "<IP>",
        phone: str | None = "<PHONE>",
        public_ips_only: bool = True,
        phone_regions: list[str] | None = None,
        max_count: int | None = None,
    ) -> None:
        regions = tuple(phone_regions or ())
        for region in regions:
            require(bool(re.fullmatch("[A-Z]{2}", region)), "phone_regions", region, "two capital letters, e.g. US")
        require(max_count is None or max_count >= 0, "max_count", max_count, "0 or more, or null")
        self._placeholders = {"email": email, "iban": iban, "card": card, "ip": ip, "phone": phone}
        phone_hints = hints.PHONE if regions else hints.PHONE | hints.PLUS
        finders: tuple[Finder, ...] = (
            ("email", hints.EMAIL, emails),
            ("iban", hints.IBAN, ibans),
            ("card", hints.CARD, cards),
            ("ip", hints.IPV6, partial(ipv6, public_only=public_ips_only)),
            ("ip", hints.IPV4, partial(ipv4, public_only=public_ips_only)),
            ("phone", phone_hints, partial(phones, regions=regions)),
        )
        self._finders = tuple(finder for finder in finders if self._placeholders[finder[0]] is not None)
        most = math.inf if max_count is None else float(max_count)
        self.limits = (Limit("pii_count", most=most, above="pii", most_key="max_count"),)

    def packages(self) -> list[str]:
        """Return the packages whose versions decide what is found."""
        return [] if self._placeholders["phone"] is None else ["phonenumbers"]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        column, rows = batch.column("text"), batch.column("row").to_numpy()
        counts = np.zeros(batch.num_rows)
        changed: Counter[str] = Counter()
        examples: list[Example] = []
        replaced: list[str] = []
        found = hints.hints_of(column)
        is_worth_a_look = np.zeros(len(found), bool)
        for _, needed, _ in self._finders:
            is_worth_a_look |= (found & needed) == needed
        for position in np.flatnonzero(is_worth_a_look).tolist():
            text = column[position].as_py()
            spans = self._find(text, int(found[position]))
            if spans:
                counts[position] = len(spans)
                replaced.append(self._replace(text, spans, int(rows[position]), changed, examples))
        if not replaced:
            return Applied(batch, {"pii_count": counts})
        texts = pc.replace_with_mask(column, pa.array(counts > 0), pa.array(replaced, pa.large_string()))
        return Applied(with_text(batch, texts), {"pii_count": counts}, changed, examples)

    def _find(self, text: str, found: int) -> list[tuple[int, int, str]]:
        """Return start, stop and kind of what is to be replaced, ascending."""
        spans: list[Span] = []
        kinds: dict[int, str] = {}  # by start
        for kind, needed, find in self._finders:
            if found & needed == needed:
                spans = merged(spans, find(text))
                for start, _ in spans:
                    kinds.setdefault(start, kind)
        return [(start, stop, kinds[start]) for start, stop in spans]

    def _replace(
        self, text: str, spans: list[tuple[int, int, str]], row: int, changed: Counter[str], examples: list[Example]
    ) -> str:
        """Return the text with placeholders, and count them."""
        pieces: list[str] = []
        last = 0
        for start, stop, kind in spans:
            placeholder = self._placeholders[kind] or ""
            pieces += [text[last:start], placeholder]
            last = stop
            name = f"{kind}s_replaced"
            changed[name] += 1
            if changed[name] <= EXAMPLES:
                examples.append(Example(name, row, shape(text[start:stop]), placeholder))
        return "".join([*pieces, text[last:]])


def shape(text: str) -> str:
    """Return the text with every letter as `x` and every digit as `9`."""
    return _SHAPE.sub(lambda match: "9" if match[1] else "x", text)

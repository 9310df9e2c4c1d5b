from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean import pii_hints as hints
from data_pipeline.clean.pii import PersonalData, shape
from data_pipeline.clean.pii_hints import hints_of, hints_of_one
from data_pipeline.clean.pii_kinds import (
    cards,
    emails,
    has_iban_digits,
    has_luhn_digit,
    ibans,
    ipv4,
    ipv6,
    merged,
    phones,
)
from data_pipeline.clean.rules import EXAMPLES, verdicts
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
REGIONS = ("US", "GB", "DE")

# The whole of each is replaced, wherever it stands.
FOUND: dict[str, list[str]] = {
    "EMAIL": [
        "ada@lovelace.org", "ada.king-noel@mail.lovelace.co.uk", "a@b.de", "o'brien@pubs.ie", "ada+spam@lovelace.org",
        "jürgen@müller.de", "A_B%C@X-Y.MUSEUM", "1234567@qq.com", "x@xn--bcher-kva.xn--p1ai", "a" * 64 + "@b.com",
    ],
    "IP": [
        "88.8.8.8", "151.101.1.69", "93.184.216.34", "203.1.2.3",
        "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:81b::200e", "2A02:8108:8ac0::1", "::ffff:93.184.216.34",
    ],
    "CARD": [
        "4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "2223003122003222", "378282246310005",
        "3782 822463 10005", "6011111111111117", "3530 1113 3330 0000", "30569309025904", "3056 930902 5904",
        "6212 3456 7890 1232", "2200 0000 0000 0053", "4222-222-222-222", "6011000990139424",
    ],
    "IBAN": [
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32", "NO9386011117947",
        "FR14 2004 1010 0505 0001 3M02 606", "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "ch9300762011623852957",
        "NL91-ABNA-0417-1643-00",
    ],
    "PHONE": [
        "+1 212-555-0123", "+1 (212) 555-0123", "+12125550123", "+1.212.555.0123", "+44 20 7946 0958",
        "+44 (0)20 7946 0958", "+49 30 901820", "+49 (0) 151 23456789", "+49-30-901820", "+33 1 42 68 53 00",
        "+86 10 6552 9988", "+91 98765 43210", "+81 3-3581-0101", "+55 11 91234-5678",
        "+33\u00a01\u00a042\u00a068\u00a053\u00a000",
        "(212) 555-0123", "212-555-0123", "212.555.0123", "1-800-356-9377", "212 555 0123", "020 7946 0958",
        "030/901820", "0151 23456789", "(030) 901820",
    ],
}  # fmt: skip

KEPT = [
    # versions and sections
    "version 120.0.0.1", "3.36.04.1", "3.36.10.0", "year 2006::", "since 3000::", "v99.1.2.3", "Chrome/120.0.0.1",
    "Section 44.1.2.3", "5.3.2.1 Overview", "1.2.3", "1.2.3.4.55",
    "linux-image-50.15.0.91-generic", "libc6 2.31-0ubuntu9.9", "OID 1.3.6.1.4.1.311", "numpy==2.0.1", "10.0.19041.1",
    # dates and times
    "2024-01-15", "2024-01-15 12:30:45", "15.01.2024", "01/15/2024 10:30", "20240115123045",
    "2024-01-15T12:30:45.123456",
    "1700000000", "1511111111111", "12:30:45", "1999-2003 2004-2008",
    # books and goods
    "ISBN 978-3-16-148410-0", "ISBN 0-306-40615-2", "978-0-306-40615-7", "ISSN 0378-5955", "4006381333931",
    "doi:10.1000/182", "10.1038/s41586-021-03819-2",
    # numbers of orders, long numbers
    "order 1234567812345678", "No. 4111111111111112", "0.4111111111111111", "3.14159265358979323846", "1,234,567,890",
    "123 456 789", "5555 1234", "10000000000000000", "$1234567890", "1 2 3 4 5 6 7 8 9 10 11 12", "12345-6789",
    "DE8937040044", "GB82 WEST 1234 5698 7654 33", "#2125550123", "2125550123", "US 9,876,543",
    # hashes, identifiers, code
    "da39a3ee5e6b4b0d3255bfef95601890afd80709", "550e8400-e29b-41d4-a716-446655440000", "a4111111111111111b",
    "6fd8a5c2e7b", "00:1B:44:11:3A:B7", "std::cafe::dead", "a::b", "abc::def", "fe80::1", "::1", "2001:db8::1",
    "x[1:2:3]", "git@github.com:a/b.git", "icon@2x.png", "@decorator.name", "package@1.2.3", "user@localhost",
    "a @ b.com",
    "C++11 2020 2023", "+1", "a+4930901820", "f(x)=+100 200 300",
    # coordinates
    "40.712776, -74.005974", "52.5200 N 13.4050 E", "(48.8566, 2.3522)", "-33.8688 151.2093",
    # nobody's
    "ada@example.com", "x@mail.example.org", "y@host.test", "192.168.1.1", "10.20.30.40", "203.0.113.77", "127.0.0.1",
    "255.255.255.0", "300.1.2.3", "999.888.777.666",
]  # fmt: skip

SURROUNDINGS = ["{}", "It is {}.", "({})", "a: {}, b", "\n{}\n", "<{}>", "„{}“", "x={};", "见 {} 等", "\u00a0{}\u00a0"]


def clean(batch_of: BatchOf, *texts: str, **settings: Any) -> list[str]:
    rule = PersonalData(phone_regions=list(REGIONS), **settings)
    found: list[str] = rule.apply(batch_of(*texts)).batch.column("text").to_pylist()
    return found


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("kind", FOUND)
def test_personal_data_is_replaced(batch_of: BatchOf, kind: str, around: str) -> None:
    found = clean(batch_of, *(around.format(text) for text in FOUND[kind]))
    assert dict(zip(FOUND[kind], found, strict=True)) == {text: around.format(f"<{kind}>") for text in FOUND[kind]}


@pytest.mark.parametrize("around", SURROUNDINGS[:3])
def test_what_only_looks_like_it_stays(batch_of: BatchOf, around: str) -> None:
    texts = [around.format(text) for text in KEPT]
    assert clean(batch_of, *texts) == texts


def test_several_in_a_text_are_counted_by_kind_and_decide_by_their_sum(batch_of: BatchOf) -> None:
    rule = PersonalData(max_count=2)
    batch = batch_of("nobody", "a@b.org or c@d.org, +49 30 901820 (call 93.184.216.34)", "a@b.org")
    applied = rule.apply(batch)
    assert applied.batch.column("text").to_pylist() == [
        "nobody", "<EMAIL> or <EMAIL>, <PHONE> (call <IP>)", "<EMAIL>",
    ]  # fmt: skip
    assert applied.changed == {"emails_replaced": 3, "phones_replaced": 1, "ips_replaced": 1}
    assert applied.scores["pii_count"].tolist() == [0.0, 4.0, 1.0]
    assert [(each.position, each.reason) for each in verdicts(rule, batch)] == [(1, "pii")]
    assert verdicts(PersonalData(), batch) == []


def test_examples_hold_the_shape_and_nothing_of_the_person(batch_of: BatchOf) -> None:
    applied = PersonalData().apply(batch_of("who", "Ada: ada.king@lovelace.org", *["+49 30 901820"] * 20))
    mails = [each for each in applied.examples if each.kind == "emails_replaced"]
    assert [(each.row, each.before, each.after) for each in mails] == [(2, "xxx.xxxx@xxxxxxxx.xxx", "<EMAIL>")]
    assert len(applied.examples) == 1 + EXAMPLES
    assert shape("Jürgen_1 語\n") == "xxxxxx_9 x\n"


def test_a_kind_without_a_placeholder_stays(batch_of: BatchOf) -> None:
    text = " ".join(texts[0] for texts in FOUND.values())
    for kind, texts in FOUND.items():
        settings: dict[str, Any] = {kind.lower(): None}
        (left,) = clean(batch_of, text, **settings)
        assert texts[0] in left and left.count("<") == len(FOUND) - 1
    batch = batch_of(text)
    assert PersonalData(email=None, iban=None, card=None, ip=None, phone=None).apply(batch).batch is batch


def test_national_numbers_are_those_of_the_regions(batch_of: BatchOf) -> None:
    batch = batch_of("030/901820 or 212-555-0123 or +44 20 7946 0958")
    for regions, expected in (
        (None, "030/901820 or 212-555-0123 or <PHONE>"),
        (["DE"], "<PHONE> or 212-555-0123 or <PHONE>"),
        (["US"], "030/901820 or <PHONE> or <PHONE>"),
    ):
        assert PersonalData(phone_regions=regions).apply(batch).batch.column("text").to_pylist() == [expected]


def test_private_addresses_are_replaced_where_they_count_too(batch_of: BatchOf) -> None:
    texts = ["192.168.1.1", "203.0.113.77", "2001:db8::1", "fe80::1"]
    assert clean(batch_of, *texts, public_ips_only=False) == ["<IP>"] * 4
    assert clean(batch_of, *texts) == texts


def test_what_follows_a_number_stays(batch_of: BatchOf) -> None:
    texts = ["+1 212 555 0123 24 hours", "4111 1111 1111 1111 12/25", "DE89370400440532013000 100 EUR"]
    assert clean(batch_of, *texts) == ["<PHONE> 24 hours", "<CARD> 12/25", "<IBAN> 100 EUR"]


pieces = st.sampled_from(
    [text for texts in FOUND.values() for text in texts]
    + KEPT
    + [" ", ".", ":", "-", "/", "@", "+", "(", "é", "語", "7"]
)
texts = st.lists(pieces | st.text(max_size=4) | st.text("0123456789 .:-ab@+()", max_size=30), max_size=6).map("".join)


@given(st.lists(texts, max_size=5))
@example(["1\u2011 23", "12  3  4567", "ab12", "éab12", "xab12", "1.2.3.4", "1...234", "a:1:", "1:a:", "1234   567"])
def test_hints_equal_the_ones_written_down_plainly(batch_of: BatchOf, many: list[str]) -> None:
    assert hints_of(batch_of(*many).column("text")).tolist() == [hints_of_one(text) for text in many]


@given(texts)
def test_nothing_is_found_without_its_hint(text: str) -> None:
    found = hints_of_one(text)
    assert not emails(text) or found & hints.EMAIL
    assert not ibans(text) or found & hints.IBAN
    assert not cards(text) or found & hints.CARD
    assert not ipv4(text, False) or found & hints.IPV4
    assert not ipv6(text, False) or found & hints.IPV6
    assert not phones(text, REGIONS) or found & hints.PHONE
    assert not phones(text, ()) or (found & hints.PHONE and found & hints.PLUS)


@given(st.lists(texts, max_size=5))
def test_a_document_is_cleaned_alone_and_counted_where_it_changes(batch_of: BatchOf, many: list[str]) -> None:
    rule = PersonalData(email="someone@example.com", ip="203.0.113.1", phone_regions=list(REGIONS))
    batch = batch_of(*many)
    applied = rule.apply(batch)
    assert applied.batch.drop_columns("text") == batch.drop_columns("text")
    assert applied.scores["pii_count"].sum() == sum(applied.changed.values())
    assert [rule.apply(batch_of(text)).batch.column("text")[0].as_py() for text in many] == applied.batch[
        "text"
    ].to_pylist()
    same = [one == other for one, other in zip(many, applied.batch["text"].to_pylist(), strict=True)]
    assert (np.array(same, bool) | (applied.scores["pii_count"] > 0)).all()


@given(st.integers(0, 10**17))
def test_check_digits_of_cards_equal_the_table(number: int) -> None:
    doubled = {digit: (2 * digit if digit < 5 else 2 * digit - 9) for digit in range(10)}
    digits = str(number)
    total = sum(doubled[int(char)] if place % 2 == 0 else int(char) for place, char in enumerate(reversed(digits)))
    check = str((10 - total % 10) % 10)
    assert [last for last in "0123456789" if has_luhn_digit(digits + last)] == [check]


@given(
    st.from_regex(r"[A-Z]{2}", fullmatch=True), st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=30)
)
def test_check_digits_of_ibans_are_98_minus_the_rest(country: str, account: str) -> None:
    rest = 0
    for char in f"{account}{country}00":
        for digit in str(int(char, 36)):
            rest = (10 * rest + int(digit)) % 97
    assert has_iban_digits(f"{country}{98 - rest:02d}{account}")
    assert not has_iban_digits(f"{country}{98 - rest - 1 or 97:02d}{account}")


spans = st.lists(st.integers(0, 60), max_size=16, unique=True).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)


@given(spans, spans)
def test_merged_spans_are_those_that_leave_the_first_ones_alone(
    kept: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    plain = kept + [(a, b) for a, b in more if all(b <= start or stop <= a for start, stop in kept)]
    assert merged(kept, more) == sorted(plain)


HUGE = 4_000_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * HUGE + "!", "1-" * (HUGE // 2), "1 " * (HUGE // 2), "+1" * (HUGE // 2), "@" * HUGE, "1." * (HUGE // 2),
        ":" * HUGE, "a" * HUGE + "@" + "b" * HUGE, "a." * (HUGE // 2) + "@b.c", "4111 " * (HUGE // 5), "+" + "1" * HUGE,
        "(" * HUGE, "x@" + "a." * (HUGE // 2), "1a" * (HUGE // 2),
    ],
    ids=lambda text: text[:8],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_no_text_makes_it_slow(batch_of: BatchOf, text: str) -> None:
    """A search that goes back over what it read would take hours: the limit is the test's own."""
    assert clean(batch_of, text) == [text]


def test_it_travels_to_workers(batch_of: BatchOf) -> None:
    rule = pickle.loads(pickle.dumps(PersonalData(max_count=0)))
    assert rule.apply(batch_of("a@b.org")).batch.column("text").to_pylist() == ["<EMAIL>"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"phone_regions": ["usa"]}, "phone_regions: 'usa' is not allowed; give two capital letters"),
        ({"max_count": -1}, "max_count: -1 is not allowed; give 0 or more"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"^{words}"):
        PersonalData(**settings)

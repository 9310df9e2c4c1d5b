"""Where a text holds personal data of a kind: e-mail addresses, IP addresses, phone numbers, payment cards, IBANs.

Each finder takes time linear in the text's length: no expression below goes back over more than a bounded number of
characters. What looks like a kind is checked by what its standard allows, so that version numbers, dates, ISBNs, order
numbers and hashes stay.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.clean.extras import load_extra

Span = tuple[int, int]  # of characters: start, stop

_LATIN = "".join(map(chr, range(0xC0, 0x2B0)))  # letters with accents: who is cut in two is still named
_ALNUM = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + _LATIN
_LOCAL = _ALNUM + "._%+'-"
# what is no address by its next characters is passed over here
_AT = re.compile(rf"@(?<=[{_ALNUM}_%+-]@)(?=[{_ALNUM}][{_ALNUM}-]*+\.[{_ALNUM}])")
_MAX_LOCAL, _MAX_DOMAIN, _MAX_LABEL = 64, 253, 63  # characters; RFC 5321, 4.5.3.1, and RFC 1035, 2.3.4
_TOP_LEVEL = re.compile(rf"(?:[a-zA-Z{_LATIN}]{{2,63}}|xn--[a-zA-Z0-9-]{{1,59}})")
_IMAGE_SCALE = re.compile(r"[0-9]x")  # icon@2x.png
# RFC 2606 and RFC 6761: no person has an address there
_EXAMPLE_DOMAIN = re.compile(r"(?:.*\.)?(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)", re.IGNORECASE)

# A look back stands after the first character: a search that begins with a class of characters passes over the others
_IPV4 = re.compile(
    r"[0-9](?<![0-9A-Za-z_.].)(?<![A-Za-z][/-].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])(?!\.[0-9])"
    r"(?!-(?![0-9]{1,3}\.[0-9]{1,3}\.)[0-9A-Za-z])"
)
_NUMBERED = re.compile(
    r"(?:\b(?:version|ver|v|release|rev|revision|section|sections|sect|sec|chapter|appendix|clause|oid)\.?|§)[ :=]*\Z",
    re.IGNORECASE,
)
_NUMBERED_CHARS = 16  # before the numbers, in which such a word may stand
_SECTION_NUMBERS = 32  # four numbers that are all smaller number a section or a version: so do 0.02 % of addresses
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}+:")  # sought first: rarer than the digits and letters around
_IPV6_CHARS = "0123456789ABCDEFabcdef:."
_WORD_CHAR = re.compile("[0-9A-Za-z_]")
_IPV6_END = re.compile(rf"[{_IPV6_CHARS}]*+(?![0-9A-Za-z_])")
_MAX_IPV6 = 45  # characters, with an IPv4 address at its end
# what no host on the internet has. Source: IANA, "IPv4 Special-Purpose Address Registry" (RFC 6890); multicast, class E
_NOT_PUBLIC = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
# Source: IANA, "IPv6 Special-Purpose Address Registry"; outside 2000::/3 nothing is routed
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))

# how cards are printed, and the same without separators
_CARDS = tuple(
    re.compile(rf"[0-9](?<![\w-].)(?<![0-9]\..){layout}(?![\w-])(?!\.[0-9])")
    for layout in (
        r"[0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}\1[0-9]{3}",
        r"[0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}",
        r"[0-9]{3}([ -])[0-9]{6}\1[0-9]{4,5}",
        r"[0-9]{3}([ -])[0-9]{3}\1[0-9]{3}\1[0-9]{3}",
        r"[0-9]{13,18}",
    )
)
# first digits, lengths. Source: ISO/IEC 7812-1; the issuers' published ranges
_ISSUERS = (
    (range(4, 5), (13, 16, 19)),  # Visa
    (range(51, 56), (16,)),  # Mastercard
    (range(2221, 2721), (16,)),
    (range(34, 35), (15,)),  # American Express
    (range(37, 38), (15,)),
    (range(300, 306), (14, 16)),  # Diners Club
    (range(36, 37), (14,)),
    (range(38, 40), (14, 16)),
    (range(6011, 6012), (16, 19)),  # Discover
    (range(644, 660), (16, 19)),
    (range(3528, 3590), (16, 17, 18, 19)),  # JCB
    (range(62, 63), (16, 17, 18, 19)),  # UnionPay
    (range(2200, 2205), (16, 17, 18, 19)),  # Mir
)

# the digits are sought first: they are rarer than letters
_IBAN_DIGITS = re.compile(r"[0-9](?<=(?<![0-9A-Za-z])[A-Za-z]{2}[0-9])[0-9](?=[ -]?[0-9A-Za-z])")
# Source: ISO 13616, the IBAN registry of its registration authority (SWIFT)
_IBAN_LENGTHS = {
    **{"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29},
    **{"BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29},
    **{"ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28},
    **{"HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20},
    **{"LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19},
    **{"MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29},
    **{"PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24},
    **{"SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20},
    "YE": 30,
}

# Separators of phone numbers; the last ones are no-break spaces and typographic hyphens
_PHONE_SEPARATORS = " .()/\\-\u00a0\u202f\u2010\u2011\u2013"
_PHONE = re.compile(rf"(?:\+[ (]?|\()?[0-9](?:[{_PHONE_SEPARATORS}]{{0,2}}+[0-9])*+")
_INTERNATIONAL_PHONE = re.compile(rf"\+[ (]?[0-9](?:[{_PHONE_SEPARATORS}]{{0,2}}+[0-9])*+")
_BEFORE_PHONE = re.compile(
    r"(?:[\w$€£¥#%+]|[0-9][:,]|\w[-/]|\b(?:isbn|issn|doi|ean|asin)(?:-1[03])?:?\s?)\Z", re.IGNORECASE
)
_AFTER_PHONE = re.compile(r"(?!x ?[0-9])\w|[-/_][A-Za-z]")  # an extension may follow: x12
_BEFORE_CHARS = 10
_MIN_PHONE_CHARS = 7
_MAX_PHONE_DIGITS = 17  # E.164 has 15, and `(0)` may stand inside
_MAX_PHONE_CHARS = 40  # with separators
_GROUP = re.compile("[0-9]+")


def emails(text: str) -> list[Span]:
    """Return where e-mail addresses stand, those of example domains (RFC 2606) left out.

    Quoted local parts and addresses of one label (`root@localhost`) are not looked for; `git@host` is a repository.
    """
    spans: list[Span] = []
    last = 0
    for match in _AT.finditer(text):
        at = match.start()
        before = text[max(last, at - _MAX_LOCAL - 1) : at]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip("._%+'-")
        domain = _domain(text[at + 1 : at + 1 + _MAX_DOMAIN])
        if domain and 0 < len(local) <= _MAX_LOCAL and local != "git":
            last = at + 1 + len(domain)
            spans.append((at - len(local), last))
    return spans


def _domain(after: str) -> str:
    """Return the domain at the beginning of a text; empty where there is none that a person may have."""
    labels: list[str] = []
    for label in after[: len(after) - len(after.lstrip(_ALNUM + ".-"))].split("."):
        if not label.strip("-") or label[0] == "-" or len(label) > _MAX_LABEL:
            break
        labels.append(label.rstrip("-"))
        if label[-1] == "-":
            break
    while labels and not _TOP_LEVEL.fullmatch(labels[-1]):
        labels.pop()
    domain = ".".join(labels)
    if len(labels) < 2 or _IMAGE_SCALE.fullmatch(labels[0]) or _EXAMPLE_DOMAIN.fullmatch(domain):
        return ""
    return domain


def ipv4(text: str, public_only: bool) -> list[Span]:
    """Return where IPv4 addresses stand: those of hosts, which don't end with 0, no numbers of a section or version.

    Args:
        public_only: leave out private, reserved and documentation addresses.
    """
    spans = []
    for match in _IPV4.finditer(text):
        numbers = [int(number) for number in match[0].split(".")]
        if ".".join(map(str, numbers)) != match[0] or not _may_be_host(numbers):
            continue
        address = ipaddress.IPv4Address(bytes(numbers))
        if public_only and not _is_public(address):
            continue
        if not _NUMBERED.search(text[max(0, match.start() - _NUMBERED_CHARS) : match.start()]):
            spans.append(match.span())
    return spans


def _may_be_host(numbers: list[int]) -> bool:
    return _SECTION_NUMBERS <= max(numbers) <= 255 and numbers[-1] > 0


def ipv6(text: str, public_only: bool) -> list[Span]:
    """Return where IPv6 addresses stand: those of hosts, which don't end with `::`.

    Args:
        public_only: leave out what is not routed on the internet, and documentation addresses.
    """
    spans = []
    for start, stop in _colon_runs(text):
        run = text[start:stop].rstrip(".").removesuffix(":")
        if run.count(":") < 2 or len(run) > _MAX_IPV6 or run[-1] == ":" or not _GROUP.search(run):
            continue
        try:
            address = ipaddress.IPv6Address(run)
        except ValueError:
            continue
        if not public_only or _is_public(address.ipv4_mapped or address):
            spans.append((start, start + len(run)))
    return spans


def _colon_runs(text: str) -> Iterator[Span]:
    """Yield where characters of IPv6 addresses stand in a row, two colons among them, and no letter or digit beside."""
    last = 0
    for match in _TWO_COLONS.finditer(text):
        if match.start() < last:
            continue
        start = last + len(text[last : match.start()].rstrip(_IPV6_CHARS))
        end = _IPV6_END.match(text, match.end())
        last = end.end() if end else match.end()
        if end and not (
            start and (text[start - 1] == "_" or (text[start - 1].isascii() and text[start - 1].isalpha()))
        ):
            yield start, last


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether a host may have it; our own lists, as those of Python's versions differ."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def cards(text: str) -> list[Span]:
    """Return where numbers of payment cards stand: as printed or without separators, of an issuer, Luhn's digit right.

    13 digits without separators are not taken: Visa gave the last such numbers out long ago, and shops write EANs so.
    """
    spans: list[Span] = []
    for pattern in _CARDS:
        found = [match.span() for match in pattern.finditer(text) if _is_card(match[0])]
        spans = merged(spans, found)
    return spans


def _is_card(written: str) -> bool:
    digits = "".join(char for char in written if char.isdigit())
    return _is_issued(digits) and has_luhn_digit(digits)


def _is_issued(digits: str) -> bool:
    return any(
        len(digits) in lengths and int(digits[: len(str(prefixes.start))]) in prefixes for prefixes, lengths in _ISSUERS
    )


def has_luhn_digit(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = sum(map(int, digits[::-2])) + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def ibans(text: str) -> list[Span]:
    """Return where IBANs stand: in one piece, or in groups of four, of a country's length, their check digits right."""
    spans: list[Span] = []
    for match in _IBAN_DIGITS.finditer(text):
        start = match.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        separator = text[match.end()] if text[match.end()] in " -" else ""
        written = text[start : start + length + (len(separator) and (length - 1) // 4)]
        groups = written.split(separator) if separator else [written]
        number, stop = "".join(groups), start + len(written)
        is_grouped = not separator or (set(map(len, groups[:-1])) == {4} and len(groups[-1]) <= 4)
        ends = not text[stop : stop + 1].isalnum()
        if is_grouped and ends and len(number) == length and has_iban_digits(number):
            spans.append((start, stop))
    return spans


def has_iban_digits(number: str) -> bool:
    """Return whether the check digits are right (ISO 7064, mod 97-10); `number` without separators."""
    if not (number.isascii() and number.isalnum()):
        return False
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1


def phones(text: str, regions: tuple[str, ...]) -> list[Span]:
    """Return where phone numbers stand, as the plans of `phonenumbers` know them.

    Args:
        regions: whose national numbers are looked for, e.g. `US`. They count with separators only, grouped as there;
            numbers with `+` and a country always.
    Raises:
        ConfigError: phonenumbers is not installed.
    """
    library = load_extra("phonenumbers", "phonenumbers", "clean.pii.PersonalData with `phone`")
    spans: list[Span] = []
    for match in (_PHONE if regions else _INTERNATIONAL_PHONE).finditer(text):
        start, stop = match.span()
        is_international = text[start] == "+"
        if stop - start < _MIN_PHONE_CHARS:
            continue
        if _BEFORE_PHONE.search(text[max(0, start - _BEFORE_CHARS) : start]) or _AFTER_PHONE.match(text, stop):
            continue
        if is_international:
            spans += _international(library, text[start : min(stop, start + _MAX_PHONE_CHARS)], start)
        elif stop - start <= _MAX_PHONE_CHARS:  # longer: a table of numbers
            spans += _national(library, match[0], start, regions)
    return spans


def _international(library: Any, run: str, start: int) -> list[Span]:
    """Return the longest number that begins with the run and ends with a group of digits; none where there is none.

    What follows a number may be another one: `+1 212 555 0123 24 hours`.
    """
    for group in reversed(list(_GROUP.finditer(run))):
        written = run[: group.end()]
        if sum(char.isdigit() for char in written) <= _MAX_PHONE_DIGITS and _is_number(library, written):
            return [(start, start + len(written))]
    return []


def _national(library: Any, run: str, start: int, regions: tuple[str, ...]) -> list[Span]:
    """Return the numbers of a run of digits and separators that are grouped as those of a region."""
    if run.startswith("(") and ")" not in run:
        run, start = run[1:], start + 1
    if run.isdecimal():
        return []
    for region in regions:
        matches = library.PhoneNumberMatcher(run, region, leniency=library.Leniency.STRICT_GROUPING)
        spans = [(start + each.start, start + each.end) for each in matches]
        if spans:
            return spans
    return []


def _is_number(library: Any, written: str) -> bool:
    try:
        return bool(library.is_valid_number(library.parse(written, None)))
    except library.NumberParseException:
        return False


def merged(kept: list[Span], more: list[Span]) -> list[Span]:
    """Return spans of two lists in one, without those of `more` that overlap one of `kept`.

    Args:
        kept, more: each ascending, its spans apart.
    """
    spans: list[Span] = []
    place = 0
    for span in more:
        while place < len(kept) and kept[place][1] <= span[0]:
            spans.append(kept[place])
            place += 1
        if place == len(kept) or span[1] <= kept[place][0]:
            spans.append(span)
    return spans + kept[place:]

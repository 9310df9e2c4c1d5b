"""What a WARC record holds: its header's fields, its HTTP answer unpacked, its digests verified, its text decoded."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from data_pipeline.sources.decompress import GZIP_MAGIC
from data_pipeline.sources.records import TOO_LONG
from foundation.errors import ConfigError

READ_BYTES = 1 << 20
META_BYTES = 4096  # of a page, where it names its charset; browsers look at 1,024
# of a text's characters: where more can't be decoded, the charset that was declared is not believed
MAX_REPLACED = 0.01
REPLACEMENT = "\ufffd"
GZIP = ("gzip", "x-gzip")
DIGESTS = ("md5", "sha1", "sha256", "sha512")

_META = re.compile(rb"<meta[^>]{0,400}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,8}[ \t]*(;[^\r\n]{0,999})?\r?\n")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Refused(Exception):
    """A record that goes to quarantine."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Head(NamedTuple):
    """The head of an HTTP answer.

    Attributes:
        content_type: without its parameters, lower case, empty where it has none. charset: as declared, or None.
        transfer, encoding: how it says that its body is chunked and packed, empty where it is not.
    """

    status: int
    content_type: str
    charset: str | None
    transfer: str
    encoding: str


class Decoded(NamedTuple):
    """A text, by which charset it was decoded, who says so, and how many characters could not be."""

    text: str
    charset: str
    charset_from: str
    num_replaced: int


def fields_of(header: bytes) -> dict[str, str]:
    """Return a record's header: names in lower case, of a repeated one the first; bytes that are no UTF-8 as codes."""
    fields: dict[str, str] = {}
    for line in header.decode("utf-8", "backslashreplace").split("\n")[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields


def http_head(record: bytes) -> Head:
    """Return the head of a record's HTTP answer.

    Args:
        record: with its header; of one that is too long the beginning will do.
    Raises:
        Refused: `http`: it is no answer of HTTP.
    """
    parsed = _parsed(record, "none")
    headers = parsed.http_headers
    status = headers.status_code if headers is not None else None
    if not status:
        raise Refused("http")
    names = ("content-type", "transfer-encoding", "content-encoding")
    kind, transfer, encoding = ((headers.get(name) or "").strip().lower() for name in names)
    return Head(status, kind.partition(";")[0].strip(), parsed.http_charset, transfer, encoding)


def http_bodies(record: bytes, head: Head) -> list[bytes]:
    """Return what a digest may be of: an answer's body as it came, and without the chunks of its transfer.

    Some crawlers store bodies unchunked or unpacked below a head that says otherwise; a body that does not begin like
    chunks or gzip is taken as it is.

    Raises:
        Refused: `payload`: the chunks are broken.
    """
    bodies = [_read(_parsed(record, "none"), len(record))]
    if head.transfer not in ("", "identity") and _CHUNK.match(bodies[0]):
        bodies.append(_read(_parsed(record, "transfer"), len(record)))
    return bodies


def http_payload(record: bytes, head: Head, bodies: list[bytes], max_bytes: int) -> bytes:
    """Return an answer's payload, unpacked.

    Args:
        bodies: of `http_bodies`.
        max_bytes: most of it.
    Raises:
        Refused: `payload`: it can't be unpacked as its head says; `too_long`.
    """
    payload = bodies[-1]
    is_packed = head.encoding not in ("", "identity") and payload
    if is_packed and not (head.encoding in GZIP and not payload.startswith(GZIP_MAGIC)):
        payload = _read(_parsed(record, "all" if len(bodies) > 1 else "content"), max_bytes + 1)
    if len(payload) > max_bytes:
        raise Refused(TOO_LONG)
    return payload


def fits_digest(value: str, contents: list[bytes]) -> bool | None:
    """Return whether a digest is that of one of the contents; None where its algorithm is unknown.

    Crawlers differ in whether the chunks of a transfer belong to the payload, so either will do.

    Args:
        value: `<algorithm>:<base32 or hexadecimal>`.
    """
    name, _, digits = value.partition(":")
    name = name.strip().lower().replace("-", "")
    if name not in DIGESTS:
        return None
    size = hashlib.new(name, usedforsecurity=False).digest_size
    digits = digits.strip()
    try:
        if len(digits) == 2 * size:
            wanted = bytes.fromhex(digits)
        else:
            wanted = base64.b32decode(digits.upper().rstrip("=") + "=" * (-len(digits.rstrip("=")) % 8))
    except (ValueError, binascii.Error):
        return False
    return any(hashlib.new(name, content, usedforsecurity=False).digest() == wanted for content in contents)


def decoded(data: bytes, declared: str | None) -> Decoded:
    """Return a page's text: by its byte order mark, the charset of its HTTP header, of its own head, or as detected.

    One that is declared is not believed where it leaves more than MAX_REPLACED of the characters undecoded.

    Args:
        declared: by the HTTP header.
    Source: WHATWG, "Encoding" (names of charsets, precedence of the mark) and "HTML", 13.2.3.
    """
    found: list[Decoded] = []
    for charset, who in _charsets(data, declared):
        text = data.decode(charset, "replace").removeprefix("\ufeff")
        found.append(Decoded(text, charset, who, text.count(REPLACEMENT)))
        if found[-1].num_replaced <= MAX_REPLACED * len(text):
            return found[-1]
    return min(found, key=lambda each: each.num_replaced / max(len(each.text), 1))


def _charsets(data: bytes, declared: str | None) -> Iterator[tuple[str, str]]:
    encoding = load_web("resiliparse.parse.encoding", "resiliparse")
    for mark, charset in _BOMS:
        if data.startswith(mark):
            yield charset, "mark"
    meta = _META.search(data, 0, META_BYTES)
    for name, who in ((declared, "header"), (meta and meta[1].decode("ascii"), "meta")):
        known = name and encoding.map_encoding_to_html5(name.strip(), fallback_utf8=False)
        if known:
            yield known, who
    yield encoding.detect_encoding(data) or "utf-8", "detected"


def load_web(module: str, package: str) -> Any:
    """Return a module of the extra `web`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"corpus: a source of WARC files needs the package {package} ({error}); pip install -e '.[web]'"
        ) from error


def _parsed(record: bytes, auto_decode: str) -> Any:
    warc = load_web("fastwarc.warc", "fastwarc")
    try:
        parsed = warc.WarcRecord.from_bytes(record)
        parsed.parse_http(auto_decode=auto_decode, strict_mode=False)
    except (OSError, ValueError) as error:
        raise Refused("http" if auto_decode == "none" else "payload") from error
    return parsed


def _read(parsed: Any, most: int) -> bytes:
    """Return up to `most` bytes of a record's content."""
    pieces: list[bytes] = []
    left = most
    try:
        while left and (piece := parsed.reader.read(min(left, READ_BYTES))):
            pieces.append(piece)
            left -= len(piece)
    except (OSError, ValueError) as error:
        raise Refused("payload") from error
    return b"".join(pieces)

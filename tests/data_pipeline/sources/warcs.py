"""Makes the bytes of WARC files."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

END = b"\r\n\r\n"
HTML = "<html><body>some words, á and 語</body></html>"


def record(kind: str, content: bytes, name: str = "a", length: int | None = None, **fields: str) -> bytes:
    """A record; keyword arguments are header fields, `Content_Type` for Content-Type. `length` is what it claims."""
    header = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{name}>",
        "WARC-Target-URI": f"https://host/{name}",
        "WARC-Date": "2024-05-06T07:08:09Z",
        "Content-Type": "application/http; msgtype=response",
    }
    header |= {key.replace("_", "-"): value for key, value in fields.items()}
    header["Content-Length"] = str(len(content) if length is None else length)
    lines = "".join(f"{key}: {value}\r\n" for key, value in header.items() if value)
    return b"WARC/1.0\r\n" + lines.encode() + b"\r\n" + content + END


def answer(body: bytes, kind: str = "text/html", status: str = "200 OK", **fields: str) -> bytes:
    """An HTTP answer."""
    header = {"Content-Type": kind} | {key.replace("_", "-"): value for key, value in fields.items()}
    lines = "".join(f"{key}: {value}\r\n" for key, value in header.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def page(body: bytes, name: str = "a", **fields: str) -> bytes:
    """A response record with a page."""
    return record("response", answer(body), name, **fields)


def chunked(body: bytes) -> bytes:
    """A body in chunks of 7 bytes."""
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def sha1(data: bytes) -> str:
    """A digest as crawlers write it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def members(*records: bytes) -> bytes:
    """A gzip file with a member a record."""
    return b"".join(gzip.compress(each, 1) for each in records)


def reasons(quarantined: list[Any]) -> list[tuple[int, str]]:
    """Return row and reason of what went to quarantine."""
    return [(each.row, each.reason) for each in quarantined]


# each of them is one record
BROKEN = {
    "length too large": record("response", answer(b"<p>x"), length=150),
    "length that ends in another": record("response", answer(b"<p>x"), length=400),
    "length too small": record("response", answer(b"<p>x"), length=20),
    "no length": page(b"<p>x").replace(b"Content-Length", b"Content-Size"),
    "length of letters": page(b"<p>x").replace(b"Content-Length: ", b"Content-Length: x"),
    "no end of the header": page(b"<p>x").replace(END, b"\r\n"),
    "no version": page(b"<p>x").replace(b"WARC/1.0", b"WARC/x.y"),
    "zeros": page(b"<p>x")[:100] + bytes(5000) + END,
}

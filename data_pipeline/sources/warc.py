"""WARC files and the WET files made of them: what crawlers write, pages with the answers that brought them.

A record that can't be taken as it stands is quarantined under one of these reasons: `warc` (no record, or its length is
wrong), `http` (its HTTP answer is none), `payload` (chunks or compression are broken), `digest` (it is not what its
digest says), `utf8` (of extracted text), `too_long`. Records that are no pages are counted by what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from data_pipeline.documents import Quarantined
from data_pipeline.sources.batches import document_batch
from data_pipeline.sources.decompress import MAX_RATIO, read_pieces
from data_pipeline.sources.inputs import check_paths, check_source, find_files
from data_pipeline.sources.records import MAX_DOC_BYTES, MAX_WINDOW_BYTES, TOO_LONG, check_limits, evidence
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from data_pipeline.sources.warc_payload import (
    Refused,
    decoded,
    fields_of,
    fits_digest,
    http_bodies,
    http_head,
    http_payload,
)
from data_pipeline.sources.warc_records import LONG, WHOLE, Place, cut_warc, places
from foundation.errors import InputError, require

TYPES = ("response", "conversion", "resource")  # which can hold a page
OTHER_TYPES = ("warcinfo", "request", "metadata", "revisit", "continuation")
CONTENT_TYPES = ["text/html", "application/xhtml+xml"]
BROKEN_REASON = "warc"


class Warc(Source):
    """WARC and WET files, plain, .gz (a member a record, or not) or .zst; magic bytes decide.

    A document is a page: a `response` with a wanted HTTP status and content type, its payload unpacked and decoded, its
    text the page's HTML (rules of `clean` take the text out); a `resource` of such a type; or a `conversion`, text that
    somebody took out already, as WET files have it. Its row is its record's number in the file, from 0, all records
    counted; its id the WARC-Record-ID without brackets, else its address, else `<file name>#<row>`.

    Its metadata: `url`, `date`, `content_type`, and of what has them `http_status`, `charset`, `charset_from` (mark,
    header, meta or detected), `replaced` (characters that could not be decoded), `languages`, `truncated` (why the
    crawler stopped).

    Payload and block digests are verified where the record has them. The files are unpacked and cut by one process, the
    records parsed by the workers.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        record_types: which are taken, of response, conversion and resource.
        content_types: of the responses and resources that are taken, without parameters.
        http_statuses: of the responses that are taken.
        verify_digests: whether a record that is not what its digest says is quarantined.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer record, or a page that unpacks to more, is quarantined; bounds memory.
        max_window_bytes: the largest zstandard window that is decoded; bounds memory.
        max_ratio: the most bytes that may come out of a compressed one, over every GiB that comes out: stops bombs.
        storage_options: by protocol of `paths`, arguments of its fsspec file system, e.g. {"s3": {"anon": true}}; keys
            and passwords come from the environment alone.
    Raises:
        SettingError: a value that can't work.
    """

    extras = ("fastwarc", "resiliparse")

    def __init__(
        self,
        paths: list[str],
        source: str = "warc",
        record_types: list[str] | None = None,
        content_types: list[str] | None = None,
        http_statuses: list[int] | None = None,
        verify_digests: bool = True,
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
        max_doc_bytes: int = MAX_DOC_BYTES,
        max_window_bytes: int = MAX_WINDOW_BYTES,
        max_ratio: float = MAX_RATIO,
        storage_options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        check_paths(paths, storage_options)
        check_limits(max_doc_bytes, max_window_bytes, max_ratio)
        self.record_types = ["response", "conversion"] if record_types is None else record_types
        self.content_types = CONTENT_TYPES if content_types is None else [each.lower() for each in content_types]
        self.http_statuses = [200] if http_statuses is None else http_statuses
        known = bool(self.record_types) and set(self.record_types) <= set(TYPES)
        require(known, "record_types", record_types, f"one or more of {', '.join(TYPES)}")
        require(bool(self.content_types), "content_types", content_types, "one or more, e.g. [text/html]")
        require(bool(self.http_statuses), "http_statuses", http_statuses, "one or more, e.g. [200]")
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.paths, self.storage_options, self.verify_digests = paths, storage_options, verify_digests
        self.max_doc_bytes, self.max_window_bytes, self.max_ratio = max_doc_bytes, max_window_bytes, max_ratio

    def files(self) -> list[InputFile]:
        return find_files(self.paths, self.name, self.storage_options, self.key)

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        pieces = read_pieces(file, self.max_window_bytes, self.max_ratio)
        is_known = False
        for block in cut_warc(pieces, file, partition_bytes, self.max_doc_bytes):
            is_known = is_known or self._is_no_wat(block, file)
            yield block

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        rows: list[int] = []
        ids: list[bytes] = []
        texts: list[bytes] = []
        metadata: list[bytes] = []
        quarantined: list[Quarantined] = []
        passed_over: Counter[str] = Counter()
        for row, (start, place) in enumerate(places(block.data, self.max_doc_bytes), block.first_row):
            try:
                fields = self._fields(block.data, start, place)
                text, about = self._page(block.data, start, place, fields)
            except _PassedOver as other:
                passed_over[f"records_{other.what}"] += 1
                continue
            except Refused as refused:
                data = evidence(block.data[start : place.stop], refused.reason)
                quarantined.append(Quarantined(row, block.offset_bytes + start, refused.reason, data))
                continue
            given_id = fields.get("warc-record-id", "").strip("<>") or fields.get("warc-target-uri", "").strip("<>")
            rows.append(row)
            ids.append((given_id or f"{file.name}#{row}").encode())
            texts.append(text.encode())
            metadata.append(orjson.dumps(about))
        documents = document_batch(file_number, rows, ids, texts, metadata)
        return Parsed(documents, quarantined, len(rows) + len(quarantined), passed_over)

    def advice(self) -> str:
        return (
            f"; or set the source's record_types (now {', '.join(self.record_types)}), content_types (now "
            f"{', '.join(self.content_types)}) and http_statuses where its files hold others"
        )

    def _is_no_wat(self, block: Block, file: InputFile) -> bool:
        """Return whether the file is shown to be no WAT file, by the first record that is not about the file itself.

        Raises:
            InputError: it is one: all that WARC or WET files of the same pages hold but their text.
        """
        for start, place in places(block.data, self.max_doc_bytes):
            fields = fields_of(block.data[start : place.content]) if place.kind in (WHOLE, LONG) else {}
            kind = fields.get("warc-type", "").lower()
            if kind == "metadata" and _content_type(fields) == "application/json":
                raise InputError(
                    f"{file.where}: is a WAT file, which holds metadata of pages (headers, links) and no text of them; "
                    "take the WARC file of the same name for the pages' HTML, or the WET file for their text"
                )
            if kind != "warcinfo":
                return True
        return False

    def _fields(self, data: bytes, start: int, place: Place) -> dict[str, str]:
        """Return the header of a record that is taken, as far as it alone tells."""
        if place.kind not in (WHOLE, LONG):
            raise Refused(BROKEN_REASON)
        fields = fields_of(data[start : place.content])
        kind = fields.get("warc-type", "").lower()
        if kind not in self.record_types:
            raise _PassedOver(f"of_type_{kind if kind in TYPES + OTHER_TYPES else 'unknown'}")
        return fields

    def _page(self, data: bytes, start: int, place: Place, fields: dict[str, str]) -> tuple[str, dict[str, Any]]:
        """Return a record's text and metadata."""
        about: dict[str, Any] = {
            "url": fields.get("warc-target-uri", "").strip("<>"), "date": fields.get("warc-date", ""),
        }  # fmt: skip
        record, content = data[start : place.end], data[place.content : place.end]
        kind = fields["warc-type"].lower()
        if kind == "response":
            self._check_response(record, fields)
        else:
            self._check_type(kind, fields)
        if place.kind == LONG:
            raise Refused(TOO_LONG)
        if kind == "response":
            text = self._response(record, content, fields, about)
        else:
            text = self._extracted(kind, content, fields, about)
        if not text.strip():
            raise _PassedOver("without_text")
        if "warc-truncated" in fields:
            about["truncated"] = fields["warc-truncated"]
        return text, about

    def _check_response(self, record: bytes, fields: dict[str, str]) -> None:
        """Pass over a response that is not wanted, as its head says."""
        if not fields.get("content-type", "application/http").lower().startswith("application/http"):
            raise _PassedOver("of_other_protocol")  # of DNS, say
        head = http_head(record)
        if head.status not in self.http_statuses:
            raise _PassedOver("of_other_status")
        if head.content_type not in self.content_types:
            raise _PassedOver("of_other_content_type")

    def _check_type(self, kind: str, fields: dict[str, str]) -> None:
        content_type = _content_type(fields)
        wanted = content_type.startswith("text/") if kind == "conversion" else content_type in self.content_types
        if not wanted:
            raise _PassedOver("of_other_content_type")

    def _response(self, record: bytes, content: bytes, fields: dict[str, str], about: dict[str, Any]) -> str:
        head = http_head(record)
        bodies = http_bodies(record, head)
        self._verify(fields, content, bodies)
        payload = http_payload(record, head, bodies, self.max_doc_bytes)
        about |= {"http_status": head.status, "content_type": head.content_type}
        return _decoded(payload, head.charset, about)

    def _extracted(self, kind: str, content: bytes, fields: dict[str, str], about: dict[str, Any]) -> str:
        """Return the text of a record without an HTTP answer."""
        self._verify(fields, content, [content])
        about["content_type"] = _content_type(fields)
        if kind == "resource":
            charset = fields["content-type"].lower().partition("charset=")[2].strip(" \"'")
            return _decoded(content, charset or None, about)
        if "warc-identified-content-language" in fields:
            about["languages"] = fields["warc-identified-content-language"]
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise Refused("utf8") from None

    def _verify(self, fields: dict[str, str], content: bytes, bodies: list[bytes]) -> None:
        if not self.verify_digests:
            return
        for name, contents in (("warc-block-digest", [content]), ("warc-payload-digest", bodies)):
            if name in fields and fits_digest(fields[name], contents) is False:
                raise Refused("digest")


class _PassedOver(Exception):
    """A record that is no page. `what` it is, in words for the counts."""

    def __init__(self, what: str) -> None:
        self.what = what


def _content_type(fields: dict[str, str]) -> str:
    return fields.get("content-type", "").partition(";")[0].strip().lower()


def _decoded(payload: bytes, charset: str | None, about: dict[str, Any]) -> str:
    found = decoded(payload, charset)
    about |= {"charset": found.charset, "charset_from": found.charset_from}
    if found.num_replaced:
        about["replaced"] = found.num_replaced
    return found.text

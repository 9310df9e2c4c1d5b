"""The first unreadable record in words: where it is, why it can't be read, how it begins, what mends such a file."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from data_pipeline.output_dir import QUARANTINE
from data_pipeline.sources.records import encoding_of
from foundation.text import one_line

SHOWN_CHARS = 80
# Reasons of this project's sources; another source's own reason speaks for itself.
WORDS = {
    "json": "it is no JSON",
    "json_eof": "it is no JSON, and it ends its file without a line end",
    "csv_eof": "it has fewer fields than the header, and it ends its file without a line end",
    "utf8_eof": "its file ends inside a character",
    "utf8": "its bytes are no UTF-8",
    "surrogate": "it holds half of a surrogate pair, which is no character",
    "depth": "it is nested too deep",
    "number": "it holds a number beyond the range of a double",
    "not_object": "it is JSON, but no object",
    "missing_text": "it lacks the key of the text (corpus.text_key= names another)",
    "text_type": "what stands under the key of the text is no text",
    "dup_key": "a key stands twice in one object",
    "ragged": "it has more or fewer fields than the header",
    "csv_quote": "something follows a closing quote; a quote inside a quoted field is written twice",
    "too_long": "it is longer than corpus.max_doc_bytes",
    "warc": "its WARC record does not end where its Content-Length says, or has none",
    "python_syntax": "it is no Python",
    "html_depth": "its HTML is nested deeper than max_depth of the rule html",
    "html_attributes": "a tag of its HTML has more attributes than max_attributes of the rule html",
    "html_options": "a <select> of its HTML has more options than max_options of the rule html",
    "html_nodes": "its HTML has more elements and texts than max_nodes of the rule html",
    "html_unclosed": "its HTML ends in a comment, tag or script longer than max_unclosed_bytes of the rule html",
    "html_parser": "the parser refuses its HTML",
    "html_cpu_time": "its HTML takes more processor time than max_cpu_s of the engine of the rule html",
    "html_memory": "its HTML takes more memory than max_memory_bytes of the engine of the rule html",
    "html_crash": "its HTML ends the process that reads it",
    "html_recursion": "its HTML is nested deeper than trafilatura can follow",
}
NAMES = {"LATIN1": "Latin-1", "WINDOWS-1252": "Windows-1252"}
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # in a path of jq without quotes
ONE_A_LINE = "JSON lines have one object per line: jq -c '{}' FILE > NEW.jsonl"
CUT_BY_CR = re.compile(r"\}\r\s*\{")


def first_unreadable(files: Iterable[Path], source: str | None = None) -> str:
    """Return what the first unreadable record is, where all of them lie, and what mends a file of its known shape.

    Args:
        files: of stages; those of quarantine are looked at.
        source: whose record; None for any.
    Returns:
        Sentences that end a message, a space before them; empty when there is no such record.
    """
    for path in sorted(path for path in files if path.suffix == ".jsonl" and QUARANTINE in path.parts):
        with path.open("rb") as file:
            record = orjson.loads(file.readline())  # all of a file's are of one source
        if source in (None, record["source"]):
            return f" The first unreadable record is {_in_words(record)}. All of them: {path.parent}.{_hint(record)}"
    return ""


def place_of(record: dict[str, Any]) -> str:
    """Return where in its file an unreadable record is, as exactly as is known."""
    if record["line"] is not None:
        return f"line {record['line']}"
    return "by a rule" if record["offset_bytes"] is None else f"byte {record['offset_bytes']:,}"


def _in_words(record: dict[str, Any]) -> str:
    place = place_of(record)
    why = WORDS.get(record["reason"], record["reason"])
    return f"{record['file']}, {place}: {why}; it begins with {one_line(record['text'], SHOWN_CHARS)}"


def _hint(record: dict[str, Any]) -> str:
    reason, text = record["reason"], record["text"].strip()
    is_json = reason in ("json", "json_eof", "not_object")
    if is_json and CUT_BY_CR.search(text):
        hint = "Its lines end in \\r alone: tr '\\r' '\\n' < FILE > NEW.jsonl"
    elif is_json and text.startswith("["):
        hint = "It is a JSON array; " + ONE_A_LINE.format(".[]")
    elif is_json and text == "{":
        hint = "It is an object over several lines; " + ONE_A_LINE.format(".")
    elif is_json and not text.startswith("{"):
        hint = "Where the files are no JSON lines: corpus=text reads plain text, corpus=csv tables"
    elif reason == "text_type":
        hint = _text_inside(text)
    elif reason in ("utf8", "utf8_eof"):
        encoding = encoding_of(base64.b64decode(record["bytes"]))
        hint = f"Where the file is {NAMES[encoding]}: iconv -f {encoding} -t UTF-8 FILE > NEW"
    else:
        return ""
    return f" {hint}."


def _text_inside(line: str) -> str:
    """Return what takes the longest text of a record, where it is an object: its key, or what lifts it out."""
    path: list[str] = []
    with contextlib.suppress(orjson.JSONDecodeError):
        path = _longest(orjson.loads(line))[1]
    if not path:
        return "Another key is named by corpus.text_key="
    if len(path) == 1:
        return f"Another key is named by corpus.text_key=, e.g. {one_line(path[0], SHOWN_CHARS)}"
    place = "".join(f".{key}" if PLAIN_KEY.fullmatch(key) else f".{orjson.dumps(key).decode()}" for key in path)
    return (
        "Another key is named by corpus.text_key=, and keys inside others are not followed; a text inside is lifted "
        f"out by jq -c '.text = {one_line(place, SHOWN_CHARS)}' FILE > NEW.jsonl, and corpus.text_key=text names it"
    )


def _longest(record: object) -> tuple[int, list[str]]:
    """Return the characters of the longest text in an object, in objects inside it too, and the keys that lead to it.

    The objects are nested no deeper than orjson reads.
    """
    best: tuple[int, list[str]] = 0, []
    waiting: list[tuple[object, list[str]]] = [(record, [])]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, dict):
            waiting += [(inner, [*path, key]) for key, inner in value.items()]
        elif isinstance(value, str) and len(value) > best[0]:
            best = len(value), path
    return best

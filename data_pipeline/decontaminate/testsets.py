"""Test sets: files of what a model will be judged by, read into items.

- `.jsonl` or `.ndjson`: a record is an item, the text of the fields named for the set, joined by newlines. Without
  names the first of QUESTION_FIELDS that the set's first record has: a leaked question counts without its answer too.
- `.txt`, `.text` or `.md`: a paragraph (up to a blank line) is an item; one of fewer than n words, such as a heading,
  goes with the paragraph after it.
Each may be compressed (`.gz`, `.zst`). A set's name is its file's without these endings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson

from data_pipeline.decontaminate.errors import DecontaminationError
from data_pipeline.sources.decompress import GZIP_SUFFIXES, ZST_SUFFIXES, read_pieces
from data_pipeline.sources.inputs import matching_files
from data_pipeline.sources.records import MAX_WINDOW_BYTES
from data_pipeline.sources.source import InputFile
from foundation.errors import nearest

# what benchmarks call what they ask (GSM8K, HumanEval, MATH, ..., PIQA, HellaSwag, ...), the most telling first
QUESTION_FIELDS = (
    "question", "prompt", "problem", "query", "instruction", "goal", "ctx", "sentence", "premise", "input",
    "text", "content",
)  # fmt: skip
HELD_OUT = "held_out"  # the set of the held-out documents; no file's
_RECORDS, _TEXTS = (".jsonl", ".ndjson"), (".txt", ".text", ".md")


@dataclass(frozen=True, slots=True)
class TestItem:
    """One thing that a model is judged by.

    Attributes:
        set, item: name it, `<set>#<item>`; the item of a file is its row there, from 0, blank lines not counted.
        text: not to be learnt.
        record: as its file holds it, with the end of its line; empty where the item is of no file.
        suffix: of a file of such records.
    """

    __test__: ClassVar[bool] = False  # no test class, whatever pytest makes of the name

    set: str
    item: str
    text: str
    record: bytes = b""
    suffix: str = ""

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.set}#{self.item}"


def read_test_sets(
    paths: list[str], fields: dict[str, list[str]], is_short: Callable[[str], bool]
) -> dict[str, list[TestItem]]:
    """Read all test sets, by name.

    Args:
        paths: files or glob patterns, relative to the working folder.
        fields: set name -> fields of its records that make up an item.
        is_short: whether a paragraph is too short to be an item of its own.
    Raises:
        DecontaminationError: two sets have one name, a file is of no known kind or empty, a record lacks a field; names
            the file and line.
        InputError: a pattern matches nothing, a file can't be read, is cut short or damaged.
    """
    files = _files(paths)
    if unknown := sorted(set(fields) - set(files)):
        raise DecontaminationError(
            f"decontaminate.fields: there is no test set {unknown[0]!r}{nearest(unknown[0], files)}; "
            f"the sets are {', '.join(files) or 'none'}; name one of them or leave it out"
        )
    return {name: _read(name, path, fields.get(name), is_short) for name, path in files.items()}


def _files(paths: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in (path for pattern in paths for path in _matching(pattern)):
        name = _bare_name(path)
        if name == HELD_OUT:
            raise DecontaminationError(
                f"decontaminate.test_sets: {path} would be called {name!r} as the held-out documents are; rename it"
            )
        if found.setdefault(name, path) != path:
            raise DecontaminationError(
                f"decontaminate.test_sets: {found[name]} and {path} would both be called {name!r}; rename one"
            )
    return found


def _matching(pattern: str) -> list[Path]:
    return sorted(matching_files(pattern, f"decontaminate.test_sets: {pattern!r}"))


def _bare_name(path: Path) -> str:
    return re.sub(r"\.[^.]+$", "", _without_compression(path)) or path.name


def _without_compression(path: Path) -> str:
    name = path.name
    for suffix in (*GZIP_SUFFIXES, *ZST_SUFFIXES):
        name = name.removesuffix(suffix)
    return name


def _read(name: str, path: Path, fields: list[str] | None, is_short: Callable[[str], bool]) -> list[TestItem]:
    kind = Path(_without_compression(path)).suffix.lower()
    if kind not in (*_RECORDS, *_TEXTS):
        raise DecontaminationError(
            f"decontaminate.test_sets: {path} is called neither {', '.join(_RECORDS + _TEXTS)} nor one of these with "
            ".gz or .zst; convert it, or rename it to what it is"
        )
    data = b"".join(piece.data for piece in read_pieces(InputFile(str(path), path, 0), MAX_WINDOW_BYTES))
    items = list(_records(name, path, data, fields) if kind in _RECORDS else _paragraphs(name, path, data, is_short))
    if not items:
        raise DecontaminationError(
            f"{path}: this test set is empty, and decontamination against nothing is never clean; "
            "mend the file, or take it out of decontaminate.test_sets"
        )
    return items


def _records(name: str, path: Path, data: bytes, fields: list[str] | None) -> Iterator[TestItem]:
    lines = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
    for row, (number, line) in enumerate((number, line) for number, line in lines if line.strip()):
        where = f"{path}, line {number}"
        record = _parse(line, where)
        fields = fields or _question_field(record, name, where)
        text = "\n".join(_text_of(record, field, name, where) for field in fields)
        yield TestItem(name, str(row), text, line + b"\n", _RECORDS[0])


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DecontaminationError(f"{where}: not valid JSON ({error}); mend the line or take it out") from error
    if not isinstance(record, dict):
        raise DecontaminationError(
            f"{where}: a {type(record).__name__} is no record; make the line a JSON object or take it out"
        )
    return record


def _question_field(record: dict[str, Any], name: str, where: str) -> list[str]:
    found = [field for field in QUESTION_FIELDS if isinstance(record.get(field), str)]
    usual = [field for field in QUESTION_FIELDS if field in record]
    if usual and not found:
        _text_of(record, usual[0], name, where)  # says what it holds, unless it is a list of texts
        return usual[:1]
    if not found:
        raise DecontaminationError(
            f"{where}: none of the fields {', '.join(record) or '(none)'} has a usual name; name those that make up an "
            f"item, e.g. decontaminate.fields.{name}='[{next(iter(record), 'question')}]'"
        )
    return found[:1]


def _text_of(record: dict[str, Any], field: str, name: str, where: str) -> str:
    value = record.get(field)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)  # the choices of a question
    found = f"holds a {type(value).__name__}" if field in record else f"is missing{nearest(field, record)}"
    raise DecontaminationError(
        f"{where}: field {field!r} {found}, where text or a list of texts is expected; "
        f"mend the line, or name other fields in decontaminate.fields.{name}"
    )


def _paragraphs(name: str, path: Path, data: bytes, is_short: Callable[[str], bool]) -> Iterator[TestItem]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DecontaminationError(
            f"{path}, line {line}: not valid UTF-8 ({error.reason}); convert the file"
        ) from error
    begun, number = "", 0
    for paragraph in re.split(r"\n[^\S\n]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        begun = f"{begun}\n{paragraph}" if begun else paragraph
        if not is_short(begun):
            yield _paragraph(name, number, begun)
            begun, number = "", number + 1
    if begun.strip():
        yield _paragraph(name, number, begun)


def _paragraph(name: str, number: int, text: str) -> TestItem:
    record = text.strip("\n").encode() + b"\n\n"
    return TestItem(name, str(number), text, record, _TEXTS[0])

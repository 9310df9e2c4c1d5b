"""docs/bad_input.md is true: each row has tests that are marked with it, and says what the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "bad_input.md"
CASES = 53
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.*) \| (.+) \|$", re.MULTILINE)
ROWS = {int(number): cells for number, *cells in ROW.findall(PAGE.read_text(encoding="utf-8"))}
SILENT = {5, 16, 26, 27, 30, 32, 33, 43}  # nothing is amiss in these: nothing is said
GAP = "…"  # in a message: what the case decides


def marks_of(path: Path) -> set[int]:
    """The rows that the tests of a file are marked with."""
    calls = [
        call
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
        for call in function.decorator_list
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.bad_input"
    ]
    return {ast.literal_eval(argument) for call in calls for argument in call.args}


MARKS = {path: marks_of(path) for path in sorted((REPOSITORY / "tests").rglob("test_*.py"))}


def held_by(row: int) -> str:
    """The last cell of a row: the files that hold its tests."""
    files = [path.relative_to(REPOSITORY).as_posix() for path, rows in MARKS.items() if row in rows]
    return ", ".join(f"[{Path(file).stem.removeprefix('test_')}](../{file})" for file in files)


def said() -> str:
    """All texts of the code but its docstrings, a gap for each value in them."""
    texts: list[str] = []
    for path in (
        each for room in ("foundation", "data_pipeline", "pretrain") for each in (REPOSITORY / room).rglob("*.py")
    ):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else GAP for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


SAID = re.sub(f"{GAP}+", GAP, said())


def test_the_page_has_every_case_once() -> None:
    assert list(ROWS) == list(range(1, CASES + 1))


@pytest.mark.parametrize("row", range(1, CASES + 1))
def test_a_case_is_held_by_the_tests_that_are_marked_with_it(row: int) -> None:
    assert held_by(row), f"no test is marked bad_input({row})"
    assert ROWS[row][3] == held_by(row)


def test_marks_are_of_cases_that_there_are() -> None:
    assert set().union(*MARKS.values()) == set(range(1, CASES + 1))


@pytest.mark.parametrize("row", range(1, CASES + 1))
def test_the_page_says_what_the_code_says(row: int) -> None:
    messages = re.findall("`([^`]+)`", ROWS[row][2])
    assert bool(messages) != (row in SILENT)
    for message in messages:
        assert message in SAID, message


def test_what_only_a_docstring_says_is_not_said() -> None:
    assert "All texts of the code" not in SAID and "A line that can't be taken as it stands" not in SAID

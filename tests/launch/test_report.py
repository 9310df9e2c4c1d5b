from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from launch import report
from launch.report import ReportError, Settings, parse


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("gpt_a", "gpt_b", "gpt_c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("seed: 1\n")
    return tmp_path


def test_one_run_or_several(runs: Path) -> None:
    a, b, c = (runs / name for name in ("gpt_a", "gpt_b", "gpt_c"))
    assert parse([f"run={a}"]).path == a / "report.html"
    assert parse([f"run={a}", f"compare={b}"]) == Settings(a, (b,))
    several = parse([f"run={a}", f"compare=[{b}, {c}]", "page=x=y.html"])
    assert several == Settings(a, (b, c), Path("x=y.html")) and several.path == Path("x=y.html")
    assert parse([f"run={a}", f"compare={b}"]).path == a / "compare.html"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu=x"], "rnu: unknown key, did you mean 'run'?"),
        (["compare={runs}/gpt_a"], "run: missing"),
        (["run="], "run: is empty"),
        (["run={runs}/gpt_a", "compare={runs}/gpt_b", "compare={runs}/gpt_c"], "compare='[one,two]'"),
        (["run={runs}/gpt_aa"], "gpt_aa does not exist; the nearest there is: {runs}/gpt_a"),
        (["run={runs}/gpt_a", "compare=[{runs}/gpt_b,{runs}/gpt_cc]"], "compare: {runs}/gpt_cc does not exist"),
        (["run={runs}"], "no metrics.jsonl and no config.yaml"),
    ],
)
def test_what_can_not_be_followed_is_said(runs: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(ReportError) as caught:
        parse([argument.replace("{runs}", str(runs)) for argument in arguments])
    assert said.replace("{runs}", str(runs)) in str(caught.value)


def test_the_command_writes_pages(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for compare, page in (([], "report.html"), ([f"compare=[{runs / 'gpt_b'}]"], "compare.html")):
        monkeypatch.setattr(sys, "argv", ["report.py", f"run={runs / 'gpt_a'}", *compare])
        report.main()
        assert capsys.readouterr().out == f"page: {runs / 'gpt_a' / page}\n"
        assert (runs / "gpt_a" / page).read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("blocked", "page", "said"),
    [
        (
            "file",
            "file/page.html",
            "page: {runs}/file/page.html can't be written (File exists); give page=PATH, a file",
        ),
        (
            "file",
            "file/new/page.html",
            "page: {runs}/file/new/page.html can't be written (Not a directory); give page=",
        ),
        ("page.html/x", "page.html", "page: {runs}/page.html can't be written (Is a directory); give page=PATH"),
    ],
)
def test_a_page_that_can_not_be_written_is_told_in_a_line(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, blocked: str, page: str, said: str
) -> None:
    (runs / blocked).parent.mkdir(exist_ok=True)
    (runs / blocked).touch()
    monkeypatch.setattr(sys, "argv", ["report.py", f"run={runs / 'gpt_a'}", f"page={runs / page}"])
    with pytest.raises(SystemExit) as ended:
        report.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {said.replace('{runs}', str(runs))}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".report.html", "page: {runs}/gpt_a/report.html can't be written (Permission denied); give page=PATH"),
        ("metrics.jsonl", "run: {runs}/gpt_a/metrics.jsonl can't be read (Permission denied); see to its owner"),
    ],
)
def test_a_folder_that_can_not_be_written_and_a_file_that_can_not_be_read_are_told_apart(
    runs: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    settings, real = parse([f"run={runs / 'gpt_a'}"]), Path.open
    (runs / "gpt_a" / "metrics.jsonl").touch()

    def denied(path: Path, *given: Any, **named: Any) -> Any:  # to root, as which tests may run, nothing is denied
        if path.name.startswith(name):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ReportError) as caught:
        report.write(settings)
    assert str(caught.value).startswith(said.replace("{runs}", str(runs)))


def test_a_line_that_can_not_be_followed_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", "run=nowhere"])
    with pytest.raises(SystemExit) as ended:
        report.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: run: nowhere does not exist; the nearest there is: ")

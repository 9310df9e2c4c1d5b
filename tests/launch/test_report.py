from __future__ import annotations

import sys
from pathlib import Path

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


def test_a_line_that_can_not_be_followed_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", "run=nowhere"])
    with pytest.raises(SystemExit) as ended:
        report.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: run: nowhere does not exist; the nearest there is: ")

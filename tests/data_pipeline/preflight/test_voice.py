"""What a probe says comes out whole, line by line under its label."""

from __future__ import annotations

import sys

import pytest

from data_pipeline.preflight.voice import prefixed


def test_each_line_has_the_label_the_last_one_too_and_hidden_ones_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with prefixed("probe: ", hidden="/scratch"):
        sys.stderr.write("one\ntw")
        sys.stderr.write("o\nin /scratch/x\nthe end")
    assert capsys.readouterr().err == "probe: one\nprobe: two\nprobe: the end\n"


def test_a_last_line_is_written_where_an_error_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), prefixed("probe: ", hidden="/scratch"):
        sys.stderr.write("why")
        raise ValueError
    assert capsys.readouterr().err == "probe: why\n"
    with prefixed("probe: ", hidden="/scratch"):
        sys.stderr.write("in /scratch")
    assert capsys.readouterr().err == ""

"""What a sample is in tokens is counted once for a corpus and its tokenizer, and anew when its record is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]


def test_a_sample_is_counted_once(
    made: Any, out: Path, config: Config, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    go(config(made.folder, out))
    record = out / "work" / "sampled" / "sampled.json"
    written, content = record.stat().st_mtime_ns, record.read_bytes()
    go(config(made.folder, out))
    assert record.stat().st_mtime_ns == written
    record.write_bytes(content.replace(b'"words"', b'"worts"'))
    go(config(made.folder, out))
    assert "its part is done again" in capsys.readouterr().err
    assert record.read_bytes() == content
    go(config(made.folder, out, tokenizer={"_target_": "data_pipeline.tokenize.bpe.ByteLevelBPE", "vocab_size": 380}))
    assert record.read_bytes() != content

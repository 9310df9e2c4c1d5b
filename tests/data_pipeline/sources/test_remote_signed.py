"""Addresses that are signed in their query: it is sent, and stands in no file and no message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import check_config, run
from foundation.config.compose import read_config
from foundation.errors import ConfigError
from tests.data_pipeline.sources.servers import Manners, Server

pytest.importorskip("aiohttp")

QUERY = (
    "f=canary0,canary0&policy='(canary0)'&X-Amz-Credential=canary1%2F20260101&X-Amz-Signature=canary2&token=canary3"
    "&response-type=canary4"
)
REPOSITORY = Path(__file__).parents[3]
SETTINGS = ["clean=none", "dedup=none", "tokenizer.vocab_size=270", "executor.workers=1", "name=signed"]


def type_line(folder: Path, *words: str, module: str = "data_pipeline") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(folder)])}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def files_with(folder: Path, word: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


@pytest.mark.slow
def test_a_signed_address_is_fetched_and_left_nowhere(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"a few words of document {number}"}) + "\n" for number in range(200))
    manners = Manners({"/d/x.jsonl": lines.encode() + b'{"text": "cut\n'}, {"/d/x.jsonl": "v1"})
    with Server(manners) as server:
        address = f"{server.url}/d/x.jsonl?{QUERY}"
        ended = type_line(tmp_path, "corpus=jsonl", f'corpus.paths=["{address}"]', *SETTINGS)
        assert ended.returncode == 0, ended.stderr
        assert manners.queries and set(manners.queries) == {QUERY}
        data = tmp_path / "data" / "signed"
        for text in (ended.stdout, ended.stderr):
            assert "canary" not in text
        assert files_with(tmp_path, b"canary") == []
        hidden = b"x.jsonl?f=***&policy=***&X-Amz-Credential=***&X-Amz-Signature=***&token=***&response-type=***"
        assert hidden in (data / "config.yaml").read_bytes()
        tree: dict[str, Any] = read_config(data / "config.yaml")
        with pytest.raises(ConfigError, match=r"^corpus\.paths: .*only the names are left: .* give the whole address"):
            run(**check_config(tree))
        asked = len(manners.queries)
        tree["output_dir"] = str(data)
        tree["corpus"]["paths"] = [f"{server.url}/d/x.jsonl?X-Amz-Signature=canary5"]
        result = run(**check_config(tree))
        assert not any(stage.redone for stage in result.stages)  # another signature is no other file
        assert set(manners.queries[asked:]) == {"X-Amz-Signature=canary5"}
        assert files_with(tmp_path, b"canary") == []


@pytest.mark.parametrize(
    "word",
    [
        "corpus.paths=[{address}",  # a bracket that is not closed
        "corpus.path={address}",
        "corpus.paths.0={address}",
        'corpus.paths=["{address}","{address}x"]',
        "corpus.text_key={address}",
        "-m corpus.paths={address},{address}",
    ],
)
@pytest.mark.slow
def test_a_mistake_beside_one_shows_it_nowhere(tmp_path: Path, word: str) -> None:
    address = f"http://127.0.0.1:9/x.jsonl?{QUERY}"
    words = word.format(address=address).split()
    ended = type_line(tmp_path, "corpus=jsonl", "corpus.paths=x.jsonl", *words, "name=signed")
    assert ended.returncode == 2, ended.stderr
    assert "canary" not in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
    assert files_with(tmp_path, b"canary") == []


BROKEN = """
from data_pipeline.clean.rules import Rule
from data_pipeline.executors.executor import Executor

class Broken(Rule, Executor):
    def __init__(self, **settings: object) -> None:
        raise RuntimeError("GET https://me:canary@host/x?f=a,b&hmac=canary, and more")

Broken.__abstractmethods__ = frozenset()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("data_pipeline", ["clean._target_=mine.Broken", "corpus=synthetic"]),
        ("data_pipeline.clean", ["labelled.jsonl", "clean._target_=mine.Broken"]),
        (
            "data_pipeline.classifier",
            ["good.paths=labelled.jsonl", "bad.paths=labelled.jsonl", "name=x", "executor._target_=mine.Broken"],
        ),
    ],
)
def test_the_traceback_of_a_defect_shows_none(tmp_path: Path, module: str, words: list[str]) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    (tmp_path / "labelled.jsonl").write_text('{"text": "some", "reason": null}\n')
    ended = type_line(tmp_path, *words, "extra_targets=[mine.]", module=module)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" in ended.stderr and "RuntimeError: GET https://host/x?f=***&hmac=*** and more" in ended.stderr
    assert "canary" not in ended.stdout + ended.stderr


def test_what_is_no_path_is_written_as_it_was_given(
    config: Callable[..., dict[str, Any]], go: Callable[..., Any], made: Any, tmp_path: Path
) -> None:
    tree = config(made.folder, tmp_path / "out", executor__workers=1)
    origin = "https://example.org/law?lang=en#top"
    for source in tree["corpus"]["sources"].values():
        source["tags"] = {"origin": origin, "paths": origin}
    go(tree)
    written = read_config(tmp_path / "out" / "config.yaml")
    assert [source["tags"] for source in written["corpus"]["sources"].values()] == [
        {"origin": origin, "paths": origin}
    ] * 2
    assert not any(stage.redone for stage in go(written).stages)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.compare_tokenizers.candidates import candidates, names_of
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.given import TokenizerFile
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.config import Node, check


def node_of(**values: Any) -> Node[TokenizerTrainer]:
    def schema(given: Node[TokenizerTrainer]) -> None: ...

    found: Node[TokenizerTrainer] = check({"given": values}, schema)["given"]
    return found


FILE, BPE = "data_pipeline.tokenize.given.TokenizerFile", "data_pipeline.tokenize.bpe.ByteLevelBPE"


def test_folders_files_and_options_are_read(finished: Path, other: Path, small: Path) -> None:
    given = {"mine": node_of(_target_=FILE, path=str(small))}
    found = candidates([str(finished), str(other.parent)], given)
    assert [(each.name, each.kind) for each in found] == [
        ("out", "data folder"),
        (other.parent.name, "tokenizer.json"),
        ("mine", TokenizerFile.__name__),
    ]
    assert [each.tokenizer_json for each in found] == [
        (finished / "tokenizer.json").read_bytes(),
        other.read_bytes(),
        small.read_bytes(),
    ]
    assert {each.eot_token for each in found} == {"<|endoftext|>"}


def test_another_special_token_ends_documents_where_the_usual_one_is_not(other: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(other.read_bytes().replace(b"<|endoftext|>", b"<|end_of_text|>"))
    assert candidates([str(path)], {})[0].eot_token == "<|end_of_text|>"


def test_names_are_as_long_as_they_must_be() -> None:
    assert names_of(["a/web", "b/web", "x/tokenizer.json", "y.json"]) == ["a/web", "b/web", "x", "y"]
    assert names_of(["web-1.5", "web-1.6", "v.1.json", "v.1.model"]) == ["web-1.5", "web-1.6", "v.1", "v.1.model"]
    with pytest.raises(TokenizerError, match=r"^tokenizers: a/../b is given twice"):
        names_of(["b", "a/../b"])


def refuse(match: str, paths: list[str], given: dict[str, Node[TokenizerTrainer]] | None = None) -> None:
    with pytest.raises(TokenizerError, match=match):
        candidates(paths, given or {})


def test_what_cannot_be_compared_is_named(other: Path, tmp_path: Path) -> None:
    record = json.loads(other.read_bytes())
    bad, bare, copy = (tmp_path / name for name in ("bad.json", "bare.json", "copy.json"))
    refuse(r"^tokenizers: no tokenizer to look at; give some, e\.g\. tokenizers=", [])
    refuse(r"^tokenizers: .*nowhere: there is no such file or folder", [str(tmp_path / "nowhere")])
    refuse(r"^tokenizers: .*: is a folder without tokenizer\.json", [str(tmp_path)])
    bad.write_text("{}")
    refuse(r"^tokenizers: .*bad\.json: not a tokenizer\.json", [str(other), str(bad)])
    bad.write_text(json.dumps(record | {"decoder": None}))
    refuse(r"^tokenizers: .*bad\.json: ", [str(other), str(bad)])
    bare.write_text(json.dumps(record | {"added_tokens": []}))
    refuse(r"^tokenizers: .*bare\.json: has no special token", [str(bare)])
    copy.write_bytes(other.read_bytes())
    refuse(r"are one tokenizer, byte for byte", [str(other), str(copy)])
    refuse(
        r"^given\.mine: data_pipeline\.tokenize\.bpe\.ByteLevelBPE is trained on text; train it by",
        [],
        {"mine": node_of(_target_=BPE)},
    )
    missing = {"mine": node_of(_target_=FILE, path=str(tmp_path / "none.json"))}
    refuse(r"^given\.mine: .*none\.json", [], missing)
    same = {other.parent.name: node_of(_target_=FILE, path=str(other))}
    refuse(r"is the name of one of tokenizers too", [str(other)], same)

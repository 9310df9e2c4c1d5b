"""What all stages share: code counts as an input, half a part is no part, the books see dishonest work."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import data_pipeline
from data_pipeline.dedup.dedup import Features
from data_pipeline.dedup.exact import Exact
from data_pipeline.documents import Removals
from data_pipeline.executors.local import Local
from data_pipeline.ledger import LedgerUnbalanced
from data_pipeline.pipeline import Result
from data_pipeline.records import Part, Records
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import Block, InputFile, Parsed
from data_pipeline.stages import stage as module
from data_pipeline.stages.augment import Augment
from data_pipeline.stages.clean import Clean
from data_pipeline.stages.decontaminate import Decontaminate
from data_pipeline.stages.duplicates import ExactDuplicates, NearDuplicates
from data_pipeline.stages.filter import Filter
from data_pipeline.stages.paragraphs import CutParagraphs
from data_pipeline.stages.sample import Sample
from data_pipeline.stages.shards import WriteShards
from data_pipeline.stages.split import Split
from data_pipeline.stages.stage import Stage, Task, Workplace, do_parts
from data_pipeline.stages.tokenizer import TrainTokenizer
from data_pipeline.tokenize.bpe import ByteLevelBPE
from foundation.hashes import hash_json
from tests.data_pipeline.all_stages import ALL

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]


class Doubling(Exact):
    """Names a removed document twice."""

    def exact(self, features: list[Features], preference: Any = None) -> Removals:
        found = super().exact(features)
        return found.rows(np.concatenate([[0], np.arange(len(found))]))


class Miscounting(Jsonl):
    """Loses one record of each block."""

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        parsed = super().parse(block, file, file_number)
        return Parsed(parsed.documents.slice(1), parsed.quarantined, parsed.num_records)


def code_hash(target: str) -> str:
    tokenizer = TrainTokenizer(Workplace(Path("out"), Local()), ByteLevelBPE(), {"rules": [{"_target_": target}]})
    return tokenizer.code_hash


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("sources/decompress.py", ["clean"]),
        ("dedup/greedy.py", ["exact", "near"]),
        ("mix/split.py", ["split"]),
        ("decontaminate/kernels.py", ["decontaminate"]),
        ("augment/lots.py", ["augment"]),
        ("tokenize/engines.py", ["tokenizer", "shards"]),
        ("stages/view.py", ALL),
    ],
)
def test_changed_code_redoes_its_stages_with_all_their_parts(
    made: Any,
    out: Path,
    config: Config,
    go: Go,
    redone: Redone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    expected: list[str],
) -> None:
    code = Path(shutil.copytree(Path(data_pipeline.__file__).parent, tmp_path / "data_pipeline"))
    monkeypatch.setattr(module, "ROOM", code)  # where the text of the code is looked up, not what runs
    assert redone(go(config(made.folder, out))) == []  # the same code in another place
    with (code / file).open("a") as text:
        text.write("# changed\n")
    parts = [path for name in expected for path in (out / "work" / name).rglob("*.*")]
    before = {path: path.stat().st_mtime_ns for path in parts}
    assert redone(go(config(made.folder, out))) == expected  # their results are the same: nothing after them is redone
    assert not [path for path in parts if path.stat().st_mtime_ns == before[path]]


def test_a_change_anywhere_in_a_users_package_is_a_change_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "users_rules"
    package.mkdir()
    (package / "__init__.py").write_text("from users_rules._impl import Drop\n")
    (package / "_impl.py").write_text("class Drop: ...\n")
    (tmp_path / "users_module.py").write_text("class Drop: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, changed in (("users_rules", package / "_impl.py"), ("users_module", tmp_path / "users_module.py")):
        importlib.import_module(name)
        before = code_hash(f"{name}.Drop")
        assert code_hash(f"{name}.Drop") == before != code_hash("data_pipeline.clean.length.Length")
        changed.write_text("class Drop:\n    every = 2\n")
        assert code_hash(f"{name}.Drop") != before


def test_another_version_of_a_library_redoes_what_runs_on_it(
    made: Any, out: Path, config: Config, go: Go, redone: Redone, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "tokenizers" else installed(name))
    assert redone(go(config(made.folder, out))) == ["tokenizer", "shards"]


def test_a_part_that_fails_halfway_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    records, file = Records(tmp_path / "work", tmp_path), tmp_path / "part"

    def work(content: bytes) -> Part:
        file.write_bytes(content)
        if content == b"bad":
            raise RuntimeError("stop")
        return Part({}, [file])

    def do(key: str, content: bytes) -> list[Any]:
        return list(do_parts(Local(workers=1), records, [Task("p", key, content)], work))

    assert do("key", b"one") == [("p", {})]
    with pytest.raises(RuntimeError, match="stop"):
        do("another key", b"bad")  # of the same size
    assert records.find("p", "key") is None


def test_a_stage_that_drops_a_document_twice_is_refused(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    tree = config(made.folder, tmp_path / "out", dedup={"_target_": f"{__name__}.Doubling"})
    with pytest.raises(LedgerUnbalanced, match="exact, source 'books'"):
        go(tree, f"{__name__}.")
    assert not (tmp_path / "out" / "work" / "exact" / "stage.json").exists()


def test_a_source_that_loses_a_record_is_refused(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    corpus = {"_target_": f"{__name__}.Miscounting", "paths": [f"{made.folder}/books/*"], "source": "books"}
    with pytest.raises(LedgerUnbalanced, match="clean, partition 00000-00000 of source 'books'"):
        go(config(made.folder, tmp_path / "out", corpus=corpus), f"{__name__}.")


def test_stages_that_did_not_hand_over_the_same_documents_are_refused(
    made: Any, out: Path, config: Config, go: Go
) -> None:
    path = out / "work" / "split" / "stage.json"
    record = orjson.loads(path.read_bytes())
    account = record["facts"]["book"]["web"]
    account["in"], account["out"] = account["in"] - 1, account["out"] - 1
    del record["hash"]
    path.write_bytes(orjson.dumps(record | {"hash": hash_json(record)}))
    with pytest.raises(LedgerUnbalanced, match=r"source 'web': paragraphs gave out .* split took in .* remove work/"):
        go(config(made.folder, out))


def imported_by(file: str) -> set[str]:
    """Return the files of stages/ that one needs, and that those need."""
    found: set[str] = set()
    left = [file]
    while left:
        each = left.pop()
        if each in found:
            continue
        found.add(each)
        nodes = ast.walk(ast.parse((module.ROOM / each).read_text(encoding="utf-8")))
        names = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
        left += [f"stages/{name.rpartition('.')[2]}.py" for name in names if name.startswith("data_pipeline.stages.")]
    return found


@pytest.mark.parametrize(
    "stage",
    [
        *(Clean, Filter, ExactDuplicates, NearDuplicates, CutParagraphs, Split, Decontaminate, Sample, Augment),
        *(TrainTokenizer, WriteShards),
    ],
)
def test_the_code_of_a_stage_names_all_that_it_imports_of_the_stages(stage: type[Stage]) -> None:
    needed = imported_by(f"stages/{stage.__module__.rpartition('.')[2]}.py")
    assert needed <= {*module.SHARED_CODE, *stage.code}

"""Cleaning: only what changed is read again, an unreadable input commits nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from data_pipeline.clean.extras import version_of
from data_pipeline.limits import TooManyUnreadable
from data_pipeline.pipeline import Result
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.pydocs import PyDocs
from data_pipeline.sources.source import Source, TruncatedInput
from data_pipeline.sources.synthetic import Synthetic
from data_pipeline.sources.text import Text
from data_pipeline.stages.source_settings import describe
from foundation.errors import ConfigError, InputError
from tests.data_pipeline.all_stages import ALL

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


def test_a_changed_input_redoes_only_its_partitions(
    inputs: Path, out: Path, config: Config, go: Go, redone: Redone
) -> None:
    go(config(inputs, out))

    def arrow_times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (out / "work" / "clean").glob("*.arrow")}

    before = arrow_times()
    os.utime(inputs / "web" / "a.jsonl")  # touched, the same content
    assert redone(go(config(inputs, out))) == ["clean"]
    assert arrow_times() == before
    with (inputs / "web" / "c.jsonl.zst").open("ab") as file:  # a second frame
        file.write(zstandard.compress(b'{"text": "one more document at the very end of it all"}\n'))
    result = go(config(inputs, out))
    assert redone(result) == ALL
    changed = {name for name, time in arrow_times().items() if before.get(name) != time}
    assert 0 < len(changed) <= 2 < len(before)
    kept = sum(source.documents for split in result.manifest.splits.values() for source in split.values())
    (inputs / "web" / "a.jsonl").unlink()
    fewer = go(config(inputs, out)).manifest
    assert sum(source.documents for split in fewer.splits.values() for source in split.values()) < kept


def test_same_size_and_old_date_do_not_hide_a_change(
    inputs: Path, out: Path, config: Config, go: Go, redone: Redone
) -> None:
    path = inputs / "web" / "a.jsonl"
    go(config(inputs, out))
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"a", b"e", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "clean" in redone(go(config(inputs, out)))


def test_a_table_that_a_rule_reads_is_part_of_what_cleaning_depends_on(
    inputs: Path, out: Path, config: Config, go: Go, redone: Redone, tmp_path: Path
) -> None:
    table = tmp_path / "wrong.tsv"
    clean = {"_target_": "data_pipeline.clean.spelling.Spelling", "path": str(table)}
    with pytest.raises(InputError, match=r"wrong\.tsv: no such file"):
        go(config(inputs, out, clean=clean))
    table.write_text("neverever\tnever\n")
    go(config(inputs, out, clean=clean))
    assert redone(go(config(inputs, out, clean=clean))) == []
    table.write_text("neverever\tever\n")
    assert "clean" in redone(go(config(inputs, out, clean=clean)))


def test_a_package_that_a_rule_needs_is_asked_for_before_the_work() -> None:
    assert version_of("numpy") == np.__version__
    with pytest.raises(ConfigError, match=r"^clean: a rule needs the package groundwork-none; pip install"):
        version_of("groundwork-none")


@pytest.mark.bad_input(1)
def test_a_truncated_input_commits_nothing_and_can_be_mended(
    inputs: Path, config: Config, tmp_path: Path, go: Go, redone: Redone
) -> None:
    path, out = inputs / "web" / "b.jsonl.gz", tmp_path / "out"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedInput, match=r"b\.jsonl\.gz"):
        go(config(inputs, out))
    assert not [name for name in ("manifest.json", "ledger.json", "shards") if (out / name).exists()]
    assert not (out / "work" / "clean" / "stage.json").exists()
    path.write_bytes(whole)
    assert redone(go(config(inputs, out))) == ALL


def test_a_partition_of_files_without_documents_is_no_error(config: Config, go: Go, tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_text("no json\n")
    (tmp_path / "1.jsonl").write_text("\n\n")  # one partition with the file before
    (tmp_path / "2.jsonl").write_text("".join(f'{{"text": "words of document {row}"}}\n' for row in range(40)))
    jsonl = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [f"{tmp_path}/*.jsonl"], "source": "web"}
    changes = {"mix__held_out_frac": 0.4, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    result = go(config(tmp_path, tmp_path / "out", corpus=jsonl, partition_bytes=1000, **changes))
    account = result.stages[0].book["web"]
    assert (account.num_in, account.num_out, account.quarantined.total()) == (41, 40, 1)
    (line,) = (tmp_path / "out" / "quarantine" / "clean" / "00000-00000.jsonl").read_text().splitlines()
    assert '"file":"0.jsonl"' in line


def test_too_many_unreadable_records_stop_the_run(
    made: Any, out: Path, config: Config, tmp_path: Path, go: Go, redone: Redone
) -> None:
    num_bad = len(made.bad)
    for folder in (out, tmp_path / "fresh"):  # also where an earlier run was told to put up with them
        with pytest.raises(
            TooManyUnreadable, match=rf"max_bad_frac: {num_bad} of {made.num_records} records.*json.*quarant"
        ):
            go(config(made.folder, folder, min_bad_records=5))
        assert list((folder / "quarantine" / "clean").glob("*.jsonl"))
    assert redone(go(config(made.folder, out, min_bad_records=5, max_bad_frac=0.5))) == []


class Mine(Jsonl):
    """A user's source with an attribute of its own."""

    def __init__(self, paths: list[str], extra: Any) -> None:
        super().__init__(paths, source="mine", weight=2.0)
        self.extra = extra
        self._cache = object()


def test_a_source_is_known_by_its_attributes_but_not_by_where_it_lies_or_what_it_weighs() -> None:
    described = describe(Mine(["a/*.jsonl"], 7))
    assert described["extra"] == 7 and described["name"] == "mine"
    assert not {"paths", "weight", "_cache"} & set(described)
    assert describe(Mine(["b/*.jsonl"], 7)) == described != describe(Mine(["b/*.jsonl"], 8))
    with pytest.raises(ConfigError, match=r"Mine\.extra: .*Path\('x'\) is not a JSON value.*begin the name with _"):
        describe(Mine(["a/*.jsonl"], Path("x")))


class Hidden(Jsonl):
    """A user's source that keeps an argument where nobody looks for settings."""

    def __init__(self, paths: list[str], every: int = 1) -> None:
        super().__init__(paths, source="mine", weight=2.0)
        self._every = every


def test_an_argument_of_a_source_that_is_no_attribute_of_its_name_is_refused(
    made: Any, config: Config, go: Callable[..., Result], tmp_path: Path
) -> None:
    corpus = {"_target_": f"{__name__}.Hidden", "paths": [f"{made.folder}/books/*"], "every": 2}
    with pytest.raises(ConfigError, match=r"Hidden: its argument 'every' .*keep it as self\.every"):
        go(config(made.folder, tmp_path / "out", corpus=corpus), f"{__name__}.")


def test_an_error_in_a_worker_names_the_partition(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    (tmp_path / "out" / "work").mkdir(parents=True)
    (tmp_path / "out" / "quarantine").write_text("in the way of the folder")
    with pytest.raises(OSError, match="quarantine") as raised:
        go(config(made.folder, tmp_path / "out"))
    assert [note for note in raised.value.__notes__ if "work/clean/0000" in note]


@pytest.mark.parametrize(
    ("kind", "needed", "others"),
    [
        (Jsonl, {"paths": ["x"]}, {"text_key": "a", "id_key": "b", "max_doc_bytes": 9, "max_window_bytes": 1 << 20}),
        (Text, {"paths": ["x"]}, {"separator": "a", "max_doc_bytes": 9, "max_window_bytes": 1 << 20}),
        (PyDocs, {}, {"max_bytes": 9, "packages": ["python"]}),
        (
            Synthetic,
            {},
            {
                "num_documents": 9,
                "mean_words": 9.0,
                "words_sigma": 0.1,
                "vocab_words": 9,
                "duplicate_frac": 0.1,
                "seed": 9,
            },
        ),
    ],
)
def test_a_source_is_known_by_its_settings_but_not_by_its_place_or_weight(
    kind: type[Source], needed: dict[str, Any], others: dict[str, Any]
) -> None:
    known = describe(kind(**needed))
    for name, value in {**others, "source": "other", "tags": {"domain": "law"}}.items():
        assert describe(kind(**needed, **{name: value})) != known, name
    moved = {"paths": ["elsewhere"]} if needed else {}
    assert describe(kind(**{**needed, **moved, "weight": 9.0, "budget": {"epochs": 2}})) == known

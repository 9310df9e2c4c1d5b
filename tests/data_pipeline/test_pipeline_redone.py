"""The same command again: what a changed setting, input or output redoes, and that it ends in a fresh run's bytes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from data_pipeline.losses import NothingLeft
from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest
from data_pipeline.sources.source import TruncatedInput
from data_pipeline.storage import DamagedFile
from data_pipeline.tokenize.errors import TokenizerError
from tests.data_pipeline.all_stages import ALL

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
Hashes = Callable[[Path], dict[str, str]]
NOISE = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.5}
LONG_ONLY = {"long": {"_target_": "data_pipeline.clean.length.Length", "min_words": 120}}
NONE_LEFT = {"long": {"_target_": "data_pipeline.clean.length.Length", "min_words": 1_000_000}}

CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"executor__workers": 2, "name": "other", "max_bad_frac": 0.5}, []),
    ({"corpus__sources__web__weight": 5.0, "corpus__sources__books__budget": {"epochs": 2.0}}, []),
    ({"shards__max_shard_bytes": 1 << 17}, ["shards"]),
    ({"tokenizer__vocab_size": 420}, ["tokenizer", "shards"]),
    ({"decontaminate__min_coverage": 0.6}, ["decontaminate"]),  # with the same result
    ({"decontaminate": {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}}, ALL[6:]),
    ({"augment": NOISE}, ALL[8:]),
    ({"mix__seed": 4}, ALL[5:]),
    ({"dedup__threshold": 0.75}, ["near"]),
    ({"dedup__num_perm": 64}, ["exact", "near"]),
    ({"dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"}}, ALL[2:]),
    ({"clean": {"_target_": "data_pipeline.clean.rules.Rules", "rules": LONG_ONLY}}, ALL),
    ({"partition_bytes": 1 << 16}, ALL),
]
# each of them leaves parts of stages that look as if they could be used again, or files that nothing needs any more
TELLING: list[dict[str, Any]] = [
    {"dedup": {"_target_": "data_pipeline.dedup.exact.Exact"}, "tokenizer__vocab_size": 410},
    {"dedup__ngram": 2, "dedup__threshold": 0.5},
    {"mix__seed": 4},
    {"augment": NOISE},
    {"corpus__sources__web__source": "net"},
    {"partition_bytes": 1 << 16, "shards__max_shard_bytes": 1 << 17},
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_a_changed_setting_redoes_what_depends_on_it(
    made: Any, out: Path, config: Config, redone: Redone, go: Go, changes: dict[str, Any], expected: list[str]
) -> None:
    tree = config(made.folder, out, **changes)
    assert redone(go(tree)) == expected
    again = go(tree)
    assert redone(again) == []
    assert again.manifest == Manifest.load(out)


@pytest.mark.parametrize(
    ("changes", "stage", "what"),
    [
        ({"dedup__threshold": 0.75}, "near", "tokenizer.json and shards/ are replaced"),
        ({"shards__max_shard_bytes": 1 << 17}, "shards", "shards/ is replaced"),
    ],
)
def test_before_a_finished_folder_changes_one_line_says_what_is_lost_and_how_to_keep_it(
    made: Any,
    out: Path,
    config: Config,
    go: Go,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    stage: str,
    what: str,
) -> None:
    go(config(made.folder, out, **changes))
    said = capsys.readouterr().err.splitlines()
    (warning,) = [place for place, line in enumerate(said) if line.startswith(f"warning: {out}: ")]
    assert f"stage {stage} is done anew: where it comes out different, {what}, and a run" in said[warning]
    assert said[warning].endswith("give another name= or output_dir=")
    spoke = [line.partition(":")[0] for line in said[:warning]]
    assert spoke and not set(spoke) & set(ALL)  # before any stage speaks of its work; the plan does
    go(config(made.folder, out, **changes))
    assert "done anew" not in capsys.readouterr().err


def swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.parametrize("damage", ["cut", "flipped", "swapped", ".idx", ".bin", ".documents.parquet"])
def test_every_damage_of_a_shard_is_said_before_it_is_made_again(
    made: Any,
    finished: Path,
    out: Path,
    config: Config,
    go: Go,
    redone: Redone,
    output_hashes: Hashes,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    shards = sorted((out / "shards" / "train").glob("*.bin"), key=lambda path: path.stat().st_size)
    first, last = shards[0], shards[-1]
    assert first.stat().st_size != last.stat().st_size
    hit = last
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:-1000])
    elif damage == "flipped":
        last.write_bytes(last.read_bytes()[:-1] + b"\xff")
    elif damage == "swapped":
        swap(first, last)
    else:
        hit = last.with_suffix(damage)
        hit.unlink()
    assert redone(go(config(made.folder, out))) == ["shards"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.endswith("; the shards are made again")]
    assert any(line.startswith(f"{hit}: ") for line in said), said
    assert output_hashes(out) == output_hashes(finished)
    go(config(made.folder, out))
    assert "made again" not in capsys.readouterr().err


def test_evidence_that_is_gone_is_said_before_it_is_made_again(
    made: Any, out: Path, config: Config, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, cut = (min((out / "removed" / stage).glob("*.parquet")) for stage in ("exact", "near"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    go(config(made.folder, out))
    said = [line for line in capsys.readouterr().err.splitlines() if "is done again" in line]
    assert said[0] == f"{gone}: missing; stage exact is done again" and len(said) == 2
    assert said[1] == f"{out}: a file of stage near has another size than was written; stage near is done again"


def test_nothing_is_said_of_what_no_run_can_have_been_made_from_or_comes_out_as_it_was(
    made: Any, out: Path, config: Config, go: Go, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in (out / "removed" / "exact").iterdir():
        path.unlink()
    shard = next((out / "shards" / "train").glob("*.bin"))
    shard.write_bytes(bytes(shard.stat().st_size))
    go(config(made.folder, out))
    go(config(made.folder, tmp_path / "fresh"))
    assert "done anew" not in capsys.readouterr().err


def test_a_changed_command_that_stops_before_the_tokenizer_leaves_shards_and_the_config_that_made_them(
    made: Any, out: Path, config: Config, go: Go
) -> None:
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(NothingLeft):
        go(config(made.folder, out, clean={"_target_": "data_pipeline.clean.rules.Rules", "rules": NONE_LEFT}))
    assert (out / "config.yaml").read_bytes() == before
    assert Manifest.load(out)
    assert not (out / "ledger.json").exists()  # it would speak of other evidence than stands beside it


def test_another_order_of_the_rules_is_another_cleaning(
    made: Any, out: Path, config: Config, go: Go, redone: Redone
) -> None:
    """Each sees the texts as the one before left them, and of those that a document breaks the first is its reason."""
    rules = {
        "mine": {"_target_": "data_pipeline.clean.spelling.Spelling", "words": {"ban": "bon"}},
        "other": {"_target_": "data_pipeline.clean.spelling.Spelling", "words": {"bon": "ben"}},
    }
    first, second = (
        {"_target_": "data_pipeline.clean.rules.Rules", "rules": order}
        for order in (rules, dict(reversed(rules.items())))
    )
    counts = []
    for clean in (first, second):
        assert redone(go(config(made.folder, out, clean=clean)))[:2] == ["clean", "filter"]
        counts.append(json.loads((out / "ledger.json").read_bytes())["counts"]["clean"])
    assert counts[0]["misspellings_mended"] > counts[1]["misspellings_mended"] > 0
    assert redone(go(config(made.folder, out, clean=second))) == []


@pytest.mark.parametrize("changes", TELLING)
def test_a_changed_setting_ends_in_the_bytes_of_a_fresh_run(
    made: Any,
    finished: Path,
    out: Path,
    config: Config,
    go: Go,
    output_hashes: Hashes,
    tmp_path: Path,
    changes: dict[str, Any],
) -> None:
    go(config(made.folder, out, **changes))
    fresh = tmp_path / "fresh"
    go(config(made.folder, fresh, **changes))
    assert output_hashes(out) == output_hashes(fresh)
    go(config(made.folder, out))  # and back
    assert output_hashes(out) == output_hashes(finished)


def test_changed_inputs_end_in_the_bytes_of_a_fresh_run(
    made: Any, inputs: Path, out: Path, config: Config, go: Go, output_hashes: Hashes, tmp_path: Path
) -> None:
    web, question = inputs / "web", json.loads((inputs / "test.jsonl").read_bytes())["question"]

    for name in ("e", "f"):  # so small that they share a group
        (inputs / "books" / f"{name}.jsonl").write_text(json.dumps({"text": f"one document of file {name}"}) + "\n")

    def changes() -> Iterator[str]:
        lines = [json.dumps({"id": f"more-{number}", "text": f"{question} {number}"}) for number in range(5)]
        with (web / "c.jsonl.zst").open("ab") as file:
            file.write(zstandard.compress("\n".join(lines).encode() + b"\n"))
        yield "more of a phrase: now it is common in partitions that did not change, too"
        (inputs / "books" / "f.jsonl").unlink()
        yield "a file less in a group: all later ones have other numbers, in partitions of the same names"
        (web / "a.jsonl").rename(web / "aa.jsonl")
        yield "another name of a file, of the same documents"
        (web / "aa.jsonl").unlink()
        yield "a group less"

    settings = {"decontaminate__max_document_frequency": len(made.leaks) + 2}
    go(config(inputs, out, **settings))
    for number, change in enumerate(changes()):
        go(config(inputs, out, **settings))
        fresh = tmp_path / f"fresh{number}"
        go(config(inputs, fresh, **settings))
        assert output_hashes(out) == output_hashes(fresh), change


@pytest.mark.parametrize("changes", [{"mix__seed": 4}, {"corpus__sources__web__source": "net"}])
def test_unfinished_parts_end_in_the_bytes_of_a_fresh_run(
    made: Any,
    finished: Path,
    config: Config,
    go: Go,
    output_hashes: Hashes,
    tmp_path: Path,
    changes: dict[str, Any],
) -> None:
    """Parts of an unfinished stage are there, and a given tokenizer doesn't give away that the documents are others."""
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(finished / "tokenizer.json")}
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    (out / "work").mkdir(parents=True)
    (out / "shards").write_text("in the way of the folder")
    with pytest.raises(NotADirectoryError):
        go(config(made.folder, out, tokenizer=given))
    (out / "shards").unlink()
    for folder in (out, fresh):
        go(config(made.folder, folder, tokenizer=given, **changes))
    assert output_hashes(out) == output_hashes(fresh)


def test_another_split_is_another_test_set(
    made: Any, config: Config, go: Go, output_hashes: Hashes, tmp_path: Path
) -> None:
    """The question is in one document more than may be (two are held out): a count left from other items would show."""
    common, out, fresh = len(made.leaks) - 3, tmp_path / "out", tmp_path / "fresh"
    go(config(made.folder, out, decontaminate__max_document_frequency=common))
    for folder in (out, fresh):
        go(config(made.folder, folder, decontaminate__max_document_frequency=common, mix__seed=4))
    assert output_hashes(out) == output_hashes(fresh)


def test_another_test_set_of_the_same_name_is_noticed(
    inputs: Path, made: Any, out: Path, config: Config, go: Go, redone: Redone
) -> None:
    redone(go(config(inputs, out)))
    (inputs / "test.jsonl").write_text(json.dumps({"question": made.unique["books"][0]}) + "\n")
    assert redone(go(config(inputs, out))) == ALL[6:]


def test_missing_or_changed_outputs_are_made_again(
    made: Any, finished: Path, out: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes
) -> None:
    for path in (out / "manifest.json", out / "ledger.json", next((out / "shards" / "train").glob("*.bin"))):
        path.unlink()
    shutil.rmtree(out / "removed" / "exact")
    shutil.rmtree(out / "quarantine")
    tokenizer = out / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes().replace(b"a", b"b", 1))
    assert redone(go(config(made.folder, out))) == ["clean", "exact", "tokenizer", "shards"]
    assert output_hashes(out) == output_hashes(finished)


@pytest.mark.parametrize("stage", ALL)
def test_a_damaged_record_is_said_and_its_stage_made_again(
    made: Any,
    finished: Path,
    out: Path,
    config: Config,
    go: Go,
    redone: Redone,
    output_hashes: Hashes,
    capsys: pytest.CaptureFixture[str],
    stage: str,
) -> None:
    path = out / "work" / stage / "stage.json"
    path.write_text(re.sub(r"\d(?=,?\n)", lambda digit: str(9 - int(digit[0])), path.read_text(), count=1))
    assert redone(go(config(made.folder, out))) == [stage]
    said = f"{path}: it is not what was written (its content has another hash than it states); its part is done again"
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith((str(path), "warning"))] == [said]
    assert output_hashes(out) == output_hashes(finished)
    assert redone(go(config(made.folder, out))) == []


def test_damaged_evidence_is_named_and_made_again_once_it_is_removed(
    made: Any, finished: Path, out: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes, flip: Any
) -> None:
    path = next((out / "removed" / "exact").glob("*.parquet"))
    flip(path, "snippet")
    with pytest.raises(DamagedFile, match=rf"{path.name}: .*; remove it and run again"):
        go(config(made.folder, out))
    path.unlink()
    assert redone(go(config(made.folder, out))) == ["exact"]
    assert output_hashes(out) == output_hashes(finished)


def test_a_failed_change_of_the_input_leaves_the_shards_as_they_were(
    inputs: Path, out: Path, config: Config, go: Go, output_hashes: Hashes
) -> None:
    path = inputs / "web" / "b.jsonl.gz"
    before = output_hashes(out)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TruncatedInput):
        go(config(inputs, out))
    for name, content_hash in before.items():
        if name.startswith(("manifest.json", "tokenizer.json", "shards/")):
            assert output_hashes(out)[name] == content_hash
    assert not (out / "ledger.json").exists()  # it would no longer be true of removed/
    assert not (out / "work" / "clean" / "stage.json").exists()  # nor that record of its files


def test_a_tokenizer_that_can_not_be_made_leaves_the_folder_as_it_was(
    made: Any, out: Path, finished: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes
) -> None:
    with pytest.raises(TokenizerError, match="more than the text supports"):
        go(config(made.folder, out, tokenizer__vocab_size=50_000))
    assert output_hashes(out) == output_hashes(finished)
    assert redone(go(config(made.folder, out))) == []


def test_the_manifest_is_gone_before_the_tokenizer_is_replaced(
    made: Any, out: Path, finished: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes
) -> None:
    (out / "tokenizer.json").unlink()
    (out / "tokenizer.json").mkdir()  # in the way of the file
    with pytest.raises(IsADirectoryError):
        go(config(made.folder, out, tokenizer__vocab_size=420))
    assert not [name for name in ("manifest.json", "config.yaml", "ledger.json") if (out / name).exists()]
    (out / "tokenizer.json").rmdir()
    assert redone(go(config(made.folder, out))) == ["tokenizer"]  # the same again: the shards stand
    assert output_hashes(out) == output_hashes(finished)


def test_an_edited_tokenizer_is_said_before_it_is_made_again(
    made: Any, finished: Path, out: Path, config: Config, go: Go, redone: Redone, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "tokenizer.json"
    whole = path.read_bytes()
    for edited, said in (
        (whole + b"\n", "is not what this command wrote"),
        (whole.replace(b"a", b"b", 1), "is not what this command wrote"),  # of the same size
        (None, "missing"),
    ):
        path.unlink() if edited is None else path.write_bytes(edited)
        assert redone(go(config(made.folder, out))) == ["tokenizer"]
        (line,) = [each for each in capsys.readouterr().err.splitlines() if str(path) in each]
        assert line.startswith(f"warning: {path}: {said}; it is made again")
        assert ("tokenizer=file tokenizer.path=<a copy of it>" in line) == (edited is not None)
        assert path.read_bytes() == whole
    assert redone(go(config(made.folder, out))) == []
    assert f"{path}:" not in capsys.readouterr().err


def test_what_a_kill_after_the_commit_left_is_tidied_though_nothing_is_redone(
    made: Any, out: Path, finished: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes
) -> None:
    for rest in (out / "removed" / "clean" / "00099-00000.parquet", out / "work" / "shards" / "00099-00000.train.npz"):
        rest.parent.mkdir(exist_ok=True)
        rest.write_bytes(b"of a partition that is no more")
    assert redone(go(config(made.folder, out))) == []
    assert output_hashes(out) == output_hashes(finished)
    assert not list(out.rglob("00099-*"))

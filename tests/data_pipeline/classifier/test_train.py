"""Trainings from files to a model: what is read, held out and refused, and that the bytes hang on nothing else."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.classifier.result import Result
from data_pipeline.classifier.summary import report
from data_pipeline.classifier.train import SIGNED, check_config, is_held_out
from data_pipeline.clean.classifier import Classifier
from data_pipeline.clean.linear_model import read_model
from data_pipeline.documents import from_texts
from data_pipeline.limits import TooManyUnreadable
from data_pipeline.sources.source import TruncatedInput
from foundation.config.compose import read_config
from foundation.errors import ConfigError, InputError, SettingError
from tests.data_pipeline.sources.servers import Manners, Server

Write = Callable[..., Path]
Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}*"))


def texts_in(paths: list[Path]) -> list[str]:
    return [json.loads(line)["text"] for path in paths for line in path.read_text().splitlines()]


def both(folder: Path) -> dict[str, Any]:
    return {"good": files(folder, "good"), "bad": files(folder, "bad")}


@pytest.fixture(scope="module")
def trained(examples: Path, config: Config, go: Go, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return go(config(tmp_path_factory.mktemp("trained") / "out", **both(examples)))


def test_the_model_tells_the_classes_apart_on_examples_that_it_never_saw(trained: Result, examples: Path) -> None:
    assert (trained.training, trained.held_out) == ([240, 96], [60, 24])
    assert trained.judged.area > 0.99 and trained.judged.half.f1 > 0.9 and trained.fitted.converged
    texts = texts_in(files(examples, "good"))
    scores = Classifier(str(trained.path)).apply(from_texts(texts)).scores["quality"]
    assert (scores > 0.5).mean() > 0.95
    facts = read_model(trained.path).facts
    assert facts["held_out"]["area_under_curve"] == trained.judged.area
    assert facts["examples"]["seen"] == {"good": 300, "bad": 120}
    names = sorted(path.name for path in trained.path.parent.iterdir())
    assert names == [".lock", "config.yaml", "model.safetensors", "report.html"]


def test_signed_addresses_are_read_and_their_queries_written_nowhere(
    trained: Result, examples: Path, config: Config, go: Go, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp")
    paths = [*files(examples, "good"), *files(examples, "bad")]
    tree = config(tmp_path / "out", **both(examples))
    with Server(Manners({f"/{path.name}": path.read_bytes() for path in paths})) as server:
        for kind in ("good", "bad"):
            signed = [f"{server.url}/{path.name}?f=a,b&X-Amz-Signature=canary" for path in files(examples, kind)]
            tree[kind]["paths"] = signed
        again = go(tree)
    assert again.path.read_bytes() == trained.path.read_bytes()
    for path in again.path.parent.iterdir():
        assert b"canary" not in path.read_bytes()
    assert b"?f=***&X-Amz-Signature=***" in (again.path.parent / "config.yaml").read_bytes()


def test_the_rule_decides_on_held_out_examples_as_was_reported(trained: Result, examples: Path) -> None:
    limit = trained.judged.best
    goes = {}
    for kind in ("good", "bad"):
        texts = texts_in(files(examples, kind))
        scores = Classifier(str(trained.path)).apply(from_texts(texts)).scores["quality"]
        goes[kind] = (scores < limit.least).sum()
    assert goes["bad"] >= limit.hits and goes["good"] >= limit.false_alarms
    assert limit.hits + limit.missed == 24 and limit.kept + limit.false_alarms == 60


@pytest.mark.slow
def test_the_bytes_are_those_of_any_order_grain_and_number_of_workers(
    trained: Result, examples: Path, config: Config, go: Go, write: Write, tmp_path: Path
) -> None:
    expected = trained.path.read_bytes()
    mixed = write(tmp_path / "in" / "z.jsonl", sorted(texts_in(files(examples, "good")), key=lambda text: text[::-1]))
    packed = tmp_path / "in" / "bad.jsonl.gz"
    packed.write_bytes(gzip.compress(b"".join(path.read_bytes() for path in reversed(files(examples, "bad")))))
    other = go(config(tmp_path / "a", good=[mixed], bad=[packed], workers=2, partition_bytes=4096))
    assert other.path.read_bytes() == expected
    labelled = [{"text": text, "reason": None} for text in texts_in(files(examples, "good"))]
    labelled += [{"text": text, "reason": "spam"} for text in texts_in(files(examples, "bad"))]
    path = write(tmp_path / "in" / "labelled.jsonl", labelled[::-1])
    assert go(config(tmp_path / "b", labelled=[path])).path.read_bytes() == expected
    assert go(config(tmp_path / "c", **both(examples), seed=1)).path.read_bytes() != expected


def test_copies_are_one_example_and_one_in_both_classes_is_none(
    trained: Result, examples: Path, config: Config, go: Go, write: Write, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    good, bad = (texts_in(files(examples, kind)) for kind in ("good", "bad"))
    odd = "a text of some words that stands in both"
    paths = [
        write(tmp_path / "in" / "good.jsonl", [*good, f"  {good[0].upper()}\n", good[1], odd, ""]),
        write(tmp_path / "in" / "bad.jsonl", [*bad, odd.title(), odd, " \n "]),
    ]
    found = go(config(tmp_path / "out", good=paths[:1], bad=paths[1:]))
    read = found.examples
    assert (read.seen, read.repeated, read.wordless) == ([303, 122], [2, 1], 2)
    assert read.in_both == [("good.jsonl, record 302 from 0", "bad.jsonl, record 120 from 0")]
    assert (found.training, found.held_out) == (trained.training, trained.held_out)
    np.testing.assert_array_equal(read_model(found.path).weights, read_model(trained.path).weights)
    report(found)
    out, err = capsys.readouterr()
    others = "python -m data_pipeline.clean others.jsonl clean=bare +clean/rules@clean.rules.out=classifier"
    assert "near-duplicates of one page, template or site may stand on both sides" in out and others in out
    assert "teach nothing: 1 text (good.jsonl, record 302 from 0 and bad.jsonl, record 120 from 0)\n" in err
    assert "good: 303 examples, 2 of them repeat others; 240 trained on, 60 held out" in out
    assert "without a word: 2; unreadable: 0" in out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "near-duplicates of one page, template or site may" in page and others in page
    assert "60" in page and "+clean/rules@clean.rules.out=classifier" in page and "script" not in page


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_split_hangs_on_the_examples_alone(number: int, share: float, seed: int, chance: Any) -> None:
    hashes = np.array([[chance.getrandbits(64), chance.getrandbits(64)] for _ in range(number)], np.uint64)
    held_out = is_held_out(hashes, share, seed)
    assert held_out.sum() == min(max(round(share * number), 1), number - 1)
    order = np.array(chance.sample(range(number), number))
    np.testing.assert_array_equal(is_held_out(hashes[order], share, seed), held_out[order])


def test_memory_that_is_not_enough_takes_a_sample(
    examples: Path, config: Config, go: Go, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("data_pipeline.classifier.train.check_settings", lambda *_: None)  # else 1 MiB is the least
    made = [
        go(config(tmp_path / str(size), **both(examples), memory_bytes=64 << 10, partition_bytes=size))
        for size in (2000, 1 << 20)
    ]
    assert made[0].path.read_bytes() == made[1].path.read_bytes()
    left = made[0].examples.left_out
    assert left[0] > 150 and [len(rows) for rows in made[0].examples.rows] == [300 - left[0], 120 - left[1]]
    assert all(rows.sizes_bytes().sum() <= 32 << 10 for rows in made[0].examples.rows)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (
            {"bad": None},
            ConfigError,
            r"^bad: no examples, and a classifier needs some of both classes; give bad\.paths=",
        ),
        ({"good": None, "bad": None}, ConfigError, "^good: no examples"),
        ({"l2": 0.0}, SettingError, "^l2: 0.0"),
        ({"held_out_frac": 1.0}, SettingError, "^held_out_frac: 1.0"),
        ({"char_ngrams": [5, 4]}, SettingError, r"^char_ngrams: \[5, 4\]"),
        ({"num_buckets": 3}, SettingError, "^num_buckets: 3"),
        ({"memory_bytes": 5}, SettingError, "^memory_bytes: 5"),
        ({"name": "a/b"}, SettingError, "^name: 'a/b'"),
        ({"memory": 1.0}, ConfigError, "^memory: unknown key, did you mean 'memory_bytes'"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_written(
    examples: Path, config: Config, go: Go, tmp_path: Path, changes: dict[str, Any], error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        go(config(tmp_path / "out", **(both(examples) | changes)))
    assert not (tmp_path / "out").exists()


def test_too_few_examples_are_counted(examples: Path, config: Config, go: Go, write: Write, tmp_path: Path) -> None:
    few = write(tmp_path / "few.jsonl", ["a b", "A  b", *(f"word {number}" for number in range(8))])
    with pytest.raises(InputError, match=r"^bad: 9 different examples of 10 \(1 repeat others\), where 10 are the"):
        go(config(tmp_path / "out", good=files(examples, "good"), bad=[few]))
    same = [files(examples, "good")[0]]
    with pytest.raises(InputError, match=r"^good: 0 different examples of 100 \(100 stand in both classes\)"):
        go(config(tmp_path / "out", good=same, bad=same))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_bad_input_is_refused_as_the_pipeline_does(
    examples: Path, config: Config, go: Go, write: Write, tmp_path: Path
) -> None:
    good = files(examples, "good")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(files(examples, "bad")[0].read_text() + "{no json}\n" * 20)
    with pytest.raises(TooManyUnreadable, match=r"20 of 380 records .* broken\.jsonl, line 61: it is no JSON"):
        go(config(tmp_path / "out", good=good, bad=[broken]))
    assert len((tmp_path / "out" / "quarantine").rglob("*.jsonl").__next__().read_text().splitlines()) == 20
    found = go(config(tmp_path / "out", good=good, bad=[broken], min_bad_records=30))
    assert found.examples.account.quarantined == {"json": 20} and found.examples.seen == [300, 60]
    (tmp_path / "out" / ".model.safetensors.tmp7").write_text("left by a writer that was killed")
    go(config(tmp_path / "out", **both(examples)))
    assert not (tmp_path / "out" / "quarantine").exists()  # of an earlier training
    assert not list((tmp_path / "out").glob("*.tmp7"))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(broken.read_bytes())[:-200])
    with pytest.raises(TruncatedInput, match=r"cut\.jsonl\.gz"):
        go(config(tmp_path / "out", good=good, bad=[cut]))
    unlabelled = write(tmp_path / "unlabelled.jsonl", ["a b c"])
    with pytest.raises(InputError, match=r"unlabelled\.jsonl, record 0 from 0: no field 'reason'"):
        go(config(tmp_path / "out", labelled=[unlabelled]))


def test_a_folder_of_others_is_left_alone(
    trained: Result, examples: Path, config: Config, go: Go, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"output_dir: .* holds other files \(mine\.txt\)"):
        go(config(tmp_path, **both(examples)))
    with pytest.raises(ConfigError, match="holds the examples"):
        go(config(examples, **both(examples)))
    with pytest.raises(ConfigError, match="is a file"):
        go(config(tmp_path / "mine.txt", **both(examples)))


def test_the_same_file_of_another_format_gives_the_same_model(
    trained: Result, examples: Path, config: Config, go: Go, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"text": texts_in(files(examples, "good"))}), tmp_path / "good.parquet")
    tree = config(tmp_path / "out", **both(examples))
    tree["good"] = {"_target_": "data_pipeline.sources.parquet.Parquet", "paths": [str(tmp_path / "good.parquet")]}
    assert go(tree).path.read_bytes() == trained.path.read_bytes()


def test_figures_are_in_the_header_for_any_reader(trained: Result) -> None:
    data = trained.path.read_bytes()
    outer = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header = json.loads(outer["__metadata__"]["groundwork"])
    assert header["version"] == 1 and header["facts"]["held_out"]["best"]["least"] == trained.judged.best.least
    assert str(trained.path.parent.parent) not in json.dumps(header)


def test_signed_addresses_are_read_and_their_signatures_written_nowhere(
    trained: Result, examples: Path, config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp")
    query = "X-Amz-Credential=canary1&X-Amz-Signature=canary2"
    good = files(examples, "good")
    manners = Manners({f"/{path.name}": path.read_bytes() for path in good}, {f"/{path.name}": "v1" for path in good})
    with Server(manners) as server:
        tree = config(tmp_path / "out", **both(examples))
        tree["good"]["paths"] = [f"{server.url}/{path.name}?{query}" for path in good]
        found = go(tree)
        report(found)
    assert found.path.read_bytes() == trained.path.read_bytes() and set(manners.queries) == {query}
    written = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert "canary" not in "".join(capsys.readouterr())
    hidden = read_config(tmp_path / "out" / "config.yaml")["good"]["paths"][0]
    assert hidden.endswith("?X-Amz-Credential=***&X-Amz-Signature=***")
    for key in ("good.paths", "bad.paths.0", "labelled.sources.web.paths.1"):
        assert SIGNED.fullmatch(key)
    tree["good"]["text_key"] = f"https://host/x?{query}"
    with pytest.raises(ConfigError, match=r"^good\.text_key: looks like a key of a service"):
        check_config(tree)


@pytest.fixture
def stop_at() -> Iterator[list[str]]:
    """The name of a file: a process that is to put one of this name in its place ends there, as by a kill."""
    names: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(str(arguments[1])).name in names:
            raise KeyboardInterrupt

    sys.addaudithook(hook)  # there is no way to remove one
    yield names
    names.clear()


def test_wherever_a_training_is_killed_nothing_beside_a_model_is_of_another_one(
    examples: Path, config: Config, go: Go, stop_at: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    whole = {}
    for seed in (1, 0):
        whole[seed] = page_and_config(go(config(out, **both(examples), seed=seed)).path)
    assert whole[0][0] != whole[1][0] and None not in whole[0]
    for name, seed in (("model.safetensors", 0), ("config.yaml", 1), ("report.html", 1)):
        go(config(out, **both(examples), seed=0))
        stop_at.append(name)
        with pytest.raises(KeyboardInterrupt):
            go(config(out, **both(examples), seed=1))
        stop_at.clear()
        assert read_model(out / "model.safetensors").facts["held_out"]["seed"] == seed
        left = page_and_config(out / "model.safetensors")
        assert all(found in (None, expected) for found, expected in zip(left, whole[seed], strict=True)), name


def page_and_config(model: Path) -> list[bytes | None]:
    beside = (model.with_name(name) for name in ("report.html", "config.yaml"))
    return [path.read_bytes() if path.exists() else None for path in beside]


def test_a_training_that_fails_leaves_the_model_that_was_there_with_its_page_and_config(
    examples: Path, config: Config, go: Go, write: Write, tmp_path: Path
) -> None:
    path = go(config(tmp_path / "out", **both(examples))).path
    before = [path.read_bytes(), *page_and_config(path)]
    few = write(tmp_path / "few.jsonl", ["a b"])
    with pytest.raises(InputError, match=r"^bad: 1 different"):
        go(config(tmp_path / "out", good=files(examples, "good"), bad=[few]))
    assert [path.read_bytes(), *page_and_config(path)] == before

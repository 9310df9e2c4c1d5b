"""A probe of a small corpus: its forecast holds the truth, nothing of it remains, the run after it is as without."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_pipeline.ledger import total
from data_pipeline.pipeline import Result, check_config, run
from data_pipeline.preflight.forecast import tokens_of
from data_pipeline.preflight.outcomes import OutcomesDisagree
from data_pipeline.preflight.preflight import NoPreflight, Probe, RunForetoldToStop, check_preflight
from data_pipeline.preflight.probing import config_hash
from data_pipeline.preflight.show import print_truth
from foundation.config import build
from foundation.errors import ConfigError, SettingError
from foundation.files import FolderLocked, folder_lock, read_json

Config = Callable[..., dict[str, Any]]
NO_DEDUP = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@dataclass(frozen=True)
class Told:
    """A forecast beside its run. Attributes: said: while probing. page: forecast.html. beside: the closing tables."""

    said: str
    left: set[str]
    foretold: dict[str, Any]
    page: str
    result: Result
    beside: list[str]
    folder: Path


@pytest.fixture(scope="module")
def told(made: Any, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One probe and the run after it: sources of groups, one of which keeps a part by bytes, two copies of all."""
    folder = tmp_path_factory.mktemp("told") / "out"
    noise = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 1.0, "copies": 2}
    grouped = {"mix__group_by": "page", "mix__min_group_frac": 0.5, "mix__keep": {"web": {"bytes": 60_000}}}
    arguments = check_config(config(made.folder, folder, max_bad_frac=0.5, augment=noise, **grouped))
    said, beside = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said):
        assert not Probe(frac=0.4, least_bytes=1).goes_on(arguments)
    left = names(folder) | {f"work/{name}" for name in names(folder / "work")}
    page = (folder / "forecast.html").read_text()
    with contextlib.redirect_stderr(beside):
        result = run(**arguments)
        beside.truncate(0)
        print_truth(result, config_hash(arguments))
    rows = [" ".join(line.split()) for line in beside.getvalue().splitlines()]
    return Told(said.getvalue(), left, read_json(folder / "forecast.json"), page, result, rows, folder)


@pytest.fixture
def one_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """No smaller probe before: it measures costs, and these tests ask for none."""
    monkeypatch.setattr("data_pipeline.preflight.probing.SMALLER", ())


@pytest.mark.slow
def test_a_probe_foretells_the_run_and_leaves_nothing_behind(told: Told) -> None:
    assert "source 'web': " in told.said and "spread over 3 files" in told.said and "source 'books': " in told.said
    assert "time:   about" in told.said and "disk:   " in told.said and "lower bound" in told.said
    assert told.left == {".lock", "forecast.json", "forecast.html", "work"}
    assert told.said.splitlines()[-1] == f"page:   {told.folder / 'forecast.html'}"
    books = {stage.name: stage.book for stage in told.result.stages}
    for stage in ("clean", "exact", "near", "split", "sample", "augment", "shards"):
        ends = told.foretold["stages"][stage]["documents"]
        assert ends["low"] <= total(books[stage]).num_out <= ends["high"], stage
    unreadable = told.foretold["stages"]["clean"]["removed"]
    assert {reason.partition(" ")[0] for reason in unreadable} <= {"json", "utf8"}
    assert str(told.folder.parent) not in told.page


@pytest.mark.slow
def test_the_page_begins_with_the_forecast_and_then_shows_the_probe_as_such(
    told: Told, parse_page: Callable[[str], Any]
) -> None:
    assert told.page.count("<h1>Forecast of out</h1>") == 1 and "<title>Forecast of out</title>" in told.page
    head, _, probe = told.page.partition("The probe: of the part that was read</h2>")
    assert "At a glance" in probe and "At a glance</h2>" not in head
    facts = parse_page(told.page).facts
    tokens = sum(each["value"] for each in told.foretold["tokens"].values())
    assert (
        facts["Tokens"] == f"about {tokens:,}"
        and facts["Time of the run"].startswith("about ")
        and "free" in facts["Disk"]
    )
    read = told.foretold["documents_read"]
    assert facts["Documents of the input"] == f"{read['value']:,} ({read['low']:,} to {read['high']:,})"
    by_stage, by_source, *_ = parse_page(told.page).tables
    assert sorted(row[0] for row in by_stage[1:]) == sorted(["(read)", *told.foretold["stages"]])
    near = told.foretold["stages"]["near"]["documents"]
    assert next(row for row in by_stage if row[0] == "near")[1].startswith(f"{near['value']:,} (")
    assert sorted(row[0] for row in by_source[1:]) == sorted(told.foretold["tokens"])
    assert "lower bound" in head


@pytest.mark.slow
def test_a_probe_of_all_of_it_speaks_of_no_bound(
    made: Any, config: Config, tmp_path: Path, one_probe: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not Probe(frac=1.0).goes_on(check_config(config(made.folder, tmp_path / "out", max_bad_frac=0.5)))
    said = capsys.readouterr().err
    assert "all of it is in the probe" in said and "exact_duplicate " in said
    assert not re.search(r"or more|at most \d+$|lower bound|may not be so in the part", said, re.MULTILINE)


@pytest.mark.slow
def test_a_budget_and_copies_are_foretold_of_the_whole(told: Told) -> None:
    books = {stage.name: total(stage.book).num_out for stage in told.result.stages}
    foretold = {name: stage["documents"] for name, stage in told.foretold["stages"].items()}
    assert books["sample"] < 0.7 * books["decontaminate"]  # else the budget would decide nothing
    assert books["augment"] == books["shards"] > 2 * books["sample"]
    for stage in ("sample", "augment", "shards"):
        assert foretold[stage]["value"] == pytest.approx(books[stage], rel=0.25), stage


@pytest.mark.slow
def test_tokens_of_a_source_are_those_of_its_components_and_have_no_interval(told: Told) -> None:
    train = told.result.manifest.splits["train"]
    assert set(train) == {"web.other", "books.other"}
    for source in ("web", "books"):
        true = sum(split[f"{source}.other"].tokens for split in told.result.manifest.splits.values())
        found = told.foretold["tokens"][source]
        assert found["value"] == pytest.approx(true, rel=0.4) and found["low"] is found["high"] is None
        (row,) = [line for line in told.beside if line.startswith(f"{source} ")]
        assert row == f"{source} about {found['value']:,} {true:,} {found['value'] / true - 1:+.1%}"
        assert tokens_of(source, told.result) == true
    with pytest.raises(OutcomesDisagree, match=r"none of the shards' components \(.*web\.other.*'other'"):
        tokens_of("other", told.result)


@pytest.mark.slow
def test_what_would_stop_the_run_is_said_with_its_rule_and_examples(
    made: Any, config: Config, tmp_path: Path, one_probe: None, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"_target_": "data_pipeline.clean.quality.GopherQuality", "min_words": 250, "min_stop_words": 0}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "max_loss_frac": 0.2, "rules": {"gopher": rule}}
    changes = {"clean": clean, "min_bad_records": 1, "dedup": NO_DEDUP}
    arguments = check_config(config(made.folder, tmp_path / "out", **changes))
    with pytest.raises(RunForetoldToStop) as error:
        Probe(frac=0.9, least_bytes=1, go_on=True).goes_on(arguments)
    message = str(error.value)
    assert message.index("clean.max_loss_frac") > message.index("stage clean: ") and not re.search(
        r"[^.] What ", message
    )
    page = (tmp_path / "out" / "forecast.html").read_text()
    assert (
        "What would stop the run</h2>" in page.partition("The probe: of the part that was read</h2>")[0]
        and "Forecast of out</h1>" in page
    )
    assert "stage clean: max_bad_frac: " in message and "records" in message
    assert "clean.max_loss_frac: " in message and "gopher" in message and "for example" in message
    assert "work/preflight" not in message
    assert str(tmp_path / "out" / "forecast.html") in message
    assert names(tmp_path / "out" / "work") == set()
    assert "documents left" in capsys.readouterr().err  # the table all the same


@pytest.mark.slow
def test_a_run_of_which_nothing_would_be_left_is_foretold_to_stop(
    made: Any, config: Config, tmp_path: Path, one_probe: None
) -> None:
    rule = {"_target_": "data_pipeline.clean.quality.GopherQuality", "min_words": 10_000, "min_stop_words": 0}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"gopher": rule}}
    arguments = check_config(config(made.folder, tmp_path / "out", clean=clean))
    with pytest.raises(RunForetoldToStop, match="no document is left to train on after filter") as error:
        Probe(frac=1.0).goes_on(arguments)
    assert str(tmp_path / "out" / "forecast.html") in str(error.value) and "work/preflight" not in str(error.value)
    assert "no document is left" in (tmp_path / "out" / "forecast.html").read_text()
    assert names(tmp_path / "out") == {".lock", "forecast.html", "work"}


def test_settings_that_cannot_work_are_refused_by_their_key(tmp_path: Path) -> None:
    for wrong in ({"frac": 0.0}, {"frac": 1.5}, {"least_bytes": 0}, {"most_bytes": 5}, {"seed": -1}, {"seed": 2**64}):
        with pytest.raises(SettingError, match=f"^{next(iter(wrong))}: "):
            Probe(**wrong)
    target = "data_pipeline.preflight.preflight.Probe"
    with pytest.raises(ConfigError, match=r"preflight\.frac: "):
        build(check_preflight({"preflight": {"_target_": target, "frac": 2.0}}))
    with pytest.raises(ConfigError, match=r"preflight\.fraction.*preflight\.frac"):
        check_preflight({"preflight": {"_target_": target, "fraction": 0.1}})
    assert isinstance(build(check_preflight({})), NoPreflight)
    assert NoPreflight().goes_on({})


def test_a_folder_at_work_is_left_alone(
    made: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = check_config(config(made.folder, tmp_path / "out"))
    with folder_lock(tmp_path / "out"):
        monkeypatch.setattr("data_pipeline.preflight.preflight.folder_lock", lambda folder: folder_lock(folder, 0.1))
        with pytest.raises(FolderLocked):
            Probe().goes_on(arguments)
    assert names(tmp_path / "out") == {".lock"}


def test_what_a_killed_probe_left_goes_with_the_next_run(
    out: Path, made: Any, config: Config, go: Callable[[dict[str, Any]], Result]
) -> None:
    shutil.copytree(out / "work" / "clean", out / "work" / "preflight" / "large" / "work" / "clean")
    go(config(made.folder, out))
    assert not (out / "work" / "preflight").exists()


def test_a_forecast_stands_beside_the_run_of_the_same_settings_alone(
    out: Path,
    made: Any,
    config: Config,
    go: Callable[[dict[str, Any]], Result],
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.rmtree(out / "shards")
    result = go(config(made.folder, out))
    arguments = check_config(config(made.folder, out))
    mine = config_hash(arguments)
    assert mine == config_hash(check_config(config(made.folder, out, name="other")))
    assert mine != config_hash(check_config(config(made.folder, out, mix__seed=4)))
    shards = {"documents": {"value": 5, "low": 1, "high": 9}, "removed": {}, "seconds": 2.5}
    shards |= {"memory_bytes": 2e8, "disk_bytes": 3e6}
    text = {"config": mine, "stages": {"shards": shards}, "tokens": {"web": {"value": 7, "low": 0, "high": None}}}
    capsys.readouterr()
    print_truth(result, mine)
    assert capsys.readouterr().err == ""  # no forecast
    (out / "forecast.json").write_bytes(orjson.dumps(text))
    print_truth(result, "0" * 32)
    assert capsys.readouterr().err == ""
    print_truth(result, mine)
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    left = total(next(stage.book for stage in result.stages if stage.name == "shards")).num_out
    (row,) = [line for line in lines if line.startswith("shards")]
    assert row.startswith(f"shards 5 (1 to 9) {left:,} ! 2.5 ")  # outside of its interval
    assert any(line.startswith("web 7 (0 to ?) ") for line in lines)


def test_addresses_that_are_signed_anew_are_those_of_the_forecast(made: Any, config: Config, tmp_path: Path) -> None:
    def hash_of(*paths: str, **changes: Any) -> str:
        tree = config(made.folder, tmp_path / "out", **changes)
        tree["corpus"]["sources"]["web"]["paths"] = list(paths)
        return config_hash(check_config(tree))

    address = "https://host/a.jsonl?version={}&sig={}"
    first = hash_of(address.format(1, "abcdef"), "b.jsonl")
    assert first == hash_of(address.format(1, "ghijkl"), "b.jsonl")
    assert first != hash_of(address.format(1, "abcdef").replace("/a.", "/c."), "b.jsonl")
    assert first != hash_of(address.format(1, "abcdef"), "c.jsonl")
    kinds = {"_target_": "data_pipeline.clean.pii.PersonalData"}
    assert hash_of("a", clean=kinds | {"email": "https://a?b=1"}) != hash_of(
        "a", clean=kinds | {"email": "https://a?b=2"}
    )


@pytest.mark.slow
def test_a_language_that_is_not_wanted_is_foretold_to_stop_the_run(config: Config, tmp_path: Path) -> None:
    """A label has no limit, so its verdict has none to tell."""
    pytest.importorskip("fasttext")
    german, english = "der schnelle braune Fuchs springt nicht über den Hund", "the quick brown fox jumps over the dog"
    lines = [{"id": f"d{row}", "text": f"{german if row % 4 else english} {row}"} for row in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(orjson.dumps(line).decode() + "\n" for line in lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "a.jsonl")], "source": "web"}
    language = {"_target_": "data_pipeline.clean.language.Language", "languages": ["en"], "min_score": 0.0}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"language": language}}
    changes = {"decontaminate__test_sets": [], "mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262}
    changes |= {"dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"}, "clean": clean, "corpus": corpus}
    with pytest.raises(RunForetoldToStop) as error:
        Probe(frac=1.0).goes_on(check_config(config(tmp_path, tmp_path / "out", **changes)))
    assert (
        "clean.rules.language takes 150 of the 200 documents of source 'web' (75.0%: language_not_wanted 150), "
        in str(error.value)
    )
    assert re.search(r"for example d1 \(language_not_wanted 0\.\d+\): 'der schnelle", str(error.value))

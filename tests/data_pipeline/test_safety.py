"""Pipelines over personal data, languages and words: what was replaced is nowhere, thresholds read no text again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result
from foundation.files import read_json
from tests.data_pipeline.models import write_model

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]
Decoded = Callable[[Path], dict[str, dict[str, list[str]]]]

SECRETS = ("ada@lovelace.org", "93.184.216.34", "+49 30 901820", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00")
ENGLISH = "The two of them walked along the river, spoke of the weather and of her mother, and came home at {} o'clock."
GERMAN = "Die beiden gingen am Fluss entlang, sprachen über das Wetter und waren um {} Uhr wieder zu Hause."


def rule(name: str, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"data_pipeline.clean.{name}", **settings}


def rules_alone(**rules: Any) -> dict[str, Any]:
    """The changes to a config that leave the rules to decide alone: the texts are much alike."""
    return {
        "clean": {"_target_": "data_pipeline.clean.rules.Rules", "rules": rules},
        "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
        "decontaminate": {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"},
        "tokenizer__vocab_size": 280,
    }


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """100 English and 40 German documents, every tenth with personal data, and one of an e-mail address alone."""
    lines = [ENGLISH.format(number) for number in range(100)] + [GERMAN.format(number) for number in range(40)]
    lines = [f"{text} {' or '.join(SECRETS)}" if number % 10 == 3 else text for number, text in enumerate(lines)]
    folder = tmp_path / "inputs"
    for source, documents in (("web", [*lines, SECRETS[0]]), ("books", lines[:20])):
        (folder / source).mkdir(parents=True)
        (folder / source / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return folder


def written(folder: Path) -> str:
    """All that a run left; parquet and Arrow files as the values of their columns."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            found.append(str(pq.read_table(path).to_pydict()))
        elif path.suffix == ".arrow":
            found.append(str(pa.ipc.open_file(path).read_all().to_pydict()))
        elif path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found)


def test_what_was_replaced_is_in_no_file_of_the_output(
    texts: Path, config: Config, go: Go, decoded: Decoded, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rules = {"pii": rule("pii.PersonalData"), "length": rule("length.Length", min_words=2)}
    go(config(texts, out, **rules_alone(**rules)))
    everything = written(out)
    assert not [secret for secret in SECRETS if secret in everything]
    assert "xxx@xxxxxxxx.xxx" in (out / "report.html").read_text()  # the shape alone
    assert "<EMAIL> or <IP> or <PHONE> or <CARD> or <IBAN>" in "".join(decoded(out)["train"]["web"])
    removed = pq.read_table(out / "removed" / "filter").to_pylist()
    assert [(row["reason"], row["text"]) for row in removed] == [("too_few_words", "<EMAIL>")]


def test_other_languages_and_thresholds_read_no_text_again(
    texts: Path, config: Config, go: Go, redone: Redone, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def run(**settings: Any) -> tuple[list[str], dict[str, int]]:
        result = go(config(texts, out, **rules_alone(language=rule("language.Language", **settings))))
        return redone(result), read_json(out / "ledger.json")["stages"]["filter"]["web"]["dropped"]

    again, dropped = run()
    assert again[0] == "clean" and dropped == {}
    again, dropped = run(languages=["en"], min_score=0.0)
    assert again[0] == "filter" and dropped["language_not_wanted"] in (40, 41)  # and perhaps the address
    again, dropped = run(languages=["en", "de"], min_score=0.0, min_score_by_language={"de": 1.0})
    assert again[0] == "filter" and dropped["language_unsure"] == 40
    removed = pq.read_table(out / "removed" / "filter").to_pylist()
    unsure = [row for row in removed if row["reason"] == "language_unsure"]
    assert all(row["threshold"] == 1.0 and row["value"] < 1.0 and row["text"].startswith("Die ") for row in unsure)
    again, _ = run(sample_bytes=128)
    assert again[0] == "clean"


def test_the_bytes_are_those_of_any_number_of_workers(
    texts: Path, config: Config, go: Go, output_hashes: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model.safetensors", "river", "fluss", 2.0)
    rules = rules_alone(
        language=rule("language.Language", languages=["en"], min_score=0.2),
        pii=rule("pii.PersonalData", phone_regions=["US", "DE"]),
        toxicity=rule("toxicity.Toxicity", mask="<TOXIC>"),
        bias=rule("bias.Bias", changed_frac=0.5),
        quality=rule("classifier.Classifier", model=str(model), pareto_alpha=1.0),
    )
    for workers in (1, 2):
        go(config(texts, tmp_path / str(workers), **rules, executor__workers=workers, partition_bytes=1 << 12))
    assert output_hashes(tmp_path / "1") == output_hashes(tmp_path / "2")
    assert read_json(tmp_path / "1" / "ledger.json")["stages"]["filter"]["web"]["dropped"]["low_quality"] > 3

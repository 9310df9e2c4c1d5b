from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.clean.homographs import MARKED, TAGGED, Homographs
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
SENSES = {
    "travel": {"Java": "island", "bank": "riverside"},
    "software": {"Java": "language"},
    "finance": {"bank": "institution"},
}


def of_domains(batch: pa.RecordBatch, *domains: str) -> pa.RecordBatch:
    metadata = pa.array([f'{{"about": {domain}}}' for domain in domains], pa.large_string())
    return batch.set_column(4, batch.schema.field("metadata"), metadata)


def test_the_sense_of_a_document_s_domain_stands_beside_the_word(batch_of: BatchOf) -> None:
    texts = ["We sailed to Java; the Bank of the river.", "Java, JavaScript and java.", "The BANK lends.", "Java bank"]
    batch = of_domains(batch_of(*texts), '"travel"', '"software"', '"finance"', "3")
    rule = Homographs(SENSES, domain_key="about")
    applied = rule.apply(batch)
    assert applied.batch.column("text").to_pylist() == [
        "We sailed to Java<island>; the Bank<riverside> of the river.",
        "Java<language>, JavaScript and java.",
        "The BANK<institution> lends.",
        "Java bank",
    ]
    assert applied.changed == {TAGGED: 4} and [each.row for each in applied.examples] == [1, 1, 2, 3]
    again = rule.apply(applied.batch)
    assert again.batch is applied.batch and not again.changed


def test_the_template_is_the_user_s(batch_of: BatchOf) -> None:
    rule = Homographs(SENSES, domain="travel", template="[{sense}: {word}]")
    applied = rule.apply(batch_of("é Java é", "the bank"))
    assert applied.batch.column("text").to_pylist() == ["é [island: Java] é", "the [riverside: bank]"]
    assert not rule.apply(applied.batch).changed


def test_documents_may_carry_their_domain(batch_of: BatchOf) -> None:
    batch = of_domains(batch_of("Java", "a bank", ""), '"software"', "null", '"travel"')
    rule = Homographs(SENSES, domain_key="about", document_template="[{domain}]\n")
    applied = rule.apply(batch)
    assert applied.batch.column("text").to_pylist() == ["[software]\nJava<language>", "a bank", "[travel]\n"]
    assert applied.changed == {TAGGED: 1, MARKED: 2}
    assert not rule.apply(applied.batch).changed


def test_a_table_may_be_a_file(batch_of: BatchOf, tmp_path: Path) -> None:
    path = tmp_path / "senses.tsv"
    path.write_text("Java\tisland\ttravel\nbank\tmoney\n")
    rule = Homographs(path=str(path), domain="travel")
    assert rule.inputs() == [path]
    assert rule.apply(batch_of("Java bank")).batch.column("text").to_pylist() == ["Java<island> bank<money>"]


def test_by_default_nothing_happens(batch_of: BatchOf) -> None:
    batch = batch_of("Java")
    assert Homographs().apply(batch).batch is batch


def test_templates_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^template: '\{sense\}' is not allowed; give a text with \{word\} once"):
        Homographs(template="{sense}")
    with pytest.raises(SettingError, match=r"^document_template: 'x' is not allowed; give a text with \{domain\}"):
        Homographs(document_template="x")

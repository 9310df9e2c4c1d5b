"""Alarms: each figure has a limit, and only what passes it is named, with source, figure, limit and what to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_pipeline.shards.alarms import USUAL_LONGEST, Alarms
from data_pipeline.shards.health import Health
from data_pipeline.shards.manifest import Manifest, SourceManifest
from foundation.errors import SettingError

SOUND = Health(
    text_tokens=1_000_000,
    entropy_bits=9.0,
    used_ids=9000,
    repeated_tokens=20_000,
    single_byte_tokens=250_000,
    unknown_tokens=0,
    lengths=[0, 0, 500, 500],
    longest_tokens=50_000,
    longest_id="a-17",
)


def manifest(vocab_size: int = 10_000, **changes: Any) -> Manifest:
    """Return one of a sound source and one with these figures."""
    sources = {
        name: SourceManifest(1.0, health.text_tokens + 1000, 1000, 4_000_000, [], health=health)
        for name, health in (("web", SOUND), ("odd", replace(SOUND, **changes)))
    }
    return Manifest("0" * 32, vocab_size, 0, "uint16", {"train": sources, "val": {}})


def test_what_is_sound_raises_none() -> None:
    assert Alarms().of(manifest()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repeated_tokens": 100_001}, "10.0% of the tokens repeat the one before, more than max_repeated_frac 10.0%"),
        ({"single_byte_tokens": 700_000}, "70.0% of the tokens are single bytes, more than max_single_byte_frac 45.0%"),
        ({"unknown_tokens": 20_000}, "2.00% of the tokens stand for text that the vocabulary can't write"),
        ({"entropy_bits": 5.2}, "5.20 bits of entropy a token, less than min_entropy_bits 6"),
        ({"longest_tokens": 300_300}, "one document has 30.0% of the tokens, more than max_document_frac 10.0%"),
        ({"used_ids": 1000}, "1,000 of 10,000 ids occur (10.0%), less than min_used_frac 50.0%"),
    ],
)
def test_each_limit_names_source_figure_and_limit(changes: dict[str, Any], said: str) -> None:
    (alarm,) = Alarms().of(manifest(**changes))
    assert alarm.startswith(f"odd (train): {said}")
    assert any(advice in alarm for advice in (": look ", ": take a tokenizer", "a smaller or an own one"))
    if "longest_tokens" in changes:
        assert "a-17" in alarm


def test_a_small_vocabulary_may_have_many_single_bytes_and_little_entropy() -> None:
    assert Alarms().of(manifest(1000, single_byte_tokens=900_000, entropy_bits=4.0)) == []


@pytest.mark.parametrize(
    ("documents", "longest", "said"),
    [
        (36, 187_000, None),
        (36, 520_000, "52.0% of the tokens, more than the 50.0% that the longest of 36 usually has at most"),
        (1, 1_000_000, None),
        (100, 290_000, None),
        (900, 101_000, "10.1% of the tokens, more than max_document_frac 10.0%"),
        (899, 99_000, None),
    ],
)
def test_of_few_documents_the_longest_has_much(documents: int, longest: int, said: str | None) -> None:
    health = replace(SOUND, longest_tokens=longest)
    sources = {"web": SourceManifest(1.0, 1_000_000, documents, 4_000_000, [], health=health)}
    found = Alarms().of(Manifest("0" * 32, 10_000, 0, "uint16", {"train": sources, "val": {}}))
    assert [each.partition("one document has ")[2].partition(":")[0] for each in found] == ([said] if said else [])


def test_the_longest_of_documents_of_log_normal_lengths_is_seldom_past_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    for documents in (10, 36, 100, 400, 1000):
        lengths = np.exp(1.5 * rng.standard_normal((4000, documents)))
        shares = lengths.max(1) / lengths.sum(1)
        assert 0.9 < (shares <= USUAL_LONGEST / documents**0.5).mean() <= 1


def test_a_limit_is_a_setting() -> None:
    assert Alarms(max_repeated_frac=0.5).of(manifest(repeated_tokens=400_000)) == []
    assert len(Alarms(max_repeated_frac=0.01).of(manifest())) == 2


def test_what_is_too_small_is_not_judged() -> None:
    few = {"text_tokens": 99_999, "single_byte_tokens": 9, "longest_tokens": 99, "used_ids": 3}
    small = manifest(**few, repeated_tokens=99_000, entropy_bits=0.1)
    assert Alarms().of(small) == []
    assert len(Alarms(min_tokens=99_999).of(small)) == 2  # ids in use are judged from 100 tokens an id on


@pytest.mark.parametrize("key", ["max_repeated_frac", "max_single_byte_frac", "max_document_frac", "min_used_frac"])
def test_a_share_above_one_is_refused_by_its_key(key: str) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: 1\.5 "):
        Alarms(**{key: 1.5})  # type: ignore[arg-type]

"""The seat: one change, several by their names, or none."""

from __future__ import annotations

import pytest

from data_pipeline.augment.augmentation import NoAugment, Several
from data_pipeline.augment.noise import Noise
from data_pipeline.augment.sentences import DroppedSentences
from foundation.errors import SettingError


def test_one_several_or_none() -> None:
    noise, sentences = Noise(), DroppedSentences()
    assert NoAugment().changes() == {} and noise.changes() == {"noise": noise}
    given = {"typos": noise, "short": sentences}
    assert (
        list(Several(given).changes()) == list(Several(dict(reversed(given.items()))).changes()) == ["short", "typos"]
    )


def test_names_and_numbers_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^kinds: \{\} is not allowed; give one change or more"):
        Several({})
    with pytest.raises(SettingError, match=r"^kinds: 'a#b' is part of ids; give up to 40 letters"):
        Several({"a#b": Noise()})
    with pytest.raises(SettingError, match=r"^kinds: 40000 is not allowed; give changes with up to 32,767 copies"):
        Several({"one": Noise(copies=20_000), "two": Noise(copies=20_000)})

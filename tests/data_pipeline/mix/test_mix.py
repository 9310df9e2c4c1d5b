"""Settings of the mixture that can't work are refused by their key."""

from __future__ import annotations

from typing import Any

import pytest

from data_pipeline.mix.mix import Mix
from data_pipeline.mix.weights import Reads
from foundation.errors import SettingError


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"held_out_frac": 0.0}, "held_out_frac"),
        ({"held_out_frac": 1.0}, "held_out_frac"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"keep": {"web": 0}}, r"keep\.web"),
        ({"keep": {"web": {"tokens": 5.0}}}, r"keep\.web"),
        ({"group_by": ""}, "group_by"),
        ({"group_by": "language", "min_group_frac": 1.0}, "min_group_frac"),
        ({"group_by": "language", "temperature": -0.1}, "temperature"),
        ({"group_by": "language", "temperature": 1.0, "group_weights": {"en": 1.0}}, "group_weights: beside a temp"),
        ({"group_weights": {"en": 1.0}}, "group_weights: there are no groups"),
        ({"group_by": "language", "temperature": 0.3, "group_weights": {"en": 1.0}}, "group_weights: beside a temp"),
        ({"group_by": "language", "group_weights": {"en": -1.0}}, r"group_weights\.en"),
        ({"group_by": "language", "group_weights": {"en": 0.0}}, "group_weights"),
        (
            {"group_by": "language", "group_weights": {"EN": 3, "en": 1}},
            "group_weights: 'EN' and 'en' are one group, 'en'",
        ),
        ({"group_by": "language", "group_weights": {"other": 1.0}}, "group_weights: .* a group beside `other`"),
        ({"tokens": 0}, "tokens"),
        ({"tokens": 1e20}, "tokens"),
        ({"tokens": float("inf")}, "tokens"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingError, match=f"^{key}"):
        Mix(**settings)


def test_a_source_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"^mix\.keep\.wbe: no source has this name, did you mean 'web'\?"):
        Mix(keep={"wbe": 0.5}).check_sources({"books": Reads(1.0), "web": Reads(1.0)})


def test_a_temperature_with_nothing_to_sample_is_refused() -> None:
    mix = Mix(temperature=0.3)
    for sources in ({"web": Reads(1.0)}, {"web": Reads(1.0), "books": Reads(2.0), "code": Reads(1.0, {"epochs": 2.0})}):
        with pytest.raises(SettingError, match=r"^mix\.temperature: 0\.3 samples groups, .* several sources without"):
            mix.check_sources(sources)
    mix.check_sources({"web": Reads(1.0), "books": Reads(1.0)})
    Mix(temperature=0.3, group_by="language").check_sources({"web": Reads(1.0)})

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.sources.several import Several
from data_pipeline.sources.synthetic import Synthetic
from data_pipeline.sources.text import Text
from foundation.errors import ConfigError, SettingError


def test_sources_come_by_name_whatever_the_order_of_the_keys() -> None:
    web, books = Text(["x"], source="web"), Synthetic(source="books")
    for sources in ({"a": web, "b": books}, {"b": books, "a": web}):
        assert Several(sources).sources() == [books, web]


@pytest.mark.parametrize("other", ["web", "WEB"])
def test_two_sources_of_one_name_are_refused(other: str) -> None:
    with pytest.raises(SettingError, match=r"^sources\.b\.source: .* is the name of 'a' too"):
        Several({"a": Text(["x"], source="web"), "b": Text(["y"], source=other)})


def test_no_source_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.sources: empty.* \+corpus@corpus\.sources\.web=jsonl "):
        Several({}).sources()


def test_the_lines_that_its_config_shows_can_be_typed() -> None:
    conf = Path(__file__).parents[3] / "conf"
    comment = (conf / "corpus" / "several.yaml").read_text()
    command = comment.partition("name=mixed")[2].partition("# or in a file")[0]
    typed = shlex.split(command.replace("\\\n#", " "))
    with initialize_config_dir(str(conf), version_base="1.3"):
        sources = compose("pipeline", ["corpus=several", *typed]).corpus.sources
    assert (sources.web.paths, sources.web.weight) == (["web/*.jsonl.zst"], 3)
    assert sources.books._target_ == "data_pipeline.sources.text.Text"

"""A source is called what the user called it: its label, else the data's name, unless it has a name of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.pipeline import check_config
from data_pipeline.sources.names import with_source_names
from data_pipeline.sources.source import Corpus
from data_pipeline.sources.text import Text
from foundation.config import DEFAULT_TARGETS, build
from foundation.config.compose import plain
from foundation.errors import ConfigError

SEVERAL = "data_pipeline.sources.several.Several"
CONF = Path(__file__).parents[3] / "conf"


class Fixed(Text):
    """A user's source that takes no name."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths, source="mine")


def names(*typed: str) -> dict[str, float]:
    """Return the names and weights of the sources that a command line makes."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose("pipeline", list(typed)))
    corpus: Corpus = build(check_config(tree)["corpus"])
    return {source.name: source.weight for source in corpus.sources()}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["corpus=jsonl", "corpus.paths=[a.jsonl]", "name=peps"], "peps"),
        (["corpus=text", "corpus.paths=[a.txt]", "name=v2/books"], "books"),
        (["name=x"], "x"),
        (["corpus=synthetic", "name=x"], "x"),
        (["recipe=web", "corpus.paths=[a.jsonl]"], "web"),
        (["corpus=jsonl", "corpus.paths=[a.jsonl]", "name=peps", "corpus.source=own"], "own"),
    ],
)
def test_a_source_alone_has_the_datas_name(typed: list[str], expected: str) -> None:
    assert names(*typed) == {expected: 1.0}


def test_of_several_each_has_its_label() -> None:
    whole = ["corpus=several", "name=mixed"]
    web = ["+corpus@corpus.sources.web=jsonl", "corpus.sources.web.paths=[a.jsonl]", "corpus.sources.web.weight=3"]
    books = "+corpus.sources.books={_target_:data_pipeline.sources.text.Text,paths:[books/*.txt]}"
    other = "+corpus.sources.c={_target_:data_pipeline.sources.text.Text,paths:[c.txt],source:own}"
    assert names(*whole, *web, books, other) == {"books": 1.0, "own": 1.0, "web": 3.0}


def test_a_source_that_takes_no_name_keeps_its_own() -> None:
    mine = {"_target_": f"{__name__}.Fixed", "paths": ["x"]}
    tree = {"name": "data", "corpus": mine}
    assert with_source_names(tree, (f"{__name__}.",)) == tree
    several = {"_target_": SEVERAL, "sources": {"web": mine}}
    assert with_source_names({"name": "data", "corpus": several}, (f"{__name__}.",))["corpus"] == several


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"corpus": 3, "name": "x"}, r"^corpus: 3 is not an object"),
        ({"corpus": {"paths": ["x"]}, "name": "x"}, r"^corpus: .* is not an object with a _target_"),
        ({"corpus": {"_target_": "os.remove"}, "name": "x"}, r"^corpus\._target_: 'os\.remove' lies outside"),
        (
            {"corpus": {"_target_": SEVERAL, "sources": {"a": {"_target_": "os.remove"}}}, "name": "x"},
            r"^corpus\.sources\.a\._target_: 'os\.remove' lies outside",
        ),
    ],
)
def test_what_is_amiss_is_still_named(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(tree, DEFAULT_TARGETS)


def test_a_name_that_no_shard_can_have_says_where_it_comes_from() -> None:
    with pytest.raises(
        ConfigError, match=r"^name: .* last part, 'my web', which can't be .*or give the source .*corpus\.source="
    ):
        names("corpus=jsonl", "corpus.paths=[a.jsonl]", "name='my web'")

"""The names of sources whose config gives none: what the user already called them."""

from __future__ import annotations

import inspect
from pathlib import PurePosixPath
from typing import Any

from data_pipeline.sources.inputs import NO_FILE_NAME, is_source_name
from foundation.config.targets import resolve
from foundation.errors import ConfigError


def with_source_names(tree: dict[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return a plain config in which each source has its name, `source`.

    Where it is null or missing, it is the label in `corpus.sources`, else the last part of the data's name: what shards
    are named by and `data.mixture` asks for is then a word that the user has typed.

    Args:
        tree: not checked yet; what is amiss in it stays so.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: a `_target_` leads to no class; the data's name can't be a source's.
    """
    corpus = tree.get("corpus")
    if not isinstance(corpus, dict):
        return tree
    sources = corpus.get("sources")
    if isinstance(sources, dict):
        named = {
            label: _named(source, str(label), f"corpus.sources.{label}", allowed) for label, source in sources.items()
        }
        return tree | {"corpus": corpus | {"sources": named}}
    last = PurePosixPath(str(tree.get("name"))).name
    named = _named(corpus, last, "corpus", allowed)
    if named is not corpus and not is_source_name(last):
        raise ConfigError(
            f"name: the source is called by its last part, {last!r}, which {NO_FILE_NAME}, or give the source a "
            "name of its own with corpus.source="
        )
    return tree | {"corpus": named}


def _named(source: Any, name: str, key: str, allowed: tuple[str, ...]) -> Any:
    if not isinstance(source, dict) or source.get("source") is not None or "_target_" not in source:
        return source
    takes_it = "source" in inspect.signature(resolve(source["_target_"], key, allowed)).parameters
    return source | {"source": name} if takes_it else source

"""The mixture: what of each source is held out, kept and read in training. What `mix=` builds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from data_pipeline.mix.sample import ALLOWED, is_kept_part
from data_pipeline.mix.weights import MAX_TEMPERATURE
from data_pipeline.shards.budget import is_weight
from foundation.errors import SettingError, nearest, require


class Mix:
    """Settings of the mixture; documents are never written twice, so the trainer repeats and mixes by the manifest.

    Args:
        held_out_frac: share of the documents that is held out for validation, in (0, 1).
        seed: of the lots that decide what is held out and what is kept; another seed chooses others.
        keep: source -> how much of its training documents is kept, a share or {"bytes": n}; the others keep all.
        group_by: a field of the documents' metadata, e.g. `language`: each source's documents of one value become a
            component of the mixture, `<source>.<value>`, with shards, weight and validation of its own; None: a source
            is one component.
        min_group_frac: groups with a smaller share of their source's text are joined into `<source>.other`.
        temperature: T of the sampling of groups: within its source, a group of the share p of the tokens has a weight
            in proportion to p^T. 1 leaves the shares as they are, 0 makes all equal.
        group_weights: group -> its weight within its source, in place of the temperature; groups that it doesn't name
            are joined into `other`, whose weight it may give too, else they are not read.
        tokens: that a training run will read, for the plan that is printed; it decides nothing. None: not known.
    Raises:
        SettingError: a value that can't work.
    Source: Devlin et al. sample languages for multilingual BERT with T = 0.7 (github.com/google-research/bert,
        multilingual.md); Conneau et al. for XLM-R with 0.3 (arXiv:1911.02116, section 3.1).
    """

    def __init__(
        self,
        held_out_frac: float = 0.01,
        seed: int = 0,
        keep: dict[str, Any] | None = None,
        group_by: str | None = None,
        min_group_frac: float = 0.01,
        temperature: float = 1.0,
        group_weights: dict[str, float] | None = None,
        tokens: float | None = None,
    ) -> None:
        require(0 < held_out_frac < 1, "held_out_frac", held_out_frac, "a share between 0 and 1; 0.01 is usual")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        for source, part in (keep or {}).items():
            require(is_kept_part(part), f"keep.{source}", part, ALLOWED)
        require(group_by != "", "group_by", group_by, "a field of the metadata, e.g. language, or null")
        require(0 <= min_group_frac < 1, "min_group_frac", min_group_frac, "a share from 0 to below 1; 0.01 is usual")
        allowed = f"a number from 0 (all groups alike) to {MAX_TEMPERATURE:g}; 1 leaves their shares, 0.3 is XLM-R's"
        require(0 <= temperature <= MAX_TEMPERATURE, "temperature", temperature, allowed)
        self._check_group_weights(group_by, temperature, group_weights)
        allowed = "the tokens of a run, 1 or more, e.g. 3.0e+9, or null"
        require(tokens is None or 1 <= tokens < math.inf, "tokens", tokens, allowed)
        self.held_out_frac, self.seed, self.keep = held_out_frac, seed, dict(keep or {})
        self.group_by, self.min_group_frac, self.temperature = group_by, min_group_frac, temperature
        self.group_weights, self.tokens = group_weights, None if tokens is None else int(tokens)

    @staticmethod
    def _check_group_weights(group_by: str | None, temperature: float, weights: Mapping[str, float] | None) -> None:
        if group_by is None and (weights is not None or temperature != 1):
            name = "temperature" if weights is None else "group_weights"
            raise SettingError(f"{name}: there are no groups; name their field by mix.group_by, e.g. language")
        if weights is None:
            return
        if temperature != 1:
            raise SettingError("group_weights: beside a temperature; leave one of the two out")
        for group, weight in weights.items():
            require(is_weight(weight), f"group_weights.{group}", weight, "a number of at least 0")
        require(any(weights.values()), "group_weights", weights, "at least one weight above 0")

    def check_sources(self, sources: Iterable[str]) -> None:
        """Check what is said of sources by name.

        Raises:
            SettingError: there is no source of this name.
        """
        names = list(sources)
        for source in self.keep:
            if source not in names:
                raise SettingError(
                    f"mix.keep.{source}: no source has this name{nearest(source, names)}; there are {', '.join(names)}"
                )

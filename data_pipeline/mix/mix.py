"""The mixture: what of each source is held out, kept and read in training. What `mix=` builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipeline.mix.groups import OTHER, group_name, named_groups
from data_pipeline.mix.sample import ALLOWED, is_kept_part
from data_pipeline.mix.weights import MAX_TEMPERATURE, Reads
from data_pipeline.shards.budget import MAX_AMOUNT, is_weight
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
            in proportion to p^T. 1 leaves the shares as they are, 0 makes all equal. Without group_by it is the sources
            that are so sampled, e.g. one a language: those without a weight (other than 1) or a budget of their own.
            None: groups by their shares, sources by their weights.
        group_weights: group -> its weight within its source, in place of the temperature; groups that it doesn't name
            are joined into `other`, whose weight it may give too, else they are not read. A source that has none of
            the named groups is read as a whole, unless the weight of `other` is given.
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
        temperature: float | None = None,
        group_weights: dict[str, float] | None = None,
        tokens: float | None = None,
    ) -> None:
        require(0 < held_out_frac < 1, "held_out_frac", held_out_frac, "a share between 0 and 1; 0.01 is usual")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        for source, part in (keep or {}).items():
            require(is_kept_part(part), f"keep.{source}", part, ALLOWED)
        require(group_by != "", "group_by", group_by, "a field of the metadata, e.g. language, or null")
        require(0 <= min_group_frac < 1, "min_group_frac", min_group_frac, "a share from 0 to below 1; 0.01 is usual")
        allowed = f"a number from 0 (all alike) to {MAX_TEMPERATURE:g}, or null; 1 leaves the shares, 0.3 is XLM-R's"
        require(temperature is None or 0 <= temperature <= MAX_TEMPERATURE, "temperature", temperature, allowed)
        if group_weights is not None:
            self._check_group_weights(group_by, temperature, group_weights)
        allowed = f"the tokens of a run, from 1 to {MAX_AMOUNT:,} (2^53), e.g. 3.0e+9, or null"
        require(tokens is None or 1 <= tokens <= MAX_AMOUNT, "tokens", tokens, allowed)
        self.held_out_frac, self.seed, self.keep = held_out_frac, seed, dict(keep or {})
        self.group_by, self.min_group_frac, self.temperature = group_by, min_group_frac, temperature
        self.group_weights, self.tokens = group_weights, None if tokens is None else int(tokens)

    @staticmethod
    def _check_group_weights(group_by: str | None, temperature: float | None, weights: Mapping[str, float]) -> None:
        if group_by is None:
            raise SettingError("group_weights: there are no groups; name their field by mix.group_by, e.g. language")
        if temperature is not None:
            raise SettingError("group_weights: beside a temperature; leave one of the two out")
        spelt: dict[str, str] = {}
        for group, weight in weights.items():
            require(is_weight(weight), f"group_weights.{group}", weight, "a number of at least 0")
            name = group_name(group)
            if spelt.setdefault(name, group) != group:
                raise SettingError(
                    f"group_weights: {spelt[name]!r} and {group!r} are one group, {name!r}; leave one of the two out"
                )
        require(any(weights.values()), "group_weights", weights, "at least one weight above 0")
        require(bool(named_groups(weights)), "group_weights", weights, f"the weight of a group beside `{OTHER}`")

    def check_sources(self, sources: Mapping[str, Reads]) -> None:
        """Check what is said of sources.

        Args:
            sources: by name, with what a run is to read of each.
        Raises:
            SettingError: there is no source of this name, or none that a temperature could sample.
        """
        names = list(sources)
        if self.temperature not in (None, 1) and self.group_by is None and list(sources.values()).count(Reads(1.0)) < 2:
            raise SettingError(
                f"mix.temperature: {self.temperature:g} samples groups, whose field mix.group_by names, e.g. language, "
                "or several sources without a weight or budget of their own; there are neither"
            )
        for source in self.keep:
            if source not in names:
                raise SettingError(
                    f"mix.keep.{source}: no source has this name{nearest(source, names)}; there are {', '.join(names)}"
                )

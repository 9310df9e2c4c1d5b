"""The mixture of one run of the pipeline: planned by the sizes of the files, then made of the tokens that came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_pipeline.mix.mix import Mix
from data_pipeline.mix.plan import Estimate, Plan, check_plan, estimate, plan
from data_pipeline.mix.weights import Reads, mixture
from data_pipeline.sources.source import InputFile, Source


class Mixture:
    """What a training run is to read, source by source.

    Args:
        mix: the settings.
        sources: each with its weight or budget.
        files: source -> its input files.
        is_alone: whether the corpus is one source by itself, whose settings have no label.
    Attributes:
        reads: source -> what a run is to read of it.
        estimates: source -> what it roughly holds.
        planned: by the estimates.
        key: of a source's settings, with {} for its name.
    Raises:
        GroundworkError: a plan that can't be met, or a source that there is not.
    """

    def __init__(
        self, mix: Mix, sources: Sequence[Source], files: Mapping[str, Sequence[InputFile]], is_alone: bool
    ) -> None:
        self.mix, self.key = mix, "corpus" if is_alone else "corpus.sources.{}"
        self.reads = {source.name: Reads(source.weight, source.budget) for source in sources}
        mix.check_sources(self.reads)
        check_plan(self.reads, mix.tokens, self.key)
        self.estimates: dict[str, Estimate] = {}
        for name in self.reads:
            sizes = [(file.name, file.size_bytes) for file in files.get(name, [])]
            self.estimates[name] = estimate(sizes, mix.keep.get(name))
        self.planned = plan(self.reads, {name: each.tokens for name, each in self.estimates.items()}, mix.tokens)

    def components(self, tokens: Mapping[str, int], sources: Mapping[str, str]) -> dict[str, Reads]:
        """Return what a run reads of each component.

        Args:
            tokens: component -> training tokens. sources: component -> its source.
        """
        return mixture(self.reads, tokens, sources, self.mix.temperature, self.mix.group_weights)

    def truth(self, tokens: Mapping[str, int], sources: Mapping[str, str]) -> Plan:
        """Return what a run takes of each component; arguments as of `components`."""
        return plan(self.components(tokens, sources), tokens, self.mix.tokens)

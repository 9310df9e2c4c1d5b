"""The mixture of one run of the pipeline: planned by the sizes of the files, then made of the tokens that came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_pipeline.mix.mix import Mix
from data_pipeline.mix.plan import LISTED, Estimate, Plan, PlanError, check_plan, estimate, plan
from data_pipeline.mix.weights import Reads, mixture, tempered_sources
from data_pipeline.sources.source import InputFile, Source


class Mixture:
    """What a training run is to read, source by source.

    Args:
        mix: the settings.
        sources: each with its weight or budget.
        files: source -> its input files.
        is_alone: whether the corpus is one source by itself, whose settings have no label.
    Attributes:
        reads: source -> what a run is to read of it, before a temperature.
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
            sizes = [(file.name, _size_of(file)) for file in files.get(name, [])]
            self.estimates[name] = estimate(sizes, mix.keep.get(name))
        held = {name: each.tokens for name, each in self.estimates.items()}
        self.planned = plan(self._of_sources(held), held, mix.tokens)

    def components(self, tokens: Mapping[str, int], sources: Mapping[str, str]) -> dict[str, Reads]:
        """Return what a run reads of each component.

        Args:
            tokens: component -> training tokens. sources: component -> its source.
        Raises:
            PlanError: no group that is left to train on has a weight.
        """
        held = dict.fromkeys(self.reads, 0)
        for name, count in tokens.items():
            held[sources[name]] += count
        temperature = 1.0 if self.mix.temperature is None else self.mix.temperature
        found = mixture(self._of_sources(held), tokens, sources, temperature, self.mix.group_weights)
        if self.mix.group_weights and not any(reads.budget or reads.weight for reads in found.values()):
            raise PlanError(
                "mix.group_weights: all that is left to train on has weight 0; name a group that is there: "
                f"{', '.join([name for name, count in tokens.items() if count][:LISTED])}"
            )
        return found

    def truth(self, tokens: Mapping[str, int], sources: Mapping[str, str]) -> Plan:
        """Return what a run takes of each component; arguments as of `components`."""
        return plan(self.components(tokens, sources), tokens, self.mix.tokens)

    def _of_sources(self, tokens: Mapping[str, int | None]) -> dict[str, Reads]:
        """Return what a run reads of each source; tokens: source -> what it has, None where not known."""
        if self.mix.temperature is None or self.mix.group_by is not None:
            return self.reads
        return tempered_sources(self.reads, tokens, self.mix.temperature)


def _size_of(file: InputFile) -> int | None:
    """Return its bytes as stored; None where not known. A file of this machine may be empty."""
    return file.size_bytes if file.path is not None or file.size_bytes else None

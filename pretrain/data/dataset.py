"""The shards of a data folder as the trainer sees them: what is there, how many samples it makes, in what shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.shards.manifest import NAME as MANIFEST
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import TokenStream, open_split
from foundation.errors import nearest
from foundation.hashes import hash_file
from pretrain.data.advice import instead
from pretrain.data.errors import DataError

Share = float | dict[str, float]  # of a source in a run: its weight, or its budget, {"tokens": n} or {"epochs": n}


@dataclass(frozen=True, slots=True)
class Dataset:
    """An open data folder.

    Attributes:
        path: the folder.
        manifest: what the pipeline says of it.
        fingerprint: hash of manifest.json, which vouches for every byte of the shards and the tokenizer.
        train, val: source -> its tokens, sorted by name.
    """

    path: Path
    manifest: Manifest
    fingerprint: str
    train: dict[str, TokenStream]
    val: dict[str, TokenStream]

    def shares(self, mixture: Mapping[str, Share] | None = None) -> dict[str, Share]:
        """Return the weight or the budget of each source that takes part in training, in the order of the sources.

        Args:
            mixture: source -> weight or budget, instead of the manifest's; a source that isn't named, or is 0, is left
                out.
        Raises:
            DataError: an unknown source, or no source left.
        """
        given: dict[str, Share]
        if mixture is None:
            train = self.manifest.splits["train"]
            given = {name: source.weight if source.budget is None else source.budget for name, source in train.items()}
        else:
            given = dict(mixture)
            for name in given:
                self._check_name(name)
        used = {name: given[name] for name in self.train if given.get(name, 0) != 0}
        if not used:
            raise DataError(
                f"data.mixture: no source of {self.path} has a weight above 0; it holds {', '.join(self.train)}"
            )
        return used

    def samples_per_epoch(self, seq_len: int, mixture: Mapping[str, Share] | None = None) -> int:
        """Return how many samples one pass over each source in use makes, all together.

        Args:
            seq_len: tokens a sample.
            mixture: as `shares` takes it.
        Raises:
            DataError: a source in use is shorter than one sample; as `shares`.
        """
        return sum(self.num_samples(name, seq_len) for name in self.shares(mixture))

    def num_samples(self, source: str, seq_len: int) -> int:
        """Return N, the samples of one source: seq_len targets each, and one token before the first.

        Raises:
            DataError: its training tokens don't fill one sample.
        """
        tokens = self.train[source].num_tokens
        if tokens < seq_len + 1:
            raise DataError(
                f"data.path: the source {source!r} of {self.path} holds {tokens:,} training tokens, one sample of "
                f"trainer.seq_len={seq_len:,} takes {seq_len + 1:,}; lower trainer.seq_len, give the pipeline more "
                "text, or leave the source out with data.mixture"
            )
        return (tokens - 1) // seq_len

    def _check_name(self, name: str) -> None:
        if name not in self.train:
            raise DataError(
                f"data.mixture.{name}: no source of {self.path} has this name{nearest(name, self.train)}; "
                f"it holds {', '.join(self.train)}"
            )


def open_data(path: str | Path) -> Dataset:
    """Open a data folder; costs a read of the manifest and the indices, not of tokens.

    Raises:
        DataError: there are no shards; names folders near it that have some, and the command that makes these.
        ShardError: a shard is missing, damaged or not the manifest's.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        found = f"has no {MANIFEST}" if folder.is_dir() else "is no folder"
        raise DataError(f"data.path: {folder} {found}; {instead(folder)}")
    manifest = Manifest.load(folder)
    train, val = open_split(folder, manifest, "train"), open_split(folder, manifest, "val")
    return Dataset(folder, manifest, hash_file(folder / MANIFEST), train, val)

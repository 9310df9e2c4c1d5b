"""Positions of tokens as people type them: `train/web_00000:12345` in a shard, `train/web:12345` in a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.shards.manifest import SPLITS, Manifest, ShardInfo, SourceManifest, shard_prefix
from data_pipeline.shards.reader import Shard
from foundation.errors import nearest

TYPED = re.compile(r"(?:(?P<split>[^/:]+)/)?(?:(?P<name>[^/]*):)?(?P<token>[0-9][0-9_,]*)")
FORM = "give <split>/<shard>:<token> or <split>/<source>:<token>, e.g. train/web_00000:12345"


@dataclass(frozen=True, slots=True)
class Position:
    """A token of a data folder, and the document that it is in.

    Attributes:
        shard: opened.
        token: its place in the shard. in_source: in the source's shards end to end.
        document: number of the document in the shard. before: documents of the source in the shards before.
        start, stop: the document's tokens in the shard, its end-of-text token the last.
    """

    split: str
    source: str
    shard: Shard
    token: int
    in_source: int
    document: int
    before: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The position in its shard, as it is typed."""
        return f"{self.split}/{self.shard.name}:{self.token}"


def locate(data_dir: Path, manifest: Manifest, typed: str) -> Position:
    """Return the position that was typed.

    Raises:
        InspectionError: it is of another form, or there is no such split, shard, source or token; says what there is.
        ShardError: the shard is not what the manifest says.
    """
    match = TYPED.fullmatch(typed.strip())
    if match is None:
        raise InspectionError(f"{typed!r} is no position; {FORM}")
    split = match["split"] or SPLITS[0]
    if split not in SPLITS:
        raise InspectionError(f"{typed}: there is no split {split!r}; there are {' and '.join(SPLITS)}")
    sources = {name: source for name, source in manifest.splits[split].items() if source.tokens}
    token = int(re.sub("[_,]", "", match["token"]))
    name = match["name"] or _only(typed, split, sources)
    for source, held in sources.items():
        for number, info in enumerate(held.shards):
            if info.name == name:
                return _at(data_dir, manifest, (split, source, held, number), token, typed)
    if name not in sources:
        known = [*sources, *(info.name for held in sources.values() for info in held.shards)]
        raise InspectionError(
            f"{typed}: {split} has no shard and no source {name!r}{nearest(name, known)}; its sources are: "
            f"{', '.join(sources) or 'none'}"
        )
    return in_source(data_dir, manifest, split, name, token, typed)


def in_source(data_dir: Path, manifest: Manifest, split: str, source: str, token: int, typed: str = "") -> Position:
    """Return the position of a token of a source's shards laid end to end; errors are those of `locate`."""
    held = manifest.splits[split][source]
    left = token
    for number, info in enumerate(held.shards):
        if left < info.num_tokens:
            return _at(data_dir, manifest, (split, source, held, number), left, typed)
        left -= info.num_tokens
    raise InspectionError(f"{typed or token}: source {source!r} of {split} has {held.tokens:,} tokens, from 0")


def of_document(data_dir: Path, manifest: Manifest, split: str, source: str, document: int) -> Position:
    """Return the position of the first token of a document, counted over the source's shards."""
    held, left = manifest.splits[split][source], document
    for number, info in enumerate(held.shards):
        if left < info.num_documents:
            shard = _open(data_dir, manifest, split, info)
            token = int(shard.document_starts[left])
            return _position(shard, (split, source, held, number), token, left)
        left -= info.num_documents
    raise InspectionError(f"source {source!r} of {split} has {held.documents:,} documents, from 0")


Place = tuple[str, str, SourceManifest, int]  # split, source, what it holds, number of the shard


def _at(data_dir: Path, manifest: Manifest, place: Place, token: int, typed: str) -> Position:
    split, _, held, number = place
    info = held.shards[number]
    if token >= info.num_tokens:
        raise InspectionError(f"{typed}: {split}/{info.name} has {info.num_tokens:,} tokens, from 0")
    shard = _open(data_dir, manifest, split, info)
    return _position(shard, place, token, int(np.searchsorted(shard.document_starts, token, side="right")) - 1)


def _position(shard: Shard, place: Place, token: int, document: int) -> Position:
    split, source, held, number = place
    start, stop = shard.document_starts[document : document + 2].tolist()
    tokens, documents = (
        sum(getattr(info, key) for info in held.shards[:number]) for key in ("num_tokens", "num_documents")
    )
    return Position(split, source, shard, token, tokens + token, document, documents, start, stop)


def _open(data_dir: Path, manifest: Manifest, split: str, info: ShardInfo) -> Shard:
    return Shard(shard_prefix(data_dir, split, info.name), info, manifest.vocab_size, manifest.dtype)


def _only(typed: str, split: str, sources: dict[str, SourceManifest]) -> str:
    if len(sources) != 1:
        raise InspectionError(f"{typed}: {split} has {len(sources)} sources ({', '.join(sources)}); {FORM}")
    return next(iter(sources))

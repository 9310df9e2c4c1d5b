"""manifest.json: what a data folder holds, and the hashes that vouch for it.

{"format": 1, "tokenizer_hash": "<xxh3-128>", "vocab_size": 16384, "eot_id": 0, "eot": "after", "dtype": "uint16",
 "shuffle_seed": 0,
 "splits": {"train": {"<source>": {"weight": 1.0, "tokens": ..., "documents": ..., "utf8_bytes": ...,
                                   "health": {"entropy_bits": 9.87, ...},
                                   "shards": [{"name": "<source>_00000", "num_tokens": ..., ...}]}},
            "val": {...}},
 "hash": "<xxh3-128 of all the rest>"}

A source with a budget of its own has `"budget": {"epochs": 2.0}` or `{"tokens": 3e9}` beside its weight. These may be
missing: `shuffle_seed`, of shards in the corpus's order; `health` and a shard's `documents_hash`, of shards from
elsewhere; `eot`. `shuffle_seed` is "several" where folders of different orders were merged, "unknown" where shards come
from elsewhere; folders that were merged or imported before these words were there have none.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from data_pipeline.shards.budget import ALLOWED, is_budget
from data_pipeline.shards.errors import REMEDY, DamagedShard, ForeignTokenizer, ShardError
from data_pipeline.shards.health import Health
from foundation.files import pretty_json, write_json
from foundation.hashes import hash_bytes, hash_json

FORMAT = 1
NAME = "manifest.json"
TOKENIZER = "tokenizer.json"
SHARDS = "shards"  # the folder
HASH_KEY = "hash"  # of the file's own hash
SPLITS = ("train", "val")
DOCUMENTS = ".documents.parquet"  # behind a shard's name: where each of its documents comes from
EOT_AFTER = "after"  # the one rule there is: an end-of-text token after each document
DTYPES = ("uint16", "int32")
SEVERAL: Final = "several"  # in place of a shuffle_seed
UNKNOWN: Final = "unknown"
HASH = re.compile(r"[0-9a-f]{32}")
MAKE = "make the shards with `python -m data_pipeline` (by default into data/pydocs), or name their folder"


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard.

    Attributes:
        name: without folder and suffix.
        num_tokens: with one end-of-text per document.
        num_documents: in the shard.
        sum_hash: hash of its `.sum` file.
        documents_hash: hash of its `.documents.parquet`; None where it has none.
    """

    name: str
    num_tokens: int
    num_documents: int
    sum_hash: str
    documents_hash: str | None = None


@dataclass(frozen=True, slots=True)
class SourceManifest:
    """One source in one split.

    Attributes:
        weight: its share of the mixture, relative to the other sources'; not asked where there is a budget.
        tokens: with one end-of-text a document.
        utf8_bytes: of the documents' text, the denominator of bits per byte.
        shards: in the order in which they are laid end to end.
        budget: what a run reads of it, {"tokens": n} or {"epochs": n}; None leaves it to the weight.
        health: what its tokens are like; None where nobody counted them.
    """

    weight: float
    tokens: int
    documents: int
    utf8_bytes: int
    shards: list[ShardInfo]
    budget: dict[str, float] | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A data folder.

    Attributes:
        tokenizer_hash: of tokenizer.json's bytes.
        vocab_size: one more than the largest token id.
        eot_id: the token after each document.
        dtype: of the tokens on disk, `uint16` or `int32`.
        splits: split -> source -> what it holds.
        shuffle_seed: of the order of the documents; None where they stand as the corpus has them, SEVERAL where one
            order does not hold for all sources, UNKNOWN where another tool wrote them.
        eot: where end-of-text tokens stand; `after` each document is the one rule there is.
    """

    tokenizer_hash: str
    vocab_size: int
    eot_id: int
    dtype: str
    splits: dict[str, dict[str, SourceManifest]]
    shuffle_seed: int | Literal["several", "unknown"] | None = None
    eot: str = EOT_AFTER

    def save(self, data_dir: Path) -> None:
        """Write `data_dir/manifest.json` atomically: equal manifests give equal bytes."""
        content = {"format": FORMAT, **_known(asdict(self))}
        write_json(data_dir / NAME, {**content, HASH_KEY: hash_json(content)})

    @classmethod
    def load(cls, data_dir: Path) -> Manifest:
        """Read and check `data_dir/manifest.json`.

        Raises:
            ShardError: there is none, or a key is missing or wrong; names the folder or the file and key.
            DamagedShard: it is not the bytes that were written.
        """
        path = data_dir / NAME
        if not path.is_file():
            what = f"has no {NAME}" if data_dir.is_dir() else "is no folder"
            raise ShardError(f"data.path: {data_dir} {what}", MAKE)
        try:
            data = path.read_bytes()
            record = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ShardError(f"{path}: not valid JSON ({error})") from error
        manifest = _manifest(_Node(record, str(path), ""))
        _check_own_hash(path, data, record)
        return manifest


def _known(value: Any) -> Any:
    """Return a record without the fields that are None: they may be missing."""
    if isinstance(value, list):
        return [_known(each) for each in value]
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items() if each is not None}
    return value


def _check_own_hash(path: Path, data: bytes, record: dict[str, Any]) -> None:
    """Hold the file against the hash that it states; one of before there was a hash states none."""
    if HASH_KEY not in record:
        for key in record.keys() - {"format", *(field.name for field in fields(Manifest))}:
            raise ShardError(f"{path}: {key}: unknown key")  # or one flipped bit in "hash" would switch the check off
        return
    content = {key: value for key, value in record.items() if key != HASH_KEY}
    if record[HASH_KEY] != hash_json(content) or data != pretty_json(record):
        raise DamagedShard(
            f"{path}: changed after it was written: its hash is not the one that it states",
            f"{REMEDY}; weights are set by data.mixture= where it trains, not in this file",
        )


def shard_prefix(data_dir: Path, split: str, name: str) -> Path:
    """Return the path of a shard's files without their suffix."""
    return data_dir / SHARDS / split / name


def documents_path(prefix: Path) -> Path:
    """Return the table of a shard's documents, by the path of its files without their suffix."""
    return prefix.with_name(prefix.name + DOCUMENTS)


def tokenizer_file(named: Path) -> Path:
    """Return the tokenizer.json that is meant by a file, or by a folder that has one."""
    return named / TOKENIZER if named.is_dir() else named


def read_tokenizer(data_dir: Path, manifest: Manifest) -> bytes:
    """Return the bytes of `data_dir/tokenizer.json`, which encoded the shards.

    Raises:
        ShardError: the file is missing.
        ForeignTokenizer: it is not the file that the manifest names by its hash.
    """
    path = data_dir / TOKENIZER
    if not path.is_file():
        raise ShardError(f"{path}: missing; it says what the ids of the shards mean")
    data = path.read_bytes()
    if hash_bytes(data) != manifest.tokenizer_hash:
        raise ForeignTokenizer(
            f"{path}: a tokenizer that is not the shards' own: its hash is {hash_bytes(data)}, the manifest says "
            f"{manifest.tokenizer_hash}",
            "put the original back, or make the shards anew with this one",
        )
    return data


@dataclass(frozen=True, slots=True)
class _Node:
    """A value inside the file, with the key that leads to it."""

    value: Any
    path: str
    key: str

    def wrong(self, allowed: str) -> ShardError:
        found = repr(self.value) if len(repr(self.value)) < 80 else f"{repr(self.value)[:80]}..."
        return ShardError(f"{self.path}: {self.key or 'the file'}: {found} is not {allowed}")

    def __getitem__(self, name: str) -> _Node:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        key = f"{self.key}.{name}" if self.key else name
        if name not in self.value:
            raise ShardError(f"{self.path}: {key}: missing")
        return _Node(self.value[name], self.path, key)

    def names(self) -> list[str]:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return list(self.value)

    def items(self) -> list[_Node]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [_Node(value, self.path, f"{self.key}[{index}]") for index, value in enumerate(self.value)]

    def integer(self, least: int = 0) -> int:
        if type(self.value) is not int or self.value < least:
            raise self.wrong(f"an integer of at least {least}")
        return self.value

    def number(self) -> float:
        if type(self.value) not in (int, float) or self.value < 0:
            raise self.wrong("a number of at least 0")
        return float(self.value)

    def budget(self) -> dict[str, float]:
        if not is_budget(self.value):
            raise self.wrong(ALLOWED)
        return {unit: float(amount) for unit, amount in self.value.items()}

    def text(self, allowed: re.Pattern[str], described: str) -> str:
        if not isinstance(self.value, str) or not allowed.fullmatch(self.value):
            raise self.wrong(described)
        return self.value


def _manifest(node: _Node) -> Manifest:
    if node["format"].value != FORMAT:
        raise node["format"].wrong(f"{FORMAT}, the format that this version reads")
    vocab_size, eot_id = node["vocab_size"].integer(least=1), node["eot_id"].integer()
    if eot_id >= vocab_size:
        raise node["eot_id"].wrong(f"below vocab_size ({vocab_size})")
    splits = node["splits"]
    return Manifest(
        tokenizer_hash=node["tokenizer_hash"].text(HASH, "an xxh3-128 of 32 hex digits"),
        vocab_size=vocab_size,
        eot_id=eot_id,
        dtype=node["dtype"].text(re.compile("|".join(DTYPES)), " or ".join(DTYPES)),
        splits={split: {name: _source(splits[split][name]) for name in splits[split].names()} for split in SPLITS},
        shuffle_seed=_shuffle_seed(node["shuffle_seed"]) if "shuffle_seed" in node.value else None,
        eot=node["eot"].text(re.compile(EOT_AFTER), repr(EOT_AFTER)) if "eot" in node.value else EOT_AFTER,
    )


def _shuffle_seed(node: _Node) -> int | Literal["several", "unknown"]:
    if node.value == SEVERAL:
        return SEVERAL
    if node.value == UNKNOWN:
        return UNKNOWN
    if type(node.value) is not int or node.value < 0:
        raise node.wrong(f"an integer of at least 0, {SEVERAL!r} or {UNKNOWN!r}")
    return node.value


def _source(node: _Node) -> SourceManifest:
    source = SourceManifest(
        weight=node["weight"].number(),
        tokens=node["tokens"].integer(),
        documents=node["documents"].integer(),
        utf8_bytes=node["utf8_bytes"].integer(),
        shards=[_shard(item) for item in node["shards"].items()],
        budget=node["budget"].budget() if "budget" in node.value else None,
        health=_health(node["health"]) if "health" in node.value else None,
    )
    for key, total in (
        ("tokens", sum(shard.num_tokens for shard in source.shards)),
        ("documents", sum(shard.num_documents for shard in source.shards)),
    ):
        if node[key].value != total:
            raise node[key].wrong(f"the sum over its shards ({total})")
    return source


def _health(node: _Node) -> Health:
    longest = node["longest_id"]
    if not isinstance(longest.value, str):
        raise longest.wrong("a text")
    return Health(
        text_tokens=node["text_tokens"].integer(),
        entropy_bits=node["entropy_bits"].number(),
        used_ids=node["used_ids"].integer(),
        repeated_tokens=node["repeated_tokens"].integer(),
        single_byte_tokens=node["single_byte_tokens"].integer(),
        unknown_tokens=node["unknown_tokens"].integer(),
        lengths=[item.integer() for item in node["lengths"].items()],
        longest_tokens=node["longest_tokens"].integer(),
        longest_id=longest.value,
    )


def _shard(node: _Node) -> ShardInfo:
    has_documents = isinstance(node.value, dict) and "documents_hash" in node.value
    return ShardInfo(
        name=node["name"].text(re.compile(r"[^/\\\0.][^/\\\0]*"), "a file name without folder"),
        num_tokens=node["num_tokens"].integer(),
        num_documents=node["num_documents"].integer(),
        sum_hash=node["sum_hash"].text(HASH, "an xxh3-128 of 32 hex digits"),
        documents_hash=node["documents_hash"].text(HASH, "an xxh3-128 of 32 hex digits") if has_documents else None,
    )

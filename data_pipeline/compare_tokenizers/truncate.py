"""A BPE tokenizer with its first merges alone: what the same training would have given for a smaller vocabulary.

BPE adds merges in the order of their use (Sennrich et al. 2016, arXiv:1508.07909), so that the first 2^k are the whole
tokenizer of that size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

FEWEST = 8  # 2^8 merges and up


@dataclass(frozen=True, slots=True)
class Truncated:
    """A tokenizer of fewer merges.

    Attributes:
        num_merges: how many of the first ones were taken.
        vocab_size: tokens, the special ones among them.
        tokenizer_json: its file; the ids are others, in the order of the old ones.
    """

    num_merges: int
    vocab_size: int
    tokenizer_json: bytes


def sizes_of(tokenizer_json: bytes) -> list[int]:
    """Return the numbers of merges to look at, ascending: powers of two, and all; none where it is no BPE."""
    model = orjson.loads(tokenizer_json)["model"]
    whole = len(model.get("merges") or []) if model.get("type") == "BPE" else 0
    powers = [1 << power for power in range(FEWEST, whole.bit_length()) if 1 << power < whole]
    return [*powers, whole] if whole else []


def truncate(tokenizer_json: bytes, num_merges: int) -> Truncated:
    """Return a BPE tokenizer with its first merges.

    Args:
        num_merges: of those that it has.
    """
    record: dict[str, Any] = orjson.loads(tokenizer_json)
    model = record["model"]
    merges = [_Merge.of(each, len(model.get("continuing_subword_prefix") or "")) for each in model["merges"]]
    gone = {each.made for each in merges[num_merges:]} - {each.made for each in merges[:num_merges]}
    # SentencePiece's come in the order of what they make, and that may stand before one of its parts
    kept = [each.pair for each in merges[:num_merges] if gone.isdisjoint(each.pair)]
    tokens = [token for token in sorted(model["vocab"], key=model["vocab"].__getitem__) if token not in gone]
    # without holes: tokenizers numbers added tokens on from the number of entries, which may be the id of another one
    model["vocab"], model["merges"] = {token: index for index, token in enumerate(tokens)}, kept
    added = record.get("added_tokens") or []
    others = [token for token in added if token["content"] not in model["vocab"]]
    ids = model["vocab"] | {token["content"]: len(tokens) + place for place, token in enumerate(others)}
    record["added_tokens"] = [token | {"id": ids[token["content"]]} for token in added]
    return Truncated(num_merges, len(ids), orjson.dumps(record))


class _Merge(NamedTuple):
    """A merge: the two tokens, and the one that it makes of them."""

    pair: tuple[str, str]
    made: str

    @classmethod
    def of(cls, written: str | list[str], prefix: int) -> _Merge:
        """Read one of either form; prefix: length of what every part but a word's first begins with."""
        left, right = written.split(" ") if isinstance(written, str) else written
        return cls((left, right), left + right[prefix:])

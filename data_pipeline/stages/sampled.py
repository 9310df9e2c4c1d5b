"""Some texts of a finished corpus, from a few of its partitions: what the report looks at its tokenizer by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from data_pipeline.records import Part, Records
from data_pipeline.shards.manifest import TOKENIZER
from data_pipeline.stages.stage import Workplace, code_hash
from data_pipeline.stages.view import View
from data_pipeline.tokenize.sample import choose
from data_pipeline.tokens.sampled import Sampled, sampled
from foundation.hashes import hash_json

SAMPLE_BYTES = 2_000_000
MOST_PARTITIONS = 4  # that are read: each is verified as a whole
SEED = 0
CODE = ("tokens", "tokenize", "stages/sampled.py")


def some_texts(view: View) -> Iterator[pa.LargeStringArray]:
    """Yield about SAMPLE_BYTES of texts, held-out ones too, of partitions that lie evenly in the corpus."""
    ends = np.cumsum(np.concatenate([[0], view.alive]), dtype=np.int64)[view.starts]
    filled = np.flatnonzero(np.diff(ends))
    places: np.ndarray = np.unique(np.linspace(0, len(filled) - 1, MOST_PARTITIONS).round().astype(np.int64))
    mask = np.zeros(len(view.alive), bool)
    for number in filled[places].tolist():
        span = slice(*view.starts[number : number + 2].tolist())
        mask[span] = view.alive[span]
    indices = np.flatnonzero(mask)
    chosen = indices[choose(view.files[indices], view.rows[indices], view.sizes[indices], SAMPLE_BYTES, SEED)]
    mask[:] = False
    mask[chosen] = True
    for piece in view.slices(mask):
        yield piece.texts()


def sample_of(place: Workplace, view: View, outputs: Sequence[str], eot_token: str) -> Sampled:
    """Return what a sample of a finished corpus is in tokens: counted once, not whenever its page is written.

    Args:
        view: the corpus as its last stage left it.
        outputs: of the stages; another one, and it is counted anew.
    """
    records = Records(place.work / "sampled", place.output_dir)
    key = hash_json([list(outputs), eot_token, code_hash(CODE, ("numpy", "pyarrow", "tokenizers"))])
    facts = records.find("sampled", key)
    if facts is not None:
        return Sampled.from_json(facts)
    found = sampled(some_texts(view), (place.output_dir / TOKENIZER).read_bytes(), eot_token)
    records.commit("sampled", key, Part(asdict(found), []))
    return found

"""A small sample of a finished corpus by its own tokenizer, for the report: a second's work, however large it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokens.counting import count, profile
from data_pipeline.tokens.table import TokenTable
from data_pipeline.tokens.vocabulary import Coverage, Used, coverage, longest, most_frequent

EXCERPT_CHARS = 100_000  # that are looked at of a document
LISTED = 15


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a sample is in tokens.

    Attributes:
        texts, utf8_bytes, words: of the sample; came_back: texts whose tokens' bytes are theirs.
        longest, most_frequent: tokens, LISTED of each.
    """

    texts: int
    utf8_bytes: int
    words: int
    came_back: int
    coverage: Coverage
    longest: list[Used]
    most_frequent: list[Used]

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Sampled:
        """Return what `dataclasses.asdict` made JSON values of."""
        tokens = {name: [Used(**each) for each in facts[name]] for name in ("longest", "most_frequent")}
        return cls(**{**facts, "coverage": Coverage(**facts["coverage"]), **tokens})


def sampled(texts: Iterable[pa.LargeStringArray], tokenizer_json: bytes, eot_token: str) -> Sampled:
    """Return what some texts are in tokens; of a long one, what its beginning is."""
    excerpts = [pc.utf8_slice_codeunits(each, 0, EXCERPT_CHARS) for each in texts]
    array = pa.concat_arrays([pa.array([], pa.large_string()), *excerpts])
    table = TokenTable.of(tokenizer_json)
    of_texts = profile(array)
    counted = count(array, of_texts, Encoder(tokenizer_json, eot_token), table)
    return Sampled(
        *(len(array), int(of_texts.sizes.sum()), int(of_texts.words.sum()), int(counted.came_back.sum())),
        coverage(table, counted.ids),
        longest(table, counted.ids, LISTED),
        most_frequent(table, counted.ids, LISTED),
    )

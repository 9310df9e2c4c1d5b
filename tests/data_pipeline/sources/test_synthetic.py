from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data_pipeline.sources.synthetic import Synthetic
from foundation.errors import SettingError

Read = Callable[..., Any]


def test_a_document_is_a_function_of_seed_and_number(read: Read) -> None:
    whole, _ = read(Synthetic(300, seed=3))
    assert read(Synthetic(300, seed=3), 2_000)[0] == whole  # other blocks, same documents
    assert read(Synthetic(200, seed=3))[0] == whole[:200]
    texts = {document["text"] for document in read(Synthetic(300, seed=4))[0]}
    assert not texts & {document["text"] for document in whole}
    assert len({tuple(map(Synthetic(300, duplicate_frac=0.5, seed=seed).original, range(300))) for seed in (3, 4)}) == 2


def test_lengths_vocabulary_and_duplicates_are_as_asked(read: Read) -> None:
    documents, _ = read(Synthetic(4_000, mean_words=80, words_sigma=0.5, vocab_words=500, duplicate_frac=0.2, seed=1))
    words = [document["text"].lower().replace(".", "").split() for document in documents]
    lengths = np.array([len(each) for each in words])
    assert abs(lengths.mean() - 80) < 3
    assert abs(np.log(lengths).std() - 0.5) < 0.03
    counts = Counter(word for each in words for word in each)
    assert len(counts) == 500
    assert abs(counts["the"] / counts["of"] - 2) < 0.1  # Zipf: half as often at twice the rank
    assert 0.18 < 1 - len({document["text"] for document in documents}) / len(documents) < 0.22


def test_duplicates_name_the_document_they_repeat(read: Read) -> None:
    documents, _ = read(Synthetic(500, duplicate_frac=0.5, seed=2))
    repeats = [(row, json.loads(document["metadata"]).get("duplicate_of")) for row, document in enumerate(documents)]
    for row, original in repeats:
        if original is not None:
            assert original < row and documents[original]["text"] == documents[row]["text"]
    first: dict[str, int] = {}
    for row, document in enumerate(documents):
        assert (first.setdefault(document["text"], row) == row) == (repeats[row][1] is None)


def test_blocks_know_their_rows_and_progress() -> None:
    source = Synthetic(100, mean_words=100)
    (file,) = source.files()
    blocks = list(source.blocks(file, 6_000))
    assert [block.first_row for block in blocks] == list(range(0, 100, 10))
    assert blocks[-1].read_bytes == file.size_bytes == 60_000


@pytest.mark.parametrize(
    "bad",
    [
        {"num_documents": 0},
        {"mean_words": 0.5},
        {"words_sigma": -1.0},
        {"vocab_words": 0},
        {"duplicate_frac": 1.0},
        {"seed": -1},
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(bad: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"^{next(iter(bad))}: "):
        Synthetic(**bad)

"""A typed position leads to its token and its document, however the source is cut into shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.position import in_source, locate, of_document
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split


def test_every_position_of_a_source_and_of_its_shards(finished: Path, starts: Callable[[str, str], list[int]]) -> None:
    manifest = Manifest.load(finished)
    shards = manifest.splits["train"]["web"].shards
    assert len(shards) > 1
    stream = open_split(finished, manifest, "train")["web"]
    firsts, ends = starts("train", "web"), np.cumsum([shard.num_tokens for shard in shards])
    rng = np.random.default_rng(1)
    borders = [0, *(ends - 1).tolist(), *ends[:-1].tolist(), *rng.integers(0, stream.num_tokens, 30).tolist()]
    for token in borders:
        found = locate(finished, manifest, f"train/web:{token:,}")
        number = int(np.searchsorted(ends, token, side="right"))
        assert (found.in_source, found.shard.name) == (token, shards[number].name)
        assert found.shard.tokens(found.token, found.token + 1)[0] == stream.tokens(token, token + 1)[0]
        document = int(np.searchsorted(firsts, token, side="right")) - 1
        assert found.before + found.document == document
        assert found.in_source - (found.token - found.start) == firsts[document]
        again = locate(finished, manifest, found.name)
        assert (again.in_source, again.start, again.stop) == (token, found.start, found.stop)
        assert of_document(finished, manifest, "train", "web", document).in_source == firsts[document]


def test_train_and_a_single_source_need_not_be_named(bare: Path) -> None:
    manifest = Manifest.load(bare)
    assert locate(bare, manifest, "web:5").split == "train"
    with pytest.raises(InspectionError, match=r"5: train has 2 sources \(books, web\); give"):
        locate(bare, manifest, "5")
    for split in ("train", "val"):
        del manifest.splits[split]["books"]
    assert locate(bare, manifest, " 1_000 ").name == locate(bare, manifest, "train/web:1000").name


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("train/web", "is no position; give <split>/<shard>:<token>"),
        ("train/web:-1", "is no position"),
        ("test/web:1", "there is no split 'test'; there are train and val"),
        ("train/wev:1", r"train has no shard and no source 'wev', did you mean 'web'\?; its sources are: books, web"),
        ("train/web_00009:1", "did you mean 'web_0000"),
        ("train/web:99999999", r"source 'web' of train has [\d,]+ tokens, from 0"),
        ("train/web_00000:99999999", r"train/web_00000 has [\d,]+ tokens, from 0"),
    ],
)
def test_what_leads_nowhere_is_told_with_what_there_is(finished: Path, typed: str, said: str) -> None:
    with pytest.raises(InspectionError, match=said):
        locate(finished, Manifest.load(finished), typed)


def test_documents_and_tokens_beyond_a_source_are_refused(finished: Path) -> None:
    manifest = Manifest.load(finished)
    held = manifest.splits["train"]["web"]
    with pytest.raises(InspectionError, match="documents, from 0"):
        of_document(finished, manifest, "train", "web", held.documents)
    with pytest.raises(InspectionError, match="tokens, from 0"):
        in_source(finished, manifest, "train", "web", held.tokens)

"""A small output folder of the pipeline, written by hand from numbers that the tests know."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.documents import Quarantined
from data_pipeline.ledger import Account, ledger_json
from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.writer import SourceWriter
from data_pipeline.storage import write_quarantine, write_removed
from foundation.files import write_json

HOSTILE = "</pre><script>alert(1)</script>\x1b[31m\x00 tail"
LENGTHS = {"web": {"train": [1, 2, 3, 700, 4, 90], "val": [5, 6]}, "books": {"train": [1000, 64], "val": [33]}}


def account(taken: int, dropped: dict[str, int] | None = None, quarantined: dict[str, int] | None = None) -> Account:
    lost = Counter(dropped or {}), Counter(quarantined or {})
    return Account(
        num_in=taken, num_out=taken - lost[0].total() - lost[1].total(), dropped=lost[0], quarantined=lost[1]
    )


BOOKS = {
    "clean": {"web": account(40, {"too_short": 20, "gopher_too_few_words": 5}, {"no_json": 2}), "books": account(4)},
    "exact": {"web": account(13, {"exact_duplicate": 1}), "books": account(4)},
    "near": {"web": account(12, {"near_duplicate": 3}), "books": account(4, {"near_duplicate": 1})},
    "split": {"web": account(9), "books": account(3)},
    "decontaminate": {"web": account(9, {"contaminated": 1}), "books": account(3)},
    "shards": {"web": account(8), "books": account(3)},
}


COUNTS = {
    "near": {"clusters": 7, "pairs_verified": 1234, "pairs_below_threshold": 600, "a_users_own": 1},
    "clean": {"line_ends_rewritten": 5},
}


FARED = {"planted": 30, "connected": 24, "similar": 0, "found": 0}
DEDUPLICATION = {
    "self_test": {
        "levels": [
            {"name": "0.5", **FARED},
            {"name": "0.85", "planted": 20, "connected": 19, "similar": 20, "found": 18},
        ],
        "edits": [{"name": "cut short", "planted": 50, "connected": 43, "similar": 20, "found": 18}],
        "removed": 19,
        "rightly": 18,
        "curve": {
            "threshold": 0.8,
            "bands": 25,
            "rows": 5,
            "similarities": [0.5, 0.75, 0.8, 1.0],
            "found": [0.55, 0.999, 0.99995, 1.0],
        },
    },
    "similarity": {"threshold": 0.8, "edges": [0.5, 0.75, 0.8, 1.0], "removed": [0, 0, 4], "stayed": [3, 2, 0]},
    "clusters": [
        {
            "cluster": 17,
            "documents": 9,
            "removed": 3,
            "for_hub": 2,
            "hub": {"id": "hub-1", "source": "web"},
            "text": HOSTILE,
        },
        {
            "cluster": 4,
            "documents": 2,
            "removed": 1,
            "for_hub": 1,
            "hub": {"id": "hub-2", "source": "web"},
            "text": "t",
        },
    ],
    "pairs": [
        {
            "similarity": 0.81234,
            "removed": {"id": "gone-1", "source": "web"},
            "kept": {"id": "stays-1", "source": "books"},
            "text": "the quick brown fox",
            "kept_text": "the quick red fox",
        }
    ],
}


CONTAMINATION = {
    "sets": {
        "quiz": {"contaminated": 1, "partial": 2, "clean": 1310},
        "held_out": {"contaminated": 0, "partial": 0, "clean": 3},
    },
    "planted": {"verbatim": {"planted": 100, "found": 100}, "truncated": {"planted": 100, "found": 87}},
    "sought": 1310,
}


def row(stage: str, reason: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{reason}-{number}",
        "source": "web",
        "file": "a.jsonl",
        "row": number,
        "stage": stage,
        "reason": reason,
        "snippet": f"{reason} {number}",
        **fields,
    }


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    """data/corpus with two sources, every kind of evidence, hostile text among it."""
    folder = tmp_path / "corpus"
    write_shards(folder)
    (folder / "ledger.json").write_bytes(ledger_json(BOOKS, COUNTS))
    timing = {"seconds": 2.0, "documents": 44, "utf8_bytes": 5_000_000}
    stages = dict.fromkeys([*BOOKS, "tokenizer"], timing) | {"split": timing | {"utf8_bytes": 0}}
    write_json(folder / "timing.json", {"stages": stages})
    short = [row("clean", "too_short", i, value=float(i), threshold=20.0) for i in range(20)]
    few = [row("clean", "gopher_too_few_words", i, snippet=HOSTILE, id=f"<b>{i}") for i in range(5)]
    write_removed(folder / "removed/clean/00000.parquet", short[:11])
    write_removed(folder / "removed/clean/00001.parquet", [*short[11:], *few])
    near = {
        "kept_id": "kept-1",
        "similarity": 0.91234,
        "snippet": "the quick brown fox",
        "kept_snippet": "the quick red fox",
    }
    write_removed(folder / "removed/near/00000.parquet", [row("near", "near_duplicate", i, **near) for i in range(4)])
    hit = {"test_item": "quiz#17", "value": 0.75, "coverage": 0.75, "threshold": 0.5, "test_snippet": "Who is <Ada>?"}
    write_removed(folder / "removed/decontaminate/00000.parquet", [row("decontaminate", "contaminated", 0, **hit)])
    (folder / "deduplication").mkdir()
    (folder / "deduplication/summary.json").write_text(json.dumps(DEDUPLICATION))
    (folder / "decontamination").mkdir()
    (folder / "decontamination/summary.json").write_text(json.dumps(CONTAMINATION))
    bad = [
        ("a.jsonl", Quarantined(row=i, offset_bytes=1000 * i, reason="no_json", data=HOSTILE.encode())) for i in (3, 8)
    ]
    write_quarantine(folder / "quarantine/clean/00000.jsonl", "web", bad)
    return folder


def write_shards(folder: Path) -> None:
    splits: dict[str, dict[str, SourceManifest]] = {"train": {}, "val": {}}
    for source, by_split in LENGTHS.items():
        for split, lengths in by_split.items():
            with SourceWriter(folder / "shards" / split, source, np.dtype("<u2"), 1 << 30) as writer:
                writer.add(np.ones(sum(lengths), np.uint16), np.array(lengths, np.int32))
                shards = writer.finish()
            weight = {"web": 3.0, "books": 1.0}[source]
            splits[split][source] = SourceManifest(weight, sum(lengths), len(lengths), 4 * sum(lengths), shards)
    Manifest("0" * 32, 512, 0, "uint16", splits).save(folder)

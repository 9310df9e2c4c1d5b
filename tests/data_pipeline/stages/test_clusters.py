"""clusters/: what was connected, what of it went, what stayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_pipeline.pipeline import Result
from data_pipeline.stages.clusters import SCHEMA

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]


def words(name: str, first: int, stop: int) -> str:
    return " ".join(f"{name}{i}" for i in range(first, stop))


def members(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()}


def test_every_document_that_was_connected_is_listed_with_its_cluster(config: Config, go: Go, tmp_path: Path) -> None:
    """A chain whose middle goes and whose end stays, a pair below the threshold that stays, copies in two sources."""
    texts = {
        "web": {
            "chain-0": words("c", 0, 104),
            "alone": words("z", 0, 90),
            "chain-1": words("c", 6, 110),  # 94 of 106 shingles in common with either neighbour
            "below-0": words("p", 0, 104),
            "chain-2": words("c", 12, 116),  # 88 of 112 with the first one
            "copy-0": words("x", 0, 50),
        },
        "books": {
            "below-1": words("p", 12, 116),
            "copy-1": words("X", 0, 50),
            "near-a-copy": words("x", 0, 50) + " more",
            "copy-2": f"  {words('x', 0, 50)}\n",
        },
    }
    for source, documents in texts.items():
        (tmp_path / source).mkdir()
        lines = [json.dumps({"id": name, "text": text}) for name, text in documents.items()]
        (tmp_path / source / "a.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    dedup = {"_target_": "data_pipeline.dedup.minhash.MinHash", "threshold": 0.85, "keep": "first"}
    mix = {"_target_": "data_pipeline.mix.mix.Mix", "held_out_frac": 0.1}
    nothing = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
    changes = {"dedup": dedup, "mix": mix, "decontaminate": nothing, "tokenizer__vocab_size": 262}
    go(config(tmp_path, out, **changes, partition_bytes=700))  # chains and copies cross the borders of partitions
    order = [name for source in ("books", "web") for name in texts[source]]

    exact = members(out / "clusters" / "exact")
    assert {name: (row["cluster"], row["kept_id"], row["similarity"]) for name, row in exact.items()} == {
        "copy-1": (order.index("copy-1"), None, None),
        "copy-2": (order.index("copy-1"), "copy-1", 1.0),
        "copy-0": (order.index("copy-1"), "copy-1", 1.0),
    }
    near = members(out / "clusters" / "near")
    assert {name: (row["cluster"], row["kept_id"], row["similarity"]) for name, row in near.items()} == {
        "below-1": (order.index("below-1"), None, None),
        "below-0": (order.index("below-1"), None, None),
        "copy-1": (order.index("copy-1"), None, None),
        "near-a-copy": (order.index("copy-1"), "copy-1", 46 / 47),
        "chain-0": (order.index("chain-0"), None, None),
        "chain-1": (order.index("chain-0"), "chain-0", 94 / 106),
        "chain-2": (order.index("chain-0"), None, None),
    }
    for row in (*exact.values(), *near.values()):
        assert row["kept"] == (row["kept_id"] is None)
        assert texts[row["source"]][row["id"]].startswith(row["snippet"][:80])
        assert list(texts[row["source"]])[row["row"]] == row["id"]
        assert row["file"] == "a.jsonl"
    removed = members(out / "removed" / "near")
    assert {name: row["cluster"] for name, row in removed.items()} == {
        name: row["cluster"] for name, row in near.items() if not row["kept"]
    }
    assert pq.read_schema(next((out / "clusters" / "near").iterdir())).equals(SCHEMA)
    changes |= {"dedup": {"_target_": "data_pipeline.dedup.exact.Exact"}}
    go(config(tmp_path, out, **changes, partition_bytes=700))
    assert not (out / "clusters" / "near").exists()
    assert members(out / "clusters" / "exact").keys() == exact.keys()

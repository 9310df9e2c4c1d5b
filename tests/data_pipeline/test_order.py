"""What may not depend on the order of the input files, on how records are dealt into files, or on who does the work.

Files are numbered by their names in sorted order, and of documents that the settings don't tell apart the earliest
stays. So of one set of files every byte is the same in whatever order they are listed, and by how many workers. Where
the files are named anew, or records dealt into others, documents stand in another order. The verdicts are the same
where the settings tell documents apart (`keep=score` with scores of their own, `paragraphs.keep=none`); else those that
stay are others of the same groups: of exact copies one, of paragraphs one copy. The held-out split goes by a
document's file and row, and is another: here it takes one document that nothing depends on.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipeline.mix.lots import file_lots, lots
from data_pipeline.mix.split import held_out
from data_pipeline.pipeline import Result

pytestmark = pytest.mark.slow

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Record = dict[str, Any]
NUM_FILES, PLAIN = 6, "plain"
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnpr" for b in "aeiou" for c in ("n", "sto", "rim")]
OF_PLACE = ("file", "row", "kept_file", "kept_row", "cluster")  # columns that say where a document stands


def prose(rng: random.Random, words: int = 60) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def records_of(rng: random.Random) -> tuple[list[Record], list[Record]]:
    """Return the records of all kinds, and the items of the test set."""
    texts = {f"unique-{at}": prose(rng) for at in range(60)}
    items = [prose(rng, 20) for _ in range(6)]
    for at in range(40):
        group = at // 4  # four of each
        texts[f"copy-{at}"] = f"copy of {group} {prose(random.Random(group))}" + " \n" * (at % 4)
        base = f"near of {group} {prose(random.Random(100 + group), 200)}".split()
        base[13 * (at % 4)] = f"new{at}"  # all four have one length: ties where length decides
        texts[f"near-{at}"] = " ".join(base)
        texts[f"paragraph-{at}"] = f"{prose(rng)}\n\nshared by {prose(random.Random(200 + group), 30)}\n\n{prose(rng)}"
    for at, item in enumerate(items):
        texts[f"leak-{at}"] = f"{prose(rng)}. {item}. {prose(rng)}."
    # a chain: each like the next, no other two alike; who stays, follows from the order in which they are judged
    chain = prose(rng, 300).split()
    for at in range(5):
        texts[f"chain-{at}"] = " ".join([*chain[24 * at :], *(f"tail{n}" for n in range(24 * at))])
    scores = rng.sample(range(10_000), len(texts))
    records = [
        {"id": name, "text": text, "score": score} for (name, text), score in zip(texts.items(), scores, strict=True)
    ]
    return records, [{"question": item} for item in items]


def deal(folder: Path, records: list[Record], rng: random.Random, sizes: list[int]) -> None:
    """Write the records in another order into files of these shares; row 0 of each is a document of its own."""
    records = rng.sample(records, len(records))
    borders = np.cumsum([0, *sizes]) * len(records) // sum(sizes)
    folder.mkdir()
    for number in range(len(sizes)):
        mine = records[borders[number] : borders[number + 1]]
        plain = {"id": f"{PLAIN}-{number}", "text": prose(random.Random(1000 + number), 80), "score": -1 - number}
        lines = [json.dumps(record) + "\n" for record in [plain, *mine]]
        (folder / f"{number}.jsonl").write_text("".join(lines))


def seed_of(most_rows: int) -> int:
    """Return a seed of the split that holds out the first row of a file, whichever rows of others are gone."""
    keys = [(file, row) for file in range(NUM_FILES) for row in range(most_rows)]
    files, rows = np.array(keys).T
    names = [("test", f"{number}.jsonl") for number in range(NUM_FILES)]
    for seed in range(100_000):
        drawn = lots(file_lots("split", seed, names), files, rows)
        if rows[held_out(drawn, np.zeros_like(files), np.zeros_like(files), 1e-9)].tolist() == [0]:
            return seed
    raise AssertionError("no seed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("order")
    records, items = records_of(random.Random(11))
    (folder / "test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder, records


@pytest.fixture(scope="module")
def tree(made: Any, config: Config) -> Callable[..., dict[str, Any]]:
    """The config of a run over the files of a folder; every stage has something to do."""

    def tree(inputs: Path, out: Path, workers: int = 1, paths: list[str] | None = None, **changes: Any) -> Any:
        corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": paths or [f"{inputs}/*.jsonl"]}
        tree = config(made[0], out, executor__workers=workers, corpus=corpus, partition_bytes=1 << 14)
        tree["mix"] |= {"held_out_frac": 1e-9, "seed": seed_of(60)}
        tree["paragraphs"] |= {"min_words": 10, "max_documents": 2}
        tree["dedup"] |= {"max_loss_frac": 1.0}
        for group, keys in changes.items():
            tree[group] |= keys
        return tree

    return tree


def rows_in(out: Path, kind: str) -> list[Record]:
    paths = sorted((out / kind).rglob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def evidence(out: Path) -> list[str]:
    """Return the rows of removed/, what says where they are left out."""
    rows = [{name: value for name, value in row.items() if name not in OF_PLACE} for row in rows_in(out, "removed")]
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def clusters(out: Path, stage: str) -> set[frozenset[str]]:
    """Return the ids of each cluster of a stage."""
    ids = defaultdict(set)
    for row in rows_in(out / "clusters", stage):
        ids[row["cluster"]].add(row["id"])
    return {frozenset(each) for each in ids.values()}


def texts(decoded: Any, out: Path) -> list[str]:
    """Return all that is left, held out or not, in order of the alphabet."""
    return sorted(text for sources in decoded(out).values() for of_source in sources.values() for text in of_source)


@pytest.mark.bad_input(43)
def test_the_same_bytes_by_any_workers_and_in_any_order_of_the_list(
    made: Any, tree: Any, go: Go, output_hashes: Any, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs"
    deal(inputs, made[1], random.Random(1), [1] * NUM_FILES)
    names = [str(path) for path in inputs.iterdir()]
    found = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        go(tree(inputs, out, workers, random.Random(workers).sample(names, len(names))) | {"name": "same"})
        found.append(output_hashes(out))
    assert found[0] == found[1]
    stages = {row["stage"] for row in rows_in(tmp_path / "out1", "removed")}
    assert stages == {"exact", "near", "paragraphs", "decontaminate"}
    assert (tmp_path / "out1/clusters/near").is_dir() and (tmp_path / "out1/signatures").is_dir()


def test_verdicts_follow_from_the_documents_where_the_settings_tell_them_apart(
    made: Any, tree: Any, go: Go, decoded: Any, tmp_path: Path
) -> None:
    settings = {"dedup": {"keep": "score", "keep_field": "score"}, "paragraphs": {"keep": "none"}}
    outs = []
    for number, sizes in enumerate(([1] * NUM_FILES, [3, 1, 1, 1, 1, 5])):
        inputs, out = tmp_path / f"inputs{number}", tmp_path / f"out{number}"
        deal(inputs, made[1], random.Random(number), sizes)
        for action in ("drop", "cut"):
            go(tree(inputs, out, 1 + number % 2, **settings, decontaminate={"action": action}))
            found = evidence(out), clusters(out, "exact"), clusters(out, "near"), texts(decoded, out)
            outs.append((action, *found))
    for action in ("drop", "cut"):
        first, *others = [each for each in outs if each[0] == action]
        assert all(other == first for other in others)
        reasons = Counter(json.loads(row)["reason"] for row in first[1])
        assert (
            reasons["exact_duplicate"] == reasons["near_duplicate"] - 2 == 30
        )  # of the chain the second and the fourth
        assert reasons["repeated_paragraph"] == 40
        assert reasons["contaminated" if action == "drop" else "contaminated_sentences"] == 6
        assert first[3] >= {frozenset(f"chain-{at}" for at in range(5))}


def test_of_equals_the_earliest_stays_and_the_groups_are_the_same(
    made: Any, tree: Any, go: Go, decoded: Any, tmp_path: Path
) -> None:
    """What goes by the order by definition, and what does not all the same."""
    found = []
    for number, sizes in enumerate(([1] * NUM_FILES, [3, 1, 1, 1, 1, 5])):
        inputs, out = tmp_path / f"inputs{number}", tmp_path / f"out{number}"
        deal(inputs, made[1], random.Random(number), sizes)
        go(tree(inputs, out, dedup={"keep": "first"}))
        order = [json.loads(line)["id"] for path in sorted(inputs.iterdir()) for line in path.open()]
        for cluster in clusters(out, "exact"):
            kept = {row["kept_id"] for row in rows_in(out, "removed/exact") if row["id"] in cluster}
            assert kept == {min(cluster, key=order.index)}
        words = sorted(map(words_of, texts(decoded, out)))
        kinds = Counter((row["stage"], row["reason"], row["id"].partition("-")[0]) for row in rows_in(out, "removed"))
        del kinds[("near", "near_duplicate", "chain")]  # how many of the chain stay goes by where one begins
        copies = [each for each in words if each.startswith("copy of")]
        found.append((kinds, clusters(out, "exact"), clusters(out, "near"), copies))
    assert found[0] == found[1]


def words_of(text: str) -> str:
    return " ".join(text.lower().split())

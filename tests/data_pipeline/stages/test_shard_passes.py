"""From stored partitions to shards in two passes: the bytes of one plain pass, however documents are dealt out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_pipeline.documents import SCHEMA
from data_pipeline.mix.lots import file_lots, lot
from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.kernels import lay_out_plainly
from data_pipeline.shards.reader import Shard
from data_pipeline.shards.writer import Sharder, SourceWriter
from data_pipeline.stages.assembled import Assemble, read_tally
from data_pipeline.stages.encoded import Encode, Item, in_order
from data_pipeline.stages.shard_plan import Encoded, ShardItem, plan_shards
from data_pipeline.stages.view import Slice, batch_path, write_partition
from data_pipeline.storage import DamagedFile, DiskFull
from data_pipeline.tokenize.bpe import ByteLevelBPE
from tests.data_pipeline.open_files import open_files

FILES = ["a.jsonl", "b.jsonl"]
DTYPE, EOT = np.dtype("<u2"), "<|endoftext|>"
MAX_TOKENS = 1000
WORDS = ["one", "two", " three", "\n", "\N{GREEK SMALL LETTER PI}", "0", " four five"]
Key = tuple[int, int]  # file, row


@dataclass
class Corpus:
    """Documents of one source. Attributes: texts: by key; held_out: keys; groups: component by key."""

    texts: dict[Key, str]
    held_out: set[Key]
    groups: dict[Key, str]


@pytest.fixture(scope="module")
def tokenizer_json() -> bytes:
    return ByteLevelBPE(vocab_size=270).train(iter([" ".join(WORDS) * 40]))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(5)
    keys = [(file, row) for file in (0, 1) for row in range(60) if rng.random() < 0.9]
    texts = {key: "".join(rng.choice(WORDS, rng.integers(0, 120))) for key in keys}
    texts[0, 7] = "x" * 3000  # a shard of its own
    held_out = {key for key in keys if rng.random() < 0.2}
    return Corpus(texts, held_out, {key: f"web.{'en' if rng.random() < 0.7 else 'de'}" for key in keys})


def items(folder: Path, corpus: Corpus, cuts: list[int], seed: int | None) -> Iterator[Item]:
    """Store the documents in partitions cut at these places, and yield them to be encoded."""
    keys = sorted(corpus.texts)
    bounds = [0, *sorted({cut % len(keys) for cut in cuts} - {0}), len(keys)]
    first = 0
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        mine = keys[start:stop]
        columns = {"file": [file for file, _ in mine], "row": [row for _, row in mine]}
        columns |= {"id": [f"id {key}" for key in mine], "text": [corpus.texts[key] for key in mine]}
        batch = pa.RecordBatch.from_pydict(columns | {"metadata": ["{}"] * len(mine)}, schema=SCHEMA)
        partition = write_partition(folder, f"00000-{number:05d}", "web", batch)
        piece = Slice(partition, batch_path(folder, partition.name), np.ones(len(mine), bool), first)
        groups, files = sorted({corpus.groups[key] for key in mine}), sorted({file for file, _ in mine})
        names = [FILES[file] for file in files]
        yield Item(
            piece=piece,
            held_out=np.array([key in corpus.held_out for key in mine]),
            names=groups,
            components=np.array([groups.index(corpus.groups[key]) for key in mine], np.int32),
            files=np.array(files, np.int32),
            file_names=names,
            file_lots=None if seed is None else file_lots("shards", seed, [("web", name) for name in names]),
        )
        first += len(mine)


def encoded(folder: Path, corpus: Corpus, tokenizer_json: bytes, cuts: list[int], seed: int | None) -> list[Encoded]:
    encode = Encode(tokenizer_json, EOT, folder / "shards", DTYPE)
    parts = [(item.piece.partition.name, encode(item).facts) for item in items(folder, corpus, cuts, seed)]
    return [Encoded(name, facts["index_hash"], facts["runs"]) for name, facts in parts]


def assembler(folder: Path, cell_bytes: int = 1 << 20) -> Assemble:
    sharder = Sharder()
    sharder.cell_bytes = cell_bytes  # less than a user may set: many cells a shard
    return Assemble(folder / "shards", folder / "out", sharder, DTYPE, np.zeros(270, np.bool_))


def written(
    folder: Path, corpus: Corpus, tokenizer_json: bytes, cuts: list[int], seed: int | None, cell_bytes: int = 1 << 20
) -> dict[str, bytes]:
    """Go both passes; return every file of the shards."""
    parts, assemble = encoded(folder, corpus, tokenizer_json, cuts, seed), assembler(folder, cell_bytes)
    for item in plan_shards(folder / "shards", parts, MAX_TOKENS):
        assemble(item)
    return {str(path.relative_to(folder / "out")): path.read_bytes() for path in (folder / "out").rglob("*.*")}


def in_plain_order(corpus: Corpus, split: str, component: str, seed: int | None) -> list[Key]:
    keys = [key for key in sorted(corpus.texts) if corpus.groups[key] == component]
    keys = [key for key in keys if (key in corpus.held_out) == (split == "val")]
    return keys if seed is None else sorted(keys, key=lambda key: lot("shards", seed, ("web", FILES[key[0]]), key[1]))


def test_a_shard_is_of_more_partitions_than_files_may_be_open(tokenizer_json: bytes, tmp_path: Path) -> None:
    keys = [(0, row) for row in range(60)]
    short = Corpus({key: f"one {key[1]}" for key in keys}, set(), dict.fromkeys(keys, "web"))
    expected = written(tmp_path / "one", short, tokenizer_json, [], 7)
    with open_files(more=24):
        assert written(tmp_path / "many", short, tokenizer_json, list(range(1, 60)), 7) == expected


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 200), max_size=6), cell_tokens=st.sampled_from([1, 100, 5000]))
def test_the_bytes_are_the_same_for_any_partitions_and_cells(
    corpus: Corpus,
    tokenizer_json: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    cell_tokens: int,
) -> None:
    first = written(tmp_path_factory.mktemp("one"), corpus, tokenizer_json, [], 3)
    other = written(tmp_path_factory.mktemp("other"), corpus, tokenizer_json, cuts, 3, 2 * cell_tokens)
    assert other == first
    assert len([name for name in first if name.endswith(".bin")]) > 6


@pytest.mark.parametrize("seed", [None, 0, 2**64 - 1])
def test_shards_are_those_of_one_plain_pass(
    corpus: Corpus, tokenizer_json: bytes, tmp_path: Path, seed: int | None
) -> None:
    found = written(tmp_path / "ours", corpus, tokenizer_json, [30, 31, 70], seed, 200)
    tokenizer, plain = Tokenizer.from_str(tokenizer_json.decode()), tmp_path / "plain"
    eot_id = tokenizer.token_to_id(EOT)
    for split, component in itertools.product(("train", "val"), ("web.de", "web.en")):
        keys = in_plain_order(corpus, split, component, seed)
        texts = [tokenizer.encode(corpus.texts[key], add_special_tokens=False).ids for key in keys]
        with SourceWriter(plain / split, component, DTYPE, MAX_TOKENS * 2) as writer:
            ids = np.array(lay_out_plainly(texts, range(len(texts)), eot_id), DTYPE)
            writer.add(ids, np.array([len(text) + 1 for text in texts], np.int32))
            shards = writer.finish()
        tables = [pq.read_table(tmp_path / f"ours/out/{split}/{info.name}.documents.parquet") for info in shards]
        assert [table.num_rows for table in tables] == [info.num_documents for info in shards]
        rows = [row for table in tables for row in table.to_pylist()]
        assert rows == [{"source_file": FILES[file], "row": row, "id": f"id {(file, row)}"} for file, row in keys]
    plain_files = {str(path.relative_to(plain)): path.read_bytes() for path in plain.rglob("*.*")}
    assert {name: data for name, data in found.items() if not name.endswith(".parquet")} == plain_files


def test_the_table_has_the_columns_that_are_promised(corpus: Corpus, tokenizer_json: bytes, tmp_path: Path) -> None:
    written(tmp_path, corpus, tokenizer_json, [], 3)
    schema = pq.read_schema(tmp_path / "out/train/web.en_00000.documents.parquet")
    assert schema.names == ["source_file", "row", "id"]
    assert schema.types == [pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.string()]
    column = pq.read_metadata(tmp_path / "out/train/web.en_00000.documents.parquet").row_group(0).column(2)
    assert column.compression == "ZSTD"


def test_ids_are_counted_while_shards_are_written(corpus: Corpus, tokenizer_json: bytes, tmp_path: Path) -> None:
    parts, assemble = encoded(tmp_path, corpus, tokenizer_json, [20], 3), assembler(tmp_path)
    for item in plan_shards(tmp_path / "shards", parts, MAX_TOKENS):
        facts = assemble(item).facts
        tally = read_tally(tmp_path / "shards", item.split, facts, 270)
        shard = Shard(tmp_path / "out" / item.split / item.name)
        tokens = shard.tokens(0, shard.num_tokens)
        expected = np.bincount(tokens, minlength=270)
        expected[0] -= shard.num_documents
        assert tally.counts.tolist() == expected.tolist()
        assert tally.lengths.sum() == shard.num_documents and tally.longest[0] == shard.lengths.max()


@pytest.mark.parametrize("suffix", [".bin", ".arrow"])
def test_a_flipped_bit_of_an_encoded_part_is_named_and_never_goes_into_a_shard(
    corpus: Corpus, tokenizer_json: bytes, tmp_path: Path, suffix: str
) -> None:
    parts = encoded(tmp_path, corpus, tokenizer_json, [50], 3)
    planned = list(plan_shards(tmp_path / "shards", parts, MAX_TOKENS))
    path = next((tmp_path / "shards").glob(f"*00001{suffix}"))
    data = path.read_bytes()
    places = [len(data) // 2]
    if suffix == ".arrow":
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            batch = reader.get_batch(0)
        places = [data.index(batch.column("id")[3].as_py().encode())]
        places.append(data.index(batch.column("row").buffers()[1].to_pybytes()))
    for at in places:
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(DamagedFile, match=r"00000-00001\.bin: the document '.d .* is not what was written"):
            for item in planned:
                assembler(tmp_path)(item)
        path.write_bytes(data)
    if suffix == ".bin":
        path.write_bytes(data[:-2])
        with pytest.raises(DamagedFile, match=r"00000-00001\.bin: cut short"):
            for item in planned:
                assembler(tmp_path)(item)
    else:
        path.write_bytes(data[: places[0]] + bytes([data[places[0]] ^ 4]) + data[places[0] + 1 :])
        with pytest.raises(DamagedFile, match=r"00000-00001\.arrow: its bytes are not those that were written"):
            list(plan_shards(tmp_path / "shards", parts, MAX_TOKENS))


def test_an_id_above_the_vocabulary_is_named_with_its_document(
    corpus: Corpus, tokenizer_json: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Encode(tokenizer_json, EOT, tmp_path / "shards", DTYPE)
    item = next(items(tmp_path, replace(corpus, texts={(0, 1): "one", (0, 2): "two"}), [], 3))
    monkeypatch.setattr(encode._encoder, "vocab_size", 200)  # as where the file changed under the engine
    with pytest.raises(ShardError, match=r"document 'id \(0, 1\)' has token id \d+, the vocabulary ends at 199"):
        encode(item)


@pytest.mark.parametrize("file", [".web.en_00000.bin.tmp", ".web.en_00000.idx.tmp"])
def test_a_full_disk_is_named_and_leaves_no_shard(
    corpus: Corpus, tokenizer_json: bytes, tmp_path: Path, file: str
) -> None:
    parts = encoded(tmp_path, corpus, tokenizer_json, [50], 3)
    planned = list(plan_shards(tmp_path / "shards", parts, MAX_TOKENS))
    item = next(each for each in planned if (each.split, each.name) == ("train", "web.en_00000"))
    folder = tmp_path / "out" / "train"
    folder.mkdir(parents=True)
    (folder / file).symlink_to("/dev/full")  # a real ENOSPC
    with pytest.raises(DiskFull, match=r"web\.en_00000: the disk is full: [\d,]+ bytes needed, [\d,]+ bytes free"):
        assembler(tmp_path)(item)
    assert not list(folder.glob("*.tmp*")) and not list(folder.glob("web.en_00000.[bis]*"))
    assembler(tmp_path)(item)
    shard = Shard(folder / item.name)
    assert len(shard.tokens(0, shard.num_tokens)) == shard.num_tokens  # every block is what was written


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), max_size=30))
def test_the_order_is_by_lot_and_ties_by_key(documents: list[tuple[int, int, int, int]]) -> None:
    documents = list(dict.fromkeys(documents))
    columns = [np.array([each[place] for each in documents], np.int64) for place in range(4)]
    drawn = columns[0].astype(np.uint64)
    if drawn.any():
        plainly = sorted(range(len(documents)), key=lambda place: (documents[place][3], *documents[place][:3]))
    else:
        plainly = sorted(range(len(documents)), key=lambda place: documents[place][3])
    assert in_order(drawn, columns[1], columns[2], columns[3]).tolist() == plainly
    if len({each[3] for each in documents}) == 1:
        assert in_order(drawn, columns[1], columns[2]).tolist() == plainly


def test_what_a_shard_hangs_on_is_in_its_key(corpus: Corpus, tokenizer_json: bytes, tmp_path: Path) -> None:
    def keys(name: str, seed: int, changed: str | None = None) -> list[str]:
        texts = corpus.texts if changed is None else corpus.texts | {(0, 3): changed}
        parts = encoded(tmp_path / name, replace(corpus, texts=texts), tokenizer_json, [50], seed)
        found: list[ShardItem] = list(plan_shards(tmp_path / name / "shards", parts, MAX_TOKENS))
        return [item.key for item in found]

    first = keys("a", 3)
    assert keys("b", 3) == first and len(set(first)) == len(first)
    assert not set(keys("c", 4)) & set(first)
    assert set(keys("d", 3, "changed")) != set(first)

"""What is printed of a folder is what it holds; documents are shown as they are, whole or cut as asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.inspect import Show, inspect_folder, inspect_shard
from data_pipeline.inspection.text import MARKS, Decoder
from data_pipeline.shards.errors import DamagedShard
from data_pipeline.shards.index import index_bytes
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from foundation.progress import human

FIXTURES = Path(__file__).parents[1] / "shards" / "fixtures"
Decoded = dict[str, dict[str, list[str]]]


def test_the_numbers_are_those_of_the_documents(
    finished: Path, decoded: Callable[[Path], Decoded], capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_folder(finished, Show())
    shown = capsys.readouterr().out
    manifest = Manifest.load(finished)
    assert f"{manifest.tokenizer_hash}, 400 entries, end of text 0 '<|endoftext|>'" in shown and "uint16" in shown
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in shown.splitlines() if re.match("(train|val) ", line)}
    for split, sources in decoded(finished).items():
        for source, texts in sources.items():
            documents, tokens, *others = rows[split, source]
            size = sum(len(text.encode()) for text in texts)
            held = manifest.splits[split][source]
            assert (documents, tokens) == (f"{len(texts):,}", f"{held.tokens:,}")
            weight = {"web": "3", "books": "1"}[source]
            ratio = f"{size / (held.tokens - len(texts)):.2f}"
            assert others == [*human(size, "B").split(), ratio, "weight", weight, str(len(held.shards))]


def test_documents_from_a_position_on_are_shown_whole(
    finished: Path,
    decoded: Callable[[Path], Decoded],
    starts: Callable[[str, str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts, first = decoded(finished)["train"]["books"], starts("train", "books")[3]
    inspect_folder(finished, Show(2, f"train/books:{first + 1}", whole=True))
    shown = capsys.readouterr().out
    for text in texts[3:5]:
        assert f"\n{text}<|endoftext|>\n" in shown
    assert texts[5] not in shown and "document 3, " in shown and "document 4, " in shown


def test_drawn_documents_follow_from_the_seed(
    finished: Path, decoded: Callable[[Path], Decoded], capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(seed: int, number: int = 3) -> str:
        inspect_folder(finished, Show(number, None, seed))
        return capsys.readouterr().out

    assert drawn(1) == drawn(1) != drawn(2)
    total = sum(len(texts) for sources in decoded(finished).values() for texts in sources.values())
    everything = drawn(1, 10_000)
    assert everything.count(" document ") == total == len(set(re.findall(r"\n(\S+:\d+)  document", everything)))


def test_long_documents_are_cut_and_say_so(
    finished: Path,
    decoded: Callable[[Path], Decoded],
    starts: Callable[[str, str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = decoded(finished)["train"]["books"]
    place = max(range(len(texts)), key=lambda place: len(texts[place]))
    inspect_folder(finished, Show(1, f"train/books:{starts('train', 'books')[place]}"))
    more = len(texts[place] + "<|endoftext|>") - 1000
    assert more > 0 and f"\n{texts[place][:1000]}… ({more:,} more characters)\n" in capsys.readouterr().out


def test_ids_stand_beside_their_positions_and_tokens(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shard = open_split(finished, Manifest.load(finished), "train")["books"].shards[0]
    ids = np.asarray(shard.tokens(0, int(shard.document_starts[1])))
    decoder = Decoder((finished / "tokenizer.json").read_bytes(), "t")
    for place, line in enumerate(decoder.columns(ids, 5000, 1)):
        position, number, *_ = line.split()
        assert (position, number) == (f"{5000 + place:,}", str(ids[place]))
        token = decoder.text(ids[place : place + 1])
        assert line.endswith(token) or not token.strip() or len(token) > 16
    inspect_folder(finished, Show(1, "train/books:0", ids=True, whole=True))
    shown = capsys.readouterr().out
    for line in decoder.columns(ids, 0, 120):
        assert f"\n{line}\n" in shown


def test_a_pair_without_manifest(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in (".bin", ".idx"):
        (tmp_path / f"x{suffix}").write_bytes((finished / f"shards/train/web_00000{suffix}").read_bytes())
    inspect_folder(finished, Show(1, "train/web_00000:700", whole=True))
    expected = capsys.readouterr().out.split(" document ")[1]
    for name in ("x", "x.bin", "x.idx"):
        inspect_shard(tmp_path / name, finished / "tokenizer.json", Show(1, "700", whole=True))
        assert capsys.readouterr().out.split(" document ")[1] == expected
    with pytest.raises(InspectionError, match="--from 99999999: this shard has tokens 0 to"):
        inspect_shard(tmp_path / "x", finished / "tokenizer.json", Show(1, "99999999"))
    with pytest.raises(InspectionError, match=r"--tokenizer .*absent: no tokenizer.json is there"):
        inspect_shard(tmp_path / "x", tmp_path / "absent", Show(1))
    (tmp_path / "x.bin").write_bytes(b"12")
    with pytest.raises(DamagedShard, match=r"x\.bin: 2 bytes, the lengths in its \.idx make"):
        inspect_shard(tmp_path / "x", finished / "tokenizer.json", Show())


@pytest.mark.parametrize(("dtype", "wrong"), [("uint16", 5000), ("int32", -3), ("int32", 2**31 - 1), ("int32", 400)])
@pytest.mark.parametrize("ids", [False, True])
def test_an_id_that_no_token_has_is_named(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str, wrong: int, ids: bool
) -> None:
    tokens, lengths = np.array([70, 71, 0, 72, wrong, 73, 0], dtype), np.array([3, 4], np.int32)
    (tmp_path / "x.bin").write_bytes(tokens.tobytes())
    (tmp_path / "x.idx").write_bytes(index_bytes(tokens.dtype, lengths))
    tokenizer = finished / "tokenizer.json"
    with pytest.raises(InspectionError) as caught:
        inspect_shard(tmp_path / "x", tokenizer, Show(2, "0", ids=ids))
    assert f"x:3: token 4 has id {wrong}, which the vocabulary of {tokenizer} does not have" in str(caught.value)
    assert "its largest is 399; name the tokenizer that encoded these" in str(caught.value)
    shown = capsys.readouterr().out
    assert "x:0  document 0, 3 tokens" in shown and "document 1" not in shown


def test_an_id_in_a_hole_of_the_vocabulary_is_named(finished: Path, tmp_path: Path) -> None:
    record = orjson.loads((finished / "tokenizer.json").read_bytes())
    *_, (last, number) = sorted(record["model"]["vocab"].items(), key=lambda item: item[1])
    record["model"]["vocab"][last] = number + 100
    tokens = np.array([70, number + 100, number + 50, 0], np.uint16)
    decoder = Decoder(orjson.dumps(record), "t")
    decoder.check("x:0", tokens[:2], 10)
    with pytest.raises(InspectionError, match=rf"x:0: token 12 has id {number + 50}, which the vocabulary of t does"):
        decoder.check("x:0", tokens, 10)


def test_megatrons_sequences_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_shard(FIXTURES / "two_sequences.bin", tmp_path / "none", Show())
    assert re.search(r"documents: (\d+) of (\d+) sequences", capsys.readouterr().out)


def test_the_token_that_was_asked_for_is_marked(finished: Path) -> None:
    decoder = Decoder((finished / "tokenizer.json").read_bytes(), "t")
    shard = open_split(finished, Manifest.load(finished), "train")["books"].shards[0]
    ids = shard.tokens(0, int(shard.document_starts[1]))
    for place in (0, 1, 30, len(ids) - 1):
        around = decoder.around(ids, place, 10)
        before, rest = around.split(MARKS[0])
        token, after = rest.split(MARKS[1])
        assert token == decoder.text(ids[place : place + 1])
        assert before.removeprefix("…") == decoder.text(ids[max(place - 10, 0) : place])
        assert after.removesuffix("…") == decoder.text(ids[place + 1 : place + 11])
        assert before.startswith("…") == (place > 10) and after.endswith("…") == (place + 11 < len(ids))


def test_columns_read_downwards_in_any_width(finished: Path) -> None:
    decoder = Decoder((finished / "tokenizer.json").read_bytes(), "t")
    ids = np.arange(1, 30)
    for width in (10, 60, 200):
        lines = decoder.columns(ids, 1000, width)
        firsts = [int(line.split()[0].replace(",", "")) for line in lines]
        assert firsts == list(range(1000, 1000 + len(lines)))
        assert all(len(line) <= max(width, 40) for line in lines)

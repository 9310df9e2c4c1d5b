from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from data_pipeline.sources.hub import BUILDERS, Hub
from data_pipeline.sources.text import Text
from data_pipeline.stages.source_settings import describe
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files of JSON lines."""
    paths = []
    for part in range(2):
        path = tmp_path / "in" / f"{part}.jsonl"
        path.parent.mkdir(exist_ok=True)
        rows = [{"id": f"{part}-{row}", "text": f"é {part} {row}", "more": {"n": [row]}} for row in range(1500)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
    return paths


def versions(source: Hub) -> list[str]:
    return [file.version for file in source.files()]


def test_a_builder_reads_local_files(read: Read, files: list[str]) -> None:
    for partition_bytes in (100, 20_000, 1 << 20):
        documents, quarantined = read(Hub("json", data_files=files), partition_bytes)
        assert quarantined == []
        assert len(documents) == 3000
        assert documents[1501] == {
            "file": 0, "row": 1501, "id": "1-1", "text": "é 1 1", "metadata": '{"more":{"n":[1]}}'
        }  # fmt: skip


def test_streaming_reads_the_same_documents_shard_by_shard(read: Read, files: list[str]) -> None:
    whole, _ = read(Hub("json", data_files=files))
    source = Hub("json", data_files=files, streaming=True)
    parts, _ = read(source)
    assert [file.name for file in source.files()] == ["json/train/00000", "json/train/00001"]
    assert [(each["file"], each["row"]) for each in (parts[0], parts[1500])] == [(0, 0), (1, 0)]
    content = ("id", "text", "metadata")
    assert [[each[key] for key in content] for each in parts] == [[each[key] for key in content] for each in whole]


def test_blocks_are_cut_by_content_and_stand_for_themselves(files: list[str]) -> None:
    source = Hub("json", data_files=files)
    (file,) = source.files()
    blocks = list(source.blocks(file, 20_000))
    assert len(blocks) > 3
    assert all(block.unpacked_bytes <= 20_000 for block in blocks)
    assert [block.data for block in blocks] == [block.data for block in source.blocks(file, 20_000)]
    late = source.parse(blocks[-1], file, 0).documents
    assert late.column("row").to_pylist() == list(range(blocks[-1].first_row, 3000))


def test_a_saved_folder_is_read(read: Read, files: list[str], tmp_path: Path) -> None:
    rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "other"))
    rows.shuffle(seed=1).save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"a": rows.select(range(3)), "b": rows}).save_to_disk(str(tmp_path / "two"))
    documents, _ = read(Hub(str(tmp_path / "one")))
    assert [each["id"] for each in documents] == rows.shuffle(seed=1)["id"][:]
    source = Hub(str(tmp_path / "two"), split="a")
    assert [each["id"] for each in read(source)[0]] == ["0-0", "0-1", "0-2"]
    assert [file.name for file in source.files()] == ["two/a"]
    for folder in ("one", "two"):
        with pytest.raises(InputError, match=r"corpus\.split: .* has no split 'test'; there are: (train|a, b)$"):
            Hub(str(tmp_path / folder), split="test").files()


def test_a_folder_of_data_files_is_read(read: Read, files: list[str], tmp_path: Path) -> None:
    documents, _ = read(Hub(str(tmp_path / "in")))
    assert len(documents) == 3000
    with pytest.raises(InputError, match="has no split 'dev'; there are: train"):
        Hub(str(tmp_path / "in"), split="dev").files()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_version_changes_with_the_files_and_not_without(files: list[str], tmp_path: Path, streaming: bool) -> None:
    sources = (Hub("json", data_files=files, streaming=streaming), Hub(str(tmp_path / "in"), streaming=streaming))
    for turn, source in enumerate(sources):
        before = versions(source)
        assert versions(source) == before
        assert source.files()[0].state() == [0, before[0]]
        Path(files[0]).write_text(json.dumps({"id": "0", "text": "else", "more": {"n": [0]}}) + "\n")
        os.utime(files[0], (turn, turn))
        assert versions(source) != before


def test_a_saved_folder_that_is_written_anew_has_another_version(files: list[str], tmp_path: Path) -> None:
    for number in range(2):
        folder = tmp_path / "saved"
        datasets.Dataset.from_dict({"text": [f"a{number}"]}).save_to_disk(str(folder))
        if number == 0:
            before = versions(Hub(str(folder)))
            assert versions(Hub(str(folder))) == before
    assert versions(Hub(str(folder))) != before


def test_rows_without_text_are_quarantined(read: Read, tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a", None, "b"], "id": [1, 2, None]}).save_to_disk(str(tmp_path / "saved"))
    documents, quarantined = read(Hub(str(tmp_path / "saved")))
    assert [(each["row"], each["id"]) for each in documents] == [(0, "1"), (2, "saved/train#2")]
    assert [(each.row, each.reason) for each in quarantined] == [(1, "text_type")]


def test_a_missing_column_is_named(files: list[str]) -> None:
    source = Hub("json", data_files=files, text_key="txt")
    with pytest.raises(InputError, match=r"no column 'txt' \(corpus\.text_key\).* did you mean 'text'"):
        list(source.blocks(source.files()[0], 1000))


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.path: 'json' can't be loaded .*FileNotFoundError"):
        Hub("json", data_files=[str(tmp_path / "gone.jsonl")]).files()
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": [1]}\n{"te')
    source = Hub("json", data_files=[str(tmp_path / "bad.jsonl")])
    with pytest.raises(InputError, match="can't be loaded by datasets"):
        list(source.blocks(source.files()[0], 1000))


def test_builders_that_may_run_what_they_read_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "in.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (tmp_path / "in" / "a.pkl").write_bytes(b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    for source in (
        Hub(str(tmp_path / "in")),
        Hub(str(tmp_path / "in" / "in.py")),
        Hub("pandas", data_files=[str(tmp_path / "in" / "a.pkl")], revision="0" * 40),
    ):
        with pytest.raises(InputError, match=rf"none of {', '.join(BUILDERS)}|can't be loaded"):
            list(source.blocks(source.files()[0], 1000))
    assert not canary.exists()


def test_settings_that_cannot_work_are_refused() -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("path", {"path": ""}),
        ("split", {"path": "a/b", "split": "train[:10%]"}),
        ("revision", {"path": "a/b", "revision": "main"}),
        ("data_files", {"path": "json"}),
        ("id_key", {"path": "a/b", "id_key": "text"}),
    ]
    for key, arguments in refused:
        with pytest.raises(SettingError, match=f"^{key}: "):
            Hub(**arguments)
    describe(Hub("a/b"))


@pytest.mark.parametrize(
    "given",
    ["https://host/x.json?f=a,b&hmac=canary", "zip://x::https://host/x.json?canary", "http://host/x.json#canary"],
)
def test_an_address_with_a_query_is_refused_and_it_is_not_repeated(given: str) -> None:
    with pytest.raises(
        SettingError, match=r"^data_files: \S*http\S*host/x\.json is followed by .*corpus\.paths"
    ) as caught:
        Hub("json", data_files=["a.json", given])
    assert "canary" not in str(caught.value)
    Hub("json", data_files=["https://host/x.json", "data-?.json"])


def test_what_datasets_says_of_an_address_is_shown_without_its_query() -> None:
    source = Hub("json", data_files=["x.json"])
    with pytest.raises(InputError, match=r"https://host/x\?f=\*\*\*&hmac=\*\*\* is gone"):
        source._raise(ValueError("https://host/x?f=a,b&hmac=canary is gone"))


def test_a_data_set_of_the_hub_needs_its_commit() -> None:
    with pytest.raises(InputError, match=r"corpus\.revision: null, and 'some/thing' is no folder.*40 hex digits"):
        Hub("some/thing").files()


def test_where_the_hub_cannot_be_reached_the_message_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "from data_pipeline.sources.hub import Hub\n"
        "from foundation.errors import InputError\n"
        "try: Hub('some/thing', revision='0' * 40).files()\n"
        "except InputError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "'some/thing' is of the Hub, which can't be reached" in done.stdout
    assert "save_to_disk" in done.stdout


def test_a_run_over_it_equals_one_over_the_text_itself(
    config: Callable[..., dict[str, Any]], go: Callable[..., Any], made: Any, tmp_path: Path, decoded: Any
) -> None:
    texts = [" ".join(f"w{(row * 37 + place * place) % 997}" for place in range(120)) for row in range(60)]
    (tmp_path / "plain.txt").write_text("\n".join(texts))
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(str(tmp_path / "saved"))
    hashes, documents = [], []
    plain = {"_target_": f"{Text.__module__}.Text", "paths": [f"{tmp_path}/plain.txt"], "separator": "\n"}
    saved = {"_target_": f"{Hub.__module__}.Hub", "path": str(tmp_path / "saved")}
    for number, (source, workers) in enumerate(((plain, 1), (saved, 1), (saved, 2))):
        tree = config(made.folder, tmp_path / f"out{number}", executor__workers=workers, partition_bytes=1 << 12)
        tree["corpus"] = source | {"source": "same"}
        go(tree)
        shards = sorted((tmp_path / f"out{number}" / "shards").rglob("*.bin"))
        hashes.append([path.read_bytes() for path in shards])
        documents.append(
            sorted(text for split in decoded(tmp_path / f"out{number}").values() for text in split["same"])
        )
    assert hashes[1] == hashes[2] and hashes[1]
    assert documents[0] == documents[1] == sorted(texts)  # what is held out goes by the files' names, too

"""Buckets, on moto's server of S3."""

from __future__ import annotations

import gzip
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data_pipeline.sources import remote_stream
from data_pipeline.sources.arrow import Arrow
from data_pipeline.sources.csv import Csv
from data_pipeline.sources.inputs import find_files
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.parquet import Parquet
from data_pipeline.sources.source import InputChanged
from data_pipeline.sources.text import Text
from data_pipeline.stages.inputs import group_files
from foundation.errors import InputError, SettingError

moto_server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

Read = Callable[..., Any]
SECRET = "opensesame-opensesame"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system of a bucket `dumps`, empty; keys and the endpoint are in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote_stream, "WAITS_S", (0.0, 0.0))
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("dumps")
    yield files
    files.rm("dumps", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_pattern_finds_files_sorted_and_each_once(bucket: Any, read: Read) -> None:
    bucket.pipe("dumps/2024/b.jsonl.zst", zstandard.compress(b'{"text": "b"}\n'))
    bucket.pipe("dumps/2024/a.jsonl.gz", gzip.compress(b'{"text": "a"}\n'))
    bucket.pipe("dumps/2023/c.jsonl", b'{"text": "c"}\n')
    bucket.pipe("dumps/2023/other.txt", b"none of it")
    bucket.touch("dumps/2023/folder/")
    source = Jsonl(["s3://dumps/**/*.jsonl*", "s3://dumps/2024/?.jsonl.gz", "s3://dumps/2023/c.jsonl"])
    files = source.files()
    assert [file.name for file in files] == ["2023/c.jsonl", "2024/a.jsonl.gz", "2024/b.jsonl.zst"]
    assert files[0].where == "s3://dumps/2023/c.jsonl"
    assert files[0].size_bytes == 14
    documents, _ = read(source)
    assert [(each["id"], each["text"]) for each in documents] == [
        ("2023/c.jsonl#0", "c"), ("2024/a.jsonl.gz#0", "a"), ("2024/b.jsonl.zst#0", "b"),
    ]  # fmt: skip
    assert [file.name for file in Text(["s3://dumps/2023/*.txt"]).files()] == ["other.txt"]


def test_a_large_file_is_read_in_blocks(bucket: Any) -> None:
    data = b"".join(b"line %d\n" % row for row in range(2_000_000))  # more than two blocks of 8 MiB
    bucket.pipe("dumps/large.txt", data)
    with find_files(["s3://dumps/large.txt"], "web")[0].open() as stream:
        assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == data
        stream.seek(-7, 2)
        assert stream.read() == data[-7:]


def test_the_state_of_a_listing_is_that_of_a_look(bucket: Any) -> None:
    bucket.pipe("dumps/a.txt", b"some")
    file = find_files(["s3://dumps/*.txt"], "web")[0]
    assert file.state() == file.state(again=True) == find_files(["s3://dumps/a.txt"], "web")[0].state()
    bucket.pipe("dumps/a.txt", b"else")
    assert file.state() != file.state(again=True)


def test_a_file_that_is_written_anew_while_it_is_read_is_refused(bucket: Any) -> None:
    data = b'{"text": "some"}\n' * 1_500_000
    bucket.pipe("dumps/a.jsonl", data)
    (group,) = group_files([Jsonl(["s3://dumps/a.jsonl"])], 100 << 20)
    partitions = group.partitions(1 << 20, lambda size: None)
    next(partitions)
    bucket.pipe("dumps/a.jsonl", data.replace(b"some", b"else"))
    with pytest.raises(InputChanged, match=r"s3://dumps/a\.jsonl: changed while it was read"):
        list(partitions)


def test_no_match_says_what_there_is(bucket: Any) -> None:
    for name in ("web-1.jsonl", "web-2.jsonl", "books.jsonl"):
        bucket.pipe(f"dumps/x/{name}", b"")
    with pytest.raises(InputError) as caught:
        find_files(["s3://dumps/x/web*.json"], "web")
    message = str(caught.value)
    assert message.startswith(
        "corpus.paths: 's3://dumps/x/web*.json' of source 'web' matches no file; in s3://dumps/x/"
    )
    assert "web-1.jsonl" in message and "of 3 names" in message and message.endswith("mend the pattern")
    with pytest.raises(InputError, match=r"'s3://dumps/x/gone\.jsonl' .*there is no such file"):
        find_files(["s3://dumps/x/gone.jsonl"], "web")
    for gone in ("s3://dumps/nothing/*.jsonl", "s3://no-such-bucket/*.jsonl"):
        with pytest.raises(InputError, match=f"nothing is in {gone.rpartition('/')[0]}/"):
            find_files([gone], "web")


def look_at_keys_after(endpoint: str, requests: str) -> None:
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset-auth", requests.encode(), plain))


def test_denied_access_says_where_keys_come_from(bucket: Any, endpoint: str) -> None:
    bucket.pipe("dumps/a.txt", b"some")
    look_at_keys_after(endpoint, "0")
    try:
        for pattern in ("s3://dumps/a.txt", "s3://dumps/*.txt"):
            with pytest.raises(InputError, match=r"access is denied.* by AWS_ACCESS_KEY_ID .*AWS_PROFILE") as caught:
                find_files([pattern], "web")
            assert SECRET not in str(caught.value)
    finally:
        look_at_keys_after(endpoint, "inf")


def test_missing_keys_are_told(bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"no keys to read it with.*AWS_PROFILE.*storage_options\.s3\.anon=true"):
        find_files(["s3://dumps/a.txt"], "web")


def test_options_reach_the_file_system(bucket: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
    bucket.pipe("dumps/a.txt", b"some")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    documents, _ = read(Text(["s3://dumps/a.txt"], storage_options={"s3": {"endpoint_url": endpoint}}))
    assert [each["text"] for each in documents] == ["some"]


def test_tables_are_read_with_options_too(
    bucket: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, read: Read, tmp_path: Path
) -> None:
    table = pa.table({"id": ["1", "2"], "text": ["some", "words"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,text\n1,some\n2,words\n"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    options = {"s3": {"endpoint_url": endpoint}}
    kinds: dict[str, Any] = {"a.parquet": Parquet, "a.arrow": Arrow, "a.csv.gz": Csv}
    for name, kind in kinds.items():
        bucket.put(str(tmp_path / name), f"dumps/{name}")
        documents, quarantined = read(kind([f"s3://dumps/{name}"], storage_options=options))
        assert [(each["id"], each["text"]) for each in documents] == [("1", "some"), ("2", "words")]
        assert not quarantined
        with pytest.raises(SettingError, match=r"storage_options\.s3: no path begins with s3://"):
            kind(["a"], storage_options=options)

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.sources import remote_stream
from data_pipeline.sources.inputs import find_files
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.parquet import Parquet
from data_pipeline.sources.remote import check_remote
from data_pipeline.sources.source import InputChanged, InputFile, TruncatedInput
from data_pipeline.sources.text import Text
from foundation.errors import ConfigError, InputError, SettingError
from tests.data_pipeline.sources.servers import Manners, Server

Read = Callable[..., Any]
LINES = b"".join(b'{"id": "%d", "text": "document %d"}\n' % (row, row) for row in range(400_000))  # 13 MiB


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stream, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def serve() -> Iterator[Callable[[Manners], Server]]:
    with_them: list[Server] = []

    def start(manners: Manners) -> Server:
        with_them.append(Server(manners).__enter__())
        return with_them[-1]

    yield start
    for server in with_them:
        server.__exit__(None, None, None)


Serve = Callable[[Manners], Server]


def one_file(server: Server, path: str) -> InputFile:
    return find_files([server.url + path], "web")[0]


def content(file: InputFile) -> bytes:
    with file.open() as stream:
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


def test_documents_and_names_are_those_of_local_files(read: Read, serve: Serve, tmp_path: Path) -> None:
    first, second = b'{"text": "a"}\n{"text": "b"}\n', b'{"text": "c", "id": "own"}\n'
    server = serve(Manners({"/d/x/a.jsonl": first, "/d/y/b.jsonl.gz": gzip.compress(second)}))
    found = Jsonl([f"{server.url}/d/y/b.jsonl.gz", f"{server.url}/d/x/a.jsonl", f"{server.url}/d/x/a.jsonl"])
    for name, data in (("x/a.jsonl", first), ("y/b.jsonl.gz", gzip.compress(second))):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(data)
    assert read(found) == read(Jsonl([f"{tmp_path}/*/*"]))
    assert [file.name for file in found.files()] == ["x/a.jsonl", "y/b.jsonl.gz"]


def test_text_is_read_too(read: Read, serve: Serve) -> None:
    server = serve(Manners({"/book.txt": b"some words"}))
    documents, _ = read(Text([f"{server.url}/book.txt"]))
    assert [(each["id"], each["text"]) for each in documents] == [("book.txt#0", "some words")]


def test_a_format_that_is_read_in_places_is_read_too(read: Read, serve: Serve, tmp_path: Path) -> None:
    table = pa.table({"text": [f"row {row}" for row in range(1000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    server = serve(Manners({"/d/a.parquet": (tmp_path / "a.parquet").read_bytes()}, {"/d/a.parquet": "v1"}))
    assert read(Parquet([f"{server.url}/d/a.parquet"])) == read(Parquet([f"{tmp_path}/a.parquet"]))


def test_files_of_several_hosts_have_these_in_their_names(serve: Serve) -> None:
    one, other = (serve(Manners({"/a.txt": b"x"})) for _ in range(2))
    names = [file.name for file in find_files([f"{one.url}/a.txt", f"{other.url}/a.txt"], "web")]
    assert names == sorted(f"{server.url.removeprefix('http://')}/a.txt" for server in (one, other))


def test_a_local_file_of_the_same_name_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve(Manners({"/a.txt": b"x"}))
    (tmp_path / "a.txt").write_bytes(b"y")
    with pytest.raises(InputError, match=r"would have one name, 'a\.txt'.*corpus=several"):
        find_files([f"{server.url}/a.txt", f"{tmp_path}/a.txt"], "web")


def test_a_query_is_sent_and_shown_nowhere(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(Manners({"/a.jsonl": b'{"txt": 1}\n'}, statuses={"/no.jsonl": 403, "/late.jsonl": 500}))
    source = Jsonl([f"{server.url}/a.jsonl?sesame=open"])
    (file,) = source.files()
    with pytest.raises(InputError, match="none of its 1 record") as caught:
        list(source.blocks(file, 100))
    told = [str(caught.value), file.name, repr(file), file.where]
    for name in ("no", "late", "gone"):
        with pytest.raises(InputError) as refused:
            find_files([f"{server.url}/{name}.jsonl?sesame=open"], "web")
        told.append(str(refused.value))
    assert not any("sesame" in text for text in (*told, *capsys.readouterr()))
    with pytest.raises(InputError, match="would have one name"):
        find_files([f"{server.url}/a.jsonl?v=1", f"{server.url}/a.jsonl?v=2"], "web")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"no such file \(HTTP 404\); mend the address"),
        (403, r"access is denied \(HTTP 403\); give keys that may read it, by ~/\.netrc"),
        (503, r"its server answers with HTTP 503; ask for it again later"),
    ],
)
def test_an_answer_that_is_no_file_is_told_by_pattern_and_what_to_do(serve: Serve, status: int, message: str) -> None:
    server = serve(Manners({"/x.jsonl": b""}, statuses={"/x.jsonl": status}))
    with pytest.raises(InputError, match=rf"corpus\.paths: '{server.url}/x\.jsonl' of source 'web': .*{message}"):
        find_files([f"{server.url}/x.jsonl"], "web")


def test_a_server_that_is_busy_is_asked_again(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    manners = Manners({"/a.txt": b"some"}, statuses={"/a.txt": 503})
    server = serve(manners)
    manners.on_request = lambda number: manners.statuses.clear() if number == 3 else None
    assert content(one_file(server, "/a.txt")) == b"some"
    assert capsys.readouterr().err.count("answers with HTTP 503; asked again") == 1


def test_a_server_that_is_not_there_is_told(serve: Serve) -> None:
    with Server(Manners({})) as server:
        pass
    with pytest.raises(InputError, match=rf"{server.url}/a\.txt.*look at the network"):
        find_files([f"{server.url}/a.txt"], "web")


def test_a_file_that_is_gone_when_it_is_read_is_an_error(serve: Serve) -> None:
    server = serve(Manners({"/a.txt": b"some"}))
    file = one_file(server, "/a.txt")
    for status, message in ((404, "no such file"), (403, "access is denied")):
        server.manners.statuses["/a.txt"] = status
        with pytest.raises(InputError, match=message):
            content(file)
    assert len(server.manners.requests) == 3  # one look, one try each


def test_patterns_of_http_are_refused(serve: Serve) -> None:
    with pytest.raises(InputError, match="servers of HTTP list no files"):
        find_files([f"{serve(Manners({})).url}/*.jsonl"], "web")


def test_a_query_is_no_pattern_whatever_it_holds(serve: Serve) -> None:
    server = serve(Manners({"/a.txt": b"some"}))
    assert content(one_file(server, "/a.txt?policy=*/[a]&f=(b,c)'?")) == b"some"
    assert len(server.manners.queries) == 2 and all(query.startswith("policy=*/") for query in server.manners.queries)


def test_an_address_with_a_fragment_is_refused_and_it_is_not_repeated() -> None:
    with pytest.raises(SettingError, match=r"^paths: https://host/a is followed by a fragment .*write %23") as caught:
        Jsonl(["https://host/a?b=canary#access_token=canary"])
    assert "canary" not in str(caught.value)
    Jsonl(["s3://bucket/a#b.jsonl", "a#b.jsonl"])


def test_an_error_before_any_answer_shows_no_query() -> None:
    broken = {"https": {"client_kwargs": 1}}
    with pytest.raises(InputError, match=r"^corpus\.paths: 'https://host/a' of source 'web': can't be read") as caught:
        find_files(["https://host/a?f=a,b&hmac=canary"], "web", broken)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("body_size", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    serve: Serve, capsys: pytest.CaptureFixture[str], ranges: bool, body_size: bool
) -> None:
    manners = Manners({"/a.jsonl": LINES}, {"/a.jsonl": "v1"}, ranges=ranges, body_size=body_size)
    manners.cut_after, manners.cuts = 5_000_001, 2
    server = serve(manners)
    assert content(one_file(server, "/a.jsonl")) == LINES
    told = [line for line in capsys.readouterr().err.splitlines() if "the connection broke at byte" in line]
    assert len(told) == 2 and all(line.startswith(f"{server.url}/a.jsonl: ") for line in told)
    assert "try 1 of 3" in told[0]


def test_a_file_may_break_more_often_than_it_is_tried_where_it_gets_on(serve: Serve) -> None:
    manners = Manners({"/a.jsonl": LINES * 4}, {"/a.jsonl": "v1"}, cut_after=11 << 20)
    server = serve(manners)
    assert content(one_file(server, "/a.jsonl")) == LINES * 4
    assert sum(method == "GET" for method, _, _ in manners.requests) > 5


@pytest.mark.parametrize("body_size", [True, False])
def test_a_connection_that_breaks_again_and_again_ends_in_an_error(serve: Serve, body_size: bool) -> None:
    manners = Manners({"/a.jsonl": LINES}, {"/a.jsonl": "v1"}, cut_after=600_000, body_size=body_size)
    with pytest.raises(TruncatedInput, match=r"after byte [1-9][0-9,]+ of 1.,...,..., 4 times in a row"):
        content(one_file(serve(manners), "/a.jsonl"))


def test_a_file_without_ranges_and_version_is_not_pieced_together(serve: Serve) -> None:
    manners = Manners({"/a.jsonl": LINES}, ranges=False, cut_after=600_000, cuts=1)
    with pytest.raises(InputError, match="can neither go on there nor tell whether the file is still the same"):
        content(one_file(serve(manners), "/a.jsonl"))


def test_a_file_that_changed_meanwhile_is_not_pieced_together(serve: Serve) -> None:
    manners = Manners({"/a.jsonl": LINES}, {"/a.jsonl": "v1"}, cut_after=9_000_000, cuts=1)
    server = serve(manners)
    with one_file(server, "/a.jsonl").open() as stream:
        stream.read(1 << 20)
        manners.etags["/a.jsonl"] = "v2"
        with pytest.raises(InputChanged, match=f"{server.url}/a.jsonl: changed while it was read"):
            while stream.read(1 << 20):
                pass


@pytest.mark.parametrize("wrong", [0, 1, 1000, len(LINES) - 1, len(LINES) + 1])
@pytest.mark.parametrize("body_size", [True, False])
def test_a_server_that_lies_about_the_length_is_found_out(serve: Serve, wrong: int, body_size: bool) -> None:
    manners = Manners({"/a.jsonl": LINES}, {"/a.jsonl": "v"}, head_size=wrong, body_size=body_size)
    with pytest.raises(InputError, match=r"was listed as|ends or breaks after byte"):
        content(one_file(serve(manners), "/a.jsonl"))


def test_a_server_that_tells_no_length_is_read_to_its_end(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(Manners({"/a.jsonl": LINES}, head_size=-1, body_size=False))
    file = one_file(server, "/a.jsonl")
    assert (content(file), file.size_bytes) == (LINES, 0)
    assert "tells no version" in capsys.readouterr().err


def test_without_any_length_a_compressed_file_knows_its_end(serve: Serve) -> None:
    data = gzip.compress(LINES, 1)
    manners = Manners({"/a.jsonl.gz": data}, head_size=-1, body_size=False, cut_after=len(data) - 3)
    source = Jsonl([f"{serve(manners).url}/a.jsonl.gz"])
    with pytest.raises(TruncatedInput, match="inside the gzip member"):
        list(source.blocks(source.files()[0], 1 << 20))


def test_places_can_be_sought(serve: Serve) -> None:
    server = serve(Manners({"/a": LINES}, {"/a": "v"}))
    with one_file(server, "/a").open() as stream:
        assert stream.seek(-10, 2) == len(LINES) - 10
        assert (stream.read(), stream.read(5)) == (LINES[-10:], b"")
        stream.seek(7_000_000)
        assert stream.read(100) == LINES[7_000_000:7_000_100]
    server.manners.ranges = False
    with one_file(server, "/a").open() as stream:
        stream.seek(7_000_000)
        with pytest.raises(InputError, match="sends whole files alone"):
            stream.read(1)


def test_the_state_is_what_was_listed_until_it_is_asked_for_again(serve: Serve) -> None:
    server = serve(Manners({"/a.txt": b"some"}, {"/a.txt": "v1"}))
    file = one_file(server, "/a.txt")
    before = file.state()
    assert before == file.state(again=True) == [4, '"v1"']
    server.manners.etags["/a.txt"] = "v2"
    assert (file.state(), file.state(again=True)) == (before, [4, '"v2"'])
    assert pickle.loads(pickle.dumps(file)) == file


def test_memory_does_not_grow_with_the_file(serve: Serve) -> None:
    server = serve(Manners({"/a.jsonl": LINES * 4}, {"/a.jsonl": "v1"}))
    with one_file(server, "/a.jsonl").open() as stream:
        stream.read(1 << 20)
        tracemalloc.start()
        while stream.read(1 << 20):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 24 << 20


def test_what_may_not_stand_in_a_config_is_refused_and_not_repeated() -> None:
    paths = ["s3://bucket/a"]
    refused: list[tuple[list[str], Any]] = [
        (["https://me:opensesame@host/a"], None),
        (["s3://bucket/a?X-Amz-Signature=opensesame"], None),  # a pattern there, and no query
        (paths, {"s3": {"secret": "opensesame"}}),
        (paths, {"s3": {"key": "opensesame"}}),
        (paths, {"s3": {"client_kwargs": {"aws_secret_access_key": "opensesame"}}}),
        (paths, {"s3": {"endpoint_url": "http://me:opensesame@host"}}),
    ]
    for given, options in refused:
        with pytest.raises(ConfigError) as caught:
            Jsonl(given, storage_options=options)
        assert "opensesame" not in str(caught.value)
        assert "environment" in str(caught.value) or "AWS_PROFILE" in str(caught.value)


def test_options_of_no_path_and_unknown_protocols_are_refused() -> None:
    with pytest.raises(SettingError, match=r"storage_options\.s3: no path begins with s3://"):
        check_remote(["a.jsonl"], {"s3": {"anon": True}})
    for path in ("ftp://host/a", "file:///a", "memory://a"):
        with pytest.raises(SettingError, match=r"^paths: '\w+://' is not allowed; give s3://, .*, or a file"):
            check_remote([path], None)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("s3://b/a", "s3fs", "remote"), ("gs://b/a", "gcsfs", "gcs"), ("https://host/a", "aiohttp", "remote")],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    source = Jsonl([url])  # which needs none yet
    with pytest.raises(InputError, match=rf"{url}.* needs the package {package}.*pip install -e '\.\[{extra}\]'"):
        source.files()


def test_a_run_reads_each_file_once_and_leaves_no_address_behind(
    serve: Serve,
    config: Callable[..., dict[str, Any]],
    go: Callable[..., Any],
    output_hashes: Callable[[Path], dict[str, str]],
    redone: Callable[[Any], list[str]],
    made: Any,
    tmp_path: Path,
) -> None:
    paths = sorted(path for folder in ("web", "books") for path in (made.folder / folder).iterdir())
    files = {f"/{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
    manners = Manners(files, {path: f"v1 of {path}" for path in files})
    server = serve(manners)
    out = {}
    for where, workers in (("local", 1), ("remote", 1), ("two", 2)):
        tree = config(made.folder, tmp_path / where, executor__workers=workers)
        if where != "local":
            for name, source in tree["corpus"]["sources"].items():
                source["paths"] = [f"{server.url}{path}" for path in files if path.startswith(f"/{name}/")]
        out[where] = go(tree)
    hashes = [output_hashes(tmp_path / where) for where in out]
    assert hashes[0] == hashes[1] == hashes[2]
    gets = [path for method, path, _ in manners.requests if method == "GET"]
    assert sorted(gets) == sorted([*files, *files])  # workers open none
    for path in itertools.chain((tmp_path / "remote").rglob("*"), (tmp_path / "two").rglob("*")):
        if path.is_file() and path.name not in ("config.yaml", "report.html"):  # both tell the config as it was typed
            assert server.url.encode() not in path.read_bytes(), path
    assert redone(go(tree)) == []
    assert len([path for method, path, _ in manners.requests if method == "GET"]) == len(gets)
    manners.files["/web/a.jsonl"] += json.dumps({"text": "one more"}).encode() + b"\n"
    manners.etags["/web/a.jsonl"] = "v2"
    assert "clean" in redone(go(tree))
    assert [path for method, path, _ in manners.requests if method == "GET"][len(gets) :] == ["/web/a.jsonl"]

"""Bad input through the whole pipeline: what is wrong is named by file, line and reason, the rest comes out."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data_pipeline.pipeline import Result
from data_pipeline.sources.csv import Csv
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import Source
from data_pipeline.sources.text import Text
from data_pipeline.summary import print_summary
from foundation.errors import InputError
from foundation.files import read_json

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
REPOSITORY = Path(__file__).parents[2]
JSONL = "data_pipeline.sources.jsonl.Jsonl"
RULES = {
    "_target_": "data_pipeline.clean.rules.Rules",
    "rules": {
        "unicode": {"_target_": "data_pipeline.clean.unicode.Unicode"},
        "length": {"_target_": "data_pipeline.clean.length.Length"},
    },
}
CHANGES: dict[str, Any] = {
    "clean": RULES,
    "mix__held_out_frac": 0.1,
    "decontaminate__test_sets": [],
    "tokenizer__vocab_size": 280,
    "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
}


def words(number: int) -> str:
    """A text of its own."""
    return " ".join(f"w{(number * 37 + place * place) % 997}" for place in range(40))


def line(number: int, **fields: Any) -> bytes:
    return json.dumps({"text": words(number), **fields}).encode() + b"\n"


GOOD = [line(number) for number in range(60)]
# a line and the reason for which it goes to quarantine; None: it is a document, for which another reason may stand
LINES: list[tuple[bytes, str | None]] = [
    (b'{"text": "never closed\n', "json"),
    (b'{"text": "caf\xe9"}\n', "utf8"),
    (b'{"text": "half a pair \\ud800"}\n', "surrogate"),
    (b'{"text": "a", "text": "b"}\n', "dup_key"),
    (b'{"text": "a", "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "depth"),
    (b'["a list"]\n', "not_object"),
    (b'{"txt": "another key"}\n', "missing_text"),
    (b'{"text": null}\n', "text_type"),
    (b'{"text": "a", "x": NaN}\n', "json"),
    (b'{"text": "' + b"long " * 20_000 + b'"}\n', "too_long"),
    (b'{"text": ""}\n', None),
    (b'{"text": " \\t\\n "}\n', None),
    (json.dumps({"text": f"{words(100)} nul \0 and bell \a"}).encode() + b"\n", None),
    (line(101, x=0.5, big=int("1234567890" * 4)), None),
    (line(102, rank=0, path="/etc/passwd", row=-1, file=7, __class__="x", metadata={"_target_": "os.system"}), None),
    (json.dumps({"text": words(103)} | {f"k{number}": number for number in range(5_000)}).encode() + b"\n", None),
]
CANARY = "canary-of-an-id"
IDS = [f"../../{CANARY}", f"/{CANARY}", f"{CANARY}\0", CANARY * 700, "CON", "twice", "twice", 7]


def run_over(files: dict[str, bytes], folder: Path, config: Config, go: Go, **changes: Any) -> Result:
    (folder / "in").mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    corpus = {"_target_": JSONL, "paths": [f"{folder}/in/*"], "source": "web", "max_doc_bytes": 80_000}
    return go(config(folder / "in", folder / "out", **{"corpus": corpus, **CHANGES, **changes}))


def quarantined(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "out" / "quarantine").rglob("*.jsonl"))
    return [json.loads(each) for path in files for each in path.read_text().splitlines()]


def documents(folder: Path) -> list[dict[str, Any]]:
    """What cleaning left."""
    files = sorted((folder / "out" / "work" / "clean").glob("*.arrow"))
    return [row for path in files for row in pa.ipc.open_file(path).read_all().to_pylist()]


@pytest.mark.bad_input(12, 14, 17, 18, 19, 20, 21, 22, 24, 27, 29)
def test_each_bad_line_is_named_and_the_books_balance(config: Config, go: Go, tmp_path: Path) -> None:
    data = b"".join(good + bad for good, (bad, _) in zip(GOOD, LINES, strict=False))
    result = run_over({"a.jsonl": b"".join(GOOD[16:]), "b.jsonl": data}, tmp_path, config, go)
    expected = [("b.jsonl", 2 * place + 2, reason) for place, (_, reason) in enumerate(LINES) if reason]
    assert [(each["file"], each["line"], each["reason"]) for each in quarantined(tmp_path)] == expected
    clean, filtered = result.stages[0], result.stages[1]
    account = clean.book["web"]
    assert (account.num_in, account.num_out) == (60 + len(LINES), 60 + len(LINES) - len(expected))
    assert account.quarantined == Counter(reason for _, _, reason in expected)
    assert filtered.book["web"].dropped == {"empty": 2}
    assert clean.facts["counts"]["control_characters_dropped"] == 2
    kept = {each["row"]: each for each in documents(tmp_path) if each["file"] == 1}
    assert sorted(kept) == [
        row for row in range(2 * len(LINES)) if ("b.jsonl", row + 1) not in [e[:2] for e in expected]
    ]
    assert kept[27]["metadata"] == '{"x":0.5,"big":' + "1234567890" * 4 + "}"
    assert set(json.loads(kept[29]["metadata"])) == {"rank", "path", "row", "file", "__class__", "metadata"}
    assert len(json.loads(kept[31]["metadata"])) == 5_000


@pytest.mark.bad_input(25, 26)
def test_an_id_is_never_part_of_a_path_and_no_key_of_anything(
    config: Config, go: Go, tmp_path: Path, decoded: Callable[[Path], dict[str, dict[str, list[str]]]]
) -> None:
    lines = [line(200 + number, id=name) for number, name in enumerate(IDS)]
    missing = [line(300, id=None), line(301)]
    bad = [b'{"id": "../../%s", "text": 1}\n' % CANARY.encode()]
    result = run_over({"a.jsonl": b"".join([*GOOD, *lines, *missing, *bad])}, tmp_path, config, go)
    texts = decoded(tmp_path / "out")
    found = [text for split in texts.values() for text in split["web"]]
    assert sorted(found) == sorted(words(number) for number in (*range(60), *range(200, 208), 300, 301))
    assert result.stages[0].book["web"].num_in == 71
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert not [path for path in tmp_path.rglob("*") if CANARY in path.name or path.name == "CON"]
    assert not Path(f"/{CANARY}").exists() and not (tmp_path.parent / CANARY).exists()
    (each,) = quarantined(tmp_path)
    assert (each["file"], each["line"], each["reason"]) == ("a.jsonl", 71, "text_type")


@pytest.mark.bad_input(2)
def test_a_flipped_bit_before_the_checksum_commits_nothing(config: Config, go: Go, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(GOOD), 0))  # stored: what was flipped unpacks well
    packed[len(packed) // 2] ^= 1
    with pytest.raises(InputError, match=r"b\.jsonl\.gz: damaged before byte \d+.*fetch the file again"):
        run_over({"a.jsonl": b"".join(GOOD), "b.jsonl.gz": bytes(packed)}, tmp_path, config, go)
    out = tmp_path / "out"
    assert not (out / "ledger.json").exists() and not (out / "manifest.json").exists()
    assert not list((out / "work" / "clean").glob("stage.json"))


@pytest.mark.bad_input(10)
def test_files_without_documents_beside_others_are_no_error(config: Config, go: Go, tmp_path: Path) -> None:
    files = {"a.jsonl": b"", "b.jsonl": b"\n\r\n \n", "c.jsonl.gz": gzip.compress(b""), "d.jsonl": b"".join(GOOD)}
    account = run_over(files, tmp_path, config, go).stages[0].book["web"]
    assert (account.num_in, account.num_out) == (60, 60)


def table_of(texts: list[str], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), sink, compression="none", **options)
    return sink.getvalue()


@pytest.mark.bad_input(6, 35)
def test_what_no_checksum_vouches_for_is_counted(
    config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [words(number) for number in range(60)]
    lines = b"".join(GOOD)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, pa.schema([("text", pa.string())])) as writer:
        writer.write_table(pa.table({"text": texts}))
    files = {
        "plain.jsonl": lines,
        "checked.jsonl.gz": gzip.compress(lines),
        "checked.jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(lines),
        "unchecked.jsonl.zst": zstandard.ZstdCompressor(write_checksum=False).compress(lines),
        "checked.parquet": table_of(texts, write_page_checksum=True),
        "unchecked.parquet": table_of(texts),
        "unchecked.arrow": stream.getvalue(),
    }
    (tmp_path / "in").mkdir()
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    kinds = {"jsonl": ("Jsonl", "*.jsonl*"), "parquet": ("Parquet", "*.parquet"), "arrow": ("Arrow", "*.arrow")}
    sources = {
        name: {"_target_": f"data_pipeline.sources.{name}.{kind}", "paths": [f"{tmp_path}/in/{paths}"], "source": name}
        for name, (kind, paths) in kinds.items()
    }
    corpus = {"_target_": "data_pipeline.sources.several.Several", "sources": sources}
    tree = config(tmp_path / "in", tmp_path / "out", **{"corpus": corpus, **CHANGES})
    counted = []
    for _ in range(2):
        result = go(tree)
        counts = read_json(tmp_path / "out" / "ledger.json")["counts"]["clean"]
        counted.append((counts["files_without_checksum"], counts["bytes_without_checksum"]))
        tree["partition_bytes"] = 5_000  # read anew, in other pieces
    assert counted[0][0] == counted[1][0] == 4
    whole = len(lines) + len(files["unchecked.jsonl.zst"])
    pages = sum(map(len, map(str.encode, texts)))  # and some headers around them
    for _, size in counted:
        assert whole + 2 * pages <= size <= whole + len(files["unchecked.parquet"]) + len(files["unchecked.arrow"])
    print_summary(result)
    assert "no checksum vouches for 4 of 7 files (" in capsys.readouterr().err
    assert "files without checksum" in result.report.read_text()


MEMBERS = {
    "../canary": tarfile.REGTYPE,
    "/canary": tarfile.REGTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "pipe": tarfile.FIFOTYPE,
}


def archives() -> dict[str, tuple[bytes, str]]:
    """Files that hold files, with members that would leave the folder; what each is called in the error."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            data = b'{"text": "in an archive"}\n' * 30 if kind == tarfile.REGTYPE else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("../canary", GOOD[0])
    return {
        "x.tar": (sink.getvalue(), "a tar archive"),
        "x.tar.gz": (gzip.compress(sink.getvalue()), "a tar archive"),
        "x.jsonl.zst": (zstandard.compress(sink.getvalue()), "a tar archive"),
        "x.zip": (zipped.getvalue(), "a zip archive"),
        "x.jsonl.bz2": (bz2.compress(b"".join(GOOD)), "bzip2"),
        "x.jsonl.xz": (lzma.compress(b"".join(GOOD)), "xz"),
    }


@pytest.mark.bad_input(39)
def test_archives_are_refused_and_nothing_is_taken_out_of_them(tmp_path: Path) -> None:
    for name, (data, called) in archives().items():
        path = tmp_path / name.replace("jsonl", "txt")  # which JSON lines may not be
        path.write_bytes(data)
        sources: list[Source] = [Jsonl([str(path)]), Text([str(path)]), Csv([str(path)])]
        for source in sources:
            with pytest.raises(InputError, match=rf"{path.name}: is {called} by its first bytes, which is not read"):
                list(source.blocks(source.files()[0], 1 << 20))
        path.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bad_input(41)
def test_a_socket_and_a_file_that_may_not_be_read_are_refused_before_the_work(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.jsonl"))
        with pytest.raises(InputError, match=r"s\.jsonl, which is neither a file nor a link to one; leave it out"):
            Jsonl([str(tmp_path / "s.jsonl")]).files()
    path = tmp_path / "closed.jsonl"
    path.write_bytes(GOOD[0])
    path.chmod(0)
    script = (
        "import os, sys\n"
        "from data_pipeline.sources.jsonl import Jsonl\n"
        "if os.geteuid() == 0:\n"  # who may read everything becomes nobody
        "    os.chmod(os.path.dirname(sys.argv[1]), 0o755)\n"
        "    os.setresuid(65534, 65534, 65534)\n"
        "Jsonl([sys.argv[1]]).files()\n"
    )
    for folder in tmp_path.parents:
        if os.geteuid() == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o111)
    command = [sys.executable, "-c", script, str(path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert "closed.jsonl, which you may not read; change its permissions or leave it out" in ended.stderr


@pytest.mark.bad_input(42)
def test_loops_of_links_and_files_reached_twice_come_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_bytes(GOOD[0])
    (tmp_path / "deep" / "again").symlink_to(tmp_path)
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "deep" / "a.jsonl")
    source = Jsonl([f"{tmp_path}/**/*.jsonl", f"{tmp_path}/deep/*.jsonl", f"{tmp_path}/b.jsonl"])
    assert [file.name for file in source.files()] == ["b.jsonl"]
    (tmp_path / "one.jsonl").symlink_to(tmp_path / "two.jsonl")
    (tmp_path / "two.jsonl").symlink_to(tmp_path / "one.jsonl")
    with pytest.raises(
        InputError, match=r"(one|two)\.jsonl, which can't be read \(Too many levels of symbolic links\)"
    ):
        Jsonl([f"{tmp_path}/*.jsonl"]).files()


@pytest.mark.bad_input(46)
def test_the_text_of_a_special_token_ends_no_document(
    config: Config, go: Go, tmp_path: Path, decoded: Callable[[Path], dict[str, dict[str, list[str]]]]
) -> None:
    lines = [line(number, text=f"<|endoftext|>{words(number)}<|endoftext|><|endoftext|>") for number in range(60)]
    run_over({"a.jsonl": b"".join(lines)}, tmp_path, config, go)
    texts = decoded(tmp_path / "out")  # which counts one end of text a document
    found = [text for split in texts.values() for text in split["web"]]
    assert len(found) == 60 and all(text.count("<|endoftext|>") == 3 for text in found)

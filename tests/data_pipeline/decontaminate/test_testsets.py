from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
import zstandard

from data_pipeline.decontaminate import testsets
from data_pipeline.decontaminate.errors import DecontaminationError
from foundation.errors import InputError


def lines(*records: object) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def is_short(text: str) -> bool:
    return len(text.split()) < 4


def read(*paths: Path | str, **fields: list[str]) -> dict[str, list[testsets.TestItem]]:
    return testsets.read_test_sets([str(path) for path in paths], fields, is_short)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_the_question_is_found_by_its_usual_name(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm.jsonl", lines({"id": 1, "question": "How many?", "answer": "4"}, {"question": "Why?"}))
    items = read(path)["gsm"]
    assert [(item.name, item.text) for item in items] == [("gsm#0", "How many?"), ("gsm#1", "Why?")]


def test_named_fields_make_up_the_item(tmp_path: Path) -> None:
    path = write(tmp_path / "mmlu.jsonl", lines({"q": "Which?", "choices": ["this", "that"], "answer": 1}))
    assert read(path, mmlu=["q", "choices"])["mmlu"][0].text == "Which?\nthis\nthat"


def test_a_file_that_is_named_twice_by_a_link_is_two_sets(tmp_path: Path) -> None:
    """Each with fields of its own: a question counts without its answer, and an answer without its question."""
    path = write(tmp_path / "gsm.jsonl", lines({"question": "How many?", "answer": "Four"}))
    link = tmp_path / "gsm_answers.jsonl"
    link.symlink_to(path.name)
    items = read(path, link, gsm_answers=["answer"])
    assert {name: [item.text for item in of_set] for name, of_set in items.items()} == {
        "gsm": ["How many?"],
        "gsm_answers": ["Four"],
    }


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_sets_are_read_and_cut_ones_refused(tmp_path: Path, compress: object, suffix: str) -> None:
    assert callable(compress)
    data = compress(lines(*({"prompt": f"question number {i}"} for i in range(1000))))
    path = write(tmp_path / f"he.jsonl{suffix}", data)
    assert len(read(path)["he"]) == 1000
    with pytest.raises(InputError, match="ends after byte"):
        read(write(tmp_path / f"cut.jsonl{suffix}", data[: len(data) // 2]))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    assert read(write(tmp_path / "a.jsonl", mark + lines({"question": "How many?"})))["a"][0].text == "How many?"
    assert read(write(tmp_path / "b.txt", mark + b"How many are there?"))["b"][0].text == "How many are there?"


def test_paragraphs_are_items_and_headings_go_with_what_follows(tmp_path: Path) -> None:
    text = "= Title =\r\n\r\nThe first paragraph,\non two lines.\n \t\nThe second paragraph here.\n\n\nThe end\n"
    items = read(write(tmp_path / "wiki.txt", text.encode()))["wiki"]
    assert [" ".join(item.text.split()) for item in items] == [
        "= Title = The first paragraph, on two lines.",
        "The second paragraph here.",
        "The end",
    ]
    assert [item.item for item in items] == ["0", "1", "2"]


def test_patterns_name_several_sets(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.jsonl", lines({"question": name}))
    assert list(read(tmp_path / "*.jsonl")) == ["a", "b"]
    assert list(read(tmp_path / "*.jsonl", tmp_path / "a.jsonl")) == ["a", "b"]


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.jsonl", lines({"question": "x"})), write(tmp_path / "a.txt", b"x")
    with pytest.raises(DecontaminationError, match=r"would both be called 'a'"):
        read(one, other)


@pytest.mark.bad_input(45)
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.jsonl", b"", "empty.*never clean"),
        ("blank.txt", b"\n \n\n", "empty.*never clean"),
        ("bad.jsonl", b'{"question": "x"}\n{"question": ', "line 2: not valid JSON"),
        ("list.jsonl", b"[1]\n", "line 1: a list is no record"),
        (
            "other.jsonl",
            lines({"frage": "Wie viel?"}),
            r"line 1: none of the fields frage .*decontaminate\.fields\.other",
        ),
        (
            "gap.jsonl",
            lines({"question": "x"}, {"questions": "y"}),
            "line 2: field 'question' is missing, did you mean",
        ),
        ("number.jsonl", lines({"question": "x"}, {"question": 3}), "line 2: field 'question' holds a int"),
        ("first.jsonl", lines({"question": 3}), "line 1: field 'question' holds a int, where text"),
        ("latin.txt", "Stra\xdfe\n\nund Stra\xdfe".encode("latin-1"), "line 1: not valid UTF-8"),
        ("data.parquet", b"PAR1", r"is called neither \.jsonl"),
    ],
)
def test_what_is_no_test_set_is_refused_with_its_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(DecontaminationError, match=f"{name}.*{message}"):
        read(write(tmp_path / name, data))


@pytest.mark.bad_input(45)
def test_a_pattern_without_a_file_is_refused(tmp_path: Path) -> None:
    for pattern, found in (("*.jsonl", "matches no file"), ("missing.jsonl", "matches no file"), (".", "is a folder")):
        with pytest.raises(InputError, match=rf"^decontaminate\.test_sets: .* {found}"):
            read(tmp_path / pattern)


def test_a_file_that_cannot_be_read_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"^decontaminate\.test_sets: .*gone\.jsonl, which can't be read"):
        read(tmp_path / "*.jsonl")


def test_a_set_cannot_be_called_as_the_held_out_documents_are(tmp_path: Path) -> None:
    path = write(tmp_path / "held_out.jsonl", lines({"question": "x"}))
    with pytest.raises(DecontaminationError, match=r"held_out\.jsonl would be called 'held_out'.*rename it"):
        read(path)


def test_fields_of_an_unknown_set_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k.jsonl", lines({"question": "x"}))
    with pytest.raises(DecontaminationError, match=r"decontaminate\.fields: .*'gsm8', did you mean 'gsm8k'"):
        read(path, gsm8=["question"])


def test_no_paths_no_sets() -> None:
    assert read() == {}

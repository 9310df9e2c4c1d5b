"""Records of finished parts: they count while what they speak of stands; what is left over goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.records import Part, Records, keep_only
from data_pipeline.storage import DamagedFile, write_file


def test_a_record_counts_while_its_key_and_files_stand(tmp_path: Path) -> None:
    records = Records(tmp_path / "work" / "clean", tmp_path)
    made = tmp_path / "removed" / "x"
    write_file(made, b"content")
    assert records.find("p", "key") is None
    records.commit("p", "key", Part({"n": 1}, [made]))
    assert records.find("p", "key") == {"n": 1}
    assert records.files("p") == [tmp_path / "work" / "clean" / "p.json", made]
    assert records.find("p", "another key") is None
    made.write_bytes(b"cut")
    assert records.find("p", "key") is None
    assert records.knows("p", "key") and not records.knows("p", "another key")
    made.write_bytes(b"content")
    records.forget("p")
    assert records.find("p", "key") is None


@pytest.mark.parametrize("content", ["[]", "{}", '"key"', '{"files": {}}', '{"facts": {}, "files": {}, "key": "key"}'])
def test_a_record_of_another_shape_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    assert Records(tmp_path, tmp_path).find("p", "key") is None


def test_a_record_with_any_bit_flipped_says_what_was_written_or_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"n": 85842, "share": 0.1, "by": {"web": [1, -2], "books": None}, "note": "é"}
    records, made = Records(tmp_path, tmp_path), tmp_path / "made"
    made.write_bytes(b"content")
    records.commit("p", "key", Part(facts, [made]))
    written, found = (tmp_path / "p.json").read_bytes(), []
    assert records.find("p", "key") == facts
    for bit in range(len(written) * 8):
        damaged = bytearray(written)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "p.json").write_bytes(damaged)
        found.append(records.find("p", "key"))
    assert [each for each in found if each not in (None, facts)] == []
    assert found.count(None) > len(found) * 0.8  # the others flip one white space to another
    said = capsys.readouterr().err.splitlines()
    assert {line.partition(" (")[0] for line in said} == {f"{tmp_path / 'p.json'}: it is not what was written"}
    assert {line.partition("); ")[2] for line in said} == {"its part is done again"}
    with pytest.raises(DamagedFile, match=r"p\.json: it is not what was written"):
        (tmp_path / "p.json").write_bytes(written.replace(b"85842", b"95842"))
        records.files("p")


def test_keep_only_removes_what_is_left_over_and_empty_folders(tmp_path: Path) -> None:
    for name in ("a/kept", "a/old", "b/c/old"):
        write_file(tmp_path / name, b"x")
    keep_only(tmp_path, [tmp_path / "a" / "kept"])
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*"))] == [Path("a"), Path("a/kept")]
    keep_only(tmp_path / "a", [])
    assert not (tmp_path / "a").exists()
    keep_only(tmp_path / "a", [])  # gone already: nothing to do

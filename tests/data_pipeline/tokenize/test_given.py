"""A given tokenizer is used as it is, or refused by name where it would lose bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.given import TokenizerFile

Changed = Callable[..., bytes]


def test_a_given_file_is_used_as_it_is(tmp_path: Path, trained: bytes) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(trained + b"\n")
    given_file = TokenizerFile(str(path))
    assert given_file.train(iter([])) == trained + b"\n"
    assert given_file.inputs() == [path]
    assert given_file.choose(np.zeros(5, np.int32), np.arange(5), np.ones(5)).size == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "loses bytes: .*comes back as"),
        ({"normalizer": {"type": "NFC"}}, "loses bytes"),
        ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, "loses bytes"),
        ({"pre_tokenizer__add_prefix_space": True}, "loses bytes"),
        ({"decoder": {"type": "Fuse"}}, "its decoder is Fuse, not byte-level, nor byte fallback: model BPE"),
        ({"decoder": None}, "its decoder is None, not byte-level, nor byte fallback: model BPE"),
        ({"model__dropout": 0.1}, "dropout 0.1 encodes the same text differently"),
        ({"added_tokens": []}, r"eot_token: '<\|endoftext\|>' is no special token .* it has: none"),
    ],
)
def test_a_file_that_loses_bytes_is_refused_by_name(
    tmp_path: Path, changed: Changed, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(changed(**change))
    with pytest.raises(TokenizerError, match=message) as caught:
        TokenizerFile(str(path)).train(iter([]))
    assert str(path) in str(caught.value)


def test_an_added_token_that_is_not_special_ends_no_document(tmp_path: Path, changed: Changed, trained: bytes) -> None:
    added = orjson.loads(trained)["added_tokens"]
    path = tmp_path / "odd.json"
    path.write_bytes(changed(added_tokens=[*added, {**added[0], "id": 600, "content": "<tool>", "special": False}]))
    with pytest.raises(TokenizerError, match=r"'<tool>' is no special token .*it has: <\|endoftext\|>"):
        TokenizerFile(str(path), eot_token="<tool>").inputs()


def test_an_end_of_text_token_that_is_a_bytes_own_is_refused(tmp_path: Path, changed: Changed, trained: bytes) -> None:
    record, path = orjson.loads(trained), tmp_path / "odd.json"
    own = {**record["added_tokens"][0], "id": record["model"]["vocab"]["é"], "content": "é"}
    path.write_bytes(changed(added_tokens=[*record["added_tokens"], own]))
    with pytest.raises(TokenizerError, match="in a document gives the end-of-text token itself"):
        TokenizerFile(str(path), eot_token="é").inputs()


def test_a_file_that_loses_bytes_of_the_corpus_alone_is_refused(tmp_path: Path, changed: Changed) -> None:
    path, odd = tmp_path / "odd.json", "a word that only this corpus has: zyzzyva"
    path.write_bytes(changed(normalizer={"type": "Replace", "pattern": {"String": "zyzzyva"}, "content": "z"}))
    TokenizerFile(str(path)).inputs()  # the probe's texts survive
    with pytest.raises(TokenizerError, match=r"loses bytes: .*zyzzyva"):
        TokenizerFile(str(path)).train(iter([odd]))


def test_a_file_without_a_token_for_every_byte_is_refused(tmp_path: Path, trained: bytes) -> None:
    record = orjson.loads(trained)
    record["model"]["merges"] = []
    record["model"]["vocab"] = {"<|endoftext|>": 0, **{chr(code): code for code in range(33, 127)}}
    (tmp_path / "ascii.json").write_bytes(orjson.dumps(record))
    with pytest.raises(TokenizerError, match="162 of the 256 bytes have no token"):
        TokenizerFile(str(tmp_path / "ascii.json")).train(iter([]))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"not a tokenizer\.json"):
        TokenizerFile(str(tmp_path / "x.json")).train(iter([]))
    with pytest.raises(TokenizerError, match=r"tokenizer\.path: .* is no file"):
        TokenizerFile(str(tmp_path / "absent.json")).train(iter([]))

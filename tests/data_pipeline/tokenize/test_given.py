"""A given tokenizer is used as it is, or refused by name where it would lose bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.given import TokenizerFile
from foundation.errors import SettingError

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


def test_a_pinned_file_is_used_and_names_its_hash(tmp_path: Path, trained: bytes) -> None:
    path, pin = tmp_path / "mine.json", hashlib.sha256(trained).hexdigest()
    path.write_bytes(trained)
    for spelled in (pin, pin.upper(), f"sha256:{pin}", None):
        assert TokenizerFile(str(path), hash=spelled).train(iter(())) == trained
    assert TokenizerFile(str(path)).sha256() == {"mine.json": pin}


@pytest.mark.bad_input(47)
def test_a_file_of_another_hash_is_refused_with_both(tmp_path: Path, trained: bytes) -> None:
    path, pin = tmp_path / "mine.json", hashlib.sha256(trained).hexdigest()
    path.write_bytes(trained + b" ")
    found = hashlib.sha256(trained + b" ").hexdigest()
    with pytest.raises(TokenizerError, match=f"has sha256 {found}, not {pin} as tokenizer.hash says: .*or mend"):
        TokenizerFile(str(path), hash=pin).inputs()


@pytest.mark.parametrize("pin", ["", "abc", "z" * 64, "0" * 63])
def test_a_hash_that_is_none_is_refused(pin: str) -> None:
    with pytest.raises(SettingError, match=r"^hash: .*the 64 hexadecimal digits that sha256sum prints"):
        TokenizerFile("x.json", hash=pin)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, trained: bytes) -> None:
    path = tmp_path / "cut.json"
    for size in (1, len(trained) // 3, len(trained) // 2, len(trained) - 2):
        path.write_bytes(trained[:size])
        with pytest.raises(TokenizerError, match=r"cut\.json: not a tokenizer\.json that tokenizers can read"):
            TokenizerFile(str(path)).inputs()


def test_ids_may_have_holes_but_must_fit_the_shards(tmp_path: Path, changed: Changed, trained: bytes) -> None:
    vocab, path = orjson.loads(trained)["model"]["vocab"], tmp_path / "far.json"
    path.write_bytes(changed(model__vocab={**vocab, "far": (1 << 31) - 2}))
    TokenizerFile(str(path)).inputs()
    path.write_bytes(changed(model__vocab={**vocab, "far": (1 << 31) - 1}))
    with pytest.raises(TokenizerError, match=r"the id 2147483647 is above 2,147,483,646, .*int32"):
        TokenizerFile(str(path)).inputs()


def test_a_special_token_that_is_a_normal_token_too_is_refused(
    tmp_path: Path, changed: Changed, trained: bytes
) -> None:
    record, path = orjson.loads(trained), tmp_path / "odd.json"
    own = {**record["added_tokens"][0], "id": record["model"]["vocab"]["08"], "content": "08"}
    path.write_bytes(changed(added_tokens=[*record["added_tokens"], own]))
    with pytest.raises(TokenizerError, match="in a document gives the special token '08' itself: merges"):
        TokenizerFile(str(path)).inputs()


def of_bytes(model: models.Model) -> bytes:
    """A tokenizer over single bytes."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return str(tokenizer.to_str()).encode()


def test_unigram_and_wordpiece_over_bytes_are_used(tmp_path: Path) -> None:
    path, alphabet = tmp_path / "x.json", sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [(char, -5.0) for char in alphabet]
    path.write_bytes(of_bytes(models.Unigram([("<unk>", 0.0), *pieces], 0, False)))
    TokenizerFile(str(path)).inputs()
    path.write_bytes(of_bytes(models.Unigram(pieces, alphabet.index("a"), False)))  # several unknown ones become one
    with pytest.raises(TokenizerError, match="loses bytes"):
        TokenizerFile(str(path)).inputs()
    vocab = {char: index for index, char in enumerate([*alphabet, "the"])}
    path.write_bytes(
        of_bytes(
            models.WordPiece(vocab=vocab, unk_token="a", max_input_chars_per_word=1 << 30, continuing_subword_prefix="")
        )
    )
    TokenizerFile(str(path)).inputs()
    assert load(path.read_bytes(), "").encode("the").tokens == ["the"]


@pytest.mark.parametrize("longest", [100, 50_000])
def test_wordpiece_that_gives_up_on_long_words_is_refused(tmp_path: Path, longest: int) -> None:
    path, alphabet = tmp_path / "x.json", pre_tokenizers.ByteLevel.alphabet()
    vocab = {char: index for index, char in enumerate(alphabet)}
    model = models.WordPiece(vocab=vocab, unk_token="a", max_input_chars_per_word=longest, continuing_subword_prefix="")
    path.write_bytes(of_bytes(model))
    with pytest.raises(TokenizerError, match=r"loses bytes: 'a+' comes back as"):
        TokenizerFile(str(path)).inputs()
    path.write_bytes(of_bytes(models.WordPiece(vocab=vocab | {"##a": 300}, unk_token="a")))
    with pytest.raises(TokenizerError, match="loses bytes"):
        TokenizerFile(str(path)).inputs()


def test_a_unigram_model_that_draws_its_cuts_is_refused(tmp_path: Path) -> None:
    path, alphabet = tmp_path / "x.json", pre_tokenizers.ByteLevel.alphabet()
    record = orjson.loads(of_bytes(models.Unigram([(char, -5.0) for char in alphabet], 0, False)))
    record["model"]["alpha"] = 0.1
    path.write_bytes(orjson.dumps(record))
    with pytest.raises(TokenizerError, match=r"alpha 0.1 .* differently each time; set its model\.alpha to null"):
        TokenizerFile(str(path)).inputs()


def test_a_file_that_is_not_there_is_said_with_the_nearest_path(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError) as caught:
        TokenizerFile(str(tmp_path / "tokeniser.json")).inputs()
    missing, nearest = f"{tmp_path / 'tokeniser.json'} is no file", tmp_path / "tokenizer.json"
    assert f"tokenizer.path: {missing}; the nearest existing path is {nearest}; name a " in str(caught.value)

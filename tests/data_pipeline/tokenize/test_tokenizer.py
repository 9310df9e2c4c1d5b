"""Training gives the same bytes each time and says what a text can't support; given files lose nothing or are refused;
the encoder gives the ids of tokenizers and one end of text a document."""

from __future__ import annotations

import collections
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.tokenizer import ByteLevelBPE, Encoder, TokenizerFile
from foundation.errors import SettingError

ENGINES = ["tokenizers", "gigatoken"]
Changed = Callable[..., bytes]


def texts(*values: str) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


@pytest.fixture(scope="module", params=ENGINES)
def encoder(request: pytest.FixtureRequest, trained: bytes) -> Encoder:
    if request.param == "gigatoken":
        pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    return Encoder(trained, engine=request.param)


@pytest.fixture(scope="module")
def oracle(trained: bytes) -> Tokenizer:
    tokenizer = Tokenizer.from_str(trained.decode())
    tokenizer.encode_special_tokens = True
    return tokenizer


# --- training


def test_merges_are_those_of_the_plain_algorithm() -> None:
    """Byte-pair encoding written as in Sennrich et al. 2016: merge the most frequent pair, ties by smaller ids."""
    text = "low low low lower lower newest newest newest newest widest widest"
    size = 257 + 8
    words = collections.Counter([text.split()[0], *(" " + word for word in text.split()[1:])])
    record = orjson.loads(ByteLevelBPE(size).train(iter([text])))
    ids = dict(record["model"]["vocab"])
    split = {tuple(word.replace(" ", "Ġ")): count for word, count in words.items()}
    merges = []
    for _ in range(8):
        pairs: dict[tuple[str, str], int] = {}
        for word, count in split.items():
            for pair in itertools.pairwise(word):
                pairs[pair] = pairs.get(pair, 0) + count
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(list(best))
        merged = {}
        for word, count in split.items():
            out: list[str] = []
            for piece in word:
                if out and (out[-1], piece) == best:
                    out[-1] += piece
                else:
                    out.append(piece)
            merged[tuple(out)] = count  # different words stay different
        split = merged
    assert record["model"]["merges"] == merges


def test_training_gives_the_same_bytes_in_another_process(corpus: list[str], trained: bytes, tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_bytes(orjson.dumps(corpus))
    code = (
        "import sys, orjson; from data_pipeline.tokenize.tokenizer import ByteLevelBPE\n"
        "texts = orjson.loads(open(sys.argv[1], 'rb').read())\n"
        "sys.stdout.buffer.write(ByteLevelBPE(vocab_size=600).train(iter(texts)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "corpus.json")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == trained


def test_a_vocabulary_larger_than_the_text_supports_says_how_many_merges_there_were() -> None:
    text = "abcabc abcabc"  # supports ab, abc, abcabc; the space before the second occurs once
    with pytest.raises(TokenizerError, match="more than the text supports: 3 merges occur at least 2 times") as caught:
        ByteLevelBPE(vocab_size=5000).train(iter([text]))
    assert str(caught.value).startswith("tokenizer.vocab_size: 5000")
    assert "set tokenizer.vocab_size=260 or less" in str(caught.value)
    assert len(orjson.loads(ByteLevelBPE(vocab_size=260).train(iter([text])))["model"]["merges"]) == 3


def test_an_error_of_the_texts_passes_through() -> None:
    def broken() -> Iterator[str]:
        yield "some text"
        raise RuntimeError("the partition can't be read")

    with pytest.raises(RuntimeError, match="the partition can't be read"):
        ByteLevelBPE(300).train(broken())


def test_end_of_text_that_merges_build_is_refused() -> None:
    with pytest.raises(
        TokenizerError, match=r"'END' in a document becomes the end-of-text token.*tokenizer\.eot_token"
    ):
        ByteLevelBPE(vocab_size=260, eot_token="END").train(iter(["END END END END END and more"] * 9))


def test_special_text_in_the_corpus_is_trained_on_as_text() -> None:
    tokenizer_json = ByteLevelBPE(vocab_size=268).train(iter(["<|endoftext|><|endoftext|>x" * 50]))
    tokens = orjson.loads(tokenizer_json)["model"]["vocab"]
    assert "endoftext" in tokens


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"vocab_size": 256}, "^vocab_size: 256 is not allowed; give a number from 257 "),
        ({"min_frequency": 0}, "^min_frequency: 0"),
        ({"sample_bytes": 0}, "^sample_bytes: 0"),
        ({"sample_bytes": 1 << 31}, "^sample_bytes: 2147483648 .*32-bit counts wrap"),
        ({"seed": -1}, "^seed: -1"),
        ({"eot_token": "a"}, "^eot_token: 'a'"),
        ({"eot_token": ""}, "^eot_token: ''"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings_: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ByteLevelBPE(**settings_)  # type: ignore[arg-type]


def test_the_sample_is_bounded() -> None:
    trainer = ByteLevelBPE(sample_bytes=1000)
    chosen = trainer.choose(np.zeros(100, np.int32), np.arange(100), np.full(100, 99))
    assert len(chosen) == 11  # the last may exceed the budget
    assert trainer.inputs() == []


# --- given files


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
        ({"decoder": {"type": "Fuse"}}, "model BPE, decoder Fuse; only byte-level BPE"),
        ({"decoder": None}, "model BPE, decoder None; only byte-level BPE"),
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


# --- encoding


@given(values=st.lists(st.text(), max_size=5))
def test_any_text_round_trips_with_the_ids_of_tokenizers(
    encoder: Encoder, oracle: Tokenizer, values: list[str]
) -> None:
    ids, lengths = encoder.encode(texts(*values))
    documents = np.split(ids, np.cumsum(lengths)[:-1]) if values else []
    for document, text in zip(documents, values, strict=True):
        assert document.tolist() == [*oracle.encode(text).ids, encoder.eot_id]
        assert oracle.decode(document[:-1].tolist(), skip_special_tokens=False) == text


def test_forms_and_counts(encoder: Encoder, corpus: list[str]) -> None:
    values = [*corpus, "", "a<|endoftext|>b", "<|endoftext|>"]
    ids, lengths = encoder.encode(texts(*values))
    assert (ids.dtype, lengths.dtype) == (np.uint16, np.int32)
    assert encoder.dtype == np.uint16
    assert int((ids == encoder.eot_id).sum()) == len(values) == len(lengths)
    assert int(lengths.sum()) == len(ids)
    assert lengths[len(corpus)] == 1


def test_slices_and_no_documents(encoder: Encoder, corpus: list[str]) -> None:
    array = texts(*corpus)
    whole, lengths = encoder.encode(array)
    parts = [encoder.encode(array.slice(start, 7)) for start in range(0, len(array), 7)]
    assert np.array_equal(np.concatenate([ids for ids, _ in parts]), whole)
    assert np.array_equal(np.concatenate([sizes for _, sizes in parts]), lengths)
    ids, lengths = encoder.encode(texts())
    assert (ids.size, lengths.size, ids.dtype) == (0, 0, np.uint16)


@pytest.mark.parametrize("text", ["a" * 5_000_000, "的一是不了" * 330_000], ids=["letters", "cjk"])
def test_five_megabytes_without_a_space(encoder: Encoder, text: str) -> None:
    ids, lengths = encoder.encode(texts(text))
    assert lengths.tolist() == [len(ids)]
    assert ids[-1] == encoder.eot_id


def test_the_engine_is_named_with_its_reason(trained: bytes) -> None:
    pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    assert Encoder(trained).engine == "gigatoken"
    assert "gives the ids of tokenizers" in Encoder(trained).engine_reason
    assert Encoder(trained).describe() == "encoded by gigatoken, checked against tokenizers"
    assert Encoder(trained, engine="tokenizers").engine == "tokenizers"


def test_without_gigatoken_tokenizers_encodes_the_same(trained: bytes, corpus: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(trained)
    (tmp_path / "corpus.json").write_bytes(orjson.dumps(corpus))
    code = (
        "import sys, orjson, pyarrow as pa; sys.modules['gigatoken'] = None\n"
        "from data_pipeline.tokenize.tokenizer import Encoder\n"
        "encoder = Encoder(open(sys.argv[1], 'rb').read())\n"
        "ids, _ = encoder.encode(pa.array(orjson.loads(open(sys.argv[2], 'rb').read()), pa.large_string()))\n"
        "assert encoder.engine == 'tokenizers' and 'not installed' in encoder.engine_reason, encoder.engine_reason\n"
        "sys.stdout.buffer.write(ids.tobytes())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t.json"), str(tmp_path / "corpus.json")]
    without = subprocess.run(command, capture_output=True, check=True).stdout
    assert without == Encoder(trained).encode(texts(*corpus))[0].tobytes()


def test_a_split_that_gigatoken_does_not_know_goes_to_tokenizers(changed: Changed) -> None:
    split = {"type": "Split", "pattern": {"Regex": "[a-z]{1,3}|[^a-z]"}, "behavior": "Isolated", "invert": False}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    odd = changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [split, plain]})
    encoder = Encoder(odd)
    assert encoder.engine == "tokenizers"
    assert "gigatoken" in encoder.engine_reason
    assert encoder.describe() == f"encoded by tokenizers: {encoder.engine_reason}"  # the slow engine says why
    ids, _ = encoder.encode(texts("abcdefgh, 12"))
    assert ids[:-1].tolist() == Tokenizer.from_str(odd.decode()).encode("abcdefgh, 12").ids
    with pytest.raises(TokenizerError, match="the engine gigatoken can't be used"):
        Encoder(odd, engine="gigatoken")


def test_truncation_and_padding_of_a_given_file_are_not_obeyed(trained: bytes, encoder: Encoder) -> None:
    cutting = Tokenizer.from_str(trained.decode())
    cutting.enable_truncation(4)
    cutting.enable_padding(length=20)
    values = texts("the of and to in is that it was for", "to")
    expected = encoder.encode(values)[0]
    assert np.array_equal(Encoder(cutting.to_str().encode(), engine=encoder.engine).encode(values)[0], expected)  # type: ignore[arg-type]


def test_added_tokens_that_are_not_special_are_used_as_tokenizers_does(changed: Changed, trained: bytes) -> None:
    added = orjson.loads(trained)["added_tokens"]
    tool = {**added[0], "id": 600, "content": "<tool>", "special": False}
    with_tool = changed(added_tokens=[*added, tool])
    oracle = Tokenizer.from_str(with_tool.decode())
    oracle.encode_special_tokens = True
    text = "a <tool> b<tool><|endoftext|>"
    for engine in ("auto", "tokenizers"):
        encoder = Encoder(with_tool, engine=engine)  # type: ignore[arg-type]
        assert encoder.encode(texts(text))[0][:-1].tolist() == oracle.encode(text).ids
        assert encoder.vocab_size == 601


def test_a_large_vocabulary_needs_int32(changed: Changed, trained: bytes) -> None:
    vocab = orjson.loads(trained)["model"]["vocab"]
    encoder = Encoder(changed(model__vocab={**vocab, "far": 65_499}))
    assert (encoder.vocab_size, encoder.dtype) == (65_500, np.int32)
    assert encoder.encode(texts("the of"))[0].dtype == np.int32


def test_a_missing_end_of_text_is_refused_with_those_there_are(trained: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.eot_token: '</s>' .*it has: <\|endoftext\|>"):
        Encoder(trained, eot_token="</s>")

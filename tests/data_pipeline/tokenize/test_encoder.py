"""The encoder gives the ids of tokenizers and one end-of-text token per document, whichever engine works."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_pipeline.tokenize.cuts import CL100K
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.records import split

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


@given(values=st.lists(st.text(), max_size=5))
def test_any_text_round_trips_with_the_ids_of_tokenizers(
    encoder: Encoder, oracle: Tokenizer, values: list[str]
) -> None:
    ids, lengths = encoder.encode(texts(*values))
    documents = np.split(ids, np.cumsum(lengths)[:-1]) if values else []
    for document, text in zip(documents, values, strict=True):
        assert document.tolist() == [*oracle.encode(text).ids, encoder.eot_id]
        assert oracle.decode(document[:-1].tolist(), skip_special_tokens=False) == text


@pytest.mark.bad_input(46)
def test_ids_have_the_dtype_and_one_end_of_text_per_document(encoder: Encoder, corpus: list[str]) -> None:
    values = [*corpus, "", "a<|endoftext|>b", "<|endoftext|>"]
    ids, lengths = encoder.encode(texts(*values))
    assert (ids.dtype, lengths.dtype) == (np.uint16, np.int32)
    assert encoder.dtype == np.uint16
    assert int((ids == encoder.eot_id).sum()) == len(values) == len(lengths)
    assert int(lengths.sum()) == len(ids)
    assert lengths[len(corpus)] == 1


def test_a_slice_encodes_as_its_part_of_the_whole(encoder: Encoder, corpus: list[str]) -> None:
    array = texts(*corpus)
    whole, lengths = encoder.encode(array)
    parts = [encoder.encode(array.slice(start, 7)) for start in range(0, len(array), 7)]
    assert np.array_equal(np.concatenate([ids for ids, _ in parts]), whole)
    assert np.array_equal(np.concatenate([sizes for _, sizes in parts]), lengths)
    ids, lengths = encoder.encode(texts())
    assert (ids.size, lengths.size, ids.dtype) == (0, 0, np.uint16)


@pytest.mark.bad_input(30)
@pytest.mark.parametrize("text", ["a" * 5_000_000, "的一是不了" * 330_000], ids=["letters", "cjk"])
def test_five_megabytes_without_a_space_are_encoded_whole(encoder: Encoder, text: str) -> None:
    ids, lengths = encoder.encode(texts(text))
    assert lengths.tolist() == [len(ids)]
    assert ids[-1] == encoder.eot_id


@pytest.mark.bad_input(30)
@pytest.mark.parametrize("cl100k", [False, True], ids=["gpt2", "cl100k"])
@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "的一是不了"])
def test_the_time_of_a_document_of_one_letter_grows_as_it_does(
    encoder: Encoder, changed: Changed, cl100k: bool, unit: str
) -> None:
    """Eight times the text may take thirty times as long: a quadratic loop would take sixty-four."""
    if cl100k:
        over_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        tokenizer_json = changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [split(CL100K), over_bytes]})
        encoder = Encoder(tokenizer_json, engine=encoder.engine)  # type: ignore[arg-type]
    seconds = []
    for size in (50_000, 400_000):
        text = texts(unit * (size // len(unit)))
        took = []
        for _ in range(2):
            start = time.process_time()
            ids, lengths = encoder.encode(text)
            took.append(time.process_time() - start)
        seconds.append(min(took))
        assert lengths.tolist() == [len(ids)]
    assert seconds[1] < 30 * max(seconds[0], 0.005)


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
        "from data_pipeline.tokenize.encoder import Encoder\n"
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


@pytest.mark.bad_input(46)
def test_a_text_that_gives_the_end_of_text_token_is_named(changed: Changed, trained: bytes) -> None:
    vocab = orjson.loads(trained)["model"]["vocab"]
    added = orjson.loads(trained)["added_tokens"]
    odd = changed(added_tokens=[*added, {**added[0], "id": vocab["é"], "content": "é"}])  # what byte E9 is called
    encoder = Encoder(odd, eot_token="é", engine="tokenizers")
    assert encoder.encode(texts("ascii"))[0][-1] == encoder.eot_id
    with pytest.raises(TokenizerError, match=r"tokenizer\.eot_token: the text that begins '中央 鿿' gives"):
        encoder.encode(texts("ascii", "中央 鿿"))

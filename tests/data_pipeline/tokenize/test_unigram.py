"""Unigram over bytes: the same file each time, nothing lost, the likeliest tokens; a given one is taken too."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_pipeline.executors.local import Local
from data_pipeline.pipeline import Result
from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.stages.stage import Workplace
from data_pipeline.stages.tokenizer import TrainTokenizer
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.checks import check, load
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.counting import Adder, batches
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokenize.split import SplitName, split_plainly
from data_pipeline.tokenize.unigram import ByteLevelUnigram
from data_pipeline.tokenize.unigram_training import MAX_PIECE_BYTES, find_tokens, train_model
from foundation.errors import SettingError

TARGET = "data_pipeline.tokenize.unigram.ByteLevelUnigram"
TEXTS = list(topics.values())[:30]
SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>"]
SIZE = 1200
CHARS = byte_chars()


@pytest.fixture(scope="module")
def trained() -> bytes:
    return ByteLevelUnigram(SIZE, special_tokens=SPECIAL[1:]).train(iter(TEXTS))


@pytest.fixture(scope="module")
def tokenizer(trained: bytes) -> Tokenizer:
    return load(trained, "here")


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def in_chars(text: str) -> str:
    return "".join(CHARS[byte] for byte in text.encode())


def counted_of(texts: list[str], split: SplitName, folder: Path) -> Counted:
    adder = Adder(1 << 30, folder)
    for batch in batches(texts):
        adder.count(batch, split, MAX_PIECE_BYTES)
    return adder.sum()


@pytest.mark.parametrize("one_core", [False, True])
def test_training_gives_the_same_bytes_in_another_process(trained: bytes, one_core: bool) -> None:
    """Sixteen threads on one core take turns in another order."""
    if one_core and not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system can't keep a process on one core")
    code = (
        "import os, sys; from pydoc_data.topics import topics\n"
        f"from {TARGET.rpartition('.')[0]} import ByteLevelUnigram\n"
        f"if {one_core}: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        f"made = ByteLevelUnigram({SIZE}, special_tokens={SPECIAL[1:]}).train(iter(list(topics.values())[:30]))\n"
        "sys.stdout.buffer.write(made)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == trained


@pytest.mark.slow
def test_workers_and_partitions_change_nothing(
    made: Any, tmp_path: Path, config: Callable[..., dict[str, Any]], go: Callable[..., Result], decoded: Any
) -> None:
    files = []
    for workers, partition_bytes in ((1, 1 << 14), (2, 8000)):
        out = tmp_path / str(workers)
        tree = config(made.folder, out, executor__workers=workers, partition_bytes=partition_bytes)
        go(tree | {"tokenizer": {"_target_": TARGET, "vocab_size": 330, "memory_bytes": 1 << 20}})
        files.append((out / "tokenizer.json").read_bytes())
    assert files[0] == files[1]
    texts = [text for each in decoded(tmp_path / "2")["train"].values() for text in each]
    random.Random(1).shuffle(texts)
    assert ByteLevelUnigram(330).train(iter(texts)) == files[0]


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.text(alphabet="<|endoftxusr>\n ' sſ é¡µ页"))
def test_any_text_comes_back_and_none_gives_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    ids = ids_of(tokenizer, text)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert not {0, 1, 2}.intersection(ids)


def test_special_texts_are_text_in_any_surroundings(tokenizer: Tokenizer) -> None:
    for special, before, after in itertools.product(SPECIAL, ("", "a", " ", "<", "|", "\n"), ("", "a", " ", ">", "\n")):
        text = before + special + after
        ids = ids_of(tokenizer, text)
        assert min(ids) > 2 and tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
def test_every_byte_is_a_token_and_special_ones_come_first(split: SplitName) -> None:
    made = ByteLevelUnigram(400, split, SPECIAL[1:]).train(iter(["".join(filter(str.isascii, "".join(TEXTS[:6])))]))
    record = orjson.loads(made)
    texts = [text for text, _ in record["model"]["vocab"]]
    assert len(texts) == len(set(texts)) == 400
    assert texts[:3] == SPECIAL == [token["content"] for token in record["added_tokens"]]
    assert set(CHARS) <= set(texts)
    assert record["model"]["unk_id"] is None
    tokenizer = load(made, "here")
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000, 7)]))
    assert tokenizer.decode(ids_of(tokenizer, everything), skip_special_tokens=False) == everything


def test_a_vocabulary_larger_than_the_text_supports_is_told_with_a_size_that_works() -> None:
    text = "".join(f"{word} " * (number + 1) for number, word in enumerate(topics["if"].split()[:60]))
    with pytest.raises(TokenizerError, match=r"^tokenizer\.vocab_size: 5000 is more than the text supports") as caught:
        ByteLevelUnigram(5000).train(iter([text]))
    size = int(str(caught.value).partition("tokenizer.vocab_size=")[2].split()[0])
    assert 257 < size < 5000
    assert len(orjson.loads(ByteLevelUnigram(size).train(iter([text])))["model"]["vocab"]) == size


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["abc abc"]])
def test_the_smallest_vocabulary_is_the_bytes_whatever_the_text(texts: list[str]) -> None:
    made = ByteLevelUnigram(257).train(iter(texts))
    ids, _ = Encoder(made).encode(pa.array(["abc"], pa.large_string()))
    assert [load(made, "").id_to_token(each) for each in ids.tolist()] == ["a", "b", "c", "<|endoftext|>"]


@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
def test_the_tokens_of_a_piece_are_those_of_sentencepiece_or_score_alike(split: SplitName, tmp_path: Path) -> None:
    """It adds up 32 bits where tokenizers adds up 64: of two cuts that score alike they may take one each."""
    counted = counted_of(TEXTS, split, tmp_path)
    absent = 256 - len(set(counted.data.tolist()))
    oracle = SentencePieceProcessor(model_proto=train_model(counted, SIZE - 1 - absent, 48))
    made = load(ByteLevelUnigram(SIZE, split).train(iter(TEXTS)), "here")
    assert {oracle.id_to_piece(number) for number in range(1, len(oracle))} == {
        made.id_to_token(number) for number in range(1, SIZE)
    } - (set(CHARS) - {CHARS[byte] for byte in counted.data.tolist()})
    others, pieces = 0, sorted({piece for text in TEXTS for piece in split_plainly(text, split)})
    for piece in pieces:
        found = [made.id_to_token(each) for each in ids_of(made, piece)]
        expected = oracle.encode(in_chars(piece), out_type=str)
        others += found != expected
        scores = [sum(oracle.get_score(oracle.piece_to_id(each)) for each in cut) for cut in (found, expected)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3), piece
    assert others <= len(pieces) // 100


def best_cuts(piece: str, scores: dict[str, float]) -> tuple[float, list[list[str]]]:
    """Every way to cut a piece, looked at; the best sum, and all that have it."""
    found: dict[float, list[list[str]]] = {}
    for places in itertools.product([False, True], repeat=len(piece) - 1):
        bounds = [0, *(place + 1 for place, is_cut in enumerate(places) if is_cut), len(piece)]
        tokens = [piece[start:end] for start, end in itertools.pairwise(bounds)]
        if all(token in scores for token in tokens):
            found.setdefault(round(sum(scores[token] for token in tokens), 9), []).append(tokens)
    best = max(found)
    return best, found[best]


def test_a_text_gives_the_likeliest_of_all_ways_to_cut_its_pieces(trained: bytes, tokenizer: Tokenizer) -> None:
    scores = {text: score for text, score in orjson.loads(trained)["model"]["vocab"] if text not in SPECIAL}
    pieces = {piece for text in [*TEXTS, *probe_texts([])] for piece in split_plainly(text, "gpt2")}
    short = sorted(piece for piece in pieces if 1 < len(piece.encode()) <= 11)
    assert len(short) > 2000
    for piece in random.Random(3).sample(short, 500):
        tokens = [tokenizer.id_to_token(each) for each in ids_of(tokenizer, piece)]
        assert tokens in best_cuts(in_chars(piece), scores)[1]


def test_words_that_are_frequent_are_tokens_and_the_likely_ones_come_first(trained: bytes) -> None:
    vocab = orjson.loads(trained)["model"]["vocab"][3:]
    scores = [score for _, score in vocab]
    assert scores == sorted(scores, reverse=True)
    assert {"Ġthe", "Ġof", "Ġobject"} <= {text for text, _ in vocab}


def test_a_piece_is_never_passed_over_for_its_length() -> None:
    rng = random.Random(4)
    syllables = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(40)]
    text = "".join(rng.choices(syllables, k=4000))  # 20,000 letters, one piece
    assert len(split_plainly(text, "gpt2")) == 1
    vocab = orjson.loads(ByteLevelUnigram(290, max_token_bytes=5).train(iter([text])))["model"]["vocab"]
    assert len({token for token, _ in vocab}.intersection(syllables)) > 25


def test_tokens_have_no_more_bytes_than_they_may() -> None:
    texts = ["=" * 40 + "東京都に住む人" * 5, *TEXTS]
    for most in (1, 5, 12):
        size = 257 if most == 1 else 600
        vocab = orjson.loads(ByteLevelUnigram(size, max_token_bytes=most).train(iter(texts)))["model"]["vocab"]
        assert max(len(text) for text, _ in vocab[1:]) == most


def test_without_sentencepiece_it_says_what_to_install_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)  # as Python itself sees what can't be imported
    trainer = ByteLevelUnigram(300)
    message = r"^tokenizer: .* package sentencepiece, which is not installed; pip install -e '\.\[unigram\]', or train"
    with pytest.raises(TokenizerError, match=message):
        trainer.inputs()
    with pytest.raises(TokenizerError, match=message):
        trainer.train(iter(["some text"]))


def test_another_version_of_sentencepiece_is_another_setting_of_the_stage(tmp_path: Path) -> None:
    found = {}
    for trainer in (ByteLevelUnigram(), ByteLevelBPE()):
        stage = TrainTokenizer(Workplace(tmp_path, Local()), trainer, {})
        found[type(trainer)] = stage.settings()["libraries"]
    assert found == {ByteLevelUnigram: {"sentencepiece": metadata.version("sentencepiece")}, ByteLevelBPE: {}}


def test_a_training_that_fails_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TokenizerError, match=r"training of 3 tokens on 2 distinct pieces failed \(exit code 1\)"):
        train_model(counted_of(["abcdef ghijk"], "gpt2", tmp_path), 3, 16)
    assert "vocab" in capfd.readouterr().err.lower()  # what sentencepiece says of it
    with pytest.raises(TokenizerError, match="failed"):
        find_tokens(counted_of(["abcdef ghijk"], "gpt2", tmp_path), 300, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_the_training_ends_with_the_process_that_began_it() -> None:
    code = (
        "import random; from data_pipeline.tokenize.unigram import ByteLevelUnigram\n"
        "rng = random.Random(1)\n"
        "texts = [' '.join(''.join(rng.choices('abcdefgh', k=12)) for _ in range(200_000))]\n"
        "ByteLevelUnigram(9000).train(iter(texts))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 60
        while not (trainers_ := [each for each in children.read_text().split() if is_training(each)]):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    while is_training(trainers_[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_training(pid: str) -> bool:
    try:
        return b"unigram_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_token_bytes": 0}, "^max_token_bytes: 0 is not allowed; give a number from 1 to 512 "),
        ({"max_token_bytes": 513}, "^max_token_bytes: 513"),
        ({"vocab_size": 256}, "^vocab_size: 256 is not allowed; give a number from 257 "),
        ({"eot_token": "END"}, "^eot_token: 'END' is not allowed; give a text that is cut in two pieces"),
        ({"special_tokens": ["=="]}, "^special_tokens: '=='"),
        ({"special_tokens": ["é¡µ"]}, "^special_tokens: 'é¡µ'"),  # the bytes of 页
        ({"special_tokens": ["<a>", "<a>"]}, "^special_tokens: '<a>'"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ByteLevelUnigram(**settings_)


def test_a_special_text_that_no_byte_level_token_can_be_is_taken() -> None:
    made = ByteLevelUnigram(258, special_tokens=["＝終＝"]).train(iter(["a"]))
    ids, _ = Encoder(made).encode(pa.array(["＝終＝"], pa.large_string()))
    assert 1 not in ids.tolist()


@pytest.fixture(scope="module")
def foreign() -> bytes:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.UnigramTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(topics.values())[:20], trainer)
    return bytes(tokenizer.to_str().encode())


def test_one_that_was_trained_elsewhere_is_taken_and_loses_nothing(foreign: bytes) -> None:
    texts = ["a" * 10_000, "東京 \0\n", *list(topics.values())[:3]]
    check(foreign, "<|endoftext|>", texts, "mine")
    ids, lengths = Encoder(foreign).encode(pa.array(texts, pa.large_string()))
    tokenizer = Tokenizer.from_str(foreign.decode())
    assert tokenizer.decode(ids[: lengths[0] - 1].tolist(), skip_special_tokens=False) == texts[0]


def test_a_foreign_one_that_lacks_a_byte_is_refused(foreign: bytes) -> None:
    record = orjson.loads(foreign)
    record["model"]["vocab"] = [entry for entry in record["model"]["vocab"] if entry[0] != "Q"]
    with pytest.raises(TokenizerError, match=r"^mine: 1 of the 256 bytes have no token of their own \(Q\)"):
        check(orjson.dumps(record), "<|endoftext|>", [], "mine")

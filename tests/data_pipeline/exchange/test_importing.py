"""Foreign shards give the documents that their writers took, and a folder that the sums vouch for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.health import blank_ids, health_plainly
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.token_bytes import token_bytes_of
from data_pipeline.shards.verify import verify
from data_pipeline.tokenize.errors import TokenizerError
from tests.data_pipeline.exchange.writers import Documents, datatrove, llmc_bytes, megatron

EOT = 0
Import = Callable[..., Manifest]


def flat(documents: Documents, at: str = "end") -> list[int]:
    both = ([EOT], []) if at == "start" else ([], [EOT])
    return [number for document in documents for number in (*both[0], *document, *both[1])]


def uint16(path: Path, tokens: list[int]) -> Path:
    path.write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    return path


def text_bytes(documents: Documents, finished: Path) -> int:
    """Of the decoded text: whole documents are valid UTF-8."""
    tokenizer = Tokenizer.from_file(str(finished / "tokenizer.json"))
    return sum(len(tokenizer.decode(each, skip_special_tokens=False).encode()) for each in documents)


def test_nanogpt_files_end_to_end(
    bring_in: Import, back: Callable[..., Documents], documents: Documents, tmp_path: Path, finished: Path
) -> None:
    tokens = flat(documents)
    cut = len(tokens) // 2 + 7  # a document goes on in the second file
    files = uint16(tmp_path / "a.bin", tokens[:cut]), uint16(tmp_path / "b.bin", tokens[cut:])
    made = bring_in("nanogpt", *files, val=[uint16(tmp_path / "val.bin", flat(documents[:3]))])
    assert back() == documents and back("val") == documents[:3]
    held = made.splits["train"]["other"]
    assert (held.documents, held.tokens) == (len(documents), len(tokens))
    assert held.utf8_bytes == text_bytes(documents, finished)
    assert len(held.shards) > 1 and not any(verify(tmp_path / "in").values())
    assert made == Manifest.load(tmp_path / "in") and made.shuffle_seed == "unknown"


def test_llmc_documents_begin_with_end_of_text_and_go_on_in_the_next_file(
    bring_in: Import, back: Callable[..., Documents], documents: Documents, tmp_path: Path
) -> None:
    tokens = flat(documents, "start")
    (tmp_path / "w_train_000001.bin").write_bytes(llmc_bytes(tokens[:5000]))
    (tmp_path / "w_train_000002.bin").write_bytes(llmc_bytes(tokens[5000:]))
    bring_in("llmc", *sorted(tmp_path.glob("w_train_*.bin")))
    assert back() == documents


def test_llmc_files_that_begin_amid_a_document_as_those_of_fineweb_do(
    bring_in: Import,
    back: Callable[..., Documents],
    documents: Documents,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = flat(documents, "start")
    cut = 1 + len(documents[0]) + 3  # the held-out file ends amid the second document
    (tmp_path / "w_val_000000.bin").write_bytes(llmc_bytes(tokens[:cut]))
    (tmp_path / "w_train_000001.bin").write_bytes(llmc_bytes(tokens[cut:]))
    bring_in("llmc", tmp_path / "w_train_000001.bin", val=[tmp_path / "w_val_000000.bin"])
    assert back("val") == [documents[0], documents[1][:2]]
    assert back() == [documents[1][2:], *documents[2:]]
    assert "train: the files begin amid a document" in capsys.readouterr().err


@pytest.mark.parametrize("code", [8, 4])
def test_megatron_documents_of_several_sequences(
    bring_in: Import, back: Callable[..., Documents], documents: Documents, tmp_path: Path, code: int
) -> None:
    rng = np.random.default_rng(5)
    cuts = [sorted(rng.integers(0, len(each) + 1, 2).tolist()) for each in documents]
    pieces = [[d[:i], d[i:j], [*d[j:], EOT]] for d, (i, j) in zip(documents, cuts, strict=True)]
    prefix = megatron(tmp_path / "m", pieces, code)
    made = bring_in("megatron", prefix if code == 8 else prefix.with_name("m.idx"))
    assert back() == documents and made.dtype == "uint16"


def test_megatrons_own_fixture(bring_in: Import, tmp_path: Path) -> None:
    fixture = Path(__file__).parents[1] / "shards" / "fixtures" / "one_token_documents.bin"
    with pytest.raises(ExchangeError, match=r"token 2 has id 65498, which the vocabulary does not have"):
        bring_in("megatron", fixture)


@pytest.mark.parametrize("width", ["H", "I"])
@pytest.mark.parametrize("says_width", [True, False])
@pytest.mark.parametrize("beside", ["index and metadata", "metadata", "index"])
def test_datatrove_with_and_without_its_index(
    bring_in: Import,
    back: Callable[..., Documents],
    documents: Documents,
    tmp_path: Path,
    width: str,
    beside: str,
    says_width: bool,
) -> None:
    path = datatrove(tmp_path / "00000_shuffled.ds", [[*each, EOT] for each in documents], width, says_width)
    for name in {"index", "metadata"} - set(beside.split()):
        path.with_name(f"{path.name}.{name}").unlink()
    bring_in("datatrove", path)
    assert back() == documents


def test_a_mask_of_the_loss_is_told_as_lost(
    bring_in: Import, documents: Documents, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = datatrove(tmp_path / "a.ds", [[*each, EOT] for each in documents])
    (tmp_path / "a.ds.loss").write_bytes(b"\1")
    bring_in("datatrove", path)
    assert "a.ds.loss: which tokens were to be left out of the loss is not carried over" in capsys.readouterr().err


def test_documents_without_end_of_text_are_refused_or_given_one(
    bring_in: Import, back: Callable[..., Documents], documents: Documents, tmp_path: Path
) -> None:
    some = [[*each, EOT] if place % 3 else each for place, each in enumerate(documents)]
    path = datatrove(tmp_path / "a.ds", some)
    with pytest.raises(ExchangeError, match=r"a\.ds: document 0 ends at token [\d,]+ with id \d+, not .* --append-eot"):
        bring_in("datatrove", path)
    assert not (tmp_path / "in").exists() and not (tmp_path / ".in.unfinished").exists()
    bring_in("datatrove", path, append_eot=True)
    assert back() == documents


def test_end_of_text_inside_a_document_of_an_index_ends_it(
    bring_in: Import,
    back: Callable[..., Documents],
    documents: Documents,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, *others = documents
    bring_in("datatrove", datatrove(tmp_path / "a.ds", [[*each, EOT] for each in ([*first, EOT, *second], *others)]))
    assert back() == documents and "1 end-of-text token inside documents" in capsys.readouterr().err


def test_health_is_that_of_the_documents(
    bring_in: Import, documents: Documents, tmp_path: Path, finished: Path
) -> None:
    behind = token_bytes_of((finished / "tokenizer.json").read_bytes())
    blank = behind.pieces(300).index(b" ")
    some = [[*each[:5], 7, 7, 7, *[blank] * 4, *each[5:]] for each in documents]
    made = bring_in("nanogpt", uint16(tmp_path / "a.bin", flat(some)), val=[uint16(tmp_path / "v.bin", flat(some[:2]))])
    single = behind.single_bytes(made.vocab_size).tolist()
    is_blank = blank_ids(behind.pieces(made.vocab_size)).tolist()
    for split, held in {"train": some, "val": some[:2]}.items():
        health = made.splits[split]["other"].health
        assert health is not None
        longest = max(range(len(held)), key=lambda place: len(held[place]))
        first = sum(len(each) + 1 for each in held[:longest])
        name = f"document {longest:,} of the source, from its token {first:,} on"
        plainly = [(name if place == longest else "", each) for place, each in enumerate(held)]
        assert asdict(health) == health_plainly(plainly, single, behind.unknown, is_blank)


def test_tokens_past_a_limit_are_told_as_a_run_of_the_pipeline_tells_them(
    bring_in: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_in("nanogpt", uint16(tmp_path / "a.bin", [*[5] * 1000, EOT] * 120 + [*[6] * 60_000, EOT]))
    told = capsys.readouterr().err
    assert "warning: other (train): 99.9% of the tokens repeat the one before, more than max_repeated_frac" in told
    assert "look at document 120 of the source, from its token 120,120 on (60,001 tokens)" in told


def test_documents_next_to_empty_are_told(bring_in: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = [*[5, 6, EOT] * 60, *[5, 6, 7, EOT] * 50]
    bring_in("nanogpt", uint16(tmp_path / "a.bin", tokens))
    told = capsys.readouterr().err
    assert "warning: train: 60 of 110 documents have at most 2 tokens of text: see whether 0 is what ends" in told


def test_one_file_in_two_splits_is_refused_under_whatever_name(
    bring_in: Import, documents: Documents, tmp_path: Path
) -> None:
    path = uint16(tmp_path / "a.bin", flat(documents))
    (tmp_path / "b.bin").symlink_to(path)
    (tmp_path / "c").mkdir()
    for other in (path, tmp_path / "b.bin", tmp_path / "c" / ".." / "a.bin"):
        with pytest.raises(ExchangeError, match=r"\.bin: is named twice, in train and val; name each file once"):
            bring_in("nanogpt", path, val=[other])
        with pytest.raises(ExchangeError, match=r"\.bin: is named twice, in train; name each file once"):
            bring_in("nanogpt", path, other)
    assert not (tmp_path / "in").exists()


def test_files_without_a_token_are_refused(bring_in: Import, documents: Documents, tmp_path: Path) -> None:
    empty, path = uint16(tmp_path / "none.bin", []), uint16(tmp_path / "a.bin", flat(documents))
    with pytest.raises(ExchangeError, match=r"train: .*none\.bin: holds no token; name the files"):
        bring_in("nanogpt", empty)
    with pytest.raises(ExchangeError, match=r"val: .*none\.bin: holds no token; name the files"):
        bring_in("nanogpt", path, val=[empty])
    assert not (tmp_path / "in").exists()
    assert bring_in("nanogpt", empty, path).splits["train"]["other"].documents == len(documents)


REFUSED = {
    "llmc without a header": ("llmc", lambda tokens: struct.pack(f"<{len(tokens)}H", *tokens), "no llm.c shard"),
    "llmc, a header alone that is cut": ("llmc", lambda tokens: llmc_bytes(tokens)[:600], "no llm.c shard"),
    "llmc cut in half": ("llmc", lambda tokens: llmc_bytes(tokens)[: 1024 + len(tokens)], "cut short"),
    "llmc with more behind it": ("llmc", lambda tokens: llmc_bytes(tokens) + b"\0\0", "longer than it was written"),
    "llmc of Llama 3": ("llmc", lambda tokens: struct.pack("<256i", 20240801, 7, *[0] * 254), "uint32 ids"),
    "llmc of version 2": ("llmc", lambda tokens: struct.pack("<256i", 20240520, 2, *[0] * 254), "version 2"),
    "nanogpt with a header": ("nanogpt", llmc_bytes, "--format llmc"),
    "nanogpt of odd size": ("nanogpt", lambda tokens: struct.pack(f"<{len(tokens)}H", *tokens)[:-1], "an odd number"),
    "nanogpt of uint32": ("nanogpt", lambda tokens: struct.pack(f"<{len(tokens)}I", *tokens), "of uint32 ids"),
    "datatrove of uint32, alone": ("datatrove", lambda tokens: struct.pack(f"<{len(tokens)}I", *tokens), "uint32"),
    "ids above the vocabulary": ("nanogpt", lambda tokens: struct.pack("<3H", 5, 60_000, 0), "token 1 has id 60000"),
    "no end of text at all": ("nanogpt", lambda tokens: struct.pack("<3H", 5, 6, 7), "there is none: 3 tokens"),
    "no end of text at the end": ("nanogpt", lambda tokens: struct.pack("<4H", 5, 0, 6, 7), "missing after 1 doc"),
    "llmc that begins otherwise": (
        "llmc",
        lambda tokens: llmc_bytes([5, 6, 0]),
        "begins with id 5, and the last file ends with",
    ),
    "llmc without end of text": ("llmc", lambda tokens: llmc_bytes([5, 6, 7]), "there is none: 3 tokens"),
    "datatrove, half an id": ("datatrove", lambda tokens: b"\0\0\0", "no whole number of ids"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_such_shard_is_refused_by_name_and_nothing_is_left(
    bring_in: Import, documents: Documents, tmp_path: Path, case: str
) -> None:
    form, make, said = REFUSED[case]
    path = tmp_path / "bad.bin"
    path.write_bytes(make(flat(documents, "start")))
    with pytest.raises(ExchangeError) as caught:
        bring_in(form, path)
    assert "bad.bin: " in str(caught.value) and said in str(caught.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.bin"]


@pytest.mark.parametrize("damage", ["index cut", "tokens cut", "metadata of another", "index of no order"])
def test_datatrove_files_that_do_not_belong_together_are_refused(
    bring_in: Import, documents: Documents, tmp_path: Path, damage: str
) -> None:
    path = datatrove(tmp_path / "a.ds", [[*each, EOT] for each in documents])
    index, metadata = tmp_path / "a.ds.index", tmp_path / "a.ds.metadata"
    if damage == "index cut":
        index.write_bytes(index.read_bytes()[:-3])
    elif damage == "tokens cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "metadata of another":
        metadata.write_text("gpt2\n7\n7 T")
    else:
        index.write_bytes(index.read_bytes()[8:16] + index.read_bytes()[:8] + index.read_bytes()[16:])
    with pytest.raises(ExchangeError, match=r"a\.ds"):
        bring_in("datatrove", path)


def test_half_a_megatron_pair_is_refused(bring_in: Import, documents: Documents, tmp_path: Path) -> None:
    prefix = megatron(tmp_path / "m", [[[*each, EOT]] for each in documents])
    tokens = tmp_path / "m.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(DamagedShard, match=r"m\.bin: .* bytes, the lengths in its \.idx make"):
        bring_in("megatron", prefix)
    (tmp_path / "m.idx").unlink()
    with pytest.raises(ShardError, match=r"m\.idx: missing"):
        bring_in("megatron", prefix)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("offsets", "sequence 1 begins at byte 0 of the .bin"),
        ("boundaries", r"document 2 begins at sequence 1; documents begin in ascending order"),
    ],
)
def test_a_megatron_index_whose_numbers_do_not_agree_is_refused(
    bring_in: Import, documents: Documents, tmp_path: Path, words: str, said: str
) -> None:
    prefix = megatron(tmp_path / "m", [[[*each, EOT]] for each in documents])
    index, count = tmp_path / "m.idx", len(documents)
    data = bytearray(index.read_bytes())
    if words == "offsets":
        data[34 + 4 * count : 34 + 12 * count] = bytes(8 * count)
    else:
        struct.pack_into("<2q", data, 34 + 12 * count + 8, 2, 1)
    index.write_bytes(data)
    with pytest.raises(DamagedShard, match=said):
        bring_in("megatron", prefix)
    assert not (tmp_path / "in").exists()


def test_what_was_typed_wrongly_is_refused_before_any_work(
    bring_in: Import, documents: Documents, tmp_path: Path, finished: Path
) -> None:
    path = uint16(tmp_path / "a.bin", flat(documents))
    with pytest.raises(TokenizerError, match="'<eos>' is no special token"):
        bring_in("nanogpt", path, eot_token="<eos>")
    with pytest.raises(ExchangeError, match=r"absent\.bin: is no file"):
        bring_in("nanogpt", tmp_path / "absent.bin")
    with pytest.raises(
        ExchangeError, match=r"--tokenizer gpt2: no tokenizer\.json is there; name that of these shards"
    ):
        bring_in("nanogpt", path, tokenizer=Path("gpt2"))
    with pytest.raises(ExchangeError, match=r"a\.bin: is named twice"):
        bring_in("nanogpt", path, path)
    indexed = datatrove(tmp_path / "a.ds", [[*each, EOT] for each in documents])
    with pytest.raises(ExchangeError, match=r"--eot-at start: .* has an index"):
        bring_in("datatrove", indexed, eot_at="start")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mine").write_text("")
    with pytest.raises(ExchangeError, match="is there already"):
        bring_in("nanogpt", path)
    assert (tmp_path / "in" / "mine").is_file()

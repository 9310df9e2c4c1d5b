"""The loader: the same global batches however they are split, and a whole epoch that gives back the documents."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.tokenize.bpe import ByteLevelBPE
from foundation.errors import SettingError
from pretrain.data.dataset import open_data
from pretrain.data.errors import DataError
from pretrain.data.keys import sample_keys
from pretrain.data.loader import ShardLoader, Shards, hash_of_samples, rank_samples
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.tokenizer import Tokenizer
from pretrain.types import IGNORE, Batch

CPU = torch.device("cpu")
Make = Callable[..., Path]
Documents = Callable[[int, int], list[np.ndarray]]


def load(
    path: Path, rank: int = 0, ranks: int = 1, batch: int = 16, micro: int = 4, seq_len: int = 32, **options: Any
) -> ShardLoader:
    options = {"max_epochs_per_source": None, **options}  # a few steps of a plan of 100 over a few pages
    plan = Plan(seq_len, batch, micro, ranks, max_steps=100, samples_per_epoch=1, seed=5)
    return Shards(str(path), **options).loader(plan, Mesh(rank, ranks, rank, CPU))


def global_batch(loaders: list[ShardLoader], step: int) -> list[Batch]:
    """Return the micro batches of all ranks in the order of their samples."""
    batches = [batch for loader in loaders for batch in loader.micro_batches(step)]
    return sorted(batches, key=lambda batch: int(batch.samples[0]))


@pytest.fixture
def folder(make_folder: Make, documents: Documents) -> Path:
    return make_folder({"web": documents(60, 1), "code": documents(30, 2)}, weights={"web": 2.0, "code": 1.0})


@pytest.fixture
def loaders() -> Iterator[Callable[..., ShardLoader]]:
    opened: list[ShardLoader] = []

    def open_one(*args: Any, **options: Any) -> ShardLoader:
        opened.append(load(*args, **options))
        return opened[-1]

    yield open_one
    for loader in opened:
        loader.close()


def test_gives_inputs_and_the_targets_one_to_the_right(folder: Path, loaders: Callable[..., ShardLoader]) -> None:
    batches = loaders(folder).micro_batches(3)
    assert len(batches) == 4
    for number, batch in enumerate(batches):
        assert batch.inputs_BT.shape == batch.targets_BT.shape == (4, 32)
        assert batch.inputs_BT.dtype == batch.targets_BT.dtype == torch.int64
        assert batch.inputs_BT.is_contiguous() and batch.targets_BT.is_contiguous()
        assert torch.equal(batch.inputs_BT[:, 1:], batch.targets_BT[:, :-1])
        assert batch.samples.tolist() == [3 * 16 + number * 4 + i for i in range(4)]
        assert batch.keys_B.tolist() == sample_keys(seed=5, data_step=3, samples=batch.samples).tolist()


@pytest.mark.parametrize(("ranks", "micro"), [(1, 1), (1, 2), (1, 16), (2, 4), (2, 8), (4, 4), (4, 1)])
@pytest.mark.parametrize("prefetch_steps", [0, 3])
def test_the_global_batch_is_the_same_for_any_split(
    folder: Path, loaders: Callable[..., ShardLoader], ranks: int, micro: int, prefetch_steps: int
) -> None:
    reference = loaders(folder, prefetch_steps=0)
    split = [loaders(folder, rank, ranks, micro=micro, prefetch_steps=prefetch_steps) for rank in range(ranks)]
    for step in (0, 1, 2, 40, 41, 7):
        expected, found = global_batch([reference], step), global_batch(split, step)
        assert sum(batch.hash for batch in found) % 2**64 == sum(batch.hash for batch in expected) % 2**64
        for field in ("inputs_BT", "targets_BT", "keys_B", "sources_B"):
            assert torch.equal(
                torch.cat([getattr(batch, field) for batch in found]),
                torch.cat([getattr(batch, field) for batch in expected]),
            )
        assert np.concatenate([batch.samples for batch in found]).tolist() == list(range(step * 16, step * 16 + 16))


def test_a_sample_s_source_is_where_its_tokens_come_from(folder: Path, loaders: Callable[..., ShardLoader]) -> None:
    loader = loaders(folder)
    for batch in loader.micro_batches(5):
        assert batch.sources_B is not None
        for source, sample in zip(batch.sources_B.tolist(), batch.samples.tolist(), strict=True):
            before, after = (loader.samples.drawn(count) for count in (sample, sample + 1))
            assert [after[name] - before[name] for name in before] == [source == 0, source == 1]
    assert loaders(folder, mixture={"web": 1.0}).micro_batches(0)[0].sources_B is None


def test_the_hash_knows_tokens_and_samples_and_no_order() -> None:
    rng = np.random.default_rng(0)
    samples, tokens = np.arange(5, 9), rng.integers(0, 99, (4, 7)).astype(np.int32)
    expected = hash_of_samples(samples, tokens)
    order = rng.permutation(4)
    assert hash_of_samples(samples[order], tokens[order]) == expected
    parts = [hash_of_samples(samples[part], tokens[part]) for part in (slice(1), slice(1, 4))]
    assert sum(parts) % 2**64 == expected
    assert hash_of_samples(samples[order], tokens) != expected  # the tokens are other samples'
    assert hash_of_samples(samples + 1, tokens) != expected
    tokens[2, 3] += 1
    assert hash_of_samples(samples, tokens) != expected


def test_with_one_micro_batch_size_the_micro_batches_are_the_same_too(
    folder: Path, loaders: Callable[..., ShardLoader]
) -> None:
    one, four = loaders(folder), [loaders(folder, rank, 4) for rank in range(4)]
    for step in range(3):
        for expected, found in zip(global_batch([one], step), global_batch(four, step), strict=True):
            assert np.array_equal(expected.samples, found.samples)
            assert torch.equal(expected.inputs_BT, found.inputs_BT)


def test_micro_batches_are_dealt_to_the_ranks_in_turn() -> None:
    plan = Plan(32, 12, 2, 3, max_steps=100, samples_per_epoch=1, seed=5)
    assert [rank_samples(plan, rank, 2).tolist() for rank in range(3)] == [
        [[24, 25], [30, 31]],
        [[26, 27], [32, 33]],
        [[28, 29], [34, 35]],
    ]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 60), min_size=1, max_size=12), ahead=st.integers(0, 4))
def test_reading_ahead_and_jumping_do_not_change_a_step(folder: Path, steps: list[int], ahead: int) -> None:
    loader, reference = load(folder, prefetch_steps=ahead), load(folder, prefetch_steps=0)
    for step in steps:
        for found, expected in zip(loader.micro_batches(step), reference.micro_batches(step), strict=True):
            assert torch.equal(found.targets_BT, expected.targets_BT)
    loader.close()


def test_an_epoch_decoded_gives_back_the_documents_each_token_once_a_target(
    make_folder: Make, loaders: Callable[..., ShardLoader]
) -> None:
    texts = [doc for kind in (str, int, bytes) for name in sorted(dir(kind)) if (doc := getattr(kind, name).__doc__)]
    texts.append("Grüße, 世界 🌍 <|endoftext|> is text here")
    tokenizer = Tokenizer(ByteLevelBPE(vocab_size=400).train(iter(texts)), vocab_size=400, eot_id=0)
    folder = make_folder({"web": [np.array(tokenizer.encode(text)) for text in texts]})
    num_samples = open_data(folder).num_samples("web", 27)
    size = next(size for size in (4, 6, 10, 14, 22) if num_samples % size)  # the last batch reaches into the next epoch
    ranks = [loaders(folder, rank, 2, batch=size, micro=1, seq_len=27) for rank in range(2)]
    source = ranks[0].samples.sources["web"]
    batches = [batch for step in range(-(-num_samples // size)) for batch in global_batch(ranks, step)]
    in_place = np.argsort(source.places(np.arange(source.num_samples)))
    inputs = torch.cat([batch.inputs_BT for batch in batches]).numpy()[: source.num_samples][in_place]
    targets = torch.cat([batch.targets_BT for batch in batches]).numpy()[: source.num_samples][in_place]
    tokens = np.concatenate([inputs[0, :1], targets.ravel()])
    assert np.array_equal(tokens[:-1], inputs.ravel())
    assert len(tokens) == sum(len(tokenizer.encode(text)) + 1 for text in texts) - source.tail_tokens
    *whole, cut = np.split(tokens, np.flatnonzero(tokens == 0) + 1)
    assert [tokenizer.decode(ids[:-1].tolist()) for ids in whole] == texts[: len(whole)]
    assert len(texts) - len(whole) <= source.tail_tokens
    if len(cut):
        assert texts[len(whole)].encode().startswith(tokenizer.decode(cut.tolist()).rstrip("\ufffd").encode())


def test_the_first_token_of_a_document_is_masked_on_demand(folder: Path, loaders: Callable[..., ShardLoader]) -> None:
    plain, masked = loaders(folder), loaders(folder, mask_after_eot=True)
    counts = []
    for expected, found in zip(plain.micro_batches(0), masked.micro_batches(0), strict=True):
        after_eot = expected.inputs_BT == 0
        assert torch.equal(found.inputs_BT, expected.inputs_BT)
        assert torch.equal(found.targets_BT == IGNORE, after_eot)
        assert torch.equal(found.targets_BT[~after_eot], expected.targets_BT[~after_eot])
        counts.append(int(after_eot.sum()))
    assert len(set(counts)) > 1  # micro batches of unequal weight, which accumulation must get right


def test_a_mixture_overrides_the_manifest(folder: Path, loaders: Callable[..., ShardLoader]) -> None:
    loader = loaders(folder, mixture={"code": 1.0})
    assert list(loader.identity()["sources"]) == ["code"]
    num_samples = loader.samples.sources["code"].num_samples
    assert loader.epochs_at(10) == {"code": 160 / num_samples}


def test_the_identity_is_json_and_name_what_decides_the_batches(
    folder: Path, loaders: Callable[..., ShardLoader]
) -> None:
    identity = loaders(folder).identity()
    assert orjson.loads(orjson.dumps(identity)) == identity
    counts = {name: source["samples_of_a_block"] for name, source in identity["sources"].items()}
    assert counts == {"code": 21_845, "web": 43_691}
    assert identity != loaders(folder, mask_after_eot=True).identity()


def test_nothing_is_opened_before_the_first_use_and_errors_surface_then(tmp_path: Path) -> None:
    loader = load(tmp_path / "nowhere", prefetch_steps=2)
    with pytest.raises(DataError, match="python -m data_pipeline"):
        loader.micro_batches(0)
    loader.close()


def test_damage_surfaces_at_the_step_that_reads_it_with_the_shard_s_name(
    folder: Path, loaders: Callable[..., ShardLoader]
) -> None:
    shard = folder / "shards" / "train" / "code_00000.bin"
    data = bytearray(shard.read_bytes())
    data[7] ^= 64
    shard.write_bytes(data)
    loader = loaders(folder, prefetch_steps=2)
    with pytest.raises(DamagedShard, match=r"code_00000\.bin: block 0"):
        for step in range(40):
            loader.micro_batches(step)


def test_a_folder_that_vanishes_amid_a_run_is_read_to_the_end(
    folder: Path, loaders: Callable[..., ShardLoader]
) -> None:
    expected = [loaders(folder, prefetch_steps=0).micro_batches(step) for step in range(8)]
    loader = loaders(folder, prefetch_steps=1)
    found = [loader.micro_batches(0)]
    shutil.rmtree(folder)
    found += [loader.micro_batches(step) for step in range(1, 8)]
    for theirs, mine in zip(expected, found, strict=True):
        assert all(torch.equal(one.targets_BT, other.targets_BT) for one, other in zip(theirs, mine, strict=True))
    with pytest.raises(DataError, match=r"data\.path: .* is no folder; make its shards with"):
        load(folder).micro_batches(0)


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".sum"])
def test_a_manifest_without_one_of_its_files_is_refused_before_a_run_begins(folder: Path, suffix: str) -> None:
    path = folder / "shards" / "train" / f"web_00001{suffix}"
    path.unlink()
    with pytest.raises(ShardError, match=rf"web_00001\{suffix}: missing.*; copy the folder again"):
        load(folder).identity()


def test_close_ends_the_thread(folder: Path) -> None:
    loader = load(folder, prefetch_steps=2)
    before = threading.active_count()
    loader.micro_batches(0)
    assert threading.active_count() == before + 1
    loader.close()
    assert threading.active_count() == before


def test_a_negative_prefetch_is_refused(folder: Path) -> None:
    with pytest.raises(SettingError, match=r"^prefetch_steps: -1 is not allowed; give 0, for no thread"):
        load(folder, prefetch_steps=-1)


@pytest.mark.parametrize(
    "share",
    [
        *(-1.0, math.inf, math.nan, "abc", True, None, [1.0], {}, {"epoch": 2}, {"epochs": 2, "tokens": 5}),
        *({"epochs": -2}, {"tokens": 0}, {"tokens": math.inf}, {"epochs": "2"}, {"epochs": True}),
    ],
)
def test_what_is_neither_weight_nor_budget_is_refused_by_its_key(folder: Path, share: Any) -> None:
    with pytest.raises(SettingError) as error:
        Shards(str(folder), {"web": 1.0, "code": share})
    error.match(r"^mixture\.code: .* is not allowed; give a weight, a number .*; or a budget, one of tokens and epochs")
    assert repr(share) in str(error.value)
    assert ("merged into what was set before" in str(error.value)) == (share == {"epochs": 2, "tokens": 5})


def test_a_limit_of_no_epochs_is_refused(folder: Path) -> None:
    with pytest.raises(SettingError, match=r"^max_epochs_per_source: 0 is not allowed; give a number above 0, or null"):
        Shards(str(folder), max_epochs_per_source=0)


def test_the_folder_is_opened_once_for_the_plan_and_its_loader(folder: Path) -> None:
    shards = Shards(str(folder), mixture={"code": 1.0}, prefetch_steps=0)
    assert shards.samples_per_epoch(32) == shards.dataset.num_samples("code", 32)
    assert shards.loader(Plan(32, 16, 4, 1, 100, 1, 5), Mesh(0, 1, 0, CPU)).dataset is shards.dataset


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_on_the_gpu(folder: Path) -> None:
    plan = Plan(32, 16, 4, 1, max_steps=10, samples_per_epoch=1, seed=5)
    device = torch.device("cuda", 0)
    loader, reference = Shards(str(folder)).loader(plan, Mesh(0, 1, 0, device)), load(folder)
    for step in range(5):
        for found, expected in zip(loader.micro_batches(step), reference.micro_batches(step), strict=True):
            assert found.inputs_BT.device == device
            assert torch.equal(found.targets_BT.cpu(), expected.targets_BT)
    loader.close()
    reference.close()


@pytest.mark.parametrize("first", [1, 5, 23])
@pytest.mark.parametrize(("ranks", "micro"), [(1, 4), (2, 2)])
def test_the_first_samples_come_again_and_again_in_their_order(
    folder: Path, loaders: Callable[..., ShardLoader], first: int, ranks: int, micro: int
) -> None:
    whole = torch.cat([batch.inputs_BT for step in range(2) for batch in loaders(folder).micro_batches(step)])
    split = [loaders(folder, rank, ranks, micro=micro, first_samples=first) for rank in range(ranks)]
    for step in (0, 1, 30, 3):
        batches = global_batch(split, step)
        numbers = np.arange(step * 16, step * 16 + 16)
        assert torch.equal(torch.cat([batch.inputs_BT for batch in batches]), whole[numbers % first])
        assert np.concatenate([batch.samples for batch in batches]).tolist() == numbers.tolist()
        keys = np.concatenate([batch.keys_B for batch in batches])
        assert np.array_equal(keys, sample_keys(5, step, numbers)) and len(set(keys.tolist())) == 16


def test_the_first_samples_are_one_batch_to_look_at(folder: Path, loaders: Callable[..., ShardLoader]) -> None:
    loader, other = loaders(folder), loaders(folder, 1, 2)
    expected, found = loader.micro_batches(0)[0], loader.first(4)
    for name in ("inputs_BT", "targets_BT", "keys_B"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
        assert torch.equal(getattr(other.first(4), name), getattr(expected, name))


def test_of_the_first_samples_alone_every_pass_is_an_epoch_and_no_limit_holds(
    folder: Path, loaders: Callable[..., ShardLoader]
) -> None:
    loader = loaders(folder, first_samples=1, max_epochs_per_source=1.0)
    loader.micro_batches(0)
    epochs = loader.epochs_at(7)
    (read,) = {name for name, count in loader.samples.drawn(1).items() if count}
    assert epochs == {name: 7 * 16.0 if name == read else 0.0 for name in ("code", "web")}
    assert Shards(str(folder), first_samples=3).samples_per_epoch(32) == 3


def test_no_first_sample_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^first_samples: 0 is not allowed; give 1 or more, or null"):
        Shards("nowhere", first_samples=0)

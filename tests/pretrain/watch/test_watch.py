"""A run that is looked into: the same weights as one that is not, and lines that tell what was there."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor

from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from foundation.errors import ConfigError, SettingError
from pretrain.json_lines import JsonLines, lines_from_end, read_lines
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh
from pretrain.run import Run, restore, state_of
from pretrain.train import forward_backward, train
from pretrain.types import Status
from pretrain.watch.dying_layers import DyingLayers
from pretrain.watch.watch import WatchModel

CPU = Mesh(0, 1, 0, torch.device("cpu"))
WATCH = ["watch=default", "watch.norms_every_steps=2", "watch.histograms_every_steps=4", "watch.sample_elements=null"]
WATCH += ["watch.projections_every_steps=4", "watch.datapoints_every_steps=4", "watch.datapoint_tokens=24"]


def end(run: Run) -> None:
    run.loader.close()
    run.log.close("finished")


def lines(run_dir: Path, name: str = "watch.jsonl") -> list[dict[str, Any]]:
    return list(read_lines(run_dir / name))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_watched_run_has_the_same_bits(
    worker: ModuleType, overrides: list[str], tmp_path: Path, dropout: float
) -> None:
    ends: list[dict[str, Tensor]] = []
    for name, watch in (("watched", WATCH), ("alone", ["watch=none"])):
        run = worker.make_run(CPU, [*overrides, *watch, f"run_name={name}", f"model.dropout={dropout}"])
        assert train(run) is Status.FINISHED
        end(run)
        ends.append(state_of(run).tensors)
    assert len(ends[0]) > 50
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    assert (tmp_path / "watched/watch.jsonl").exists() and not (tmp_path / "alone/watch.jsonl").exists()


def test_a_line_tells_of_each_layer_what_the_step_did(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(CPU, [*overrides, *WATCH, "trainer.max_steps=1"])
    before = {name: p.detach().double().clone() for name, p in run.model.named_parameters()}
    forward_backward(run, run.loader.micro_batches(0))
    gradients = {name: p.grad.double() for name, p in run.model.named_parameters() if p.grad is not None}
    run.optimizer.zero_grad()
    assert train(run) is Status.FINISHED
    end(run)
    after = {name: p.detach().double() for name, p in run.model.named_parameters()}

    def whole(tensors: dict[str, Tensor], layer: str) -> Tensor:
        return torch.cat([tensor.flatten() for name, tensor in tensors.items() if name.startswith(f"{layer}.")])

    line = lines(tmp_path / "run")[0]
    layers = ["token_embedding", "position_embedding", "blocks.0", "blocks.1", "final_norm"]
    assert sorted(line["layers"]) == sorted(layers) and line["step"] == 1
    for layer in layers:
        found = line["layers"][layer]
        gradient, weights = whole(gradients, layer), whole(before, layer)
        assert found["grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-4)
        assert found["weight_norm"] == pytest.approx(weights.norm().item(), rel=1e-4)
        assert found["zero_grad_frac"] == pytest.approx((gradient == 0).double().mean().item(), abs=1e-3)
        moved = (whole(after, layer) - weights).norm().item() / weights.norm().item()
        assert found["update_ratio"] == pytest.approx(moved, rel=1e-2)
        for kind, values in (("weights", weights), ("gradients", gradient)):
            assert sum(line["histograms"][kind][layer]["counts"]) == values.numel()
    assert {"activation_mean", "activation_std", "activation_max", "attention_entropy"} <= line["layers"][
        "blocks.1"
    ].keys()
    assert line["logits"]["entropy"] == pytest.approx(math.log(512), abs=0.1)  # new weights know nothing
    assert 1 / 512 < line["logits"]["top1_prob"] < 0.1


def test_what_a_run_writes_and_what_a_resumed_one_drops(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    overrides = [text for text in overrides if not text.startswith("checkpoint=")]
    saves = ["checkpoint=default", "checkpoint.every_steps=5", *WATCH]
    run = worker.make_run(CPU, [*overrides, *saves])
    assert train(run) is Status.FINISHED
    end(run)
    folder = tmp_path / "run"
    assert [line["step"] for line in lines(folder) if "layers" in line] == [1, 2, 4, 6, 8]
    assert [line["step"] for line in lines(folder) if "projections" in line] == [1, 4, 8]
    assert [line["step"] for line in lines(folder) if "histograms" in line] == [1, 4, 8]
    points = lines(folder, "datapoints.jsonl")
    assert [(line["step"], line["split"]) for line in points[:4]] == [
        (1, "train"),
        (1, "train"),
        (1, "val"),
        (1, "val"),
    ]
    whole = (folder / "watch.jsonl").read_bytes(), (folder / "datapoints.jsonl").read_bytes()
    again = worker.make_run(CPU, [*overrides, *saves])
    assert restore(again, str(folder / "checkpoints/step_00000005"))
    assert [line["step"] for line in lines(folder) if "layers" in line] == [1, 2, 4]
    assert {line["step"] for line in lines(folder, "watch.dropped.jsonl")} == {6, 8}
    assert train(again) is Status.FINISHED
    end(again)
    assert ((folder / "watch.jsonl").read_bytes(), (folder / "datapoints.jsonl").read_bytes()) == whole


def test_a_data_point_is_what_the_model_says(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(CPU, [*overrides, *WATCH, "trainer.max_steps=4"])
    assert train(run) is Status.FINISHED
    end(run)
    assert isinstance(run.watch, WatchModel)
    newest = [line for line in lines(tmp_path / "run", "datapoints.jsonl") if line["step"] == 4]
    kinds = set()
    for split, batch in run.watch._tokens._batches.of_split.items():
        run.model.eval()
        with torch.no_grad():
            probs_BTV = run.model(batch.inputs_BT).double().softmax(-1)
        for row, line in enumerate(line for line in newest if line["split"] == split):
            targets = batch.targets_BT[row].tolist()
            kinds |= set(line["kinds"])
            assert [kind == "target" for kind in line["kinds"]] == [target >= 0 for target in targets]
            for place, target in enumerate(targets):
                given = line["target_probs"][place]
                assert (given is None) == (target < 0) == (line["targets"][place] is None)
                if target >= 0:
                    assert given == pytest.approx(probs_BTV[row, place, target].item(), rel=1e-3)
                best = probs_BTV[row, place].max().item()
                assert line["prediction_probs"][place] == pytest.approx(best, rel=1e-3)
            shown = [text for text, there in zip(line["inputs"][1:], line["kinds"], strict=False) if there == "target"]
            assert shown == [text for text in line["targets"][:-1] if text is not None]
    assert kinds == {"target", "masked", "padded"}


def test_projections_name_their_tokens(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(CPU, [*overrides, *WATCH, "trainer.max_steps=1", "watch.projected_vectors=40"])
    train(run)
    end(run)
    (line,) = [line for line in lines(tmp_path / "run") if "projections" in line]
    assert set(line["projections"]) == {"token_embeddings", "final_states"}
    for found in line["projections"].values():
        assert len(found["tokens"]) == len(found["xy"]) == 40
    embedding = run.model.token_embedding.weight.detach().double()[torch.linspace(0, 511, 40).long()]
    variances = torch.linalg.svdvals(embedding - embedding.mean(0))[:2] ** 2
    xy = torch.tensor(line["projections"]["token_embeddings"]["xy"], dtype=torch.float64)
    assert xy.square().sum(0).tolist() == pytest.approx(variances.tolist(), rel=1e-2)


def with_model(name: str, overrides: list[str]) -> Run:
    """Assemble a watched run of two steps with a model of the tests."""
    conf = Path(__file__).parents[3] / "conf"
    line = [text for text in overrides if not text.startswith("model.")]
    with initialize_config_dir(str(conf), version_base="1.3"):
        tree = plain(compose("train", [*line, *WATCH, "trainer.max_steps=2"]))
    tree["model"] = {"_target_": f"tests.pretrain.watch.models.{name}", "width": 16, "context_len": 64}
    return assemble(CPU, Config(**check_config(tree, (*DEFAULT_TARGETS, "tests."))))


def test_a_parameter_that_took_no_part_in_a_step_is_shown_as_such(overrides: list[str], tmp_path: Path) -> None:
    run = with_model("TwoExperts", overrides)
    assert train(run) is Status.FINISHED
    end(run)
    found = lines(tmp_path / "run")[0]
    used, unused = (found["layers"][f"experts.{number}"] for number in range(2))
    assert unused["grad_norm"] == 0.0 and unused["zero_grad_frac"] == 1.0 and unused["update_ratio"] == 0.0
    assert used["grad_norm"] > 0.0 and used["zero_grad_frac"] < 1.0 and used["update_ratio"] > 0.0
    weights = {name: p.numel() for name, p in run.model.named_parameters() if name.startswith("experts.1")}
    assert sum(found["histograms"]["weights"]["experts.1"]["counts"]) == sum(weights.values())
    assert found["histograms"]["gradients"]["experts.1"] == {"edges": [], "counts": []}
    assert "activation_std" in used and "activation_std" not in unused


def test_parameters_that_are_spread_over_the_ranks_are_refused_on_every_rank(
    worker: ModuleType, overrides: list[str]
) -> None:
    run = worker.make_run(CPU, [*overrides, *WATCH])
    result = forward_backward(run, batches := run.loader.micro_batches(0))
    run.loader.close()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        norm = run.model.final_norm
        assert isinstance(norm, torch.nn.Module) and isinstance(norm.weight, torch.nn.Parameter) and result is not None
        norm.weight = torch.nn.Parameter(distribute_tensor(norm.weight.detach(), init_device_mesh("cpu", (1,))))
        for rank in range(2):
            watch = WatchModel(run.model, run.loader, run.tokenizer, Mesh(rank, 2, 0, CPU.device), run.run_dir)
            with watch.looking(3, batches, result, run.numerics):  # looks into no such step
                pass
            text = r"^watch: final_norm\.weight is spread over the ranks .*; set watch=none, or take a parallel="
            with (
                pytest.raises(ConfigError, match=text) as refused,
                watch.looking(10, batches, result, run.numerics),
            ):
                pass
            assert refused.value.restart_helps is False
    finally:
        dist.destroy_process_group()


def test_a_model_without_attention_has_no_fields_of_it(overrides: list[str], tmp_path: Path) -> None:
    run = with_model("TwoLayerLSTM", overrides)
    assert train(run) is Status.FINISHED
    end(run)
    found = lines(tmp_path / "run")[0]["layers"]
    assert {"embedding", "lstm", "lstm.l0", "lstm.l1", "head"} == set(found)
    assert "grad_norm" in found["lstm.l1"] and "activation_std" in found["lstm"]
    assert not any("attention" in field for of_layer in found.values() for field in of_layer)


def looks_at(norms: list[float | str]) -> list[dict[str, Any]]:
    """Lines of watch.jsonl whose first layer has these gradient norms, a step each."""
    layers = [{"blocks.0": {"grad_norm": norm}, "blocks.1": {"grad_norm": 2.0}} for norm in norms]
    return [{"step": step, "layers": of_look} for step, of_look in enumerate(layers, start=1)]


def test_a_layer_that_learns_nothing_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dying = DyingLayers(near_zero=1e-6, num_looks=3, run_dir=tmp_path)
    for line in looks_at([0.0, 0.0, 1.0, 0.0, 0.0, 1e-9, 0.0]):
        dying.take(line)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("step 6: blocks.0 learnt nothing for 3 looks")
    (event,) = lines(tmp_path, "journal.jsonl")
    assert event == {
        "event": "dying_layer", "step": 6, "layer": "blocks.0", "looks": 3, "grad_norm": 1e-9, "whole_grad_norm": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize("killed_after", range(1, 10))
def test_a_run_that_goes_on_names_a_layer_where_one_that_was_not_killed_does(
    killed_after: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = looks_at([0.0, 0.0, "NaN", 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    watch = JsonLines(tmp_path / "watch.jsonl")
    dying = DyingLayers(near_zero=1e-6, num_looks=4, run_dir=tmp_path)
    for line in looks:
        dying.take(line)
        watch.append(line)
        watch.append({"step": line["step"], "projections": {}})
        if line["step"] == killed_after:
            dying = DyingLayers(near_zero=1e-6, num_looks=4, run_dir=tmp_path)
    assert [line["step"] for line in lines(tmp_path, "journal.jsonl")] == [8]
    assert capsys.readouterr().err.count("learnt nothing") == 1


@pytest.mark.parametrize("seed", range(5))
def test_of_a_long_file_what_counts_is_taken_up_and_no_more_is_read(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many projections to a look, and looks without a finite gradient: held against one that saw all of them."""
    draw, watch, num_bytes = random.Random(seed), JsonLines(tmp_path / "watch.jsonl"), 0
    whole = DyingLayers(near_zero=1e-6, num_looks=4, run_dir=tmp_path / "whole")
    looks = looks_at([draw.choice([0.0, 0.0, 0.0, 0.0, "NaN", 1.0]) for _ in range(400)])
    for line in looks[:-1]:
        whole.take(line)
        watch.append(line)
        for _ in range(draw.randrange(12)):
            watch.append({"step": line["step"], "projections": {"x": {"tokens": ["layers"], "xy": [[0, 1]] * 20}}})

    def counted(path: Path) -> Iterator[bytes]:
        nonlocal num_bytes
        for raw in lines_from_end(path):
            num_bytes += len(raw)
            yield raw

    monkeypatch.setattr("pretrain.watch.dying_layers.lines_from_end", counted)
    again = DyingLayers(near_zero=1e-6, num_looks=4, run_dir=tmp_path)
    again.take(looks[-1])
    assert again._in_row is not None and whole._in_row is not None
    whole.take(looks[-1])
    for layer, count in whole._in_row.items():
        assert min(again._in_row[layer], 5) == min(count, 5)
    assert 0 < num_bytes < watch.path.stat().st_size / 10


def test_a_run_that_goes_back_names_a_layer_again_where_its_line_was_dropped(tmp_path: Path) -> None:
    looks, watch = looks_at([0.0, 0.0, 0.0, 0.0]), JsonLines(tmp_path / "watch.jsonl")
    dying = DyingLayers(near_zero=1e-6, num_looks=3, run_dir=tmp_path)
    for line in looks:
        dying.take(line)
        watch.append(line)
    for file in (watch, JsonLines(tmp_path / "journal.jsonl")):
        file.drop_after(1)
    dying.forget()
    for line in looks[1:]:
        dying.take(line)
    assert [line["step"] for line in lines(tmp_path, "journal.jsonl")] == [3]


@pytest.mark.parametrize(
    ("name", "value"), [("norms_every_steps", 0), ("sequences", 0), ("projected_vectors", 0), ("near_zero_norm", 1.0)]
)
def test_numbers_that_cannot_be_name_the_key(name: str, value: Any, make: Callable[..., WatchModel]) -> None:
    with pytest.raises(SettingError, match=f"^{name}: {value} is not allowed; give "):
        make(**{name: value})


@pytest.fixture
def make(worker: ModuleType, overrides: list[str], tmp_path: Path) -> Callable[..., WatchModel]:
    run = worker.make_run(CPU, overrides)
    run.loader.close()
    return lambda **values: WatchModel(run.model, run.loader, None, CPU, tmp_path, **values)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_no_look_waits(worker: ModuleType, overrides: list[str]) -> None:
    gpu = Mesh(0, 1, 0, torch.device("cuda"))
    run = worker.make_run(gpu, [*overrides, *WATCH, "trainer.device_type=cuda", "trainer.compile=false"])
    batches = run.loader.micro_batches(0)
    for step in (4, 8):  # at the first the fixed batches are read
        result = forward_backward(run, batches)
        assert result is not None
        torch.cuda.set_sync_debug_mode("error" if step == 8 else "default")
        try:
            with run.watch.looking(step, batches, result, run.numerics):
                pass
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert {name for name, _ in run.watch.ready(8, drain=True)} == {"watch.jsonl", "datapoints.jsonl"}
    run.loader.close()

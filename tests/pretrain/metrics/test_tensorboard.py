"""TensorBoard's files, read back by TensorBoard itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import SettingError
from pretrain.metrics.tensorboard import TensorBoard

MakeLine = Callable[..., dict[str, Any]]
WATCHED = {
    "step": 2,
    "layers": {"blocks.0": {"grad_norm": 0.5}, "head": {"grad_norm": "NaN", "update_ratio": 1e-3}},
    "logits": {"entropy": 3.5},
    "histograms": {
        "weights": {"head": {"edges": [-1.0, 0.0, 2.0], "counts": [3, 5]}, "none": {"edges": [], "counts": []}}
    },
    "projections": {"token_embeddings": {"tokens": ["a\tb", "\n"], "xy": [[1.0, 2.0], [3.0, -4.0]]}},
}
POINTS = {
    "step": 2,
    "split": "val",
    "sequence": 0,
    "inputs": ["the", "|"],
    "targets": ["cat", None],
    "predictions": ["dog", "x"],
    "target_probs": [0.25, None],
    "prediction_probs": [0.5, 0.1],
    "kinds": ["target", "padded"],
}


def read(run_dir: Path) -> Any:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulators.EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"histograms": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(found: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in found.Scalars(tag)]


@pytest.mark.slow
def test_tensorboard_reads_what_was_logged(tmp_path: Path, make_line: MakeLine) -> None:
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install -e '.[tensorboard]'")
    logger = TensorBoard(tmp_path)
    for step in (1, 2):
        samples = [{"prompt": "def f", "text": "(x)"}] if step == 2 else []
        logger.log(make_line(step, samples=samples, val_loss=step / 2, finished_s=1796090794.5 + step))
    logger.show("watch.jsonl", WATCHED)
    logger.show("datapoints.jsonl", POINTS)
    logger.close("finished")
    found = read(tmp_path)
    assert scalars(found, "loss") == [(1, 4.999), (2, 4.998)] and scalars(found, "epochs/web") == [
        (1, 0.004),
        (2, 0.008),
    ]
    assert "finished_s" not in found.Tags()["scalars"]  # float32 holds no time of day: it is the event's own
    assert [event.wall_time for event in found.Scalars("loss")] == [1796090794.5 + step for step in (1, 2)]
    assert scalars(found, "grad_norm/blocks.0") == [(2, 0.5)] and scalars(found, "logits/entropy") == [(2, 3.5)]
    (histogram,) = found.Histograms("histograms/weights/head")
    value = histogram.histogram_value
    assert (value.min, value.max, value.num, value.sum) == (-1.0, 2.0, 8.0, 3 * -0.5 + 5 * 1.0)
    assert (list(value.bucket_limit), list(value.bucket)) == ([0.0, 2.0], [3.0, 5.0])
    assert not any("none" in tag for tag in found.Tags()["histograms"])
    (shown,) = found.Tensors("datapoints/val/0")
    table = shown.tensor_proto.string_val[0].decode()
    assert "| 'the' | 'cat' | 'dog' | 0.25 | 0.5 | 'target' |" in table and r"| '\|' |  | 'x' |" in table
    assert found.Tensors("samples/0")[0].tensor_proto.string_val[0] == b"**def f**(x)"


@pytest.mark.slow
def test_the_projector_finds_the_newest_points(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install -e '.[tensorboard]'")
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    logger = TensorBoard(tmp_path)
    for step in range(2, 12):
        points = {"tokens": ["a\tb", "\n"], "xy": [[1.0, 2.0], [3.0, float(step)]]}
        kinds = {"token_embeddings": points} | ({"final_states": points} if step < 5 else {})
        logger.show("watch.jsonl", WATCHED | {"step": step, "projections": kinds})
    logger.close("finished")
    folder = tmp_path / "tensorboard"
    assert len(list(folder.glob("*.tsv"))) == 4  # the newest of each kind: a long run's would fill the folder
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert [entry.tensor_name for entry in config.embeddings] == [
        "token_embeddings, step 11",
        "final_states, step 4",
    ]
    assert (folder / config.embeddings[0].tensor_path).read_text() == "1.0\t2.0\n3.0\t11.0"
    assert (folder / config.embeddings[0].metadata_path).read_text().splitlines() == [r"'a\tb'", r"'\n'"]


@pytest.mark.slow
def test_steps_that_are_taken_again_replace_the_first_ones(tmp_path: Path, make_line: MakeLine) -> None:
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install -e '.[tensorboard]'")
    for start, steps in enumerate(([1, 2, 3, 4, 3, 4], [4, 5])):  # a rewind, then a run that goes on after its step 3
        logger = TensorBoard(tmp_path)
        for place, step in enumerate(steps):
            logger.log(make_line(step, loss=float(100 * start + 10 * place + step)))
        logger.close("finished")
        time.sleep(1.1)  # the files are read in the order of the seconds in their names
    assert scalars(read(tmp_path), "loss") == [(1, 1.0), (2, 12.0), (3, 43.0), (4, 104.0), (5, 115.0)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the child in /proc")
def test_a_child_that_hangs_holds_up_neither_a_line_nor_the_end(
    tmp_path: Path, make_line: MakeLine, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard", reason="needs the package tensorboard: pip install -e '.[tensorboard]'")
    logger = TensorBoard(tmp_path, queue_lines=50, close_timeout_s=1.0)
    logger.log(make_line(1))
    child = None
    while child is None:
        tasks = Path("/proc/self/task").glob("*/children")
        commands = {int(pid): Path(f"/proc/{pid}/cmdline") for path in tasks for pid in path.read_text().split()}
        child = next((pid for pid, path in commands.items() if b"tensorboard_child" in path.read_bytes()), None)
    os.kill(child, signal.SIGSTOP)
    try:
        started = time.monotonic()
        for step in range(2, 3000):
            logger.log(make_line(step))
        assert time.monotonic() - started < 5.0
        logger.close("finished")
        assert time.monotonic() - started < 10.0
    finally:
        os.kill(child, signal.SIGKILL)
    assert logger.num_dropped > 1000
    assert "it goes on without this process" in capfd.readouterr().err


def test_without_the_package_it_says_once_how_to_get_it(
    tmp_path: Path, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pretrain.metrics.tensorboard.PACKAGE", "a_package_that_nobody_has")
    logger = TensorBoard(tmp_path)
    logger.log(make_line(1))
    logger.show("watch.jsonl", WATCHED)
    logger.close("finished")
    (said,) = capsys.readouterr().err.splitlines()
    assert "pip install -e '.[tensorboard]'" in said and "a_package_that_nobody_has" in said
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_cannot_be_name_the_key(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^queue_lines: 0 is not allowed; give "):
        TensorBoard(tmp_path, queue_lines=0)

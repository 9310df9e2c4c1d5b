from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf

from foundation.config import Node, build, check
from pretrain.mesh import Mesh
from pretrain.metrics.console import Console
from pretrain.metrics.loggers import Loggers, NoLogger
from pretrain.metrics.profiler import NoProfiler, TorchProfiler
from pretrain.plan import Plan
from pretrain.seats import RUNTIME, Logger, Profiler


def test_every_logger_gets_every_line_and_the_end(
    plan: Plan, make_line: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    loggers = Loggers({"one": Console(plan), "two": Console(plan)})
    loggers.log(make_line(1))
    loggers.close("finished")
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["step", "step", "median", "median"]


class Lines(Logger):
    """Keeps what it is given; raises at a step, and at its end."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at, self.got = fails_at, list[Any]()

    def log(self, line: dict[str, Any]) -> None:
        self.got.append(line["step"])
        if line["step"] == self.fails_at:
            raise ConnectionError("no route to host")

    def show(self, name: str, line: dict[str, Any]) -> None:
        self.got.append((name, line["step"]))
        if line["step"] == self.fails_at:
            raise ConnectionError("no route to host")

    def close(self, status: str) -> None:
        self.got.append(status)
        if self.fails_at:
            raise OSError("it was never open")


def test_a_logger_that_raises_is_left_out_and_the_others_go_on(
    make_line: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = Lines(fails_at=2), Lines()
    loggers = Loggers({"far": bad, "near": good})
    for step in (1, 2, 3):
        loggers.log(make_line(step))
    loggers.close("finished")
    assert good.got == [1, 2, 3, "finished"]
    assert bad.got == [1, 2, "finished"]  # it may have something to close
    said = rf"logger\.loggers\.far: ConnectionError: no route to host \({__file__}:\d+\); it gets no more lines\n"
    assert re.fullmatch(said, capsys.readouterr().err)


def test_what_was_looked_at_reaches_those_that_show_it(
    make_line: Callable[..., dict[str, Any]], plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = Lines(fails_at=2), Lines()
    loggers = Loggers({"far": bad, "near": good, "console": Console(plan)})
    for step in (1, 2, 3):
        loggers.show("watch.jsonl", {"step": step})
    loggers.log(make_line(1))
    assert good.got == [("watch.jsonl", 1), ("watch.jsonl", 2), ("watch.jsonl", 3), 1]
    assert bad.got == [("watch.jsonl", 1), ("watch.jsonl", 2)]
    out, err = capsys.readouterr()
    assert out.count("step") == 1 and "no route to host" in err


def test_none_says_nothing(make_line: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    for logger in (NoLogger(), Loggers({})):
        logger.log(make_line(1))
        logger.close("failed")
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def build_option(plan: Plan, tmp_path: Path) -> Callable[..., Any]:
    """Compose an option of a group, check it against its signature, build it."""

    def build_it(option: str, *overrides: str) -> Any:
        with hydra.initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base=None):
            group = option.partition("=")[0]
            composed = hydra.compose("train", overrides=[option, *overrides])
        node = {group: OmegaConf.to_container(composed[group], resolve=True)}
        seat = {"logger": logger_seat, "profile": profile_seat}[group]
        mesh = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
        return build(check(node, seat, runtime=RUNTIME)[group], plan=plan, run_dir=tmp_path, mesh=mesh)

    return build_it


def logger_seat(logger: Node[Logger]) -> None: ...


def profile_seat(profile: Node[Profiler]) -> None: ...


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("logger=none", NoLogger),
        ("logger=console", Loggers),
        ("logger=wandb", Loggers),
        ("logger=default", Loggers),
        ("profile=none", NoProfiler),
        ("profile=torch", TorchProfiler),
    ],
)
def test_every_option_is_what_its_signature_asks_for(
    build_option: Callable[..., Any], tmp_path: Path, option: str, kind: type[Any]
) -> None:
    assert isinstance(build_option(option), kind)
    assert list(tmp_path.iterdir()) == []  # a constructor opens nothing


def test_a_logger_is_taken_away_by_its_name(
    build_option: Callable[..., Any],
    make_line: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = build_option("logger=default", "~logger.loggers.wandb", "logger.loggers.console.every_steps=1")
    logger.log(make_line(1))
    logger.close("finished")
    assert list(tmp_path.iterdir()) == []
    assert len(capsys.readouterr().out.splitlines()) == 2

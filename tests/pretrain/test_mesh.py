"""Ranks: what one rank does for all, and settings of the device."""

from __future__ import annotations

import os

import pytest
import torch

from foundation.errors import ConfigError
from pretrain.mesh import Mesh, set_determinism, start_mesh

ALONE = Mesh(0, 1, 0, torch.device("cpu"))


def test_alone_on_main_is_a_call() -> None:
    assert ALONE.on_main(lambda: {"a": 1}) == {"a": 1}

    def refuse() -> None:
        raise ConfigError("a: 1 is not 2")

    with pytest.raises(ConfigError, match="a: 1 is not 2"):
        ALONE.on_main(refuse)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match=r"trainer\.device_type: 'cuda' is not available here; allowed: auto, .*cpu"),
        start_mesh("cuda"),
    ):
        pass
    with start_mesh("auto") as mesh:
        assert mesh.device.type in ("mps", "cpu")


def test_reproducible_sums_prepare_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        set_determinism(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        set_determinism(False)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK: is not set, though WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_ADDR: is not set, though WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "2", "RANK": "abc"}, "RANK: 'abc' is not a whole number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: 'two' is not a whole number"),
    ],
)
def test_what_torchrun_would_have_set_is_asked_for_by_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=words) as refused, start_mesh("cpu"):
        pass
    assert "start with torchrun, which sets it, or unset WORLD_SIZE" in str(refused.value)

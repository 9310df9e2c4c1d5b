from __future__ import annotations

import pytest
import torch.distributed as dist

from pretrain.torchrun import speaks


def test_the_first_of_the_ranks_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = {"WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in {**ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setenv(name, value)
    assert [speaks(text) for text in ("one", "one", "two", "one")] == [True, False, True, False]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert speaks("one")


def test_alone_everything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert speaks("one")
    assert speaks("one")

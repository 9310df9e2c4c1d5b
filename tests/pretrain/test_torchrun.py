from __future__ import annotations

import pytest
import torch.distributed as dist

from pretrain.torchrun import speaks


def test_the_first_of_the_ranks_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agent = {"WORLD_SIZE": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in {**agent, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setenv(name, value)

    def first_of(ranks: int, message: str) -> list[bool]:
        spoken = []
        for rank in range(ranks):
            monkeypatch.setenv("RANK", str(rank))
            spoken.append(speaks(message))
        return spoken

    assert first_of(3, "one") == first_of(3, "two") == [True, False, False]
    assert first_of(3, "one") == [True, False, False]  # started again, with the same count
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert first_of(2, "one") == [True, False]


def test_alone_everything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert speaks("one")
    assert speaks("one")

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch.distributed as dist

from pretrain.torchrun import file_store, speaks, would_be_restarted


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


@pytest.mark.parametrize(
    ("environment", "restarted"),
    [
        ({}, False),
        ({"RANK": "0"}, False),  # of whom nothing is known
        ({"RANK": "0", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RESTART_COUNT": "0"}, False),  # torchrun's own
        ({"RANK": "0", "TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_RESTART_COUNT": "2"}, True),
        ({"RANK": "0", "TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_RESTART_COUNT": "3"}, False),  # the last start
        ({"TORCHELASTIC_MAX_RESTARTS": "3"}, False),
    ],
)
def test_who_would_be_restarted(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], restarted: bool) -> None:
    for name in ("RANK", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert would_be_restarted() is restarted


def test_where_the_ranks_meet_is_nothing_for_what_a_user_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain.torchrun._taken", {})
    monkeypatch.setenv("GROUNDWORK_STORE", "/a/store")
    assert file_store() == file_store() == Path("/a/store")
    assert "GROUNDWORK_STORE" not in os.environ

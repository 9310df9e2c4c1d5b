"""What alerts are sent to, and the folder of the run that they tell of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pretrain.metrics.alerts.receivers import Posts, make_certificate


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    server = Posts()
    monkeypatch.setenv("GROUNDWORK_WEBHOOK", server.address)
    yield server
    server.may_go.set()
    server.shutdown()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    make_certificate(path)
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "night"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("run_name: night\n")
    return folder

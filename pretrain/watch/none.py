"""Looks into nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from pretrain.seats import Numerics, Watch
from pretrain.types import Batch, StepResult


class NoWatch(Watch):
    """Looks into nothing."""

    looks = False

    def looking(
        self, step: int, batches: list[Batch], result: StepResult, numerics: Numerics
    ) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def ready(self, step: int, drain: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        return iter(())

    def forget(self) -> None:
        pass

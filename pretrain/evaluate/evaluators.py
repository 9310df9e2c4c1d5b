"""Several evaluators at one seat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.errors import ConfigError
from pretrain.seats import Evaluator, nothing


class Evaluators(Evaluator):
    """Several evaluators by name, so that one can be taken away: `~eval.evaluators.loss`.

    Args:
        evaluators: name -> evaluator; each measures at its own steps.
    """

    def __init__(self, evaluators: dict[str, Evaluator]) -> None:
        self._evaluators = evaluators

    def due(self, step: int) -> bool:
        return any(evaluator.due(step) for evaluator in self._evaluators.values())

    def describe(self) -> str:
        told = [f"{name}: {evaluator.describe()}" for name, evaluator in self._evaluators.items()]
        return "; ".join(told) or "none"

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        """As the seat says.

        Raises:
            ConfigError: two of them give a field of one name.
        """
        fields: dict[str, Any] = {}
        given_by: dict[str, str] = {}
        asked = not self.due(step)  # out of turn: then all of them measure
        for name, evaluator in self._evaluators.items():
            for field, value in evaluator.evaluate(step, between).items() if asked or evaluator.due(step) else ():
                if (other := given_by.setdefault(field, name)) != name:
                    raise ConfigError(
                        f"eval.evaluators: {other!r} and {name!r} both give the field {field!r} of step {step}; "
                        f"rename it in one of them, or take one away: ~eval.evaluators.{name}"
                    )
                fields[field] = value
        return fields

"""What the last verdicts were based on: kept on the device, read by the host only when one of them was a skip."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT_STEPS = 16  # more than the host is ever late
NUM_VALUES = 6


class Evidence:
    """A ring of NUM_VALUES numbers for each of the last KEPT_STEPS judged steps, for the journal alone.

    Args:
        device: of the losses.
    """

    def __init__(self, device: torch.device) -> None:
        self._values_SV = torch.zeros(KEPT_STEPS, NUM_VALUES, device=device)
        self._places_S = torch.arange(KEPT_STEPS, device=device)
        self._judged = torch.zeros((), dtype=torch.int64, device=device)
        self._decided = 0

    def keep(self, values_V: Tensor) -> None:
        """Keep (NUM_VALUES,) float32 of the step that is judged now."""
        here_S1 = (self._places_S == self._judged % KEPT_STEPS)[:, None]
        self._values_SV.copy_(torch.where(here_S1, values_V, self._values_SV))
        self._judged.add_(1)

    def next_number(self) -> int:
        """Return the number of the step that is decided on now: steps are decided in the order they are judged."""
        self._decided += 1
        return self._decided - 1

    def read(self, number: int) -> list[float]:
        """Return what was kept for this step. A host sync."""
        return [float(value) for value in self._values_SV[number % KEPT_STEPS].tolist()]

    def restart(self) -> None:
        """Begin anew: steps that were judged and not decided are forgotten."""
        self._judged.zero_()
        self._decided = 0

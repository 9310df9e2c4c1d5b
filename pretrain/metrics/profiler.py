"""Where a step's time goes: nothing, or torch's profiler over a few steps."""

from __future__ import annotations

from pathlib import Path

import torch

from foundation.errors import require
from pretrain.mesh import Mesh
from pretrain.seats import Profiler


class NoProfiler(Profiler):
    """Records nothing."""

    def step(self, step: int) -> None:
        pass

    def close(self) -> None:
        pass


class TorchProfiler(Profiler):
    """Records `active_steps` steps of rank 0, once, as runs/<run_name>/profile/: a trace for perfetto.dev and a table.

    Steps counted from the start of this process. The recorded steps are slower than others: their rates say nothing.

    Args:
        mesh: rank 0 records.
        run_dir: of the run.
        wait_steps: steps before anything is recorded: compilation and first allocations.
        warmup_steps: steps recorded and thrown away, because the first ones carry the profiler's own start.
        active_steps: steps recorded.
    Raises:
        SettingError: `warmup_steps` or `active_steps` is below 1, `wait_steps` below 0.
    """

    def __init__(
        self, mesh: Mesh, run_dir: Path, wait_steps: int = 5, warmup_steps: int = 2, active_steps: int = 3
    ) -> None:
        require(wait_steps >= 0, "wait_steps", wait_steps, "0 or more")
        require(warmup_steps >= 1, "warmup_steps", warmup_steps, "1 or more")
        require(active_steps >= 1, "active_steps", active_steps, "1 or more; profile=none records nothing")
        self._folder, self._on = run_dir / "profile", mesh.is_main
        self._device = mesh.device.type
        self._schedule = torch.profiler.schedule(wait=wait_steps, warmup=warmup_steps, active=active_steps, repeat=1)
        self._last_step = wait_steps + warmup_steps + active_steps
        self._seen = 0
        self._profiler: torch.profiler.profile | None = None

    def step(self, step: int) -> None:
        if not self._on:
            return
        self._seen += 1
        if self._profiler is None:
            # begins at the end of the first step, so that step counts among those waited for
            self._profiler = torch.profiler.profile(
                schedule=self._schedule, on_trace_ready=self._write, record_shapes=True, profile_memory=True
            )
            self._profiler.start()
        self._profiler.step()
        if self._seen >= self._last_step:
            self.close()

    def close(self) -> None:
        if self._profiler is not None and self._on:
            self._on = False
            self._profiler.stop()

    def _write(self, profiler: torch.profiler.profile) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(self._folder / "trace.json.gz"))
        key = f"self_{self._device}_time_total" if self._device == "cuda" else "self_cpu_time_total"
        table = profiler.key_averages(group_by_input_shape=True).table(sort_by=key, row_limit=50)
        (self._folder / "operators.txt").write_text(table, encoding="utf-8")

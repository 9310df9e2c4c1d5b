"""Before a sweep of the pipeline: what a run would be refused with for its settings, before any trial has begun."""

from __future__ import annotations

from typing import Any

from data_pipeline.output_dir import choose_output_dir
from data_pipeline.pipeline import check_settings, run
from foundation.config import rehearse


def rehearse_run(arguments: dict[str, Any]) -> None:
    """Build all that a run would, and read what it is given beside its text: nothing is run or written.

    Args:
        arguments: of `run`, as `check_config` returned them.
    Raises:
        GroundworkError: what the run would be refused with. What hangs on its text is not seen here.
    """
    built = rehearse(run, arguments)
    check_settings(built["partition_bytes"], built["max_bad_frac"], built["min_bad_records"])
    choose_output_dir(built["name"], built["output_dir"])
    built["clean"].inputs()
    built["tokenizer"].inputs()

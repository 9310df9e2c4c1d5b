"""Which documents stay before others: what their order goes by, read from their metadata or told from their sources."""

from __future__ import annotations

import numpy as np

from data_pipeline.dedup.keep import KeepOrder, NoKeepValue
from data_pipeline.documents import keys_of
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.fields import none_has
from data_pipeline.stages.view import Slice, View
from foundation.errors import GroundworkError


def preference(order: KeepOrder, view: View, executor: Executor) -> np.ndarray | None:
    """Return what an order goes by, of each document that is still in.

    Returns:
        (documents still in,) float64, the lowest stays first, infinity where a document does not say it; None where it
        goes by lengths and positions alone.
    Raises:
        GroundworkError: what a document says can't be used, names its file and record; or none says anything.
    """
    if order.reads_documents:
        found = executor.map(_Values(order, view.file_names), view.slices(view.alive))
        values = np.concatenate([np.zeros(0), *found])
        if len(values) and num_without(values) == len(values):
            raise _none_has_it(order, view)
        return values
    of_partitions = order.values_of_sources(partition.source for partition in view.partitions)
    return None if of_partitions is None else np.repeat(of_partitions, np.diff(view.starts))[view.alive]


def num_without(values: np.ndarray) -> int:
    """Return how many documents do not say what the order goes by; values: of `preference`."""
    return int(np.isposinf(values).sum())


def _none_has_it(order: KeepOrder, view: View) -> GroundworkError:
    return GroundworkError(
        f"dedup.keep_field: {none_has(str(order.field), view)}; name another field, or set another dedup.keep"
    )


class _Values:
    """Runs in a worker."""

    def __init__(self, order: KeepOrder, file_names: list[str]) -> None:
        self._order, self._file_names = order, file_names

    def __call__(self, piece: Slice) -> np.ndarray:
        try:
            return self._order.values(piece.metadata())
        except NoKeepValue as error:
            files, rows = keys_of(piece.load())
            place = f"{self._file_names[files[error.position]]}, record {rows[error.position]:,}"
            raise GroundworkError(
                f"dedup.keep_field: {place} (from 0; source {piece.partition.source!r}): {error.found}; mend "
                "the input, name another field, or set another dedup.keep"
            ) from error

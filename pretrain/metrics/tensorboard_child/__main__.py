"""Reads a JSON message a line from stdin and writes TensorBoard's event files: numbers, histograms, texts, points.

Never imports torch. Ends when stdin does.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from foundation.files import write_atomic
from pretrain.metrics.flat import POINT_COLUMNS, figures_of, histograms_of, numbers_of, rows_of
from pretrain.metrics.lines import SAMPLES
from pretrain.metrics.serving import received, serve
from pretrain.run_files import DATAPOINTS

FLUSH_EVERY_S = 10
CLOCK = "finished_s"  # the time of an event: as a figure, float32, it would be right to two minutes
NO_FIGURES = ("step", CLOCK)
PROJECTOR = "projector_config.pbtxt"  # the name that TensorBoard looks for


def main() -> None:
    """Serve one run."""
    messages = received()
    if (greeting := next(messages, None)) is None:
        return
    events = Events(Path(greeting["folder"]))
    serve(messages, lambda message: events.take(message.get("show"), message["line"]))
    events.close()


class Events:
    """The event files of one run. A step that is not above the last one makes TensorBoard forget what came after it.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._folder = folder
        self._writer = EventFileWriter(str(folder), flush_secs=FLUSH_EVERY_S)
        self._last_steps: dict[str | None, int] = {}
        self._points: dict[str, tuple[int, Path, Path]] = {}

    def take(self, name: str | None, line: dict[str, Any]) -> None:
        """Write one line.

        Args:
            name: of the file that it is of; None for metrics.jsonl.
        """
        step = int(line["step"])
        if step < self._last_steps.get(name, step if self._last_steps else step + 1):
            self._forget_from(step)
        self._last_steps[name] = step
        if name is None:
            values = [scalar(tag, number) for tag, number in numbers_of(line).items() if tag not in NO_FIGURES]
            shown = [f"**{item['prompt']}**{item['text']}" for item in line.get(SAMPLES, [])]
            values += [text(f"{SAMPLES}/{place}", one) for place, one in enumerate(shown)]
        elif name == DATAPOINTS:
            values = [text(f"datapoints/{line['split']}/{line['sequence']}", markdown(rows_of(line)))]
        else:
            values = [scalar(tag, number) for tag, number in figures_of(line).items()]
            values += [histogram(tag, **found) for tag, found in histograms_of(line).items()]
            for what, points in line.get("projections", {}).items():
                self._project(what, step, points)
        self._add(step, values, line.get(CLOCK, time.time()))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _add(self, step: int, values: list[Any], at_s: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if values:
            self._writer.add_event(Event(wall_time=at_s, step=step, summary=Summary(value=values)))

    def _forget_from(self, step: int) -> None:
        """Say that the run begins again with this step: at its start, after a rewind."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))
        self._last_steps.clear()

    def _project(self, what: str, step: int, points: dict[str, Any]) -> None:
        """Write the points of a kind in place of the older ones, and the list of kinds that the projector reads.

        The projector shows one set of points a name; all of them are in watch.jsonl.
        """
        vectors, labels = (Path(f"{what}.{part}.tsv") for part in ("vectors", "tokens"))
        rows = ["\t".join(map(str, row)) for row in points["xy"]]
        write_atomic(self._folder / vectors, "\n".join(rows).encode())
        write_atomic(self._folder / labels, "\n".join(map(repr, points["tokens"])).encode())
        self._points[what] = step, vectors, labels
        entries = [
            f'embeddings {{\n  tensor_name: "{kind}, step {at}"\n  tensor_path: "{v}"\n  metadata_path: "{m}"\n}}\n'
            for kind, (at, v, m) in self._points.items()
        ]
        write_atomic(self._folder / PROJECTOR, "".join(entries).encode())


def scalar(tag: str, number: float) -> Any:
    """Return a number as TensorBoard's protocol has it."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=number)


def histogram(tag: str, edges: list[float], counts: list[float]) -> Any:
    """Return a histogram: (n + 1) edges, (n) counts."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    found = HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=sum(counts),
        sum=sum(count * middle for count, middle in zip(counts, middles, strict=True)),
        sum_squares=sum(count * middle**2 for count, middle in zip(counts, middles, strict=True)),
        bucket_limit=edges[1:],
        bucket=counts,
    )
    return Summary.Value(tag=tag, histo=found)


def text(tag: str, markdown_text: str) -> Any:
    """Return a text, shown as markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.text.metadata import create_summary_metadata

    about = create_summary_metadata(display_name=tag, description="")
    one = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    value = TensorProto(dtype="DT_STRING", string_val=[markdown_text.encode()], tensor_shape=one)
    return Summary.Value(tag=tag, metadata=about, tensor=value)


def markdown(rows: list[list[Any]]) -> str:
    """Return a table of single tokens."""
    shown = [["" if cell is None else repr(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [" | ".join(row) for row in [list(POINT_COLUMNS), ["---"] * len(POINT_COLUMNS), *shown]]
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()

"""Lines as loggers show them: numbers by name, one level deep."""

from __future__ import annotations

from typing import Any

from pretrain.metrics.lines import NON_FINITE


def numbers_of(line: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a metrics line; those by source, such as `epochs`, as `<name>/<source>`.

    Args:
        line: as JSON gives it back: what is not finite is spelled.
    """
    of_sources = {
        f"{name}/{key}": item for name, by in line.items() if isinstance(by, dict) for key, item in by.items()
    }
    read = {
        name: NON_FINITE.get(value) if isinstance(value, str) else value for name, value in (line | of_sources).items()
    }
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in read.items()
        if isinstance(value, int | float)
    }


def figures_of(line: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a line of watch.jsonl: `<figure>/<layer>`, so that layers stand beside each other."""
    by_layer = {
        f"{figure}/{layer}": value for layer, of in line.get("layers", {}).items() for figure, value in of.items()
    }
    of_logits = {f"logits/{figure}": value for figure, value in line.get("logits", {}).items()}
    return numbers_of(by_layer | of_logits)


def histograms_of(line: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return those of a line of watch.jsonl that hold something: `histograms/<kind>/<layer>` -> edges and counts."""
    kinds = line.get("histograms", {})
    return {
        f"histograms/{kind}/{layer}": found
        for kind, by_layer in kinds.items()
        for layer, found in by_layer.items()
        if found["counts"]
    }


def rows_of(line: dict[str, Any]) -> list[list[Any]]:
    """Return a line of datapoints.jsonl as rows of POINT_COLUMNS."""
    return [list(row) for row in zip(*(line[column] for column in POINT_COLUMNS), strict=True)]


POINT_COLUMNS = ("inputs", "targets", "predictions", "target_probs", "prediction_probs", "kinds")

"""What tokenizers.json holds: every figure of the page, no path of a machine, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.compare_tokenizers.figures import Figures
from data_pipeline.compare_tokenizers.measure import Measured
from data_pipeline.compare_tokenizers.sample import Sample


def record_of(
    sample: Sample, measured: Measured, found: Sequence[Figures], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return it as JSON values.

    Args:
        settings: that decide the sample, by key.
    """
    sizes = sample.sizes
    sources = {
        name: {
            "documents": int((sample.source_of == place).sum()),
            "utf8_bytes": int(sizes[sample.source_of == place].sum()),
            "whole_utf8_bytes": sample.text_bytes[place],
        }
        for place, name in enumerate(sample.sources)
    }
    return {
        "format": 1,
        "sample": {
            **settings,
            "sources": sources,
            "whole_is_estimate": sample.is_estimate,
            "unreadable": dict(sorted(sample.unreadable.items())),
            "languages": measured.no_languages or "told",
        },
        "tokenizers": [_plain(each) for each in found],
    }


def _plain(value: Any) -> Any:
    """Return dataclasses as JSON values, whose keys are texts."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

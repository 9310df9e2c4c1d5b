"""What the documents of a source depend on beside its files."""

from __future__ import annotations

import inspect
from typing import Any

from data_pipeline.sources.source import Source
from foundation.errors import ConfigError
from foundation.files import canonical_json

NO_CONTENT = ("paths", "storage_options", "weight", "budget")  # settings of a source that change no document


def describe(source: Source) -> dict[str, Any]:
    """Return a source's settings as JSON values, by its attributes: one more source leaves the others as they are.

    Where the files lie and what a training run reads of them is left out: it changes no document; their names and
    content do.

    Raises:
        ConfigError: an attribute is no JSON value, or an argument of the constructor no attribute; names it.
    """
    target = f"{type(source).__module__}.{type(source).__qualname__}"
    settings = {name: value for name, value in vars(source).items() if not name.startswith("_")}
    settings = {name: value for name, value in settings.items() if name not in NO_CONTENT}
    for name, value in settings.items():
        try:
            canonical_json(value)
        except TypeError as error:
            raise ConfigError(
                f"{target}.{name}: {value!r} is not a JSON value ({error}); the attributes of a source say when it "
                "must be read again: keep text, numbers, lists or dicts in them, or begin the name with _"
            ) from error
    for name, argument in inspect.signature(type(source)).parameters.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if name not in {*NO_CONTENT, "source", *settings}:  # `source` is the attribute `name`
            raise ConfigError(
                f"{target}: its argument {name!r} is no attribute of this name; a source is read again when its "
                f"attributes change: keep it as self.{name}"
            )
    return {"_target_": target, **settings}

"""The command line of generate.py. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.config.targets import extra_prefixes
from foundation.errors import ConfigError, InputError
from launch.pairs import read_pairs

if TYPE_CHECKING:
    from pretrain.mesh import DeviceType

DEVICES: tuple[DeviceType, ...] = ("auto", "cuda", "mps", "cpu")


class GenerateError(ConfigError):
    """The command line can't be followed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; generate.py's docstring says what each means."""

    run: Path
    prompt: str | None = None
    prompt_file: Path | None = None
    temperature: float = 0.8
    top_k: int | None = 50
    top_p: float | None = None
    seed: int = 0
    max_new_tokens: int = 200
    num_samples: int = 1
    checkpoint: Path | None = None
    data_path: Path | None = None
    device: DeviceType = "auto"
    extra_targets: tuple[str, ...] = ()

    @property
    def seeds(self) -> range:
        """One seed per sample."""
        return range(self.seed, self.seed + self.num_samples)


def parse(arguments: list[str]) -> Settings:
    """Read `key=value` arguments, split at the first `=`; a value is never interpreted further.

    Raises:
        GenerateError: an unknown key (names the nearest), one given twice, a value of a wrong type, no run.
    """
    pairs = read_pairs(arguments, READERS, GenerateError, ", and a prompt with spaces needs quotes")
    given: dict[str, Any] = {key.replace(".", "_"): READERS[key](key, text) for key, text in pairs.items()}
    if "run" not in given:
        raise GenerateError("run: missing; give the folder of a run, e.g. run=runs/gpt_small")
    if "prompt" in given and "prompt_file" in given:
        raise GenerateError("prompt and prompt_file are both given; keep one")
    if given.get("num_samples", 1) < 1:
        raise GenerateError(f"num_samples: {given['num_samples']} is not at least 1; leave it out for one sample")
    return Settings(**given)


def read_prompt(settings: Settings) -> str:
    """Return the text to continue, every character as given; empty without one.

    Raises:
        InputError: the file or stdin is no UTF-8; names the line.
    """
    if settings.prompt_file is not None:
        if not settings.prompt_file.is_file():
            raise InputError(f"prompt_file: {settings.prompt_file} is no file; check the path")
        return _decode(settings.prompt_file.read_bytes(), str(settings.prompt_file))
    if settings.prompt == "-":
        return _decode(sys.stdin.buffer.read(), "stdin")
    return settings.prompt or ""


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not valid UTF-8 ({error.reason}); convert it first") from error


def _text(key: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GenerateError(f"{key}: is no valid UTF-8 ({error.reason}); give it in a file: prompt_file=PATH") from None
    return text


def _path(key: str, text: str) -> Path:
    if not text:
        raise GenerateError(f"{key}: is empty; give a path")
    return Path(text)


def _integer(key: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise GenerateError(f"{key}: {text!r} is not an integer; such as {key}=3") from None
    if not -(2**63) <= value < 2**63:
        raise GenerateError(f"{key}: {value} is beyond 64 bits; such as {key}=3")
    return value


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GenerateError(f"{key}: {text!r} is not a number; such as {key}=0.8") from None


def _device(key: str, text: str) -> DeviceType:
    for name in DEVICES:
        if text == name:
            return name
    raise GenerateError(f"{key}: {text!r} is not one of {', '.join(DEVICES)}; auto takes what is there")


def _targets(key: str, text: str) -> tuple[str, ...]:
    return extra_prefixes([f"{key}={text}"])


def _or_null(read: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    return lambda key, text: None if text == "null" else read(key, text)


READERS: dict[str, Callable[[str, str], Any]] = {
    "run": _path,
    "prompt": _text,
    "prompt_file": _path,
    "temperature": _number,
    "top_k": _or_null(_integer),
    "top_p": _or_null(_number),
    "seed": _integer,
    "max_new_tokens": _integer,
    "num_samples": _integer,
    "checkpoint": _path,
    "data.path": _path,
    "device": _device,
    "extra_targets": _targets,
}

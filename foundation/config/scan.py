"""A YAML file looked at before Hydra reads it: what YAML 1.1 would silently turn into something else, and bombs.

Source: measured with omegaconf 2.3: `010` becomes 8, `12:30:45` becomes 45045, an alias bomb of 9^5 nodes takes 2.5 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from foundation.errors import ConfigError

MAX_BYTES = 1 << 20  # a hand-written config has a few kilobytes
OCTAL = re.compile(r"[-+]?0[0-9_]+")
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
YES_NO = re.compile(r"(?i:yes|no|on|off)")
NAN = re.compile(r"(?i:\.?nan)")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times as fast: all of conf/ is looked at


def scan_yaml(path: Path) -> None:
    """Refuse a YAML file that doesn't mean what it says.

    Raises:
        ConfigError: names file and line: octal or base-60 numbers, NaN, yes/no as booleans, a key given twice or that
            is no name, aliases, tags, a file of over 1 MiB, or text that is no YAML.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size} bytes are more than a config file may have ({MAX_BYTES})")
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, Loader=LOADER):
            _check_event(event, path)
        root = yaml.compose(text, Loader=LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}; correct it there") from error
    for mapping in _mappings(root):
        _check_keys(mapping, path)


def read_yaml(text: str) -> Any:
    """Return what a YAML text says, plain values alone, as `yaml.safe_load` does."""
    loader = LOADER(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_event(event: yaml.Event, path: Path) -> None:
    line = event.start_mark.line + 1 if event.start_mark else 0
    if isinstance(event, yaml.AliasEvent):
        raise ConfigError(f"{path}:{line}: an alias (*{event.anchor}) is not allowed; write the value out")
    tag = getattr(event, "tag", None)
    if tag:
        raise ConfigError(f"{path}:{line}: the tag {tag} is not allowed; remove it")
    if isinstance(event, yaml.ScalarEvent) and not event.style:
        _check_scalar(event.value, f"{path}:{line}")


def _check_scalar(text: str, where: str) -> None:
    if OCTAL.fullmatch(text):
        raise ConfigError(f"{where}: {text} is read as an octal number by YAML 1.1; write {text.lstrip('+-0_') or '0'}")
    if SEXAGESIMAL.fullmatch(text):
        raise ConfigError(f"{where}: {text} is read as a base-60 number by YAML 1.1; put it in quotes")
    if NAN.fullmatch(text):
        raise ConfigError(f"{where}: {text} is not a number; give a number, or null where nothing is meant")
    if YES_NO.fullmatch(text):
        raise ConfigError(f"{where}: {text} is read as true or false by YAML 1.1; write true or false, or quote it")


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item)


def _check_keys(mapping: yaml.MappingNode, path: Path) -> None:
    seen: set[str] = set()
    for key, _ in mapping.value:
        where = f"{path}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}: a list or mapping stands as a key; give a name, such as lr:")
        if key.value in seen:
            raise ConfigError(f"{where}: the key {key.value!r} stands twice; keep one")
        seen.add(key.value)

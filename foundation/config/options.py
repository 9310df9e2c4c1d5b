"""What an option's file holds: every key as it is typed, with the comment above it and the value it has there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from foundation.config.groups import options_of, package_of
from foundation.config.values import join
from foundation.errors import ConfigError

HIDDEN = ("_target_", "defaults", "hydra")  # no settings
PACKAGE = "# @package _global_"  # Hydra's mark of a file whose keys are those of the whole config
OVERRIDE = "override /"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a YAML file.

    Attributes:
        key: in full.
        comment: the lines above it, without their #.
        value: as the file writes it; None for a key that only has others below it.
    """

    key: str
    comment: tuple[str, ...]
    value: str | None


def settings_of(
    conf_dirs: list[Path], group: str, option: str, package: str | None = None, inside: tuple[str, ...] = ()
) -> dict[str, Setting]:
    """Return full key -> setting of an option, in the order of its file, those of the options it is made of first.

    Args:
        conf_dirs: where options are, as in `options_of`.
        group, option: which one.
        package: key that its own stand below, where that isn't the group's.
        inside: the options that it is a part of.
    Raises:
        ConfigError: it is a part of itself.
    """
    own = f"{group.partition('@')[0]}={option}"
    if own in inside:
        raise ConfigError(f"{group}: {option!r} is made of itself; take it out of its defaults list")
    options = options_of(conf_dirs, group)
    text = options[option].read_text(encoding="utf-8")
    package = "" if PACKAGE in text.splitlines() else package_of(group) if package is None else package
    found: dict[str, Setting] = {}
    for below_group, part, below in _parts(text):
        its_group = f"{group.partition('@')[0]}/{below_group}" if below_group else group
        if part in options_of(conf_dirs, its_group):  # else Hydra refuses it, when it composes
            place = join(package, below) if below else package
            found |= settings_of(conf_dirs, its_group, part, place, (*inside, own))
    for each in settings_in(text, package):
        before = found.get(each.key, each)
        found[each.key] = replace(each, comment=each.comment or before.comment)
    return found


def settings_in(text: str, package: str) -> Iterator[Setting]:
    """Yield the settings of one YAML text, whose keys stand below `package`."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        yield from _below(root, text, package)


def head_of(path: Path) -> list[str]:
    """Return what the first lines of an option's file say that it is; nothing where they are of its first key."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    next_line = [*lines, ""][len(head)]
    if next_line and next_line.partition(":")[0] not in HIDDEN:
        return []
    return [_bare(line) for line in head if line != PACKAGE]


def overridden(path: Path) -> dict[str, str]:
    """Return group -> option of those that an option chooses in other groups, as recipes do."""
    items = [item for item in _defaults(path.read_text(encoding="utf-8")) if isinstance(item, dict)]
    return {
        group.removeprefix(OVERRIDE): option
        for item in items
        for group, option in item.items()
        if str(group).startswith(OVERRIDE)
    }


def _defaults(text: str) -> list[Any]:
    tree = yaml.safe_load(text)
    defaults: list[Any] = (tree.get("defaults") if isinstance(tree, dict) else None) or []
    return defaults


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the options that an option is made of: its group inside the own one ("": the own), its name, the key below.

    A group of which no option is taken yet, and one outside of the own, is none of them.
    """
    for item in _defaults(text):
        if isinstance(item, str):
            part, _, below = item.partition("@")
            yield "", part, below
        elif isinstance(item, dict):
            for placed, part in item.items():
                group, _, below = str(placed).partition("@")
                if isinstance(part, str) and not group.startswith((OVERRIDE, "/", "override ")):
                    yield group, part, below or group


def _below(node: yaml.MappingNode, text: str, package: str) -> Iterator[Setting]:
    lines = text.splitlines()
    for key, value in node.value:
        if key.value in HIDDEN:
            continue
        full = join(package, key.value)
        comment = _comment_above(lines[: key.start_mark.line])
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield Setting(full, comment, None)
            yield from _below(value, text, full)
        else:
            yield Setting(full, comment, _written(value, text))


def _comment_above(lines: list[str]) -> tuple[str, ...]:
    from_below = itertools.takewhile(lambda line: line.startswith("#"), map(str.strip, reversed(lines)))
    return tuple(_bare(line) for line in from_below)[::-1]


def _bare(line: str) -> str:
    return line.removeprefix("#").removeprefix(" ")


def _written(node: yaml.Node, text: str) -> str:
    """Return a value as the file writes it; a list with a line for each item on one line, as it can be typed."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        node.flow_style = True
        written: str = yaml.serialize(node, width=math.inf)
        return written.strip()
    end = text.find("\n", node.end_mark.index - 1)  # a comment behind it is taken along
    return text[node.start_mark.index : end if end >= 0 else None]

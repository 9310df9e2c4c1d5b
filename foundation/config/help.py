"""What `--help` prints: the groups of one command, their options, and every key with the comment that explains it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from foundation.config.groups import default_options, options_of, read_root
from foundation.config.options import Setting, head_of, overridden, settings_in, settings_of

FLAGS = """\
flags
  -m                    a run for each of several values, key=1,2
  --cfg job             shows the whole config, runs nothing
  --config-dir=FOLDER   options of your own: FOLDER/<group>/<option>.yaml
  --config-path=RUN --config-name=config
                        the config of an earlier run, RUN being its folder"""
END = """\
[in brackets]: what is taken. The keys shown are its, with their defaults; what has ??? must be given.
`--help group` shows every option of a group, `--help group=option` the keys with that option."""
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}


def help_text(
    conf_dirs: list[Path], root: str, chosen: dict[str, str], asked: list[str], width: int, about: str | None = None
) -> str:
    """Return the help of a command from its YAML files: they hold the explanations already.

    Args:
        conf_dirs: the project's conf folder, and the user's own if there is one.
        root: name of the command's file in the first, without suffix.
        chosen: group -> option typed beside --help, whose keys are shown instead of the default's.
        asked: groups typed there without an option: they are shown alone, with all their options.
        width: columns that prose is broken at; keys stay whole, to be copied.
        about: what another command that takes the same words is for, in place of the file's own lines.
    """
    taken = _taken(conf_dirs, root, chosen)
    if asked:
        return "\n\n".join("\n".join(_whole_group(conf_dirs, group, taken[group], width)) for group in asked)
    lines = [*_command(conf_dirs[0], root, width, about)]
    for group, option in taken.items():
        lines += ["", _listed(conf_dirs, group, option, width), *_option(conf_dirs, group, option, width)]
    return "\n".join([*lines, "", FLAGS, "", *_prose(END.splitlines(), "", width)])


def _taken(conf_dirs: list[Path], root: str, chosen: dict[str, str]) -> dict[str, str]:
    """Return group -> option with what is typed, and with what a typed recipe or experiment chooses in other groups."""
    typed = {group: option for group, option in chosen.items() if option in options_of(conf_dirs, group)}  # no sweep
    taken = default_options(conf_dirs[0], root)
    for group, option in typed.items():
        taken |= overridden(options_of(conf_dirs, group)[option])
    return taken | typed


def _command(conf_dir: Path, root: str, width: int, about: str | None) -> Iterator[str]:
    shown = read_root(conf_dir, root)["hydra"]["help"]
    lines = [shown["header"], "", *shown["footer"].strip().splitlines()] if about is None else _reflowed(about)
    for line in lines:
        yield from _prose([line], "", width) if line else [""]
    yield from ("", "of the command itself")
    yield from _keys(settings_in((conf_dir / f"{root}.yaml").read_text(encoding="utf-8"), ""), width)


def _whole_group(conf_dirs: list[Path], group: str, taken: str, width: int) -> Iterator[str]:
    yield _listed(conf_dirs, group, taken, width)
    for option in options_of(conf_dirs, group):
        yield from ("", f"{group}={option}", *_option(conf_dirs, group, option, width))


def _listed(conf_dirs: list[Path], group: str, taken: str, width: int) -> str:
    names = (f"[{option}]" if option == taken else option for option in options_of(conf_dirs, group))
    return textwrap.fill(f"{group}= {', '.join(names)}", width, subsequent_indent="  ", break_on_hyphens=False)


def _option(conf_dirs: list[Path], group: str, option: str, width: int) -> Iterator[str]:
    yield from _prose(head_of(options_of(conf_dirs, group)[option]), "  ", width)
    yield from _keys(settings_of(conf_dirs, group, option).values(), width)


def _keys(settings: Iterable[Setting], width: int) -> Iterator[str]:
    for each in settings:
        yield from _prose(each.comment, "  # ", width)
        if each.value is not None:
            yield f"  {each.key}: {each.value}"
        elif each.comment:
            yield f"  {each.key}:"


def _reflowed(text: str) -> list[str]:
    """Return the lines of a docstring, each paragraph as one; indented ones are examples and stay lines."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if lines and lines[-1] and line and " " not in (line[0], lines[-1][0]):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return lines


def _prose(lines: Iterable[str], before: str, width: int) -> Iterator[str]:
    """Yield lines broken at the width, with something before each; indented ones are examples and stay whole."""
    for line in lines:
        if line.startswith(" "):
            yield before + line
        else:
            yield from textwrap.wrap(before + line, width, subsequent_indent=before, **WHOLE_WORDS)  # type: ignore[arg-type]

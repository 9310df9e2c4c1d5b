"""What `--help` prints: the groups of one command, their options, and every key with the comment that explains it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foundation.config.groups import default_options, options_of, read_root

HIDDEN = ("_target_", "defaults", "hydra")


def help_text(conf_dirs: list[Path], root: str, chosen: dict[str, str]) -> str:
    """Return the help of a command from its YAML files: they hold the explanations already.

    Args:
        conf_dirs: the project's conf folder, and the user's own if there is one.
        root: name of the command's file in the first, without suffix.
        chosen: group -> option typed beside --help, whose keys are shown instead of the default's.
    """
    conf_dir = conf_dirs[0]
    shown = read_root(conf_dir, root)["hydra"]["help"]
    parts = [shown["header"].strip(), "", shown["footer"].strip(), "", "of the command itself"]
    parts += _keys(
        conf_dir / f"{root}.yaml", "", hidden=True
    )  # its first lines, up to the defaults list, are for those who read the file
    for group, default in default_options(conf_dir, root).items():
        option = chosen.get(group, default)
        options = options_of(conf_dirs, group)
        parts += ["", f"{group}= {', '.join(f'[{name}]' if name == option else name for name in options)}"]
        parts += _keys(options[option], f"{group}.")
    return "\n".join(
        [
            *parts,
            "",
            "[in brackets]: what is taken; the keys shown are its. Type `--help group=option` for the keys of another.",
        ]
    )


def _keys(path: Path, prefix: str, hidden: bool = False) -> Iterator[str]:
    """Yield a YAML file's lines with full keys and their comments, the top level's alone spelled out."""
    comment: list[str] = []  # held back: it is shown where the key below it is, or at the head of an option's file
    at_head = not hidden
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            prefix = ""  # its keys are those of the whole config
            continue
        if line.startswith("#"):
            comment.append(f"  {line}")
            continue
        if line[:1].isalpha():
            hidden = line.partition(":")[0] in HIDDEN
        if at_head or not hidden:
            yield from comment
        comment, at_head = [], False
        if not hidden and line.strip() and not line.lstrip().startswith("_target_"):
            yield f"  {prefix}{line}" if line[:1].isalpha() else f"  {line}"
    if at_head:
        yield from comment

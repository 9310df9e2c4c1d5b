"""What is typed, read word by word by Hydra's own parsers and refused in this project's words."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from foundation.config.groups import options_of
from foundation.config.options import head_of
from foundation.errors import ConfigError

# what is typed for an option and is a value of another key, or a file
_OF_VALUES = {("tokenizer", name): "tokenizer.split=cl100k" for name in ("cl100k", "cl100k_base", "gpt4", "llama3")}
_OF_FILES = {
    ("tokenizer", ".json"): "tokenizer=file tokenizer.path=",
    ("tokenizer", ".model"): "tokenizer=sentencepiece tokenizer.path=",
}
FLAGS = "-m, --help, --cfg job, --config-path, --config-name, --config-dir"
MODES = ("run", "multirun", "cfg", "info", "shell_completion")
PAIRS = {"[": "]", "{": "}", "(": ")"}
# Hydra's words
UNKNOWN_FLAG = "unrecognized arguments: "
NO_OPTION = re.compile(r"Could not find '([^']+)/([^'/]+)'")
NOT_THERE = re.compile(r"Could not delete from config\. '([^']+)' does not exist")
THERE = re.compile(r"An item is already at '([^']*)'")
NO_PLACE = re.compile(r"To append to your default list use \+(\S+@\S+=\S+)")
CHOSEN = re.compile(r"Multiple values for (\S+)\. To override a value use 'override \S+: ([^']*)'")


def read_flags(typed: list[str]) -> Namespace:
    """Return the flags among the typed words; `overrides` holds the other words.

    Raises:
        ConfigError: a flag that there isn't, such as another program's `--lr 1e-3`, or two that exclude each other.
    """

    def refuse(message: str) -> NoReturn:
        if message.startswith(UNKNOWN_FLAG):
            raise ConfigError(_setting_instead(message.removeprefix(UNKNOWN_FLAG).split()[0], typed))
        raise ConfigError(f"{message}; settings are key=value without dashes, --help lists them")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags: Namespace = parser.parse_intermixed_args(typed)
    modes = [f"--{name}" for name in MODES if getattr(flags, name)]
    if len(modes) > 1:
        raise ConfigError(f"{' and '.join(modes)} exclude each other; keep one of them")
    if flags.help and flags.config_path:
        raise ConfigError("--help: lists groups, and a run's own config has none; leave --config-path out")
    if flags.resolve and not flags.cfg:
        raise ConfigError("--resolve: shows a config with its references resolved; add --cfg job")
    if flags.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: runs a pickle; type --config-path <a run> --config-name config instead"
        )
    return flags


def read_override(text: str, multirun: bool) -> Override:
    """Return one `key=value`, `+key=value` or `~key` parsed.

    Raises:
        ConfigError: it can't be read, or is several values outside of a sweep.
    """
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        raise ConfigError(f"{text!r}: arguments are key=value; a value with spaces needs quotes around it all")
    if not _is_key(key.lstrip("+~")):
        raise ConfigError(f"{text!r}: {key!r} is no key; a key is a name, or names with dots between them: group.name")
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"{key}: {value!r} can't be read; {_mended(key, value, str(error))}") from error
    if override.is_sweep_override() and not multirun:
        raise ConfigError(
            f"{key}: {value!r} is several values; add -m to run with each of them. "
            f"As one value, a list is typed {key}='[{value}]' and a text {key}='\"{value}\"'"
        )
    return override


def similar_option(group: str, option: str, options: Mapping[str, Mapping[str, Path]]) -> str:
    """Return `, did you mean ...?` for what is no option of a group: one of it, else one of another group.

    Args:
        group: the group.
        option: what was typed for it.
        options: group -> its options, each with its file, of all groups.
    """
    of_file = _OF_FILES.get((group, PurePath(option).suffix))
    if meant := _OF_VALUES.get((group, option)) or (of_file and of_file + option):
        return f", did you mean {meant}?"
    said = {_letters(" ".join(head_of(path)).partition(",")[0]): name for name, path in options[group].items()}
    same = said.get(_letters(option)) if _letters(option) else None
    if near := [same] if same else get_close_matches(option, options[group], 1, 0.65):
        return f", did you mean {near[0]!r}?"
    for other, names in options.items():
        alike = [name for name in names if option and name.split("_")[0] == option.split("_")[0]]
        if alike and other != group:
            return f", did you mean {other}={alike[0]}?"
        if alike:
            return f", did you mean {alike[0]!r}?" if len(alike) == 1 else ""
    return ""


def in_words(error: Exception, conf_dirs: list[Path] | None = None, keys: Iterable[str] = ()) -> str:
    """Return the message for what Hydra refuses when it composes: which key, what to type; else its own first lines.

    Args:
        conf_dirs: where options are.
        keys: of the options that were chosen, in full.
    """
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and "Cannot merge DictConfig with ListConfig" in str(cause):
        key = cause.full_key
        return f"{key}: a list, where names with values are expected; give e.g. {key}='{{name: value}}'"
    if missing := NOT_THERE.search(str(error)):
        return _nothing_to_remove(missing[1], keys)
    if unknown := NO_OPTION.search(str(error)):
        group, option = unknown.groups()
        if options := options_of(conf_dirs or [], group):
            like = similar_option(group, option, {group: options})
            return f"{group}: {option!r} is no option of this group{like}; allowed: {', '.join(options)}"
    if there := THERE.search(str(error)):
        return f"+{there[1]}: is there already; type {there[1]}=... without the +"
    if no_place := NO_PLACE.search(str(error)):
        return f"{no_place[1]}: has no place here yet; type +{no_place[1]}, which adds it behind the others"
    if chosen := CHOSEN.search(str(error)):
        return f"+{chosen[1]}: has its place already; type {chosen[1]}={chosen[2]} once, without the +"
    said = [str(each).strip().partition("\n")[0].rstrip(".") for each in (error, cause) if each and str(each).strip()]
    return f"{': '.join(dict.fromkeys(said)).replace('++', '')}; --help lists what can be set"


def own_option(group: str) -> str:
    """Return how an object of one's own is chosen."""
    return f"write it as <folder>/{group}/<name>.yaml and type --config-dir=<folder> {group}=<name>"


def _nothing_to_remove(key: str, keys: Iterable[str]) -> str:
    """Return the message for a key that `~` does not find."""
    parent, dot, name = key.rpartition(".")
    beside = [each.rpartition(".")[2] for each in keys if dot and each.rpartition(".")[0] == parent]
    near = get_close_matches(name, beside, 1, 0.65)
    if near and near[0] != name:  # else it is there, and a null
        return f"~{key}: there is nothing to remove, did you mean '~{parent}.{near[0]}'?"
    found = f"~{key}: there is nothing to remove, or a null, which can't be removed"
    if beside and not near:
        return f"{found}; {parent} has {', '.join(beside)}"
    group = key.partition(".")[0]
    return f"{found}; {'leave it out' if group == key else 'to change the class, ' + own_option(group)}"


def _setting_instead(word: str, typed: list[str]) -> str:
    """Return the message for a flag that there isn't: `--lr 1e-3`, `--lr=1e-3`."""
    name, equals, value = word.partition("=")
    if not equals:
        after = [*typed[typed.index(word) + 1 :], "-"][0] if word in typed else "-"
        value = "<value>" if after.startswith("-") or "=" in after else after
    setting = f"{name.lstrip('-').replace('-', '_')}={value}"
    return f"{name}: is no flag; settings are typed without dashes, {setting}; flags are {FLAGS}"


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def _is_key(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(f"{text}=1")
    except HydraException:
        return False
    return bool(text)


def _mended(key: str, value: str, why: str) -> str:
    """Return what to do about a value that Hydra's grammar has no reading for."""
    for opening, closing in PAIRS.items():
        if value.count(opening) > value.count(closing) and value.rstrip().endswith(","):
            return (
                f"it ends behind a comma: the shell cut it at the blank that followed; quote all of it: "
                f"{key}='{value} ...{closing}'"
            )
        if value.count(opening) > value.count(closing):
            return f"a {opening} has no {closing}; close it, and quote it all for the shell: {key}='{value}{closing}'"
        if value.count(opening) < value.count(closing):
            return f"a {closing} has no {opening} before it; add that, or take the {closing} away"
    for quote in ("'", '"'):
        if value.count(quote) % 2:
            return f"it has a quote {quote} without its second; add that, or take the first away"
    return (
        "put the value into quotes of its own inside the shell's, "
        f"e.g. {key}='\"{value.strip(chr(34))}\"' ({why.splitlines()[0]})"
    )

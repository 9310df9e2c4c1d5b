"""Which key may be meant by one that is unknown: people type the last name alone, or another trainer's."""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from foundation.config.groups import options_of, package_of
from foundation.config.options import settings_of
from foundation.errors import UnknownKeyError

# Of nanoGPT, litgpt and the trainer of transformers; names alone, so that only keys are offered that a config has.
OTHER_NAMES = {
    "learning_rate": ("lr",),
    "min_lr": ("min_lr_frac",),
    "batch_size": ("global_batch_size", "micro_batch_size"),
    "per_device_train_batch_size": ("micro_batch_size",),
    "max_iters": ("max_steps",),
    "num_train_epochs": ("max_epochs",),
    "epochs": ("max_epochs",),
    "block_size": ("seq_len", "context_len"),
    "n_layer": ("num_layers",),
    "n_head": ("num_heads",),
    "n_embd": ("d_model",),
    "grad_clip": ("max_grad_norm",),
    "warmup_iters": ("warmup_steps",),
    "eval_interval": ("eval.every_steps",),
    "log_interval": ("console.every_steps",),
    "save_steps": ("checkpoint.every_steps",),
    "dataset": ("data.path",),
    "out_dir": ("runs_dir",),
    "device": ("device_type",),
    "betas": ("beta1", "beta2"),
}
SHOWN = 3  # a name that more keys end in says nothing
CLOSE = 0.65  # of difflib's ratio: `seeed` is close to `seed` (0.89), `lr` not to `logger` (0.5)
TYPO = 0.85  # so close, a name of the same object is meant: `path` is a slip of `paths` (0.89)


class NoObjectError(UnknownKeyError):
    """A value stands where an object is expected, which says its class with a `_target_`.

    Attributes:
        names: what keys were given there.
    """

    def __init__(self, key: str, value: Any) -> None:
        way = f"give it one, {key}._target_=<package.module.Class>" if "." in key else "choose an option of this group"
        super().__init__(key, f"{value!r} is not an object with a _target_; {way}")
        self.value, self.names = value, set(value) if isinstance(value, dict) else set()


def keys_of(tree: Any, key: str = "") -> Iterator[str]:
    """Yield the full keys of a tree's values, down to those that are no mappings or empty ones."""
    if not isinstance(tree, dict) or (key and not tree):
        yield key
        return
    for name, value in tree.items():
        yield from keys_of(value, f"{key}.{name}" if key else str(name))


def is_slip(name: str, allowed: Iterable[str]) -> bool:
    """Return whether a name differs by a slip alone from one that may stand there."""
    return bool(difflib.get_close_matches(name, list(allowed), n=1, cutoff=TYPO))


def suggest(full: str, allowed: Iterable[str], keys: Iterable[str]) -> str:
    """Return `, did you mean ...?` with keys to be typed as they stand; empty where none is like the unknown one.

    Args:
        full: the unknown key.
        allowed: names that may stand beside it.
        keys: all full keys of the config.
    """
    parent, dot, name = full.rpartition(".")
    others = [key for key in keys if key != full and not key.startswith(f"{full}.")]
    ends = [key.rpartition(".")[2] for key in others]
    beside = [f"{parent}{dot}{near}" for near in _close(name, allowed)]
    meant = beside if is_slip(name, allowed) else []
    meant = meant or _ending_in((name,), others) or _ending_in(OTHER_NAMES.get(name, ()), others)
    meant = meant or beside
    meant = meant or _ending_in(_close(name, ends), others)
    return f", did you mean {' or '.join(map(repr, meant))}?" if 0 < len(meant) <= SHOWN else ""


@contextlib.contextmanager
def other_options_named(conf_dirs: list[Path], choices: Mapping[str, str]) -> Iterator[None]:
    """Have an unknown key that other options of its group know answered with these: only the choice is missing.

    Args:
        conf_dirs: where options are.
        choices: group -> the option that was taken.
    Raises:
        UnknownKeyError: names the options, or as it came where there are none.
    """
    try:
        yield
    except NoObjectError as error:
        ways = [*_adding(conf_dirs, error, choices), *_having(conf_dirs, error, choices)] if "." in error.key else []
        if not ways:
            raise
        found = f"{error.value!r} is not an object with a _target_"
        raise UnknownKeyError(error.key, f"{found}; {'; or '.join(ways)}") from error
    except UnknownKeyError as error:
        if error.is_slip:
            raise
        package, dot, name = error.key.partition(".")
        group = next((each for each in choices if package_of(each) == package), package)
        groups = [group] if dot else [] if error.has_guess else choices
        guess = bool(dot) and not error.has_guess
        answers = (_others_know(conf_dirs, each, name or error.key, choices, guess) for each in groups)
        answer = next(filter(None, answers), "")
        if not answer:
            raise
        raise UnknownKeyError(error.key, f"unknown key, {answer}") from error


def _having(conf_dirs: list[Path], error: NoObjectError, choices: Mapping[str, str]) -> list[str]:
    """Return that other options of the group have this very object, where some do."""
    group, _, place = error.key.partition(".")
    wanted = {f"{place}.{name}" for name in error.names} | {place}
    options = [
        f"{group}={option}"
        for option, names in _names_by_option(conf_dirs, group).items()
        if option != choices.get(group) and wanted <= names
    ]
    return [f"{' and '.join(options)} {'have' if options[1:] else 'has'} {error.key}"] if options else []


def _adding(conf_dirs: list[Path], error: NoObjectError, choices: Mapping[str, str]) -> list[str]:
    """Return the word that adds an option which makes such an object, where there is one.

    It is an option of the group itself, as a corpus in `corpus.sources`, or of the group inside it that is called as
    the object's place, as a rule of conf/clean/rules in `clean.rules`.
    """
    group, name = error.key.partition(".")[0], error.key.rpartition(".")[2]
    for each in (group, error.key.rpartition(".")[0].replace(".", "/")):
        known = _names_by_option(conf_dirs, each)
        options = [option for option, names in known.items() if option != choices.get(each) and error.names <= names]
        if options:
            options.sort(key=lambda option: option != name)  # that of its name first
            others = f" (or {', '.join(options[1:])})" if options[1:] and options[0] != name else ""
            return [f"add +{each}@{error.key}={options[0]}{others}"]
    return []


def _others_know(conf_dirs: list[Path], group: str, name: str, choices: Mapping[str, str], guess: bool) -> str:
    """Return which other options of a group have a key, or with `guess` one like it; empty where none has."""
    taken = choices.get(group, "")
    known = _names_by_option(conf_dirs, group) if taken else {}
    near = _close(name, itertools.chain.from_iterable(known.values())) if guess else []
    for meant in (name, *near):
        options = [f"{group}={option}" for option, names in known.items() if meant in names]
        if options and meant not in known.get(taken, ()):
            have = "have" if len(options) > 1 else "has"
            return f"{group} is {taken} here; {' and '.join(options)} {have} {package_of(group)}.{meant}"
    return ""


def _names_by_option(conf_dirs: list[Path], group: str) -> dict[str, set[str]]:
    """Return option -> the names below the group that it has, objects among them: `rules`, `rules.length.min_words`."""
    return {
        option: {key.removeprefix(f"{package_of(group)}.") for key in settings_of(conf_dirs, group, option)}
        for option in options_of(conf_dirs, group)
    }


def _ending_in(names: Iterable[str], keys: list[str]) -> list[str]:
    return [key for name in names for key in keys if f".{key}".endswith(f".{name}")]


def _close(word: str, words: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word, list(words), n=1, cutoff=CLOSE)

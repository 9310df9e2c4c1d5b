"""A command line to a plain tree, by Hydra: groups from conf/, overrides, `-m` sweeps, `--config-path <run>` reruns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from foundation.config.check import refuse_resolvers
from foundation.config.groups import commands_with, default_options, options_of, package_of
from foundation.config.help import help_text
from foundation.config.options import overridden, settings_of
from foundation.config.scan import scan_yaml
from foundation.config.targets import DEFAULT_TARGETS, extra_prefixes
from foundation.config.typed import in_words, own_option, read_flags, read_override, similar_option
from foundation.errors import ConfigError, nearest

# Hydra's own output folder and logs are off: a run folder is ours, and it writes nothing outside of it.
SWITCHES = (
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
    "hydra.sweep.subdir=.",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
PIPED = (120, 24)  # columns and lines where no terminal says its own
RAISES = "HYDRA_FULL_ERROR"  # Hydra's only switch: it raises its errors, instead of printing them and exiting with 1


class CommandLine:
    """What the user typed, read once.

    Args:
        typed: the arguments after the program's name.
        conf_dir: the project's conf folder.
        root: name of the command's file in it, without suffix.
        scratch_dir: where Hydra may leave its record of a sweep.
    Attributes:
        arguments: what Hydra is given in place of it.
        conf_dirs: folder of the primary config, whose folders are the groups; behind it the user's own (--config-dir).
        multirun: whether `-m` was given.
        wants_help: whether `--help` was.
        allowed: module prefixes that a `_target_` may come from, `extra_targets=[...]` included.
    Raises:
        ConfigError: an unknown flag, an option that a group doesn't have, a group given with a run's own config, a
            YAML file that doesn't mean what it says.
    """

    def __init__(self, typed: list[str], conf_dir: Path, root: str, scratch_dir: Path) -> None:
        parsed = read_flags(typed)
        rerun = parsed.config_path is not None
        self.conf_dirs = [Path(parsed.config_path).resolve() if rerun else conf_dir]
        self.conf_dirs += [Path(parsed.config_dir)] if parsed.config_dir else []
        self.multirun, self.wants_help = bool(parsed.multirun), bool(parsed.help)
        self.extra_targets = [text for text in parsed.overrides if text.partition("=")[0] == "extra_targets"]
        self.allowed = DEFAULT_TARGETS + extra_prefixes(self.extra_targets)
        self._scan(rerun, parsed.config_name)
        self._root, self._defaults = root, default_options(conf_dir, root)
        groups = list(self._defaults)
        self._groups = [] if rerun else groups
        self._rerun_groups = groups if rerun else []
        self._by_package = {package_of(group): group for group in groups}
        bare = [text for text in parsed.overrides if self.wants_help and "=" not in text.rstrip("=")]
        self._asked = [self._group_of(text) for text in bare]
        pairs = (self._in_full(text).partition("=") for text in parsed.overrides)
        self._chosen = {key: value for key, _, value in pairs if key in self._groups}
        overrides = set(parsed.overrides) - set(bare)
        rest = [text for text in _without_path(typed) if text not in self.extra_targets]
        options = [text for text in rest if text not in overrides]
        kept = [self._override(text) for text in rest if text in overrides]
        path = [f"--config-path={self.conf_dirs[0]}"] if rerun else []
        informs = parsed.hydra_help or parsed.shell_completion or parsed.info is not None
        switches = [] if informs else [*SWITCHES, f"hydra.sweep.dir={scratch_dir}"]
        self.arguments = path + options + kept + switches  # options first: argparse takes the rest in one piece

    def help(self, about: str | None = None) -> str:
        """Return what --help prints, as wide as the terminal; `about`: see help_text."""
        width = shutil.get_terminal_size(PIPED).columns
        return help_text(self.conf_dirs, self._root, self._chosen, self._asked, width, about)

    def keys(self) -> list[str]:
        """Return the full keys of the options that were chosen, one of each group; of those that they override, too."""
        options = self._defaults | self._chosen
        for group, option in dict(options).items():
            if path := options_of(self.conf_dirs, group).get(option):
                options |= {each: name for each, name in overridden(path).items() if each not in self._chosen}
        chosen = [(group, name) for group, name in options.items() if name in options_of(self.conf_dirs, group)]
        return [key for group, name in chosen for key in settings_of(self.conf_dirs, group, name)]

    def refuse_circles(self) -> None:
        """Refuse an option of the command's groups that is made of itself: Hydra would never end composing it.

        Raises:
            ConfigError: names it.
        """
        for group in self._groups:
            for option in options_of(self.conf_dirs, group):
                settings_of(self.conf_dirs, group, option)

    def _group_of(self, text: str) -> str:
        """Return the group of a name beside --help: `optim`, `optim=` or `optim.lr`."""
        group = self._in_full(text.rstrip("=").partition(".")[0])
        if group not in self._groups:
            raise ConfigError(
                f"--help {text}: is no group{nearest(group, self._groups)}; groups are {', '.join(self._groups)}"
            )
        return group

    def _scan(self, rerun: bool, config_name: str | None) -> None:
        path = self.conf_dirs[0] / f"{config_name or 'config'}.yaml"
        if (rerun or config_name) and not path.is_file():
            raise ConfigError(
                f"--config-path, --config-name: there is no {path}; "
                "--config-path <the folder of a run> --config-name config repeats a run, nothing else needs them"
            )
        for own in self.conf_dirs[1:]:
            if not own.is_dir():
                raise ConfigError(f"--config-dir: {own} is no folder; give one that holds <group>/<option>.yaml")
        for folder in self.conf_dirs[1:] if rerun else self.conf_dirs:
            for each in sorted(folder.rglob("*.yaml")):
                scan_yaml(each)
        if rerun:
            scan_yaml(path)

    def _in_full(self, text: str) -> str:
        """Return `corpus@good=text` for `good=text`, where that is a group; all else as it is typed."""
        key, equals, value = text.partition("=")
        return self._by_package.get(key, key) + equals + value

    def _override(self, text: str) -> str:
        text = self._in_full(text)
        key, equals, value = text.partition("=")
        override = read_override(text, self.multirun)
        if key in self._groups and value in options_of(self.conf_dirs, key) and not isinstance(override.value(), str):
            text = f"{key}='{value}'"  # an option of a name that Hydra reads as a number, such as nan
            override = read_override(text, self.multirun)
        if key.startswith("+") and key.lstrip("+") in self._groups and not value.startswith("{"):
            raise ConfigError(f"{key}: is a group, of which one option is taken; type {key.lstrip('+')}={value}")
        if key.startswith("~") and key[1:] in self._groups:
            options = ", ".join(options_of(self.conf_dirs, key[1:]))
            raise ConfigError(f"{key}: is a group and always has an option; choose one with {key[1:]}=: {options}")
        if not equals or key.startswith(("+", "~", "hydra.", "hydra/")) or ("@" in key and key not in self._groups):
            return text
        if key in self._rerun_groups and not value.startswith("{"):
            raise ConfigError(
                f"{key}: a run's own config has its options resolved, {text!r} can't choose another; "
                f"set single keys ({key}.<name>=...), or start from the groups without --config-path"
            )
        if key in self._groups:
            self._check_option(key, override)
            return text
        if commands := commands_with(self.conf_dirs[0], key):
            raise ConfigError(f"{key}: is a group of {' and '.join(commands)}; here are {', '.join(self._groups)}")
        # `++`: Hydra takes any key, so that an unknown one gets this project's message with the nearest name.
        return f"++{text}"

    def _check_option(self, group: str, override: Override) -> None:
        """Refuse what is no option of the group, in a sweep too; a glob's options Hydra finds among those there are."""
        if isinstance(override.value(), Glob):
            return
        if isinstance(override.value(), dict):
            raise ConfigError(f"{group}: takes the name of an option, not an object; {own_option(group)}")
        groups = {each: options_of(self.conf_dirs, each) for each in self._groups}
        options = groups[group]
        if isinstance(override.value(), list):
            raise ConfigError(f"{group}: takes the name of one option, not a list; allowed: {', '.join(options)}")
        for option in override.sweep_iterator() if override.is_discrete_sweep() else [override.value()]:
            if option not in options:
                found = f"{group}: {option!r} is no option of this group{similar_option(group, str(option), groups)}"
                raise ConfigError(f"{found}; allowed: {', '.join(options)}")


def run_hydra(command: CommandLine, config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Run `task` on the composed config, once, or once for each trial of a sweep.

    `sys.argv` must hold `command.arguments`: Hydra reads it.

    Raises:
        ConfigError: the config can't be composed.
    """
    before = os.environ.get(RAISES)
    os.environ[RAISES] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(command.conf_dirs[0]), config_name=config_name)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_words(error, command.conf_dirs, command.keys())) from error
    except RecursionError:
        command.refuse_circles()
        raise
    finally:
        os.environ.pop(RAISES)
        os.environ.update({} if before is None else {RAISES: before})


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed config as plain dicts and lists, references resolved.

    Raises:
        ConfigError: a resolver is used, or a reference leads nowhere; names the key.
    """
    tree = OmegaConf.to_container(config, resolve=False)
    refuse_resolvers(tree)
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        why = str(error.msg).partition("\n")[0]
        raise ConfigError(f"{error.full_key}: {why}; a reference is ${{full.key}} of a key of this config") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's config.yaml as a plain tree.

    Raises:
        ConfigError: as in `scan_yaml` and `plain`, or there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; give the folder of a run")
    scan_yaml(path)
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{path}: is not a mapping of keys to values")
    return plain(config)


def config_yaml(tree: dict[str, Any]) -> bytes:
    """Return a plain tree as the YAML that `read_config` and `--config-path` read back."""
    return OmegaConf.to_yaml(OmegaConf.create(tree)).encode()


def _without_path(typed: list[str]) -> list[str]:
    """Drop `--config-path X` in both spellings: Hydra takes X as relative to launch/, users mean the current folder."""
    kept, skip = [], False
    for text in typed:
        if skip or text.startswith(("--config-path=", "-cp=")):
            skip = False
        elif text in ("--config-path", "-cp"):
            skip = True
        else:
            kept.append(text)
    return kept

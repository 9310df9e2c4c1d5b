"""Finished token shards: python -m data_pipeline.shards verify|inspect|trace|merge|import|export ...

`--help`, alone or behind a command, says what it does, with an example.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from data_pipeline.shards.command_line import parser
from data_pipeline.shards.manifest import NAME, SPLITS
from data_pipeline.shards.verify import strays, verify
from foundation.command import run_command
from foundation.errors import ConfigError
from foundation.reader import reader_may_leave

STOPPED = "stopped; what was there before is untouched: the same command goes on, or begins anew"


def main() -> None:
    """Read the command line and do what it says; exit with 1 where damage is found, else as `run_command` does."""
    arguments = parser().parse_args()
    run_command(lambda scratch: COMMANDS[arguments.command](arguments), STOPPED)


# What a command needs beside the shards is imported when it runs: the trainer imports this room, and `verify` needs
# neither Arrow nor a tokenizer.


def _verify(arguments: argparse.Namespace) -> int:
    verdicts = verify(arguments.folder)
    for name, problems in verdicts.items():
        print(f"{name}: {'damaged' if problems else 'ok'}")
        for problem in problems:
            print(f"  {problem}")
    for stray in () if verdicts[NAME] else strays(arguments.folder):
        print(f"{stray}: the manifest does not speak of it, no run reads it")
    return int(any(verdicts.values()))


def _inspect(arguments: argparse.Namespace) -> int:
    from data_pipeline.inspection.inspect import Show, inspect_folder, inspect_shard

    if arguments.documents < 0:
        raise ConfigError(f"--documents {arguments.documents}: give a number from 0")
    documents = arguments.documents or int(arguments.start is not None)
    show = Show(documents, arguments.start, arguments.seed, arguments.ids, arguments.whole)
    if arguments.folder.is_dir():
        inspect_folder(arguments.folder, show)
    elif arguments.documents and arguments.tokenizer is None:
        raise ConfigError(f"{arguments.folder}: no data folder; name one, or a .bin or .idx with --tokenizer")
    else:
        inspect_shard(arguments.folder, arguments.tokenizer, show)
    return 0


def _trace(arguments: argparse.Namespace) -> int:
    from data_pipeline.executors.libraries import prepare_libraries
    from data_pipeline.inspection.told import lines_of
    from data_pipeline.inspection.trace import trace
    from foundation.files import pretty_json

    prepare_libraries()
    found = trace(arguments.folder, arguments.position, max(arguments.around, 0))
    print(pretty_json(found).decode().rstrip() if arguments.json else "\n".join(lines_of(found)))
    return 0


def _merge(arguments: argparse.Namespace) -> int:
    from data_pipeline.exchange.merge import merge

    renames = dict(_renamed(text, arguments.folders) for text in arguments.rename)
    merge(arguments.out, arguments.folders, renames, arguments.link)
    return _show(arguments.out)


def _import(arguments: argparse.Namespace) -> int:
    from data_pipeline.exchange.importing import Foreign, import_shards
    from data_pipeline.executors.libraries import prepare_libraries

    prepare_libraries()
    foreign = Foreign(
        _files_of_splits(arguments.files, arguments.split),
        arguments.format,
        arguments.source,
        arguments.tokenizer,
        arguments.eot_token,
        arguments.eot_at,
        arguments.append_eot,
    )
    import_shards(arguments.out, foreign)
    return _show(arguments.out)


def _export(arguments: argparse.Namespace) -> int:
    from data_pipeline.exchange.exporting import export

    for path in export(arguments.out, arguments.folder, arguments.format, arguments.shard_tokens):
        print(path)
    return 0


def _show(folder: Path) -> int:
    from data_pipeline.inspection.inspect import Show, inspect_folder

    inspect_folder(folder, Show())
    return 0


def _renamed(text: str, folders: list[Path]) -> tuple[tuple[Path, str], str]:
    """Return (folder, source) and its new name, of `FOLDER/SOURCE=NAME`."""
    old, equals, name = text.rpartition("=")
    known = {folder.absolute(): folder for folder in folders}
    folder = known.get(Path(old).absolute().parent)
    if not equals or not name or folder is None:
        raise ConfigError(
            f"--rename {text}: is not <folder>/<source>=<name> with one of the folders {', '.join(map(str, folders))}"
        )
    return (folder, Path(old).name), name


def _files_of_splits(files: list[Path], typed: list[str]) -> dict[str, list[Path]]:
    """Return split -> files, of the files for training and `SPLIT=FILE` of others."""
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    found[SPLITS[0]] += files
    for text in typed:
        split, equals, file = text.partition("=")
        if not equals or split not in found or not file:
            raise ConfigError(f"--split {text}: is not <split>=<file> with one of the splits {', '.join(SPLITS)}")
        found[split].append(Path(file))
    if not found[SPLITS[0]]:
        raise ConfigError("no file to train on; name the files of the training split, in their order")
    return found


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "verify": _verify,
    "inspect": _inspect,
    "trace": _trace,
    "merge": _merge,
    "import": _import,
    "export": _export,
}


if __name__ == "__main__":
    with reader_may_leave():
        main()

"""The command line of `python -m data_pipeline.shards`: what each command takes, and its help."""

from __future__ import annotations

import argparse
from pathlib import Path

PROGRAM = "python -m data_pipeline.shards"
SUMMARIES = {
    "verify": "read every byte and name what is damaged",
    "inspect": "print what a data folder holds, and documents of it",
    "trace": "from a token to its document, and what was done to that",
    "merge": "make one data folder of several",
    "import": "make a data folder of shards of nanoGPT, llm.c, Megatron or datatrove",
    "export": "write shards for llm.c or nanoGPT",
}
FORMATS = ("nanogpt", "llmc", "megatron", "datatrove")
VERIFY = """Read every block of every shard in a data folder, hold it against the sums, and say of each shard whether it
is ok; of a damaged one, which 64 KiB blocks: cut off, changed, zeros, or another shard's, which is named. Files among
the shards that the manifest does not speak of are listed. Exit code: 0 all are ok, 1 something is damaged, be it the
manifest, 2 there is nothing to check. Damaged shards are made again by the `python -m data_pipeline ...` line that made
the folder; a folder that was merged or imported, by the same command into a new folder."""
INSPECT = """Print what a data folder holds: documents, tokens, bytes of text, what a run reads, shards; and some of its
documents. Also a pair of .bin and .idx of Megatron's format without a manifest, with --tokenizer."""
TRACE = """From a token of the shards to its document: file and row of the input, the text around the token, and what
each stage did to the document. What can't be known any more (the work folder or the input is gone) is said. A position
is <split>/<shard>:<token>, or <split>/<source>:<token> over a source's shards end to end; a plain number where train
has one source."""
MERGE = """Make one data folder of several that share a tokenizer. Sources keep their names, weights and budgets; every
block is verified on the way. The new folder is whole or absent; the same command goes on where it was stopped."""
IMPORT = """Make a data folder, with sums and a manifest, of shards that another tool wrote: nanoGPT's headerless uint16
.bin, llm.c's .bin (version 1), Megatron's .bin and .idx, datatrove's .ds with or without .ds.index. Every id is held
against the tokenizer, and every document must have its end-of-text token."""
EXPORT = """Write the shards of a data folder as llm.c's (<source>_val_000000.bin, <source>_train_000001.bin, ...) or as
nanoGPT's (train.bin and val.bin, all sources end to end), and tokenizer.json beside them. Both hold uint16 ids, so that
a vocabulary has at most 65,536 entries. The mixture of the sources is not carried over."""


def parser() -> argparse.ArgumentParser:
    """Return the parser; its result has `command` and that command's arguments."""
    made = argparse.ArgumentParser(PROGRAM, description="Check, read, join and convert finished token shards.")
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    for add in (_verify, _inspect, _trace, _merge, _import, _export):
        add(commands)
    return made


_Commands = argparse._SubParsersAction  # argparse has no public name for what add_subparsers returns


def _command(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    epilog = f"example: {PROGRAM} {name} {example}"
    return commands.add_parser(name, help=SUMMARIES[name], description=text, epilog=epilog)


def _verify(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = _command(commands, "verify", VERIFY, "data/web")
    made.add_argument("folder", type=Path, help="the output folder of a finished pipeline, e.g. data/web")


def _inspect(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = _command(commands, "inspect", INSPECT, "data/web --documents 3 --from train/web:1000000 --ids")
    made.add_argument("folder", type=Path, help="a data folder, or a .bin or .idx")
    made.add_argument("--documents", type=int, default=0, metavar="N", help="how many documents to show (default: 0)")
    made.add_argument("--from", dest="start", metavar="POSITION", help="from the document at this position on")
    made.add_argument("--seed", type=int, default=0, help="else they are drawn at random by it (default: 0)")
    made.add_argument("--ids", action="store_true", help="show each token's position and id in place of the text")
    made.add_argument("--whole", action="store_true", help="do not cut long documents")
    made.add_argument("--tokenizer", type=Path, help="of a .bin and .idx without a manifest: the file, or its folder")


def _trace(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = _command(commands, "trace", TRACE, "data/web train/web_00000:12345")
    made.add_argument("folder", type=Path, help="a data folder")
    made.add_argument("position", help="e.g. train/web_00000:12345")
    made.add_argument("--around", type=int, default=24, metavar="N", help="tokens shown to each side (default: 24)")
    made.add_argument("--json", action="store_true", help="print one JSON object with all that is known")


def _merge(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = _command(commands, "merge", MERGE, "data/all data/web data/books --rename data/books/web=web2")
    made.add_argument("out", type=Path, help="the new data folder")
    made.add_argument("folders", type=Path, nargs="+", metavar="folder", help="data folders of one tokenizer")
    made.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="FOLDER/SOURCE=NAME",
        help="another name for a source; repeatable",
    )
    made.add_argument("--link", action="store_true", help="hard-link shards where the disk can, in place of copying")


def _import(commands: _Commands[argparse.ArgumentParser]) -> None:
    example = "data/fineweb fineweb_train_*.bin --split val=fineweb_val_000000.bin --format llmc --source fineweb "
    made = _command(commands, "import", IMPORT, f"{example}--tokenizer data/gpt2")
    made.add_argument("out", type=Path, help="the new data folder")
    made.add_argument("files", type=Path, nargs="*", metavar="file", help="the training files, in their order")
    made.add_argument("--format", required=True, choices=FORMATS)
    made.add_argument("--source", required=True, help="the name of the source in the new folder")
    made.add_argument("--tokenizer", required=True, type=Path, help="the tokenizer.json of these shards, or its folder")
    made.add_argument("--eot-token", default="<|endoftext|>", help="its end-of-text token (default: %(default)s)")
    made.add_argument(
        "--eot-at", choices=("start", "end"), help="where documents have it (default: llmc start, the others end)"
    )
    made.add_argument("--append-eot", action="store_true", help="put one behind documents of an index without it")
    made.add_argument(
        "--split", action="append", default=[], metavar="val=FILE", help="a file of a split; repeatable, in their order"
    )


def _export(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = _command(commands, "export", EXPORT, "web_llmc data/web --format llmc")
    made.add_argument("out", type=Path, help="the new folder")
    made.add_argument("folder", type=Path, help="a data folder")
    made.add_argument("--format", required=True, choices=("llmc", "nanogpt"))
    made.add_argument(
        "--shard-tokens",
        type=int,
        default=100_000_000,
        metavar="N",
        help="most of a file of llmc (default: 100,000,000)",
    )

"""The tokenizers that are compared: of data folders, tokenizer.json files, options that are given by files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.shards import manifest
from data_pipeline.shards.manifest import TOKENIZER, Manifest, read_tokenizer
from data_pipeline.tokenize.checks import END_OF_TEXT, check, load
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.config import Node, build
from foundation.errors import GroundworkError
from foundation.hashes import hash_bytes

KEY, GIVEN = "tokenizers", "given"
EXAMPLES = (
    f"give some, e.g. {KEY}='[data/web,mine/{TOKENIZER}]' (data folders and files), or any option of tokenizer= that "
    f"needs no training text, e.g. +tokenizer@{GIVEN}.gpt2=gpt2, or +tokenizer@{GIVEN}.mine=sentencepiece "
    f"{GIVEN}.mine.path=..."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tokenizer that can be used.

    Attributes:
        name: its own among those that are compared.
        kind: where it comes from, in words.
        tokenizer_json: the bytes of its file.
        eot_token: text of its end-of-text token.
    """

    name: str
    kind: str
    tokenizer_json: bytes
    eot_token: str

    def encoder(self) -> Encoder:
        """Return what encodes by it."""
        return Encoder(self.tokenizer_json, self.eot_token)


def candidates(paths: Sequence[str], given: Mapping[str, Node[TokenizerTrainer]]) -> list[Candidate]:
    """Return all tokenizers, each checked: nothing is begun where one of them can't be used.

    Args:
        paths: data folders, folders that hold a tokenizer.json, tokenizer.json files.
        given: name -> an option that needs no training text.
    Raises:
        TokenizerError: there is none, one can't be used, two have one name; names the key.
    """
    if not paths and not given:
        raise TokenizerError(f"{KEY}: no tokenizer to look at; {EXAMPLES}")
    found = [_at(Path(path).expanduser(), name) for path, name in zip(paths, names_of(paths), strict=True)]
    found += [_given(name, node) for name, node in given.items()]
    by_name: dict[str, Candidate] = {}
    for each in found:
        if each.name in by_name:
            raise TokenizerError(f"{GIVEN}.{each.name}: is the name of one of {KEY} too; give it another name")
        by_name[each.name] = each
    same: dict[str, str] = {}
    for each in found:
        other = same.setdefault(hash_bytes(each.tokenizer_json), each.name)
        if other != each.name:
            raise TokenizerError(f"{KEY}: {other} and {each.name} are one tokenizer, byte for byte; give one of them")
    return found


def names_of(paths: Sequence[str]) -> list[str]:
    """Return a short name for each path: the end of it that tells it from the others.

    Raises:
        TokenizerError: a path is given twice.
    """
    parts = []
    for path in paths:
        resolved = Path(path).expanduser().resolve()
        named = resolved.parent if resolved.name == TOKENIZER else resolved
        if named.suffix == ".json" and not named.is_dir():
            named = named.with_suffix("")
        parts.append(tuple(part for part in named.parts if part != named.anchor) or (resolved.name,))
    for place, each in enumerate(parts):
        if each in parts[:place]:
            other = paths[parts.index(each)]
            raise TokenizerError(
                f"{KEY}: {paths[place]} is given twice, or named as {other} is; give one, or rename it"
            )
    names = []
    for each in parts:
        length = 1
        while sum(other[-length:] == each[-length:] for other in parts) > 1:
            length += 1
        names.append("/".join(each[-length:]))
    return names


def _at(path: Path, name: str) -> Candidate:
    where = f"{KEY}: {path}"
    if (path / manifest.NAME).is_file():
        made = Manifest.load(path)
        data = read_tokenizer(path, made)
        return _checked(name, "data folder", data, _special(data, where, made.eot_id), where)
    file = path / TOKENIZER if path.is_dir() else path
    if not file.is_file():
        what = f"is a folder without {TOKENIZER}" if path.is_dir() else "there is no such file or folder"
        raise TokenizerError(f"{where}: {what}; {EXAMPLES}")
    data = file.read_bytes()
    return _checked(name, TOKENIZER, data, _special(data, where), where)


def _given(name: str, node: Node[TokenizerTrainer]) -> Candidate:
    where = f"{GIVEN}.{name}"
    trainer = build(node)
    one = np.zeros(1, np.int64)
    if len(trainer.choose(one.astype(np.int32), one, one + 1)):
        raise TokenizerError(
            f"{where}: {node.raw.get('_target_')} is trained on text; train it by `python -m data_pipeline "
            f"tokenizer=...` and name its folder in {KEY}="
        )
    try:
        trainer.inputs()
        data = trainer.train(iter(()))
    except GroundworkError as error:
        raise TokenizerError(f"{where}: {error}") from error
    return _checked(name, node.target.__name__, data, trainer.eot_token, where)


def _special(data: bytes, where: str, eot_id: int | None = None) -> str:
    """Return the text of the end-of-text token: that with this id, else the usual one, else the first special one."""
    added = load(data, where).get_added_tokens_decoder()
    special = {index: token.content for index, token in sorted(added.items()) if token.special}
    if eot_id in special:
        return special[eot_id]
    if not special:
        raise TokenizerError(
            f"{where}: has no special token that could end a document; add one to its added_tokens, e.g. {END_OF_TEXT}"
        )
    return END_OF_TEXT if END_OF_TEXT in special.values() else next(iter(special.values()))


def _checked(name: str, kind: str, data: bytes, eot_token: str, where: str) -> Candidate:
    check(data, eot_token, (), where)
    return Candidate(name, kind, data, eot_token)

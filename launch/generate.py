"""Continue a text with a trained model.

    python launch/generate.py run=runs/gpt_small prompt="def fibonacci(n):"

prompt=TEXT        taken literally, whatever characters it holds; prompt=- reads stdin; without one, the model begins
prompt_file=PATH   the text of a file instead, taken literally too
temperature=0.8    0 takes the likeliest token always, 1 draws as the model says
top_k=50           draw from the likeliest k tokens; null from all
top_p=null         draw from the likeliest tokens that together hold this probability; null from all
seed=0             of the draws; sample i is drawn with seed + i
max_new_tokens=200 length of a continuation at most; it ends at the end of the text, if the model writes one
num_samples=1      how many continuations
checkpoint=PATH    a folder such as runs/x/checkpoints/step_00000100; by default the newest healthy one of the run
data.path=PATH     a data folder whose tokenizer to take; by default the copy in the run's folder
device=auto        auto, cuda, mps or cpu
extra_targets=[P.] admits a model of your own package P, as it did for the training
"""

from __future__ import annotations

import codecs
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_pipeline.shards.manifest import Manifest
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.config.compose import extra_prefixes, read_config
from foundation.errors import ConfigError, GroundworkError, InputError, nearest
from pretrain.checkpoint.gate import GATE
from pretrain.checkpoint.reading import Opened, load_tensors, newest_checkpoint, open_checkpoint
from pretrain.evaluate.sampling import generate
from pretrain.mesh import DeviceType, start_mesh
from pretrain.plan import TrainerSettings
from pretrain.seats import Model, Numerics
from pretrain.tokenizer import KEPT, Tokenizer

DEVICES: tuple[DeviceType, ...] = ("auto", "cuda", "mps", "cpu")


class GenerateError(ConfigError):
    """The command line can't be followed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; this file's docstring says what each means."""

    run: Path
    prompt: str | None = None
    prompt_file: Path | None = None
    temperature: float = 0.8
    top_k: int | None = 50
    top_p: float | None = None
    seed: int = 0
    max_new_tokens: int = 200
    num_samples: int = 1
    checkpoint: Path | None = None
    data_path: Path | None = None
    device: DeviceType = "auto"
    extra_targets: tuple[str, ...] = ()

    @property
    def seeds(self) -> range:
        """One seed per sample."""
        return range(self.seed, self.seed + self.num_samples)


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as it was trained.

    Attributes:
        model: with the checkpoint's weights, in evaluation mode. tokenizer: the data's.
        numerics: what it computed in.
        context_len: trainer.seq_len: positions from there on never had a gradient, whatever the model could take.
        checkpoint: where the weights come from.
    """

    model: Model
    tokenizer: Tokenizer
    numerics: Numerics
    context_len: int
    checkpoint: Path


def main() -> None:
    """Read the command line and write continuations to stdout; exit with 2 for what users can mend."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    try:
        settings = parse(arguments)
        prompt = read_prompt(settings)
        with start_mesh(settings.device, key="device") as mesh:
            write_samples(load(settings, mesh.device), prompt, settings, mesh.device)
    except GroundworkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def write_samples(trained: Trained, prompt: str, settings: Settings, device: torch.device) -> None:
    """Write the continuations to stdout, each as it is drawn, and to stderr what they come from."""
    print(f"{trained.checkpoint}, {device.type}, seed {settings.seed}", file=sys.stderr)
    for number, seed in enumerate(settings.seeds, start=1):
        if settings.num_samples > 1:
            print(f"--- {number} of {settings.num_samples}, seed {seed} ---")
        continuation(trained, prompt, settings, seed, device, on_text=_write)
        print(flush=True)


def parse(arguments: list[str]) -> Settings:
    """Read `key=value` arguments, split at the first `=`; a value is never interpreted further.

    Raises:
        GenerateError: an unknown key (names the nearest), one given twice, a value of a wrong type, no run.
    """
    given: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or key not in READERS:
            hint = "" if equals else "; arguments are key=value, and a prompt with spaces needs quotes"
            raise GenerateError(f"{key}: unknown key{nearest(key, READERS)}; allowed: {', '.join(READERS)}{hint}")
        field = key.replace(".", "_")
        if field in given:
            raise GenerateError(f"{key}: given twice; keep one")
        given[field] = READERS[key](key, text)
    if "run" not in given:
        raise GenerateError("run: missing; give the folder of a run, e.g. run=runs/gpt_small")
    if "prompt" in given and "prompt_file" in given:
        raise GenerateError("prompt and prompt_file are both given; keep one")
    if given.get("num_samples", 1) < 1:
        raise GenerateError(f"num_samples: {given['num_samples']} is not at least 1; leave it out for one sample")
    return Settings(**given)


def read_prompt(settings: Settings) -> str:
    """Return the text to continue, every character as given; empty without one.

    Raises:
        InputError: the file or stdin is no UTF-8; names the line.
    """
    if settings.prompt_file is not None:
        if not settings.prompt_file.is_file():
            raise InputError(f"prompt_file: {settings.prompt_file} is no file; check the path")
        return _decode(settings.prompt_file.read_bytes(), str(settings.prompt_file))
    if settings.prompt == "-":
        return _decode(sys.stdin.buffer.read(), "stdin")
    return settings.prompt or ""


def load(settings: Settings, device: torch.device) -> Trained:
    """Build the run's model and fill it with verified weights; nothing is executed from the run's folder.

    Raises:
        GroundworkError: there is no such run, data folder or checkpoint, or one is not what it was.
    """
    config_path = settings.run / "config.yaml"
    if not config_path.is_file():
        others = [str(path.parent) for path in settings.run.parent.glob("*/config.yaml")]
        raise GenerateError(f"run: {settings.run} is not the folder of a run{nearest(str(settings.run), others)}")
    tree = read_config(config_path)
    parts = {name: tree[name] for name in PARTS if name in tree}
    config = check(parts, needed_of_a_run, DEFAULT_TARGETS + settings.extra_targets)
    opened = open_checkpoint(settings.checkpoint) if settings.checkpoint else newest_checkpoint(settings.run)
    kept = settings.run / KEPT
    data_dir = kept if kept.is_dir() else Path(str(tree["data"]["path"]))
    tokenizer = _load_tokenizer(settings.data_path or data_dir, opened)
    with torch.device("meta"):
        model: Model = build(config["model"], vocab_size=tokenizer.padded_vocab_size)
    model.to_empty(device=device)
    load_tensors(opened, {f"model.{name}": tensor for name, tensor in model.state_dict().items()}, prefix="model.")
    seq_len = int(config["trainer"].values["seq_len"])
    return Trained(model.eval(), tokenizer, build(config["precision"]), seq_len, opened.folder)


def needed_of_a_run(model: Node[Model], precision: Node[Numerics], trainer: Node[TrainerSettings]) -> None:
    """The schema of what is built here: the rest of a run's config may be of packages that aren't installed."""


PARTS = tuple(inspect.signature(needed_of_a_run).parameters)


def continuation(
    trained: Trained,
    prompt: str,
    settings: Settings,
    seed: int,
    device: torch.device,
    on_text: Callable[[str], object] | None = None,
) -> str:
    """Return the prompt and what follows it.

    Args:
        trained: the model and its tokenizer.
        prompt: text to continue; empty begins a text.
        settings: how to draw, and how much.
        seed: of the draws.
        device: where the model is.
        on_text: called with each piece of that text as soon as it is known.
    """
    model, tokenizer = trained.model, trained.tokenizer
    ids = tokenizer.encode(prompt)
    pieces, decoder = [tokenizer.decode(ids)], codecs.getincrementaldecoder("utf-8")(errors="replace")

    def take(piece: str) -> None:
        pieces.append(piece)
        if on_text is not None and piece:
            on_text(piece)

    if on_text is not None:
        on_text(pieces[0])
    with trained.numerics.autocast(device):
        generate(
            model,
            ids or [tokenizer.eot_id],
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            seed=seed,
            vocab_size=tokenizer.vocab_size,
            context_len=trained.context_len,
            stop_id=tokenizer.eot_id,
            # the decoder waits for the rest of a character that the token ends in
            on_token=lambda drawn: take(decoder.decode(tokenizer.bytes_of([drawn]))),
        )
    take(decoder.decode(b"", final=True))
    return "".join(pieces)


def _load_tokenizer(data_dir: Path, opened: Opened) -> Tokenizer:
    if not data_dir.is_dir():
        raise GenerateError(f"data.path: {data_dir} is no folder here; say where the run's data lie: data.path=PATH")
    manifest = Manifest.load(data_dir)
    trained_with = opened.facts.get(GATE, {}).get("tokenizer.json", manifest.tokenizer_hash)
    if manifest.tokenizer_hash != trained_with:
        raise GenerateError(
            f"data.path: {data_dir} has another tokenizer ({manifest.tokenizer_hash}) than the one that "
            f"{opened.folder} was trained with ({trained_with}); name the folder it was trained on: data.path=PATH"
        )
    return Tokenizer.load(data_dir, manifest)


def _write(piece: str) -> None:
    print(piece, end="", flush=True)


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not valid UTF-8 ({error.reason}); convert it first") from error


def _text(key: str, text: str) -> str:
    return text


def _path(key: str, text: str) -> Path:
    if not text:
        raise GenerateError(f"{key}: is empty; give a path")
    return Path(text)


def _integer(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise GenerateError(f"{key}: {text!r} is not an integer; such as {key}=3") from None


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GenerateError(f"{key}: {text!r} is not a number; such as {key}=0.8") from None


def _device(key: str, text: str) -> DeviceType:
    for name in DEVICES:
        if text == name:
            return name
    raise GenerateError(f"{key}: {text!r} is not one of {', '.join(DEVICES)}; auto takes what is there")


def _targets(key: str, text: str) -> tuple[str, ...]:
    return extra_prefixes([f"{key}={text}"])


def _or_null(read: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    return lambda key, text: None if text == "null" else read(key, text)


READERS: dict[str, Callable[[str, str], Any]] = {
    "run": _path,
    "prompt": _text,
    "prompt_file": _path,
    "temperature": _number,
    "top_k": _or_null(_integer),
    "top_p": _or_null(_number),
    "seed": _integer,
    "max_new_tokens": _integer,
    "num_samples": _integer,
    "checkpoint": _path,
    "data.path": _path,
    "device": _device,
    "extra_targets": _targets,
}


if __name__ == "__main__":
    main()

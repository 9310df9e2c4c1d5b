"""A trained model, loaded from its run, and the texts it continues."""

from __future__ import annotations

import codecs
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from data_pipeline.shards.manifest import Manifest
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.config.compose import read_config
from launch.generate_line import GenerateError, Settings
from launch.pairs import nearest_run
from pretrain.checkpoint.gate import GATE
from pretrain.checkpoint.reading import Opened, load_tensors, newest_checkpoint, open_named
from pretrain.evaluate.sampling import generate
from pretrain.plan import TrainerSettings
from pretrain.seats import RUNTIME, Model, Numerics
from pretrain.tokenizer import KEPT, Tokenizer


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as it was trained.

    Attributes:
        model: with the checkpoint's weights, in evaluation mode.
        tokenizer: the data's.
        numerics: what it computed in.
        context_len: trainer.seq_len: positions from there on never had a gradient, whatever the model could take.
        checkpoint: where the weights come from.
    """

    model: Model
    tokenizer: Tokenizer
    numerics: Numerics
    context_len: int
    checkpoint: Path


def write_samples(trained: Trained, prompt: str, settings: Settings, device: torch.device) -> None:
    """Write the continuations to stdout, each as it is drawn, and to stderr what they come from."""
    print(f"{trained.checkpoint}, {device.type}, seed {settings.seed}", file=sys.stderr)
    for number, seed in enumerate(settings.seeds, start=1):
        if settings.num_samples > 1:
            print(f"--- {number} of {settings.num_samples}, seed {seed} ---")
        continuation(trained, prompt, settings, seed, device, on_text=_write)
        print(flush=True)


def load(settings: Settings, device: torch.device) -> Trained:
    """Build the run's model and fill it with verified weights; nothing is executed from the run's folder.

    Raises:
        GroundworkError: there is no such run, data folder or checkpoint, or one is not what it was.
    """
    config_path = settings.run / "config.yaml"
    if not config_path.is_file():
        raise GenerateError(f"run: {settings.run} is not the folder of a run{nearest_run(settings.run)}")
    tree = read_config(config_path)
    parts = {name: tree[name] for name in PARTS if name in tree}
    config = check(parts, needed_of_a_run, DEFAULT_TARGETS + settings.extra_targets, runtime=RUNTIME)
    if settings.checkpoint:
        opened = open_named(
            "checkpoint", settings.checkpoint, settings.run, "or leave it out for the newest healthy one"
        )
    else:
        opened = newest_checkpoint(settings.run)
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

    begins = not ids

    def take(piece: str) -> None:
        pieces.append(piece)
        if on_text is not None and piece:
            on_text(piece)

    def draw(drawn: int) -> None:
        nonlocal begins
        # the decoder waits for the rest of a character that the token ends in
        take(decoder.decode(tokenizer.bytes_of([drawn], begins)))
        begins = False

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
            on_token=draw,
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

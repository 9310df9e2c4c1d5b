"""From a config to tokenizers.html and tokenizers.json: check, sample, count, write. The same bytes for any workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.compare_tokenizers.candidates import candidates
from data_pipeline.compare_tokenizers.curve import curves
from data_pipeline.compare_tokenizers.examples import example_texts, short_cuts
from data_pipeline.compare_tokenizers.figures import Figures, figures
from data_pipeline.compare_tokenizers.measure import measure
from data_pipeline.compare_tokenizers.page import write_page
from data_pipeline.compare_tokenizers.record import record_of
from data_pipeline.compare_tokenizers.sample import Sample, sample_corpus, sample_folder
from data_pipeline.executors.executor import Executor
from data_pipeline.output_dir import choose_output_dir
from data_pipeline.sources.names import with_source_names
from data_pipeline.sources.remote import signed_keys
from data_pipeline.sources.source import Corpus
from data_pipeline.storage import room_for
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.errors import ConfigError, require
from foundation.files import folder_lock, write_json

PAGE, FIGURES, FOLDER = "tokenizers.html", "tokenizers.json", "comparisons"
CORPUS = "corpus"
SIGNED = signed_keys(CORPUS)
NO_TEXT = (
    "no text to compare tokenizers on; give data_dir=data/web (a finished data folder) or an input as of the pipeline, "
    "e.g. corpus=jsonl corpus.paths='[dumps/*.jsonl.zst]'"
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a comparison gives back."""

    page: Path
    figures_path: Path
    sample: Sample
    figures: list[Figures]


def run(
    name: str,
    executor: Node[Executor],
    corpus: Node[Corpus] | None = None,
    data_dir: str | None = None,
    tokenizers: list[str] | None = None,
    given: dict[str, Node[TokenizerTrainer]] | None = None,
    output_dir: str | None = None,
    sample_bytes: int = 50_000_000,
    curve_bytes: int = 4_000_000,
    seed: int = 0,
    examples_per_source: int = 3,
    example_chars: int = 600,
    d_models: list[int] | None = None,
    languages: bool = True,
) -> Result:
    """Compare tokenizers on a text. The parameters are the config's top-level keys.

    Args:
        name: of the text; the files go to comparisons/<name>.
        corpus, data_dir: the text: a corpus as of the pipeline, or the folder of a finished one.
        tokenizers: data folders and tokenizer.json files.
        given: name -> option of `tokenizer` that needs no training text.
        output_dir: where the files go instead.
        sample_bytes: of text that is looked at.
        curve_bytes: of these, that are encoded with ever more merges; 0: no curve.
        seed: of the choice of the sample.
        examples_per_source, example_chars: excerpts that the page shows, and their length.
        d_models: that the embeddings' parameters are told for.
        languages: whether documents are told apart by language, where the package for it is installed.
    Raises:
        GroundworkError: something the user can mend; a page that was there before is untouched.
    """
    widths = [768, 2048, 4096] if d_models is None else d_models
    _check_settings(sample_bytes, curve_bytes, seed, examples_per_source, example_chars, widths)
    _check_text(corpus, data_dir)
    folder = choose_output_dir(name, output_dir or str(Path(FOLDER, name)))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output_dir: {folder} is a file; give a folder")
    compared = candidates(tokenizers or [], given or {})
    with folder_lock(folder), room_for(folder), build(executor) as workers:
        if data_dir is not None:
            sample = sample_folder(Path(data_dir).expanduser(), sample_bytes, seed)
        else:
            assert corpus is not None
            sample = sample_corpus(build(corpus), sample_bytes, seed, workers)
        measured = measure(sample, compared, workers, languages)
        points = curves(sample, compared, curve_bytes, seed, workers)
        found = figures(sample, measured, compared, points, widths)
        texts = example_texts(sample, compared, examples_per_source, example_chars, seed)
        page, path = folder / PAGE, folder / FIGURES
        page.unlink(missing_ok=True)  # whenever this ends, it stands beside no other figures
        settings = {"name": name, "sample_bytes": sample_bytes, "curve_bytes": curve_bytes, "seed": seed}
        write_json(path, record_of(sample, measured, found, settings))
        write_page(page, name, sample, measured, found, texts, short_cuts(compared))
    return Result(page, path, sample, found)


def check_config(
    tree: dict[str, Any],
    choices: Mapping[str, str],
    typed: Sequence[str] = (),
    allowed: tuple[str, ...] = DEFAULT_TARGETS,
) -> dict[str, Any]:
    """Return the arguments for `run`, checked.

    Args:
        tree: the plain config.
        choices: group -> the option that is taken.
        typed: the arguments of the command: a corpus of which they say nothing is none.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: the first key that is wrong.
    """
    is_said = any(text.lstrip("+").startswith((f"{CORPUS}=", f"{CORPUS}.")) for text in typed)
    tree = dict(tree)
    option = choices.get(CORPUS, CORPUS)
    if not is_said:
        tree[CORPUS] = None
    if tree.get("name") is None:
        data = tree.get("data_dir")
        tree["name"] = Path(data).resolve().name if isinstance(data, str) and not is_said else option
    if tree[CORPUS] is not None:
        tree[CORPUS] = with_source_names({CORPUS: tree[CORPUS], "name": option}, allowed)[CORPUS]
    return check(tree, run, allowed, signed=SIGNED)


def _check_settings(
    sample_bytes: int, curve_bytes: int, seed: int, examples_per_source: int, example_chars: int, d_models: list[int]
) -> None:
    require(sample_bytes >= 1, "sample_bytes", sample_bytes, "1 or more bytes; 50,000,000 is usual")
    require(curve_bytes >= 0, "curve_bytes", curve_bytes, "0 or more bytes; 4,000,000 is usual")
    require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
    require(examples_per_source >= 0, "examples_per_source", examples_per_source, "0 or more; 3 is usual")
    require(example_chars >= 1, "example_chars", example_chars, "1 or more characters; 600 is usual")
    require(all(each >= 1 for each in d_models), "d_models", d_models, "numbers from 1")


def _check_text(corpus: Node[Corpus] | None, data_dir: str | None) -> None:
    if corpus is None and data_dir is None:
        raise ConfigError(f"data_dir, corpus: {NO_TEXT}")
    if corpus is not None and data_dir is not None:
        raise ConfigError("data_dir, corpus: both are given, and the text is one of them; leave the other out")

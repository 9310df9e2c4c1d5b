"""From examples to a model in a file: read, hold out, fit, judge, write. The same bytes for any order of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.classifier.evaluate import THRESHOLDS, Limited, area_under_curve, best_limit, limited
from data_pipeline.classifier.examples import Examples, Origin, read_examples
from data_pipeline.classifier.fit import Fitted, fit
from data_pipeline.classifier.labels import CLASSES, Labels
from data_pipeline.classifier.rows import Rows
from data_pipeline.clean.classifier import sigmoid
from data_pipeline.clean.linear_model import LinearModel
from data_pipeline.clean.ngram_kernels import weigh_rows
from data_pipeline.clean.ngrams import Ngrams
from data_pipeline.dedup.shingles import mix64
from data_pipeline.executors.executor import Executor
from data_pipeline.losses import BadLimit
from data_pipeline.output_dir import CONFIG, QUARANTINE
from data_pipeline.records import keep_only
from data_pipeline.sources.names import with_source_names
from data_pipeline.sources.source import Corpus
from data_pipeline.stages.inputs import group_files
from data_pipeline.storage import room_for
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.config.compose import config_yaml
from foundation.errors import ConfigError, InputError, require
from foundation.files import folder_lock, write_atomic
from foundation.progress import progress

MODEL = "model.safetensors"
FOLDER = "classifiers"
MIN_EXAMPLES = 10  # of a class, for a model; good ones need thousands
OURS = frozenset({MODEL, CONFIG, QUARANTINE, ".lock"})
GIVE = "give {0}.paths='[{0}.jsonl.zst]', or records of both kinds by labelled.paths="


@dataclass(frozen=True, slots=True)
class Result:
    """What a training gives back.

    Attributes:
        path: of the model.
        examples: what was read.
        training, held_out: examples of each class.
        fitted: by which the model was found.
        limits: on the held-out examples, THRESHOLDS.
        half, best: the limit 0.5, and the one with the greatest F1.
        area: under the ROC curve.
    """

    path: Path
    examples: Examples
    training: list[int]
    held_out: list[int]
    fitted: Fitted
    limits: list[Limited]
    half: Limited
    best: Limited
    area: float


def run(
    name: str,
    executor: Node[Executor],
    good: Node[Corpus] | None = None,
    bad: Node[Corpus] | None = None,
    labelled: Node[Corpus] | None = None,
    label_key: str = "reason",
    bad_labels: list[str] | None = None,
    output_dir: str | None = None,
    word_ngrams: int = 2,
    char_ngrams: tuple[int, ...] = (),
    num_buckets: int = 1 << 18,
    l2: float = 0.01,
    held_out_frac: float = 0.2,
    seed: int = 0,
    partition_bytes: int = 16 << 20,
    memory_bytes: int = 4 << 30,
    max_bad_frac: float = 1e-3,
    min_bad_records: int = 10,
) -> Result:
    """Train a classifier. The parameters are the config's top-level keys; config.yaml will hold them.

    Args:
        name: the model goes to classifiers/<name>.
        good, bad: examples.
        labelled: examples whose records say which they are.
        label_key, bad_labels: how they say it, see `Labels`.
        output_dir: where the model goes instead.
        word_ngrams, char_ngrams, num_buckets: see `Ngrams`.
        l2: see `fit`.
        held_out_frac: share of each class's examples that it is judged on.
        seed: another one holds out others.
        partition_bytes: grain of the reading, in bytes of input; changes no result.
        memory_bytes: for n-grams, 8 bytes a different one of an example; where that is not enough, the examples with
            the smallest hashes are taken. Beside it each example costs 32 bytes.
        max_bad_frac: the training stops when more of the records than this are unreadable.
        min_bad_records: fewer never stop it.
    Raises:
        GroundworkError: something the user can mend.
    """
    # first of all: the parameters and nothing else
    config = {key: value.raw if isinstance(value, Node) else value for key, value in locals().items()}
    _check(name, l2, held_out_frac, seed, partition_bytes, memory_bytes)
    ngrams, labels = Ngrams(word_ngrams, char_ngrams, num_buckets), Labels(label_key, bad_labels)
    given = [(good, CLASSES.index("good")), (bad, CLASSES.index("bad")), (labelled, None)]
    for each, at, wanted in ((good, "good", bad), (bad, "bad", good)):
        if each is None and labelled is None:
            both = "" if wanted is not None else " (and of the other class)"
            raise ConfigError(f"{at}: no examples{both}; {GIVE.format(at)}")
    origin = _origin(given, partition_bytes)
    folder = Path(output_dir).expanduser().absolute() if output_dir else Path(FOLDER, name).absolute()
    _check_folder(folder, origin)
    with folder_lock(folder), room_for(folder), build(executor) as workers:
        quarantine = folder / QUARANTINE
        keep_only(quarantine, [])
        examples = read_examples(origin, ngrams, labels, workers, quarantine, partition_bytes, memory_bytes)
        BadLimit(max_bad_frac, min_bad_records).check({"examples": examples.account}, quarantine)
        _check_examples(examples)
        model, result = train(examples, ngrams, l2, held_out_frac, seed, folder / MODEL)
        write_atomic(folder / CONFIG, config_yaml(config | {"char_ngrams": list(char_ngrams)}))
        write_atomic(folder / MODEL, model.to_bytes())
        return result


def train(
    examples: Examples, ngrams: Ngrams, l2: float, held_out_frac: float, seed: int, path: Path
) -> tuple[LinearModel, Result]:
    """Fit a model to a share of the examples and judge it on the others; `path` is where it will be."""
    held = [is_held_out(rows.hashes, held_out_frac, seed) for rows in examples.rows]
    training, is_good = _of_both([rows.take(~out) for rows, out in zip(examples.rows, held, strict=True)])
    judged, good_ones = _of_both([rows.take(out) for rows, out in zip(examples.rows, held, strict=True)])
    with progress("train", None, "steps") as meter:
        fitted = fit(training, is_good, ngrams.num_buckets, l2, lambda: meter.add(1))
    weights = fitted.weights.astype(np.float32)
    logits = np.empty(len(judged))
    weigh_rows(judged.offsets, judged.buckets, judged.counts, weights, fitted.bias, logits)
    scores = sigmoid(logits)
    result = Result(
        path,
        examples,
        training=[int(is_good.sum()), int((~is_good).sum())],
        held_out=[int(good_ones.sum()), int((~good_ones).sum())],
        fitted=fitted,
        limits=[limited(scores, good_ones, least) for least in THRESHOLDS],
        half=limited(scores, good_ones, 0.5),
        best=best_limit(scores, good_ones),
        area=area_under_curve(scores, good_ones),
    )
    return LinearModel(ngrams, weights, fitted.bias, _facts(result, l2, held_out_frac, seed)), result


def is_held_out(hashes: np.ndarray, held_out_frac: float, seed: int) -> np.ndarray:
    """Return which examples of a class are held out, (n,) bool: those whose hashes draw the lowest lots.

    Args:
        hashes: (n, 2) uint64, of n > 1 different examples.
        held_out_frac: their share, rounded; one at least, and one is left.
    """
    lots = mix64(hashes[:, 0] ^ mix64(np.array([seed], np.uint64)))
    number = min(max(round(held_out_frac * len(hashes)), 1), len(hashes) - 1)
    held_out = np.zeros(len(hashes), bool)
    held_out[np.lexsort((hashes[:, 1], lots))[:number]] = True
    return held_out


def _of_both(rows: list[Rows]) -> tuple[Rows, np.ndarray]:
    """Return the rows of both classes, and which are good, (n,) bool."""
    return Rows.joined(rows), np.repeat([True, False], [len(each) for each in rows])


def _facts(result: Result, l2: float, held_out_frac: float, seed: int) -> dict[str, Any]:
    """Return what the model's file says of its training: no path, no clock."""
    read = result.examples
    return {
        "examples": {
            "seen": dict(zip(CLASSES, read.seen, strict=True)),
            "repeated": dict(zip(CLASSES, read.repeated, strict=True)),
            "left_out": dict(zip(CLASSES, read.left_out, strict=True)),
            "in_both": len(read.in_both),
            "wordless": read.wordless,
            "unreadable": read.account.quarantined.total(),
        },
        "training": {
            **dict(zip(CLASSES, result.training, strict=True)),
            "l2": l2,
            "loss": result.fitted.loss,
            "steps": result.fitted.steps,
            "converged": result.fitted.converged,
        },
        "held_out": {
            **dict(zip(CLASSES, result.held_out, strict=True)),
            "held_out_frac": held_out_frac,
            "seed": seed,
            "area_under_curve": result.area,
            "best": asdict(result.best),
            "limits": [asdict(each) for each in result.limits],
        },
    }


def check_config(tree: dict[str, Any], typed: Sequence[str], allowed: tuple[str, ...] = DEFAULT_TARGETS) -> dict[str, Any]:
    """Return the arguments for `run`, checked. Examples of which nothing was said are none.

    Args:
        tree: the plain config.
        typed: the arguments of the command.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: the first key that is wrong.
    """
    tree = dict(tree)
    for key in (*CLASSES, "labelled"):
        said = [text for text in typed if text.lstrip("+").startswith((f"{key}.", f"{key}=", f"corpus@{key}="))]
        if isinstance(tree.get(key), dict) and not said and "???" in tree[key].values():
            tree[key] = None
        elif tree.get(key) is not None:
            tree[key] = with_source_names({"corpus": tree[key], "name": key}, allowed)["corpus"]
    return check(tree, run, allowed)


def _check(name: str, l2: float, held_out_frac: float, seed: int, partition_bytes: int, memory_bytes: int) -> None:
    is_name = bool(name) and not set(name) & set("/\\\0") and name not in (".", "..") and len(name.encode()) <= 255
    require(is_name, "name", name, f"a name for the folder of the model below {FOLDER}/, or set output_dir=")
    require(l2 > 0, "l2", l2, "a number above 0; 0.01 is usual")
    require(0 < held_out_frac < 1, "held_out_frac", held_out_frac, "a share between 0 and 1; 0.2 is usual")
    require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
    require(partition_bytes >= 1, "partition_bytes", partition_bytes, f"1 or more bytes; {16 << 20} is usual")
    require(memory_bytes >= 1 << 20, "memory_bytes", memory_bytes, f"{1 << 20} (1 MiB) or more; {4 << 30} is usual")


def _origin(given: list[tuple[Node[Corpus] | None, int | None]], partition_bytes: int) -> Origin:
    sources = [(source, label) for node, label in given if node for source in build(node).sources()]
    groups = group_files([source for source, _ in sources], partition_bytes)
    return Origin(groups, [source for source, _ in sources], [label for _, label in sources])


def _check_folder(folder: Path, origin: Origin) -> None:
    """Refuse a folder that holds what isn't ours.

    Raises:
        ConfigError: names it.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output_dir: {folder} is a file; give a folder")
    others = sorted(path.name for path in folder.iterdir() if path.name not in OURS) if folder.is_dir() else []
    others = [name for name in others if not name.startswith(".")]  # what a killed writer left
    if others:
        raise ConfigError(f"output_dir: {folder} holds other files ({', '.join(others[:3])}); give a new folder")
    for file in (each.file for group in origin.groups for each in group.files):
        if file.path is not None and folder.resolve() in file.path.resolve().parents:
            raise ConfigError(f"output_dir: {folder} holds the examples {file.path}; give another folder")


def _check_examples(examples: Examples) -> None:
    """Refuse too few.

    Raises:
        InputError: says of which class, and what became of them.
    """
    for label, each in enumerate(CLASSES):
        held = len(examples.rows[label])
        if held >= MIN_EXAMPLES:
            continue
        seen, repeated = examples.seen[label], examples.repeated[label]
        lost = [f"{repeated:,} repeat others"] * bool(repeated)
        lost += [f"{len(examples.in_both):,} stand in both classes"] * bool(examples.in_both)
        lost += [f"{examples.wordless:,} of either class have no word"] * bool(examples.wordless)
        lost += [f"memory_bytes leaves out {examples.left_out[label]:,}"] * bool(examples.left_out[label])
        why = f" ({', '.join(lost)})" if lost else ""
        raise InputError(
            f"{each}: {held:,} different examples of {seen:,}{why}, where {MIN_EXAMPLES} are the least and thousands "
            f"are good; {GIVE.format(each)}"
        )

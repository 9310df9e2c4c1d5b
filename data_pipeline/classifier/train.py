"""From examples to a model in a file: read, hold out, fit, judge, write. The same bytes for any order of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.classifier.checks import (
    FOLDER,
    MODEL,
    check_examples,
    check_folder,
    check_given,
    check_settings,
    without_unsaid,
)
from data_pipeline.classifier.evaluate import THRESHOLDS, area_under_curve, best_limit, limited
from data_pipeline.classifier.examples import Examples, Origin, read_examples
from data_pipeline.classifier.fit import fit
from data_pipeline.classifier.labels import BAD, CLASSES, GOOD, Labels
from data_pipeline.classifier.page import write_page
from data_pipeline.classifier.result import Judged, Result, facts_of
from data_pipeline.classifier.rows import Rows
from data_pipeline.classifier.summary import reason_of, use_of
from data_pipeline.clean.classifier import sigmoid
from data_pipeline.clean.linear_model import LinearModel
from data_pipeline.clean.ngram_kernels import weigh_rows
from data_pipeline.clean.ngrams import Ngrams
from data_pipeline.clean.rules import NoClean, Rule
from data_pipeline.dedup.shingles import mix64
from data_pipeline.executors.executor import Executor
from data_pipeline.limits import BadLimit
from data_pipeline.output_dir import CONFIG, QUARANTINE, REPORT, TEMPORARY
from data_pipeline.records import keep_only
from data_pipeline.sources.remote import signed_keys
from data_pipeline.sources.source import Corpus, Source
from data_pipeline.stages.inputs import group_files
from data_pipeline.storage import room_for
from foundation.config import DEFAULT_TARGETS, Node, build, check, rehearse
from foundation.config.compose import config_yaml
from foundation.config.secrets import hide_queries
from foundation.files import folder_lock, write_atomic
from foundation.progress import progress

SETTINGS = ("name", "l2", "held_out_frac", "seed", "partition_bytes", "memory_bytes")  # of `check_settings`, in order
SIGNED = signed_keys("good|bad|labelled")


def run(
    name: str,
    executor: Node[Executor],
    good: Node[Corpus] | None = None,
    bad: Node[Corpus] | None = None,
    labelled: Node[Corpus] | None = None,
    clean: Node[Rule] | None = None,
    label_key: str = "reason",
    bad_labels: list[str] | None = None,
    output_dir: str | None = None,
    word_ngrams: int = 2,
    char_ngrams: list[int] | None = None,
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
        clean: changes the texts of the examples before they are looked at, as in the run that documents are scored in;
            its limits take none out. None: they stay as they are.
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
        GroundworkError: something the user can mend; a model that was there before is untouched, and so are its
            config and page. quarantine/ is of the last training, also of one that failed.
    """
    # first of all: the parameters and nothing else
    config = {key: value.raw if isinstance(value, Node) else value for key, value in locals().items()}
    check_settings(name, l2, held_out_frac, seed, partition_bytes, memory_bytes)
    ngrams, labels = Ngrams(word_ngrams, tuple(char_ngrams or ()), num_buckets), Labels(label_key, bad_labels)
    rule = build(clean) if clean else NoClean()
    rule.inputs()  # what it needs and can't have is said first
    origin = _origin({CLASSES.index(GOOD): good, CLASSES.index(BAD): bad, None: labelled}, partition_bytes)
    folder = Path(output_dir).expanduser().absolute() if output_dir else Path(FOLDER, name).absolute()
    check_folder(folder, origin)
    with folder_lock(folder), room_for(folder), build(executor) as workers:
        for left in folder.glob(TEMPORARY):  # by a writer that was killed
            left.unlink()
        quarantine = folder / QUARANTINE
        keep_only(quarantine, [])
        examples = read_examples(origin, rule, ngrams, labels, workers, quarantine, partition_bytes, memory_bytes)
        BadLimit(max_bad_frac, min_bad_records).check({"examples": examples.account}, quarantine)
        check_examples(examples)
        model, result = train(examples, ngrams, l2, held_out_frac, seed, folder / MODEL)
        _publish(model, result, config)
        return result


def check_config(
    tree: dict[str, Any], typed: Sequence[str] = (), allowed: tuple[str, ...] = DEFAULT_TARGETS
) -> dict[str, Any]:
    """Return the arguments for `run`, checked.

    Args:
        tree: the plain config.
        typed: the arguments of the command: examples of which they say nothing are none.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: the first key that is wrong.
    """
    return check(without_unsaid(tree, typed, allowed), run, allowed, signed=SIGNED)


def rehearse_run(arguments: dict[str, Any]) -> None:
    """Build all that `run` would, and do nothing: before a sweep begins, what a trial of it would be refused with.

    Raises:
        GroundworkError: says what; what hangs on its examples is not seen here.
    """
    built = rehearse(run, arguments)
    check_settings(*(built[name] for name in SETTINGS))
    Ngrams(built["word_ngrams"], tuple(built["char_ngrams"] or ()), built["num_buckets"])
    Labels(built["label_key"], built["bad_labels"])
    if built["clean"] is not None:
        built["clean"].inputs()


def train(
    examples: Examples, ngrams: Ngrams, l2: float, held_out_frac: float, seed: int, path: Path
) -> tuple[LinearModel, Result]:
    """Fit a model to a share of the examples and judge it on the others; `path` is where it will be."""
    held = [is_held_out(rows.hashes, held_out_frac, seed) for rows in examples.rows]
    training, is_good = _of_both([rows.take(~out) for rows, out in zip(examples.rows, held, strict=True)])
    held_out, good_ones = _of_both([rows.take(out) for rows, out in zip(examples.rows, held, strict=True)])
    with progress("train", None, "steps") as meter:
        fitted = fit(training, is_good, ngrams.num_buckets, l2, lambda: meter.add(1))
    model = LinearModel(ngrams, fitted.weights.astype(np.float32), fitted.bias)
    result = Result(
        path,
        examples,
        training=[int(is_good.sum()), int((~is_good).sum())],
        held_out=[int(good_ones.sum()), int((~good_ones).sum())],
        fitted=fitted,
        judged=judge(model, held_out, good_ones),
    )
    facts = facts_of(result, l2, held_out_frac, seed)
    return LinearModel(model.ngrams, model.weights, model.bias, facts), result


def judge(model: LinearModel, rows: Rows, is_good: np.ndarray) -> Judged:
    """Return how a model, as its file holds it, does on examples.

    Args:
        is_good: (n,) bool, some of both.
    """
    logits = np.empty(len(rows))
    weigh_rows(rows.offsets, rows.buckets, rows.counts, model.weights, model.bias, logits)
    scores = sigmoid(logits)
    return Judged(
        limits=[limited(scores, is_good, least) for least in THRESHOLDS],
        half=limited(scores, is_good, 0.5),
        best=best_limit(scores, is_good),
        area=area_under_curve(scores, is_good),
    )


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


def _publish(model: LinearModel, result: Result, config: dict[str, Any]) -> None:
    """Write the model, its config and its page: whenever this ends, none stands beside the model of another one."""
    page, settings = (result.path.with_name(name) for name in (REPORT, CONFIG))
    for path in (page, settings):
        path.unlink(missing_ok=True)
    write_atomic(result.path, model.to_bytes())
    write_atomic(settings, config_yaml(hide_queries(config, SIGNED)))
    write_page(page, result.path.parent.name, result, use_of(result), reason_of(result))


def _of_both(rows: list[Rows]) -> tuple[Rows, np.ndarray]:
    """Return the rows of both classes, and which are good, (n,) bool."""
    return Rows.joined(rows), np.repeat([True, False], [len(each) for each in rows])


def _sources_of(node: Node[Corpus]) -> list[Source]:
    return build(node).keyed(node.key).sources()


def _origin(given: dict[int | None, Node[Corpus] | None], partition_bytes: int) -> Origin:
    sources = [(source, label) for label, node in given.items() if node for source in _sources_of(node)]
    labels = [label for _, label in sources]
    check_given(labels)
    return Origin(
        group_files([source for source, _ in sources], partition_bytes), [each for each, _ in sources], labels
    )

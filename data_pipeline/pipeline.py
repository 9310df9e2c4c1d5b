"""The pipeline: the ordered stages. A complete stage is skipped; a changed one, and what depends on it, is done anew.

Each stage has a key, the hash of all that its result depends on: its settings, its code, and the output of the stage
before. An output is known by its content: where a stage is done again and gives the same, those after it stay.

manifest.json and config.yaml exist only while tokenizer.json and the shards are complete and belong together,
ledger.json only while it matches removed/ and quarantine/. All are deleted before the files they describe change, and
are written last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline import ledger
from data_pipeline.augment.augmentation import Augmentation
from data_pipeline.clean.rules import Example, Rule
from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.dedup.dedup import Dedup
from data_pipeline.dedup.guards import TooMuchAlike
from data_pipeline.dedup.paragraphs import Paragraphs
from data_pipeline.executors.executor import Executor
from data_pipeline.ledger import Account, Book
from data_pipeline.limits import BadLimit, RuleTakesTooMuch, TooManyDuplicates, TooManyUnreadable
from data_pipeline.losses import (
    NothingLeft,
    check_left,
    large_changes,
    large_losses,
    large_markup,
    removed_before,
)
from data_pipeline.mix.mix import Mix
from data_pipeline.mix.mixture import Mixture
from data_pipeline.mix.split import NoFieldError, SplitError
from data_pipeline.output_dir import (
    CLUSTERS,
    CONFIG,
    LEDGER,
    QUARANTINE,
    REMOVED,
    REPORT,
    STOPPED,
    TIMING,
    check_output_dir,
    choose_output_dir,
    patterns_of,
    reclaim,
)
from data_pipeline.records import Part, keep_only
from data_pipeline.report.flow import Flow
from data_pipeline.report.mixture import Mixed, print_plan
from data_pipeline.report.page import write_report, write_stopped
from data_pipeline.shards import manifest
from data_pipeline.shards.alarms import TokenAlarm
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.writer import Sharder
from data_pipeline.sources.names import with_source_names
from data_pipeline.sources.remote import signed_keys
from data_pipeline.sources.source import Corpus, Source
from data_pipeline.stages.augment import Augment
from data_pipeline.stages.clean import Clean
from data_pipeline.stages.decontaminate import Decontaminate
from data_pipeline.stages.duplicates import ExactDuplicates, NearDuplicates
from data_pipeline.stages.filter import Filter
from data_pipeline.stages.markup import HTML_KEY, MARKUP
from data_pipeline.stages.paragraphs import CutParagraphs
from data_pipeline.stages.sample import Sample
from data_pipeline.stages.sampled import sample_of
from data_pipeline.stages.shards import COMPONENTS, WriteShards, manifest_of
from data_pipeline.stages.split import Split
from data_pipeline.stages.stage import BYTES_REWRITTEN, Finished, Stage, Workplace
from data_pipeline.stages.taken import Watch
from data_pipeline.stages.tokenizer import TrainTokenizer
from data_pipeline.stages.view import View
from data_pipeline.storage import room_for
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.config import DEFAULT_TARGETS, Node, build, check
from foundation.config.compose import config_yaml
from foundation.config.secrets import hide_queries
from foundation.errors import require
from foundation.files import folder_lock, write_atomic, write_json
from foundation.hashes import hash_json

Books = list[tuple[str, Book]]  # stage and its book, in the order of the stages
# on what becomes of the input
LIMITS = (NothingLeft, RuleTakesTooMuch, SplitError, TooManyDuplicates, TooManyUnreadable, TooMuchAlike)
SIGNED = signed_keys("corpus")


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the pipeline gives back. Attributes: alarms: a line for each limit that a source's tokens pass."""

    output_dir: Path
    manifest: Manifest
    stages: list[Finished]
    report: Path
    mixed: Mixed | None = None
    alarms: Sequence[str] = ()


def run(
    corpus: Node[Corpus],
    clean: Node[Rule],
    dedup: Node[Dedup],
    paragraphs: Node[Paragraphs],
    decontaminate: Node[Decontaminator],
    augment: Node[Augmentation],
    mix: Node[Mix],
    tokenizer: Node[TokenizerTrainer],
    shards: Node[Sharder],
    executor: Node[Executor],
    name: str,
    output_dir: str | None = None,
    partition_bytes: int = 64 << 20,
    max_bad_frac: float = 1e-3,
    min_bad_records: int = 10,
) -> Result:
    """Turn raw text into token shards. The parameters are the config's top-level keys; config.yaml will hold them.

    Args:
        name: names the data; the outputs go to data/<name>.
        output_dir: where they go instead.
        partition_bytes: the grain of work, of memory and of resuming, in bytes of input.
        max_bad_frac: the run stops when more of the records than this are unreadable: at the end of cleaning, or as
            soon as 10,000 records of a source have come of which more than half are.
        min_bad_records: fewer unreadable records than this never stop it.
    Raises:
        GroundworkError: something the user can mend; what is finished is kept, the same call goes on.
    """
    # first of all: the parameters and nothing else
    config = {key: value.raw if isinstance(value, Node) else value for key, value in locals().items()}
    check_settings(partition_bytes, max_bad_frac, min_bad_records)
    folder = choose_output_dir(name, output_dir)
    place = Workplace(folder, build(executor))
    rule = build(clean)
    cleaning = Clean(
        place,
        build(corpus).keyed(corpus.key),
        rule,
        clean.raw,
        partition_bytes,
        BadLimit(max_bad_frac, min_bad_records),
    )
    duplicates, trainer = build(dedup), build(tokenizer)
    duplicates.order.check_sources(source.name for source in cleaning.sources)
    mixing, sharder = build(mix), build(shards)
    mixture = Mixture(mixing, cleaning.sources, cleaning.files(), is_alone="sources" not in corpus.raw)
    stages: list[Stage] = [
        cleaning,
        Filter(place, rule, clean.raw),
        ExactDuplicates(place, duplicates, dedup.raw),
        NearDuplicates(place, duplicates, dedup.raw),
        CutParagraphs(place, build(paragraphs), paragraphs.raw),
        Split(place, mixing),
        Decontaminate(place, build(decontaminate), decontaminate.raw),
        Sample(place, mixing),
        Augment(place, build(augment), augment.raw),
        TrainTokenizer(place, trainer, tokenizer.raw),
        WriteShards(place, sharder, trainer.eot_token, shards.raw),
    ]
    inputs = [each.file for group in cleaning.groups for each in group.files]
    check_output_dir(folder, inputs, patterns_of(cleaning.sources))
    with folder_lock(folder), room_for(folder), place.executor:
        place.work.mkdir(exist_ok=True)  # the proof that the folder is ours, before anything else is written
        reclaim(folder)
        if corpus.raw:  # of one that code made, such as a probe's, the names of the files don't tell what they hold
            print_plan(mixture)
        finished = _do_all(place, stages, {source.name: source for source in cleaning.sources})
        # a corpus that code made can't be had again from a config
        described = config_yaml(hide_queries(config, SIGNED)) if corpus.raw else None
        return _publish(place, stages, finished, mixture, described, trainer.eot_token, sharder)


def check_config(tree: dict[str, Any], allowed: tuple[str, ...] = DEFAULT_TARGETS) -> dict[str, Any]:
    """Return the arguments for `run`, checked; sources without a name have theirs. `preflight` is none of them.

    Args:
        tree: the plain config.
        allowed: module prefixes that a `_target_` may come from.
    Raises:
        ConfigError: the first key that is wrong.
    """
    tree = {key: value for key, value in tree.items() if key != "preflight"}
    return check(with_source_names(tree, allowed), run, allowed, signed=SIGNED)


def check_settings(partition_bytes: int, max_bad_frac: float, min_bad_records: int) -> None:
    """Refuse numbers of `run` that can't work.

    Raises:
        SettingError: names the argument.
    """
    require(partition_bytes >= 1, "partition_bytes", partition_bytes, f"1 or more bytes; {64 << 20} (64 MiB) is usual")
    require(0 <= max_bad_frac <= 1, "max_bad_frac", max_bad_frac, "a share from 0 to 1; 0.001 is usual")
    require(min_bad_records >= 0, "min_bad_records", min_bad_records, "a number of records from 0; 10 is usual")


def _do_all(place: Workplace, stages: list[Stage], sources: Mapping[str, Source]) -> list[Finished]:
    """Bring every stage to its end, in order; where a limit stops them, leave a page of what became of the documents.

    Args:
        sources: by name.
    """
    books: Books = []
    facts: dict[str, dict[str, Any]] = {}
    try:
        return _do_each(place, stages, sources, books, facts)
    except LIMITS as error:
        titles = {stage.name: stage.title for stage in stages if not stage.is_off}
        flow = Flow.of({stage: book for stage, book in books if book}, facts)
        page = write_stopped(place.output_dir, dict(books), titles, str(error), flow)
        end = "" if str(error).endswith(".") else "."
        raise type(error)(f"{error}{end} What became of the documents so far: {page}") from error


def _do_each(
    place: Workplace,
    stages: list[Stage],
    sources: Mapping[str, Source],
    books: Books,
    facts: dict[str, dict[str, Any]],
) -> list[Finished]:
    """Bring every stage to its end, in order.

    Args:
        books, facts: receive each stage's, before anything is made of it.
    """
    finished: list[Finished] = []
    loosen = {stage.name: stage.loosen for stage in stages}
    view = View(place.work, [], [])
    before, is_warned = "", False
    for stage in stages:
        key = stage.key(before)
        done = _find(stage, key)
        if done is None:
            is_warned = is_warned or _warn_of_replacement(stage, key)
            done = _redo(stage, key, view, books, facts, loosen, sources)
        else:
            books.append((stage.name, done.book))
            facts[stage.name] = done.facts
        _tidy(stage)
        finished.append(done)
        stage.check(books)
        view = stage.leaves(view, done.facts)
        before = hash_json([before, done.output])
    return finished


def _find(stage: Stage, key: str) -> Finished | None:
    record = stage.records.find("stage", key)
    if record is not None and stage.stands(record["facts"]):
        return _finished(stage, record, redone=False)
    if record is None and stage.records.knows("stage", key):
        stage.say_damage()
    return None


def _warn_of_replacement(stage: Stage, key: str) -> bool:
    """Say what is about to change in a folder that runs may have been trained from, while it can still be kept.

    Not where damaged or missing files are made again: they come out as they were.

    Returns:
        Whether there was something to say.
    """
    output_dir = stage.place.output_dir
    if stage.records.knows("stage", key) or not (output_dir / manifest.NAME).exists():
        return False
    what = f"{manifest.SHARDS}/ is" if stage.name == WriteShards.name else f"tokenizer.json and {manifest.SHARDS}/ are"
    gone = "with the first file that is replaced" if stage.releases else "now"
    print(
        f"warning: {output_dir}: stage {stage.name} is done anew: where it comes out different, {what} replaced, and a "
        f"run that was trained on them can't go on ({LEDGER} and {REPORT} speak of a finished folder: they go {gone} "
        "and come again at the end); to keep them, stop now and give another name= or output_dir=",
        file=sys.stderr,
    )
    return True


def _redo(
    stage: Stage,
    key: str,
    view: View,
    books: Books,
    facts: dict[str, dict[str, Any]],
    loosen: Mapping[str, str],
    sources: Mapping[str, Source],
) -> Finished:
    output_dir = stage.place.output_dir
    (output_dir / STOPPED).unlink(missing_ok=True)
    if not stage.releases:
        stage.release()
    watch = Watch(stage)
    before = [book for _, book in books if book]
    try:
        outcome = stage.run(view, before[-1] if before else {})
    except NoFieldError:
        raise
    except SplitError as error:  # few documents to split may be the work of an earlier stage, or of the wrong field
        fewest = min(before[-1] if before else sources, key=lambda name: before[-1][name].num_out if before else 0)
        raise SplitError(f"{error}{removed_before(books)}{sources[fewest].advice()}") from error
    ledger.check_book(stage.name, outcome.book)
    books.append((stage.name, outcome.book))
    facts[stage.name] = outcome.facts
    _keep_outputs(stage, outcome.files)  # an earlier run's must not stand beside these on the page of a stopped run
    folders = [output_dir / name / stage.name for name in (REMOVED, QUARANTINE)]
    evidence = [path for path in outcome.files if any(path.is_relative_to(folder) for folder in folders)]
    training: dict[str, int] = outcome.facts.get("training", {})
    check_left(books, training, lambda source: sources[source].advice(), loosen, evidence, _markup_of(facts))
    record = {
        "output": outcome.output,
        "book": {source: account.to_json() for source, account in outcome.book.items()},
        "facts": outcome.facts,
        "timing": watch.taken(outcome),
    }
    stage.records.commit("stage", key, Part(record, outcome.files))
    if not stage.is_told:
        found = [folder for folder in folders if folder.is_dir()]
        lost = large_losses(stage.name, outcome.book, outcome.facts.get("bytes_in_and_removed", {}), found)
        marked = large_markup(outcome.facts.get(MARKUP, {}), outcome.facts.get(HTML_KEY, ""))
        for line in [*lost, *large_changes(stage.name, outcome.facts.get(BYTES_REWRITTEN, {})), *marked]:
            print(f"warning: {line}", file=sys.stderr)
    return _finished(stage, record, redone=True)


def _markup_of(facts: Mapping[str, dict[str, Any]]) -> Callable[[str], str]:
    """Return what says of a source that its documents begin as HTML, as far as cleaning came."""
    told = facts.get(Clean.name, {})
    markup, key = told.get(MARKUP, {}), told.get(HTML_KEY, "")
    return lambda source: "".join(f" {line}." for line in large_markup({source: markup[source]}, key) if markup)


def _tidy(stage: Stage) -> None:
    """Remove what a finished stage no longer has. After its commit, so that a kill on the way costs nothing; of a stage
    that stands, too: what that kill left over is gone before the ledger vouches for removed/ and quarantine/."""
    kept = stage.records.files("stage")
    keep_only(stage.folder, kept)
    _keep_outputs(stage, kept)


def _keep_outputs(stage: Stage, files: Sequence[Path]) -> None:
    """Leave these alone of the evidence of a stage."""
    for each in (REMOVED, CLUSTERS, QUARANTINE):
        keep_only(stage.place.output_dir / each / stage.name, files)


def _finished(stage: Stage, record: dict[str, Any], redone: bool) -> Finished:
    book = {source: Account.from_json(account) for source, account in record["book"].items()}
    return Finished(stage.name, record["output"], book, record["facts"], record["timing"], redone, stage.is_off)


def _publish(
    place: Workplace,
    stages: list[Stage],
    finished: list[Finished],
    mixture: Mixture,
    config: bytes | None,
    eot_token: str,
    sharder: Sharder,
) -> Result:
    """Write what speaks of the whole: the ledger, the timing, the config where there is one, the manifest, the page."""
    books = {done.name: done.book for done in finished if done.book}
    ledger.check_chain(books)
    counts = {done.name: done.facts["counts"] for done in finished if done.facts.get("counts")}
    write_atomic(place.output_dir / LEDGER, ledger.ledger_json(books, counts))
    if config is not None:
        write_atomic(place.output_dir / CONFIG, config)
    write_json(place.output_dir / TIMING, {"stages": {done.name: done.timing for done in finished}})
    mixed = Mixed.of(mixture, finished[-1].facts[COMPONENTS], finished[-1].facts["splits"][manifest.SPLITS[0]])
    reads = mixed.truth.reads
    weights, budgets = ({name: getattr(each, key) for name, each in reads.items()} for key in ("weight", "budget"))
    made = manifest_of(finished[-1].facts, weights, budgets)
    try:
        alarms = sharder.judge(made)
    except TokenAlarm:  # nothing vouches for these shards; else a folder that is finished is so at every moment
        (place.output_dir / manifest.NAME).unlink(missing_ok=True)
        raise
    made.save(place.output_dir)
    remarks = {done.name: done.facts["remark"] for done in finished if done.facts.get("remark")}
    titles = {stage.name: stage.title for stage in stages if not stage.is_off}
    (place.output_dir / STOPPED).unlink(missing_ok=True)
    facts = {done.name: done.facts for done in finished}
    examples = {
        name: [Example(*each) for each in facts[name].get("examples", [])] for name in (Clean.name, Augment.name)
    }
    view = View(place.work, [], [])
    for stage, done in zip(stages, finished, strict=True):
        view = stage.leaves(view, done.facts)
    tokens = sample_of(place, view, [done.output for done in finished], eot_token)
    page = write_report(place.output_dir, titles, remarks, Flow.of(books, facts), examples, mixed, tokens, alarms)
    return Result(place.output_dir, made, finished, page, mixed, alarms)

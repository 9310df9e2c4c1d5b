"""Rows 20, 21 and 33: token shards damaged, swapped, replaced under a run, gone with their disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from data_pipeline.shards.manifest import read_tokenizer
from foundation.hashes import hash_bytes, hash_json
from pretrain.data.dataset import open_data
from tests.corpus import VOCAB_SIZE, write_data
from tests.prove.bench import LONG, SHORT, Bench, Ended, Recipe, tail
from tests.prove.damage import ALONE, CUTS, POSITIONS, Change, Reader, damaged, flip, read_damaged
from tests.prove.disks import mounted
from tests.prove.faults import Case, Fault, Outcome

FAMILY = "shards"
SINGLE = replace(LONG, ranks=1)


def data_of(folder: Path) -> str:
    """Return the hash of all that a new run takes from a data folder: tokens, documents, tokenizer, the manifest."""
    data = open_data(folder)
    tokenizer = hash_bytes(read_tokenizer(folder, data.manifest))
    tokens = []
    for stream in (*data.train.values(), *data.val.values()):
        tokens.append(hash_bytes(np.ascontiguousarray(stream.tokens(0, stream.num_tokens)).tobytes()))
        tokens += [hash_bytes(shard.document_starts.tobytes()) for shard in stream.shards]
    return hash_json([data.fingerprint, tokenizer, tokens])


def copy_of_data(bench: Bench) -> Path:
    folder = bench.new_file()
    shutil.copytree(bench.data, folder)
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def change_data(folder: Path, expected: str, read: Reader, name: str, change: Change) -> Outcome:
    with damaged(folder / name, change):
        detected, silent, said = read_damaged(read, folder, expected, Path(name).stem)
    back = read(folder) == expected
    return Outcome(detected, back and not silent, silent, None, said)


def flips(bench: Bench, read: Reader = data_of) -> list[Case]:
    folder = copy_of_data(bench)
    expected, found = read(folder), []
    for name in files_of(folder):
        for place in [0.0, 1.0, *(bench.random.random() for _ in range(bench.pick(POSITIONS, 12) - 2))]:
            bit = bench.random.randrange(8)
            change = partial(change_data, folder, expected, read, name, flip(place, bit))
            found.append(Case(f"{name} at {place:.4f}, bit {bit}", change))
    return found


def cuts(bench: Bench) -> list[Case]:
    folder = copy_of_data(bench)
    expected, changes = data_of(folder), {**CUTS, "away": Path.unlink}
    return [
        Case(f"{name} {how}", partial(change_data, folder, expected, data_of, name, change))
        for name in files_of(folder)
        for how, change in changes.items()
    ]


def refusals(bench: Bench) -> list[Case]:
    """Real resumes whose data folder is not what it was: each file damaged, shards swapped, all made anew."""
    names = bench.random.sample(files_of(bench.data), bench.pick(len(files_of(bench.data)), 1))
    changes: dict[str, Change] = {
        name: bench.random.choice([Path.unlink, CUTS["to half"], flip(0.4, 2)]) for name in names
    }
    found = [Case(f"{name} damaged", partial(refuse_file, bench, name, change)) for name, change in changes.items()]
    found.append(Case("two shards swapped", partial(refuse_swapped, bench)))
    return [*found, Case("other shards by the same names", partial(refuse_others, bench))]


def refuse_file(bench: Bench, name: str, change: Change) -> Outcome:
    """Resume with one file damaged, then with it put back. A file that this run never reads may do no harm."""
    run_dir, data = bench.killed_run(SHORT), copy_of_data(bench)
    with damaged(data / name, change):
        ended = bench.type(SHORT, run_dir, f"data.path={data}")
    return _refused(bench, run_dir, data, ended, Path(name).stem)


def refuse_swapped(bench: Bench) -> Outcome:
    run_dir, data = bench.killed_run(SHORT), copy_of_data(bench)
    _swap(data)
    ended = bench.type(SHORT, run_dir, f"data.path={data}")
    _swap(data)
    return _refused(bench, run_dir, data, ended, "pydocs_0000")


def refuse_others(bench: Bench) -> Outcome:
    run_dir, data = bench.killed_run(SHORT), bench.new_file()
    other_data(data)
    ended = bench.type(SHORT, run_dir, f"data.path={data}")
    return _refused(bench, run_dir, data, ended, "data.path")


def _refused(bench: Bench, run_dir: Path, data: Path, ended: Ended, name: str) -> Outcome:
    since_s = time.monotonic()
    if ended.code == 0:
        same, silent, note = bench.judge(SHORT, run_dir)
        outcome = Outcome(None, same, silent, None, note)
    else:
        outcome = bench.recover(SHORT, run_dir, since_s, ended.code == 2 and name in ended.text)
    bench.clean(run_dir, data)
    return outcome


def _swap(data: Path) -> None:
    for suffix in (".bin", ".idx", ".sum"):
        one, two = (data / "shards" / "train" / f"pydocs_0000{number}{suffix}" for number in (0, 1))
        held = one.rename(one.with_name("held"))
        two.rename(one)
        held.rename(two)


def other_data(folder: Path) -> None:
    """Write other text under the same names."""
    texts = [f"{number} times {number} is {number * number}, " * 20 for number in range(400)]
    write_data(folder, {"pydocs": texts[20:]}, {"pydocs": texts[:20]}, VOCAB_SIZE, max_shard_bytes=60_000)


def replaced(bench: Bench) -> list[Case]:
    parts = [bench.random.uniform(0, 0.9) for _ in range(bench.pick(8, 1))]
    return [Case(f"after {part:.0%} of the run", partial(replace_shards, bench, part)) for part in parts]


def replace_shards(bench: Bench, part: float) -> Outcome:
    """Put other shards in the place of a run's while it goes on; put them back; type the same line."""
    run_dir, data, other = bench.new_run(), copy_of_data(bench), bench.new_file()
    other_data(other)
    line = bench.start(SINGLE, run_dir, f"data.path={data}")
    time.sleep(part * bench.reference(SINGLE).seconds)
    for path in other.rglob("*.*"):
        if path.is_file():
            path.replace(data / path.relative_to(other))
    outcome = _judge_or_go_on(bench, SINGLE, run_dir, bench.wait(line))
    bench.clean(run_dir, data, other)
    return outcome


def _judge_or_go_on(bench: Bench, recipe: Recipe, run_dir: Path, ended: Ended) -> Outcome:
    """A run that has finished must be as if nothing had been; one that hasn't must say why, and goes on."""
    if ended.code == 0:
        same, silent, note = bench.judge(recipe, run_dir)
        return Outcome(None, same, silent, None, note)
    said = ended.code == 2 and "error: " in ended.text
    return bench.recover(recipe, run_dir, time.monotonic(), said)


def unmounted(bench: Bench) -> list[Case]:
    parts = [bench.random.uniform(0, 0.9) for _ in range(bench.pick(6, 1))]
    return [Case(f"after {part:.0%} of the run", partial(unmount, bench, part)) for part in parts]


def unmount(bench: Bench, part: float) -> Outcome:
    run_dir, disk = bench.new_run(), bench.new_file()
    with mounted(disk, "size=8m"):
        shutil.copytree(bench.data, disk / "data")
        line = bench.start(SINGLE, run_dir, f"data.path={disk / 'data'}")
        time.sleep(part * bench.reference(SINGLE).seconds)
    ended = bench.wait(line)
    outcome = _judge_or_go_on(bench, SINGLE, run_dir, ended)
    bench.clean(run_dir)
    return outcome


# what stands where the data folder was, when it has been moved away: none of it is read as data, whoever asks
INSTEAD: dict[str, Callable[[Path], object]] = {
    "nothing": lambda data: None,
    "an empty folder, as a mount point without its disk": Path.mkdir,
    "a file": Path.touch,
    "a link to nothing": lambda data: data.symlink_to("away"),
    "a link to itself": lambda data: data.symlink_to(data.name),
}


def gone(bench: Bench) -> list[Case]:
    names = bench.random.sample(list(INSTEAD), bench.pick(len(INSTEAD), 2))
    return [Case(name, partial(start_without, bench, INSTEAD[name])) for name in names]


def start_without(bench: Bench, instead: Callable[[Path], object]) -> Outcome:
    """Resume while the data folder is away: refused by the key; then put it back."""
    run_dir, data = bench.killed_run(SHORT), copy_of_data(bench)
    away = data.rename(data.with_name(f"{data.name}.away"))
    instead(data)
    ended = bench.type(SHORT, run_dir, f"data.path={data}")
    if data.is_dir():
        data.rmdir()
    data.unlink(missing_ok=True)
    away.rename(data)
    told = ended.code == 2 and "data.path" in ended.text and str(data) in ended.text
    outcome = bench.recover(SHORT, run_dir, time.monotonic(), told)
    bench.clean(run_dir, data)
    return outcome if told else replace(outcome, note=outcome.note or tail(ended.text))


BACK = "once it is put back the same line ends with the uninterrupted run's state and metrics, bit for bit"
FAULTS = [
    Fault(
        (20,),
        FAMILY,
        f"a bit flipped, {POSITIONS} positions (quick: 12) of each file of a data folder",
        "the file is named, nothing of it is used; put back, it is read as before",
        flips,
        0.03,
        processes=ALONE,
    ),
    Fault(
        (20,),
        FAMILY,
        "each file of a data folder cut or away",
        "the file is named, nothing of it is used; put back, it is read as before",
        cuts,
        0.03,
        processes=ALONE,
    ),
    Fault(
        (20,),
        FAMILY,
        "a resume over a damaged file, over swapped shards, over other shards by the same names",
        f"exit code 2 and the file or the key, or the damage is not in what the run reads; {BACK}",
        refusals,
        2.0,
    ),
    Fault(
        (21,),
        FAMILY,
        "all files of the data folder replaced by others under a run, at a random moment",
        f"the run ends as if nothing had been, or says why; {BACK}",
        replaced,
        3.0,
    ),
    Fault(
        (33,),
        FAMILY,
        "the data's disk unmounted under a run, at a random moment",
        f"the run ends as if nothing had been, or says why; {BACK}",
        unmounted,
        3.0,
        ("mounts",),
    ),
    Fault(
        (33,),
        FAMILY,
        "a resume whose data folder is away, with something else or nothing in its place",
        f"exit code 2, the message names data.path and the folder; {BACK}",
        gone,
        2.0,
    ),
]

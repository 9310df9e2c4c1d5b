"""`make prove`: faults injected into small real trainings, most rows of the fault matrix; writes docs/prove.md."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.prove.bench import Bench
from tests.prove.faults import Fault
from tests.prove.matrix import BEYOND, FAULTS
from tests.prove.needs import REPOSITORY, enter_own_mounts
from tests.prove.page import failures, page, seconds_of_imports, table, write
from tests.prove.runner import run, why_not

PAGE = REPOSITORY / "docs" / "prove.md"
EPILOG = """exit code: 0 when every fault was noticed and recovered from and none silent, else 1; 130 after a Ctrl-C.
examples:
  make prove                                   all of it, about 45 minutes on two idle cores; writes docs/prove.md
  make prove PROVE="--quick"                   a few injections of each fault, 6 minutes or so
  make prove PROVE="--only=damage --seed=3"    one family, other random choices
  make prove PROVE="--only=2 --only=4"         rows of the matrix"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    families = ", ".join(dict.fromkeys(fault.family for fault in FAULTS))
    parser = argparse.ArgumentParser(
        "make prove", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--list", action="store_true", help="list the faults, and those that can't run here with why; inject nothing")
    add(
        "--only",
        action="append",
        default=[],
        metavar="WHAT",
        help=f"a row's number, words of a name, or a family: {families}; repeatable",
    )
    add("--quick", action="store_true", help="few injections of each fault")
    add("--share", type=share, default=1.0, help="of the injections that start runs, above 0 up to 1 (default 1)")
    add("--seed", type=int, default=0, help="of all random choices: moments, positions, order (default 0)")
    add("--page", type=Path, help="write the page here; by default docs/prove.md, and none of a run of less than all")
    add("--work", type=Path, help="folder for the runs, kept afterwards; by default a temporary one that is removed")
    return parser.parse_args(arguments)


def share(text: str) -> float:
    """Return a number above 0 and up to 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and up to 1")
    return number


def chosen(only: Sequence[str]) -> list[Fault]:
    """Return the faults of these rows, families and names, in the order of the matrix.

    Raises:
        SystemExit: there are none of that name.
    """
    for what in only:
        if not any(_is(fault, what) for fault in FAULTS):
            raise SystemExit(f"--only={what}: no row, family or name; --list lists them")
    return [fault for fault in FAULTS if not only or any(_is(fault, what) for what in only)]


def _is(fault: Fault, what: str) -> bool:
    return what in (fault.family, *map(str, fault.rows)) or (len(what) > 2 and what in fault.name)


def listing(faults: Sequence[Fault]) -> str:
    """Return a line a fault: rows, family, name, and what it needs that is not there."""
    lines = []
    for fault in faults:
        why = why_not(fault)
        rows = ", ".join(map(str, fault.rows))
        lines.append(f"{rows:<7} {fault.family:<8} {fault.name}{f'  [not here: needs {why}]' if why else ''}")
    return "\n".join([*lines, *(f"{row:<7} {'-':<8} {why}" for row, why in BEYOND)])


def main(arguments: Sequence[str]) -> int:
    """Inject, print the table, write the page; return the exit code."""
    given = parse(arguments)
    faults = chosen(given.only)
    if given.list:
        print(listing(faults))
        return 0
    work = given.work or Path(tempfile.mkdtemp(prefix="prove_"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        results = run(Bench(work.resolve(), given.seed, given.quick), faults, given.share)
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    print(table(results))
    print(failures(results) or "nothing was silent or unnoticed, everything was recovered from")
    for fault, why in results.not_run:
        print(f"not run: {fault.name}: needs {why}")
    whole = not (given.only or given.quick or given.share < 1 or results.interrupted)
    target = given.page or (PAGE if whole else None)
    if target is not None:
        called = f"--seed={given.seed} {'--quick ' * given.quick}--share={given.share:g}"
        write(target, page(results, BEYOND, called, seconds_of_imports()))
        print(f"page: {target}")
    return 130 if results.interrupted else int(results.failed)


if __name__ == "__main__":
    enter_own_mounts()
    sys.exit(main(sys.argv[1:]))

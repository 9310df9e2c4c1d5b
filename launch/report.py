"""Write the page of a run, or of several side by side, from the files in their folders.

    python launch/report.py run=runs/gpt_small
    python launch/report.py run=runs/gpt_small compare=runs/gpt_small_muon
    python launch/report.py run=runs/a compare='[runs/b,runs/c]'

run=FOLDER      the run; a run that goes on is written as far as it is
compare=FOLDER  another run, or several as '[one,two]': curves over each other, the keys that differ, how each closed
page=PATH       where to write; by default report.html in the run's folder, or compare.html of several
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foundation.errors import ConfigError
from foundation.files import nearest_existing
from foundation.reader import reader_may_leave
from launch.pairs import read_pairs, run_command

KEYS = ("run", "compare", "page")
PAGE, COMPARISON = "report.html", "compare.html"
FILES = ("metrics.jsonl", "config.yaml")  # one of them makes a folder a run's


class ReportError(ConfigError):
    """The command line can't be followed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says; the docstring above says what each means."""

    run: Path
    compare: tuple[Path, ...] = ()
    page: Path | None = None

    @property
    def path(self) -> Path:
        """Where the page is written."""
        return self.page or self.run / (COMPARISON if self.compare else PAGE)


def main() -> None:
    """Read the command line and write a page; exit with 2 for what users can mend, 130 on Ctrl-C."""
    run_command(__doc__, lambda arguments: print(f"page: {write(parse(arguments))}"))


def parse(arguments: list[str]) -> Settings:
    """Read `key=value` arguments, split at the first `=`.

    Raises:
        ReportError: an unknown key (names the nearest), one given twice, no run, or a folder that holds none.
    """
    given = read_pairs(
        arguments, KEYS, ReportError, twice={"compare": "; several runs are one list: compare='[one,two]'"}
    )
    for key, text in given.items():
        if not text:
            raise ReportError(f"{key}: is empty; give a path")
    if "run" not in given:
        raise ReportError("run: missing; give the folder of a run, e.g. run=runs/gpt_small")
    run, page = _run("run", given["run"]), given.get("page")
    compare = tuple(_run("compare", text) for text in _list(given.get("compare", "")))
    return Settings(run, compare, None if page is None else Path(page))


def write(settings: Settings) -> Path:
    """Write the page and return its path.

    Raises:
        ReportError: it can't be written, or a file of a run can't be read; says which and why.
    """
    # these bring torch: seconds that help and a mistyped line need not wait for
    from pretrain.metrics.page.compare import write_comparison
    from pretrain.metrics.report import write_run_report

    try:
        if settings.compare:
            return write_comparison([settings.run, *settings.compare], settings.path)
        return write_run_report(settings.run, path=settings.path)
    except OSError as error:
        raise ReportError(_told(error, settings.path)) from error


def _told(error: OSError, page: Path) -> str:
    """Return which file could not be written or read, why, and what to do."""
    at = Path(error.filename or page)
    if at == page or at in page.parents or at.name.startswith(f".{page.name}."):  # beside its place it is written first
        return f"page: {page} can't be written ({error.strerror}); give page=PATH, a file in a folder that can be"
    return f"run: {at} can't be read ({error.strerror}); see to its owner and its disk"


def _list(text: str) -> list[str]:
    parts = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    return [part.strip() for part in parts if part.strip()]


def _run(key: str, text: str) -> Path:
    """Return the folder of a run.

    Raises:
        ReportError: it isn't there (names the nearest), or is none.
    """
    folder = Path(text)
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise ReportError(f"{key}: {text} {found}; the nearest there is: {nearest_existing(folder)}")
    if not any((folder / name).is_file() for name in FILES):
        inside = sorted(path.parent.name for path in folder.glob(f"*/{FILES[0]}"))
        runs = f"; in it are the runs {', '.join(inside[:5])}{' ...' if len(inside) > 5 else ''}" if inside else ""
        raise ReportError(f"{key}: {text} is no folder of a run: it has no {' and no '.join(FILES)}{runs}")
    return folder


if __name__ == "__main__":
    with reader_may_leave():
        main()

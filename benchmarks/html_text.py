"""HTML to text: the rule from end to end, beside a loop over resiliparse's own function on the same pages.

    pip install -e '.[web]'
    python benchmarks/html_text.py --input 'the PEPs=peps.jsonl.zst' --folder 'pages=/usr/share/doc' \
        --out docs/benchmarks/html_cpu.md

Pages of `--folder` are files; texts of `--input` (JSON lines) are put into the frame of a usual page: navigation,
scripts, styles, a footer, paragraphs with links and emphasis. All are read into memory before; the peer
gets them as `str`, the rule as Arrow, which it must turn into `str` and back. Both in turns, in one process.
"""

from __future__ import annotations

import argparse
import html
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from resiliparse.extract.html2text import extract_plain_text
from table import cpu_name, ratio, spread, table

from data_pipeline.clean.html import Html
from data_pipeline.clean.html_engines import Resiliparse, Trafilatura
from data_pipeline.clean.html_shape import shapes
from data_pipeline.documents import from_texts
from data_pipeline.sources.jsonl import Jsonl

MB = 1_000_000
LARGE_MB = (1, 10, 50)
TRAFILATURA_PAGES = 200
LINKS = "".join(f'<li class="nav-item"><a class="nav-link" href="/section/{n}">Section {n}</a></li>' for n in range(30))
FRAME = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<link rel="stylesheet" href="/a.css"><style>' + ".card > p { margin: 0 auto; color: #333 }\n" * 60 + "</style>"
    "<script>" + "window.data = window.data || []; if (1 < 2) data.push('<div>');\n" * 80 + "</script></head>"
    f'<body class="page"><header id="top"><nav class="navbar"><ul>{LINKS}</ul></nav></header><div class="container">'
    '<main><article class="post"><h1>{title}</h1>{body}</article></main><aside class="sidebar"><div class="widget">'
    f'<ul>{LINKS}</ul></div></aside></div><footer class="footer"><p>Terms, contact</p><ul>{LINKS}</ul></footer>'
    "<script src='/b.js'></script></body></html>"
)


class Named(NamedTuple):
    """A corpus of the command line. Attributes: name: in the table; path: a file or folder."""

    name: str
    path: Path

    @classmethod
    def of(cls, text: str) -> Named:
        """Read `NAME=PATH`."""
        name, _, path = text.partition("=")
        if not name or not Path(path).exists():
            raise argparse.ArgumentTypeError(f"{text!r} is no NAME=PATH of something that exists")
        return cls(name.strip(), Path(path))


def main() -> None:
    """Read the command line, measure, print the tables and write them."""
    options = _options()
    corpora = [(each.name, framed(texts_of(each.path))) for each in options.input]
    corpora += [(each.name, files_of(each.path, options.most_mb)) for each in options.folder]
    rows = [["pages", "number", "MB", "the rule, MB/s", "resiliparse, MB/s", "ratio of speed", "shape alone, MB/s"]]
    precise = [["pages", "number", "MB", "rule with trafilatura, MB/s", "rule with resiliparse, MB/s", "quarantined"]]
    for name, pages in corpora:
        rows.append(compared(name, pages, options.repeats))
        precise.append(both_engines(name, pages[:TRAFILATURA_PAGES], options.repeats))
    large = [["one page of MB", "the rule, s", "MB/s"], *(row for size in LARGE_MB for row in [of_size(size, options)])]
    text = "\n\n".join(
        [table(rows), "## Large pages", table(large), "## The two engines", table(precise), notes(options)]
    )
    print(text)
    if options.out:
        options.out.write_text(f"# HTML to text\n\n{text}\n")


def compared(name: str, pages: list[str], repeats: int) -> list[str]:
    """Return the row of one corpus: the rule and the loop, one right after the other."""
    batch, rule = from_texts(pages), Html(Resiliparse())
    size_mb = sum(len(page.encode()) for page in pages) / MB
    found = rule.apply(batch).batch.column("text").to_pylist()  # compiles, and is held against the loop
    kept = np.ones(len(pages), bool)
    kept[[each.position for each in rule.apply(batch).failed]] = False
    assert found == [loop([page])[0] for page, is_kept in zip(pages, kept, strict=True) if is_kept]
    ours, theirs, alone = [], [], []
    for _ in range(repeats):
        ours.append(size_mb / seconds(lambda: rule.apply(batch)))
        theirs.append(size_mb / seconds(lambda: loop(pages)))
        alone.append(size_mb / seconds(lambda: shapes(batch.column("text"), 256)))
    speeds = [spread(ours, 1), spread(theirs, 1), f"{ratio(ours, theirs):.2f}", spread(alone)]
    return [f"{name} ({len(pages) - int(kept.sum())} quarantined)", f"{len(pages):,}", f"{size_mb:.1f}", *speeds]


def loop(pages: list[str]) -> list[str]:
    """Return what resiliparse makes of pages: the peer."""
    return [extract_plain_text(page, preserve_formatting=True, main_content=True) for page in pages]


def both_engines(name: str, pages: list[str], repeats: int) -> list[str]:
    """Return the row of one corpus: trafilatura in its process, and resiliparse."""
    batch, precise, fast = from_texts(pages), Html(Trafilatura()), Html(Resiliparse())
    size_mb = sum(len(page.encode()) for page in pages) / MB
    failed = len(precise.apply(batch).failed)  # starts the process
    slow_rates, rates = [], []
    for _ in range(min(repeats, 3)):
        slow_rates.append(size_mb / seconds(lambda: precise.apply(batch), time.perf_counter))
        rates.append(size_mb / seconds(lambda: fast.apply(batch), time.perf_counter))
    return [name, f"{len(pages):,}", f"{size_mb:.1f}", spread(slow_rates, 2), spread(rates, 1), str(failed)]


def of_size(size_mb: int, options: argparse.Namespace) -> list[str]:
    """Return the row of one large page."""
    paragraph = f"<p>{'Words of a paragraph with a <a href=/x>link</a> in it, and more of them. ' * 8}</p>\n"
    page = FRAME.replace("{title}", "large").replace("{body}", paragraph * (size_mb * MB // len(paragraph)))
    batch, rule = from_texts([page]), Html(Resiliparse())
    assert not rule.apply(batch).failed
    taken = [seconds(lambda: rule.apply(batch)) for _ in range(options.repeats)]
    return [str(size_mb), spread(taken, 2), spread([size_mb / each for each in taken], 1)]


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return what some work takes, by default in processor time of this process: others may use the cores too."""
    started = clock()
    work()
    return clock() - started


def texts_of(path: Path) -> list[str]:
    """Return the texts of a file of JSON lines."""
    source = Jsonl([str(path)])
    [file] = source.files()
    batches = [source.parse(block, file, 0).documents for block in source.blocks(file, partition_bytes=1 << 40)]
    return [text for batch in batches for text in batch.column("text").to_pylist()]


def framed(texts: list[str]) -> list[str]:
    """Return texts as pages: their paragraphs with markup, in the frame of a site."""
    pages = []
    for number, text in enumerate(texts):
        paragraphs = [html.escape(paragraph) for paragraph in text.split("\n\n")]
        marked = [
            f'<p>{part[:40]}<a href="/see">see</a> <em>{part[40:60]}</em>{part[60:]}</p>\n' for part in paragraphs
        ]
        pages.append(FRAME.replace("{title}", f"Text {number}").replace("{body}", "".join(marked)))
    return pages


def files_of(folder: Path, most_mb: float) -> list[str]:
    """Return the pages below a folder, by name, up to a sum of sizes."""
    pages: list[str] = []
    room = most_mb * MB
    for path in sorted(folder.rglob("*.html")):
        page = path.read_bytes().decode(errors="replace") if path.is_file() else ""
        room -= len(page)
        if room < 0:
            break
        pages += [page] if page else []
    return pages


def notes(options: argparse.Namespace) -> str:
    """Return what the figures are of."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("resiliparse", "trafilatura", "pyarrow", "numba"))
    return (
        f"Medians of {options.repeats} repeats (least to most), in turns, one core, by processor time; the ratio is "
        "the median of pairs. The two engines: at most 3 repeats, by the clock: trafilatura is another process. "
        f"The rule's texts are the loop's, byte for byte. {options.remark}\n\n"
        f"{packages}; Python {platform.python_version()}; {cpu_name()}."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Named.of, action="append", default=[], help="NAME=FILE of JSON lines")
    parser.add_argument("--folder", type=Named.of, action="append", default=[], help="NAME=FOLDER of .html files")
    parser.add_argument("--most-mb", type=float, default=20.0, help="of a folder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--remark", default="", help="about the machine, for the notes")
    parser.add_argument("--out", type=Path, help="the file to write the tables to")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""One page: sections of text, facts, tables, charts and samples. What it is given is plain text and is escaped here."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from foundation.files import write_atomic
from foundation.page import curves, explorer, heat, pieces, scatter
from foundation.page.charts import Bar, Line, bar_chart, histogram_chart, line_chart, safe
from foundation.page.curves import Clock, Curve, Mark
from foundation.page.explorer import Explorer, explorers
from foundation.page.heat_choice import HeatGroup, heat_choice
from foundation.page.pieces import Cut, CutText, cut_table, cut_texts
from foundation.page.policy import script_source
from foundation.page.scale import number
from foundation.page.scatter import Cloud
from foundation.text import visible

# the last line of defence: even text that escaped the escaping could load and run nothing
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
COMMON_WORDS = 3  # in a row, that two texts have in common, are marked; single words are chance
# an empty cell goes with the others of its column; times are as `3:07` and `42s`, spans as `1 to 97`
_AMOUNT = re.compile(r"|–|[\d,.]+(%| [kMGTPE]?B)?|\d+s|\d+(:\d\d)+|[\d,]+ to [\d,]+")
_ID = re.compile(r'<[a-z0-9]+(?: class="[^"]*")? id="([^"]*)"')
_LINK = re.compile(r'<a href="#([^"]*)">([^<]*)</a>')
# the parts of a page; what it shows is escaped, so that no text can hold one of these marks
_PARTS = re.compile(r"(.*?)(<header>.*?</header>\n)(.*)", re.DOTALL)
_PLACE = re.compile(r'(<a href="#s)(\d+)(?=")')
_SECTION = re.compile(r'(<section id="s)(\d+)(?=")')
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Link:
    """A cell of a table that leads to a heading, section or explorer of the page with this anchor."""

    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Strong:
    """A cell of a table that stands out among the others of its row."""

    text: str


@dataclass(frozen=True, slots=True)
class Shade:
    """A cell of a table whose background tells a share, 0 to 1."""

    text: str
    share: float


Cell = str | int | float | bool | Link | Strong | Shade | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A text to unfold: what stands on its line, a remark in soft colour behind it, the text."""

    label: str
    remark: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts side by side, the words marked in which they differ, or those that they have in `common`."""

    label: str
    remark: str
    left_title: str
    left: str
    right_title: str
    right: str
    common: bool = False


class Page:
    """A self-contained HTML page, filled from top to bottom; `section` begins a part, the rest adds to it."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title, self._subtitle = title, subtitle
        self._sections: list[str] = []
        self._body: list[str] = []
        self._scripts: dict[str, None] = {}  # by their text, each once

    def section(self, title: str, anchor: str = "") -> None:
        """Begin a section; the page's head links to it, and links to `anchor` do."""
        self._body.append(
            f'{"</section>" if self._sections else ""}<section id="s{len(self._sections)}">'
            f"<h2{_id(anchor)}>{safe(title)}</h2>"
        )
        self._sections.append(title)

    def heading(self, title: str, anchor: str = "") -> None:
        """Add a heading inside the section."""
        self._body.append(f"<h3{_id(anchor)}>{safe(title)}</h3>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._body.append(f"<p>{safe(text)}</p>")

    def facts(self, facts: Mapping[str, Cell]) -> None:
        """Add a few labelled values that are read at a glance."""
        entries = "".join(f"<div><dt>{safe(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in facts.items())
        self._body.append(f"<dl>{entries}</dl>")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Add a table; a column whose values are all numbers (or None, a dash), amounts as `1.5 MB` and `12.3%`, times,
        spans, or empty, is set to the right."""
        rows = [list(row) for row in rows]
        numeric = [
            all(_is_number(row[i]) for row in rows) and any(row[i] != "" for row in rows) for i in range(len(headers))
        ]
        side = [' class="n"' if right else "" for right in numeric]
        head = "".join(f"<th{s}>{safe(header)}</th>" for s, header in zip(side, headers, strict=True))
        lines = ("".join(f"<td{s}>{_cell(cell)}</td>" for s, cell in zip(side, row, strict=True)) for row in rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self._body.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def folded_table(self, label: str, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Add a table to unfold."""
        self.table(headers, rows)
        self._details(label, "", self._body.pop(), is_open=False)

    def token_table(self, label: str, remark: str, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Add a table of tokens to unfold: white space stays, long ones are cut off."""
        self.table(headers, rows)
        body = self._body.pop().replace("<table>", '<table class="tight">', 1)
        self._details(label, remark, body, is_open=False)

    def heat_map(self, title: str, rows: Sequence[str], xs: np.ndarray, values: np.ndarray, x_label: str) -> None:
        """Add a heat map; see `heat.heat_map`."""
        self._scripts[heat.script()] = None
        self._body.append(heat.heat_map(title, rows, xs, values, x_label))

    def heat_choice(self, title: str, groups: Sequence[HeatGroup], xs: np.ndarray, x_label: str) -> None:
        """Add heat maps of shares, one shown at a time; see `heat_choice.heat_choice`."""
        self._scripts[heat.script()] = None
        self._body.append(heat_choice(title, groups, xs, x_label))

    def clouds(self, them: Sequence[Cloud], x_label: str) -> None:
        """Add points with a word each, one cloud shown at a time; see `scatter.clouds`."""
        self._scripts[scatter.script()] = None
        self._body.append(scatter.clouds(them, x_label))

    def bars(self, bars: Sequence[Bar], max_value: float | None = None) -> None:
        """Add bars that lie, on a common scale from 0 to the longest, or to `max_value`."""
        self._body.append(bar_chart(bars, max_value))

    def lines(
        self,
        lines: Sequence[Line],
        x_label: str,
        y_label: str,
        log_y: bool = False,
        marks: Sequence[float] | np.ndarray = (),
        mark: str = "",
        log_x: bool = False,
    ) -> None:
        """Add a chart of lines; see `charts.line_chart`."""
        self._body.append(line_chart(lines, x_label, y_label, log_y, marks, mark, log_x))

    def curve_bar(self, clocks: Sequence[Clock], x_label: str = "step") -> None:
        """Add what the curves below hang on: axis, smoothing; see `curves.curve_bar`. Once a page."""
        self._scripts[curves.script()] = None
        self._body.append(curves.curve_bar(clocks, x_label))

    def curves(
        self,
        them: Sequence[Curve],
        x_label: str,
        y_label: str,
        log_y: bool = False,
        marks: Sequence[Mark] = (),
        title: str = "",
    ) -> None:
        """Add a chart of curves to zoom into; see `curves.curves`."""
        self._body.append(curves.curves(them, x_label, y_label, log_y, marks, title))

    def histogram(
        self,
        edges: Sequence[float],
        counts: Sequence[int],
        x_label: str,
        y_label: str,
        upon: Sequence[int] = (),
        names: Sequence[str] = (),
    ) -> None:
        """Add upright bars, one a bin; see `charts.histogram_chart`."""
        self._body.append(histogram_chart(edges, counts, x_label, y_label, upon, names))

    def explorers(self, them: Sequence[Explorer], advice: str = "") -> None:
        """Add histograms with limits to move; see `explorer.explorers`."""
        self._scripts[explorer.script()] = None
        self._body.append(explorers(them, advice))

    def cut_texts(self, texts: Sequence[CutText]) -> None:
        """Add texts, each as several cut it into pieces, one text shown at a time; see `pieces.cut_texts`."""
        self._scripts[pieces.script()] = None
        self._body.append(cut_texts(texts))

    def cut_table(self, headers: Sequence[str], rows: Iterable[tuple[str, Sequence[Cut]]]) -> None:
        """Add a table of short texts, a row each: its name, and how each column cuts it."""
        self._body.append(cut_table(headers, rows))

    def samples(self, samples: Sequence[Sample], open_first: bool = False) -> None:
        """Add texts to unfold."""
        for index, sample in enumerate(samples):
            self._details(sample.label, sample.remark, f"<pre>{_block(sample.text)}</pre>", open_first and index == 0)

    def pairs(self, pairs: Sequence[Pair], open_first: bool = False) -> None:
        """Add pairs of texts to unfold, side by side (one above the other on a phone)."""
        for index, pair in enumerate(pairs):
            left, right = (_in_common if pair.common else _differences)(pair.left, pair.right)
            body = (
                f'<div class="pair{" common" if pair.common else ""}"><h4>{safe(pair.left_title)}</h4><div>{left}</div>'
                f"<h4>{safe(pair.right_title)}</h4><div>{right}</div></div>"
            )
            self._details(pair.label, pair.remark, body, open_first and index == 0)

    def html(self) -> str:
        """Return the page."""
        style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
        links = "".join(f'<a href="#s{i}">{safe(title)}</a>' for i, title in enumerate(self._sections))
        sources = " ".join(script_source(each) for each in self._scripts)
        policy = f"{POLICY}; script-src {sources}" if sources else POLICY
        subtitle = f"<p>{safe(self._subtitle)}</p>" if self._subtitle else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{safe(self._title)}</title><style>\n{style}</style></head>\n<body>"
            f"<header><h1>{safe(self._title)}</h1>{subtitle}<nav>{links}</nav></header>\n"
            + self._linked("\n".join(self._body))
            + ("</section>" if self._sections else "")
            + "".join(f"\n<script>{each}</script>" for each in self._scripts)
            + "\n</body></html>\n"
        )

    def before(self, page: str) -> str:
        """Return a finished page, as of `html`, under this one's title and behind its sections, which have no script.

        Args:
            page: the other page; its title and subtitle go.
        """
        assert not self._scripts, "the script that a page allows is the other's"
        head, header, body = _PARTS.fullmatch(page).groups()  # type: ignore[union-attr]
        _, mine, my_body = _PARTS.fullmatch(self.html()).groups()  # type: ignore[union-attr]
        nav = _PLACE.sub(lambda match: f"{match[1]}{int(match[2]) + len(self._sections)}", _nav(header))
        body = _SECTION.sub(lambda match: f"{match[1]}{int(match[2]) + len(self._sections)}", body)
        my_body = my_body.partition("\n</body>")[0]
        head = re.sub("<title>.*</title>", lambda _: f"<title>{safe(self._title)}</title>", head)
        return f"{head}{mine.replace('</nav>', f'{nav}</nav>')}{my_body}\n{body}"

    def write(self, path: Path) -> Path:
        """Write the page atomically and return its path."""
        write_atomic(path, self.html().encode())
        return path

    def _linked(self, body: str) -> str:
        """Return the body without the links of tables that lead nowhere: of what they name nothing is shown."""
        ids = set(_ID.findall(body))
        return _LINK.sub(lambda match: match[0] if safe(unquote(html.unescape(match[1]))) in ids else match[2], body)

    def _details(self, label: str, remark: str, body: str, is_open: bool) -> None:
        soft = f"<span>{safe(remark)}</span>" if remark else ""
        opened = " open" if is_open else ""
        self._body.append(f"<details{opened}><summary>{safe(label)}{soft}</summary>{body}</details>")


def _nav(header: str) -> str:
    """Return the links of a page's head."""
    return header.partition("<nav>")[2].partition("</nav>")[0]


def _is_number(value: Cell) -> bool:
    if isinstance(value, Strong | Shade):
        value = value.text
    if isinstance(value, str):
        return bool(_AMOUNT.fullmatch(value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _id(anchor: str) -> str:
    return f' id="{safe(anchor)}"' if anchor else ""


def _cell(value: Cell) -> str:
    if isinstance(value, Link):
        return f'<a href="#{safe(quote(value.anchor))}">{safe(value.text)}</a>'
    if isinstance(value, Strong):
        return f"<b>{safe(value.text)}</b>"
    if isinstance(value, Shade):
        share = min(max(value.share, 0.0), 1.0)
        return f'<span class="shade" style="--p:{share:.3f}">{safe(value.text)}</span>'
    return safe(value if isinstance(value, str) else number(value))


def _block(text: str) -> str:
    return html.escape(visible(text), quote=True)


def _differences(left: str, right: str) -> tuple[str, str]:
    a, b = _WORD.findall(visible(left)), _WORD.findall(visible(right))
    shown: tuple[list[str], list[str]] = ([], [])
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for out, words in zip(shown, (a[i:j], b[k:m]), strict=True):
            piece = html.escape("".join(words), quote=True)
            out.append(piece if kind == "equal" or not piece else f"<mark>{piece}</mark>")
    return "".join(shown[0]), "".join(shown[1])


def _in_common(left: str, right: str) -> tuple[str, str]:
    """Mark runs of words that both texts have, whatever the case and the punctuation among them."""
    texts = visible(left), visible(right)
    words = [list(re.finditer(r"\w+", text)) for text in texts]
    a, b = ([word[0].casefold() for word in of_text] for of_text in words)
    least = min(COMMON_WORDS, len(a), len(b))
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    runs = [block for block in blocks if block.size >= max(least, 1)]
    starts = [[block.a for block in runs], [block.b for block in runs]]
    shown = []
    for text, of_text, begins in zip(texts, words, starts, strict=True):
        spans = [
            (of_text[begin].start(), of_text[begin + block.size - 1].end())
            for begin, block in zip(begins, runs, strict=True)
        ]
        shown.append(_marked(text, spans))
    return shown[0], shown[1]


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    pieces, at = [], 0
    for start, stop in spans:
        pieces += [html.escape(text[at:start]), f"<mark>{html.escape(text[start:stop])}</mark>"]
        at = stop
    return "".join([*pieces, html.escape(text[at:])])

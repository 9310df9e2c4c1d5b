"""Texts cut into coloured pieces, as tokenizers cut them: side by side, one text at a time, found by its words."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foundation.page.charts import safe
from foundation.text import visible


@dataclass(frozen=True, slots=True)
class Cut:
    """How one of those that are compared cuts a text.

    Attributes:
        name: of who cuts; note: about it, in soft colour.
        pieces: (characters, numbers of what they are) in order; more numbers than one where a character itself is cut.
    """

    name: str
    note: str
    pieces: Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class CutText:
    """A text and how each cuts it; group: texts of one stand together in the choice."""

    label: str
    group: str
    cuts: Sequence[Cut]


@cache
def script() -> str:
    """Return the script that shows one text at a time."""
    return Path(__file__).with_name("pieces.js").read_text(encoding="utf-8")


def cut_texts(texts: Sequence[CutText]) -> str:
    """Return the HTML of texts with a choice among them. Without scripts all of them stand below each other."""
    numbered = enumerate(texts)
    groups = "".join(
        f'<optgroup label="{safe(group)}">'
        + "".join(f'<option value="{number}">{safe(text.label)}</option>' for number, text in of_it)
        + "</optgroup>"
        for group, of_it in itertools.groupby(numbered, lambda each: each[1].group)
    )
    choice = (
        f'<div class="choice" hidden><label>Text <select>{groups}</select></label> <button type="button">Next</button> '
        '<label>that holds <input type="search" placeholder="any words"></label> <output></output></div>'
    )
    return f'<div class="cuts">{choice}{"".join(map(_text, texts))}<p class="told" hidden>&nbsp;</p></div>'


def cut_table(headers: Sequence[str], rows: Iterable[tuple[str, Sequence[Cut]]]) -> str:
    """Return the HTML of a table: name of a text, how each cuts it, into how many."""
    head = "".join(f"<th>{safe(header)}</th>" for header in headers)
    cells = (
        (name, "".join(f"<td>{_pieces(cut)} <small>{_count(cut)}</small></td>" for cut in cuts)) for name, cuts in rows
    )
    body = "".join(f"<tr><td>{safe(name)}</td>{each}</tr>" for name, each in cells)
    table = f'<table class="short"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _text(text: CutText) -> str:
    cuts = "".join(
        f"<div><h4>{safe(cut.name)} <span>{safe(cut.note)}</span></h4>{_pieces(cut)}</div>" for cut in text.cuts
    )
    return f'<div class="cut"><h4>{safe(text.group)}: {safe(text.label)}</h4><div class="by">{cuts}</div></div>'


def _pieces(cut: Cut) -> str:
    return f'<p class="pieces">{"".join(_piece(text, numbers) for text, numbers in cut.pieces)}</p>'


def _piece(text: str, numbers: Sequence[int]) -> str:
    several = ' class="several"' if len(numbers) > 1 else ""
    drawn = visible(text.replace("\r", "␍")).replace("\t", "⇥\t").replace("\n", "⏎\n")
    return f'<i title="{" ".join(map(str, numbers))}"{several}>{html.escape(drawn, quote=True)}</i>'


def _count(cut: Cut) -> int:
    return sum(len(numbers) for _, numbers in cut.pieces)

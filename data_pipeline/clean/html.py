"""HTML to text. A page that can't be read whole goes to quarantine whole: no page is shortened without a word."""

from __future__ import annotations

import math
from collections import Counter
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.html_detect import is_html
from data_pipeline.clean.html_engines import Engine, Unread
from data_pipeline.clean.html_shape import ATTRIBUTES, DEPTH, NODES, OPTIONS, UNCLOSED, shapes
from data_pipeline.clean.rules import EXAMPLES, Applied, Example, Failed, Limit, Rule, with_text
from data_pipeline.documents import SNIPPET_CHARS
from foundation.errors import require

EXTRACTED = "html_extracted"
ANCHOR_CHARS = 24  # of a text, by which its place in the page is found
_BEFORE_CHARS = 80  # of the page that are shown before that place


class Html(Rule):
    """Replaces pages of HTML by their text. Counts `html_extracted`; other documents stay as they are.

    Scores, NaN of other documents: `html_text_ratio`, bytes of text to bytes of page, and `html_depth`, how many
    elements are open at once (html_shape.py).

    Some shapes make any parser slow, or make it take text for something else. They are told beforehand, and such pages
    go to quarantine with the reasons `html_depth`, `html_attributes`, `html_options`, `html_nodes` and `html_unclosed`;
    so do pages that the engine can't read. What an engine by its own judgement leaves out, as it does with navigation,
    is not text of the page; a page with none becomes an empty document.

    Put it first: the rules after it are made for text.

    Args:
        engine: what makes text of a page.
        only_html: `auto`: documents that begin as a whole page does (html_detect.py); `always`: all.
        min_text_ratio: least bytes of text to bytes of page (`html_little_text`); 0: any.
        max_depth: of elements inside elements. libxml2 drops what is deeper than 256, browsers than 512.
        max_attributes: of one tag.
        max_options: in one `<select>`.
        max_nodes: elements, texts and comments of a page, as a parser makes them: 270 bytes of memory each.
        max_unclosed_bytes: of the comment, tag, script, or the like that a page ends in: its end is missing, and what
            may be text is taken for a part of it. A crawl that cuts pages off leaves many such.
    Raises:
        SettingError: a value that can't work.
    Source: the limits are measured on resiliparse 2.0.1: html_shape.py and docs/benchmarks/html_cpu.md.
    """

    decide_alone: ClassVar[frozenset[str]] = frozenset({"min_text_ratio"})

    def __init__(
        self,
        engine: Engine,
        only_html: Literal["auto", "always"] = "auto",
        min_text_ratio: float = 0.0,
        max_depth: int = 256,
        max_attributes: int = 512,
        max_options: int = 4_000,
        max_nodes: int = 4_000_000,
        max_unclosed_bytes: int = 0,
    ) -> None:
        require(min_text_ratio >= 0, "min_text_ratio", min_text_ratio, "a ratio of 0 or more")
        require(1 <= max_depth <= 10_000, "max_depth", max_depth, "a number from 1 to 10000")
        for name, value in (("max_attributes", max_attributes), ("max_options", max_options), ("max_nodes", max_nodes)):
            require(value >= 1, name, value, "1 or more")
        require(max_unclosed_bytes >= 0, "max_unclosed_bytes", max_unclosed_bytes, "0 or more")
        self.limits = (
            Limit("html_text_ratio", least=min_text_ratio, below="html_little_text", least_key="min_text_ratio"),
        )
        self._engine, self._only_html, self._max_depth = engine, only_html, max_depth
        self._most = (
            (DEPTH, max_depth, "html_depth"),
            (ATTRIBUTES, max_attributes, "html_attributes"),
            (OPTIONS, max_options, "html_options"),
            (NODES, max_nodes, "html_nodes"),
            (UNCLOSED, max_unclosed_bytes, "html_unclosed"),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        chosen = is_html(texts) if self._only_html == "auto" else np.ones(len(texts), bool)
        scores = {name: np.full(len(texts), math.nan) for name in ("html_text_ratio", "html_depth")}
        if not chosen.any():
            return Applied(batch, scores)
        pages = texts if chosen.all() else texts.filter(pa.array(chosen))
        read, depths = self._read(pages)
        scores["html_depth"][chosen] = depths
        positions = np.flatnonzero(chosen).tolist()
        failed = [
            Failed(position, each.reason)
            for position, each in zip(positions, read, strict=True)
            if isinstance(each, Unread)
        ]
        new = pa.array([None if isinstance(each, Unread) else each for each in read], pa.large_string())
        scores["html_text_ratio"][chosen] = _ratios(new, pages)
        examples = _examples(batch.column("row"), positions, pages, read)
        replaced = pc.fill_null(new, "") if chosen.all() else pc.replace_with_mask(texts, pa.array(chosen), new)
        done = with_text(batch, pc.fill_null(replaced, ""))
        if failed:
            left = np.ones(len(texts), bool)
            left[[each.position for each in failed]] = False
            done, scores = done.filter(pa.array(left)), {name: column[left] for name, column in scores.items()}
        return Applied(done, scores, +Counter({EXTRACTED: len(read) - len(failed)}), examples, failed)

    def _read(self, pages: pa.LargeStringArray) -> tuple[list[str | Unread], np.ndarray]:
        """Return the text of each page or why there is none, and how deep each is, (pages,) int64."""
        found = shapes(pages, self._max_depth)
        read: list[str | Unread] = [""] * len(pages)
        fits = np.ones(len(pages), bool)
        for column, most, reason in self._most:
            outside = (found[:, column] > most) & fits
            fits &= ~outside
            for page in np.flatnonzero(outside).tolist():
                read[page] = Unread(reason)
        given = pages if fits.all() else pages.filter(pa.array(fits))
        for page, each in zip(np.flatnonzero(fits).tolist(), self._engine.extract(given.to_pylist()), strict=True):
            read[page] = each
        return read, found[:, DEPTH]


def _ratios(texts: pa.LargeStringArray, pages: pa.LargeStringArray) -> np.ndarray:
    """Return bytes of text to bytes of page, NaN of an empty page and where there is no text."""
    sizes = pc.binary_length(pages).to_numpy(zero_copy_only=False)
    text_sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    ratios: np.ndarray = np.divide(text_sizes, sizes, out=np.full(len(sizes), math.nan), where=sizes > 0)
    return ratios


def _examples(
    rows: pa.Int64Array, positions: list[int], pages: pa.LargeStringArray, read: list[str | Unread]
) -> list[Example]:
    """Return the first pages that became text: the part of the page where the text begins, and how it begins."""
    examples: list[Example] = []
    for number, (position, text) in enumerate(zip(positions, read, strict=True)):
        if len(examples) == EXAMPLES:
            break
        if isinstance(text, str):
            page = pages[number].as_py()
            place = max(0, page.find(text.lstrip()[:ANCHOR_CHARS]) - _BEFORE_CHARS)
            before = page[place : place + SNIPPET_CHARS]
            examples.append(Example(EXTRACTED, rows[position].as_py(), before, text[:SNIPPET_CHARS]))
    return examples

"""What turns a page of HTML into text: resiliparse in this process, trafilatura in one that may die."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

from data_pipeline.clean.extras import load_extra
from data_pipeline.clean.html_process import Limits, PageProcess
from foundation.errors import require


class Unread(NamedTuple):
    """A page that an engine could not turn into text. Attributes: reason: one word, e.g. `html_cpu_time`."""

    reason: str


class Engine(ABC):
    """Turns pages into text. What becomes of a page depends on nothing but the page."""

    @abstractmethod
    def extract(self, pages: list[str]) -> list[str | Unread]:
        """Return the text of each page; an empty one where it holds no text to read."""


class Resiliparse(Engine):
    """resiliparse's `extract_plain_text`: a parser after the HTML standard, and rules of thumb for the main content.

    Loads nothing from outside and expands no entity but those of the standard. On pages within the default limits of
    the rule its time is in proportion to their length.

    Args:
        main_content: leave out navigation, footers, advertisements, and elements that are hidden.
        preserve_formatting: keep the ends of lines and paragraphs; False: one line.
        list_bullets: write a bullet or a number before the items of lists.
        alt_texts: of images.
        links: write where links lead after their text.
        form_fields: what forms hold.
        noscript: what pages say where no scripts run.
        comments: of readers, with main_content.
    Source: Bevendorff et al. 2018, "Elastic ChatNoir", and resiliparse 2.0's documentation.
    """

    def __init__(
        self,
        main_content: bool = True,
        preserve_formatting: bool = True,
        list_bullets: bool = True,
        alt_texts: bool = True,
        links: bool = False,
        form_fields: bool = False,
        noscript: bool = False,
        comments: bool = True,
    ) -> None:
        self.options = {
            "main_content": main_content,
            "preserve_formatting": preserve_formatting,
            "list_bullets": list_bullets,
            "alt_texts": alt_texts,
            "links": links,
            "form_fields": form_fields,
            "noscript": noscript,
            "comments": comments,
        }

    def extract(self, pages: list[str]) -> list[str | Unread]:
        extract_plain_text = load_extra("resiliparse.extract.html2text", "resiliparse", "HTML").extract_plain_text
        refused = load_extra("resiliparse.parse.html", "resiliparse", "HTML").HTMLParserException
        return [_read_or(refused, extract_plain_text, page, self.options) for page in pages]


def _read_or(refused: type[Exception], extract: Any, page: str, options: dict[str, bool]) -> str | Unread:
    try:
        text: str = extract(page, **options)
    except refused:
        return Unread("html_parser")
    return text


class Trafilatura(Engine):
    """trafilatura's `extract`, in a process of its own that is started anew when a page ends it.

    Many times slower than resiliparse, and more careful about what is main content. A page that takes more than its
    time or memory, or crashes the parser, goes to quarantine alone, as `html_cpu_time`, `html_memory` or `html_crash`,
    after a second try in a fresh process: so that what became of it is its own doing, not that of the pages before.

    The limit on time is the one thing here that a slower machine decides otherwise: a page near it may be text there
    and unreadable here. It counts processor time, not hours waited, and by default is some thousand times what a
    usual page takes: then two runs give the same bytes. Memory is limited on Linux alone.

    lxml 6.1 drops text without a word below a depth of 256, beyond 10 MB, and after `</html>`, and trafilatura drops
    pages with references to control characters; html_child.py sees to each. No DTD is loaded, and nothing from outside.

    Args:
        favor: `precision`, `recall` or `balanced`.
        comments: of readers.
        tables: what they hold.
        links: write where links lead.
        formatting: keep headings, lists and emphasis, as Markdown writes them.
        max_cpu_s: processor time of a page, in seconds.
        max_memory_bytes: address space of the process.
    Raises:
        SettingError: a limit is too small to work with.
    Source: Barbaresi 2021, "Trafilatura: A Web Scraping Library and Command-Line Tool for Text Discovery and
        Extraction"; adbar/trafilatura issues 216 (leaks), 657 (memory) and 704 (endless).
    """

    def __init__(
        self,
        favor: Literal["precision", "balanced", "recall"] = "precision",
        comments: bool = False,
        tables: bool = True,
        links: bool = False,
        formatting: bool = False,
        max_cpu_s: float = 60.0,
        max_memory_bytes: int = 2 << 30,
    ) -> None:
        require(max_cpu_s > 0, "max_cpu_s", max_cpu_s, "seconds, more than 0")
        require(max_memory_bytes >= 256 << 20, "max_memory_bytes", max_memory_bytes, "256 MiB or more")
        self.options = {
            "favor_precision": favor == "precision",
            "favor_recall": favor == "recall",
            "include_comments": comments,
            "include_tables": tables,
            "include_links": links,
            "include_formatting": formatting,
        }
        self._limits = Limits(max_cpu_s, max_memory_bytes)
        self._process: PageProcess | None = None

    def extract(self, pages: list[str]) -> list[str | Unread]:
        load_extra("trafilatura.settings", "trafilatura", "HTML")  # to say so here where it is missing
        if self._process is None:
            self._process = PageProcess(self.options, self._limits)
        answers = self._process.read([page.encode() for page in pages])
        return [text if text is not None else Unread(reason) for text, reason in answers]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_process": None}  # a worker starts its own

"""The page of a comparison: what to choose by, from the whole to single tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from data_pipeline.compare_tokenizers import page_vocabulary
from data_pipeline.compare_tokenizers.figures import SPREAD, Figures, Rate
from data_pipeline.compare_tokenizers.measure import Measured
from data_pipeline.compare_tokenizers.sample import Sample
from data_pipeline.tokens.kinds import BLANK, BLANKS, INDENT, LINE_END, NAMES, SCRIPTS
from data_pipeline.tokens.vocabulary import RARE
from foundation.page import Bar, Cut, CutText, Page, Strong
from foundation.progress import human
from foundation.text import number_of

GROUP_TITLES = {
    "source": "By source",
    "language": "By language",
    "split": "Training and held-out documents",
    "writing": "Code and other text",
}
GROUP_NOTES = {
    "language": "Each document by the language that fastText's lid.176 takes it for; unsure: its probability is below "
    "0.65, or there is no word.",
    "split": "A tokenizer that was trained on the training documents may know them better than what comes later: the "
    "held-out ones of the same source tell. Few documents tell little.",
    "writing": "Dense in code signs: of the characters that are no white space, one in twenty or more is one of "
    "{ } ( ) [ ] ; = _",
}
ONE = {
    NAMES[BLANKS]: "a run of blanks inside a line",
    NAMES[INDENT]: "an indentation",
    NAMES[LINE_END]: "a run of line ends",
}
Cell = str | int | float | Strong | None


def write_page(
    path: Path,
    title: str,
    sample: Sample,
    measured: Measured,
    found: Sequence[Figures],
    texts: Sequence[CutText],
    cuts: Sequence[tuple[str, Sequence[Cut]]],
) -> None:
    """Write the page.

    Args:
        title: what the text is called.
        texts, cuts: as of `examples`.
    """
    page = Page(f"Tokenizers on {title}", _subtitle(sample, measured, found))
    _glance(page, sample, found)
    page.section("The same text, cut by each")
    page.text(
        "A colour is a token; a waved line marks characters that are cut themselves, into several tokens. Point at "
        "one: it is framed in every cut, with its ids below."
    )
    page.cut_texts(texts)
    _rates(page, measured, found)
    _kinds(page, found, cuts)
    page_vocabulary.show_sizes(page, found)
    page_vocabulary.show_use(page, found)
    page_vocabulary.show_tokens(page, found)
    _round_trip(page, sample, found)
    _how(page, sample, measured)
    page.write(path)


def _subtitle(sample: Sample, measured: Measured, found: Sequence[Figures]) -> str:
    held = human(int(measured.sizes.sum()), "B")
    whole = sum(sample.text_bytes)
    of = f" of {'about ' if sample.is_estimate else ''}{human(whole, 'B')}" if whole > measured.sizes.sum() else ""
    return f"{number_of(len(found), 'tokenizer')}, {held}{of} of text, {number_of(len(measured.sizes), 'document')}."


def _glance(page: Page, sample: Sample, found: Sequence[Figures]) -> None:
    page.section("At a glance")
    page.heading("Bytes per token: longer is cheaper to train on and to serve")
    page.bars(
        [
            Bar(each.name, each.whole.bytes_per_token or 0.0, note=f"{each.whole.bytes_per_token or 0:.3f}")
            for each in found
        ]
    )
    headers = ["tokenizer", "vocabulary", "bytes per token", "tokens per word", f"tokens against {found[0].name}"]
    page.table(
        [*headers, "M tokens of 1 GB", "M tokens in all"],
        [
            [
                each.name,
                each.vocab_size,
                _fixed(each.whole.bytes_per_token),
                _fixed(each.whole.tokens_per_word),
                f"{each.against_first:.1%}",
                f"{each.of_1_gb / 1e6:,.1f}",
                f"{each.whole_tokens / 1e6:,.2f}",
            ]
            for each in found
        ],
    )
    is_part = sum(sample.text_bytes) > int(sample.sizes.sum())
    known = "about " if sample.is_estimate else ""
    page.text(
        f"In all: of the whole corpus, {known}{human(sum(sample.text_bytes), 'B')} of text"
        + (", each source by its own rate in the sample." if is_part else ", which is the sample.")
    )
    page.table(
        ["tokenizer", "vocabulary used", f"used < {RARE} times", "single-byte tokens", "unknown", "texts returned"],
        [
            [
                each.name,
                _share(each.coverage.num_tokens - each.coverage.unused, each.coverage.num_tokens),
                _share(each.coverage.rare, each.coverage.num_tokens),
                _share(each.coverage.singles, each.coverage.tokens),
                each.coverage.unknown,
                "all" if each.lost is None else f"{each.came_back:,} of {each.whole.documents:,}",
            ]
            for each in found
        ],
    )  # fmt: skip


def _rates(page: Page, measured: Measured, found: Sequence[Figures]) -> None:
    page.section("Bytes per token, by what is written")
    page.text("Bytes of the texts to their tokens, without the end-of-text tokens. The best of a line stands in bold.")
    for what, title in GROUP_TITLES.items():
        page.heading(title)
        if what not in found[0].groups:
            page.text(_why_not(what, measured))
            continue
        if what in GROUP_NOTES:
            page.text(GROUP_NOTES[what])
        groups = found[0].groups[what]
        rows: list[list[Cell]] = []
        for name, rate in groups.items():
            values = [each.groups[what][name].bytes_per_token for each in found]
            rows.append([name, rate.documents, human(rate.utf8_bytes, "B"), *_compared(values, max)])
        page.table(["", "documents", "text", *(each.name for each in found)], rows)
        page.folded_table(
            "Spread over the documents, tokens per word, single-byte tokens",
            [
                "",
                "tokenizer",
                *(f"{percent} % have at most" for percent in SPREAD),
                "tokens per word",
                "single-byte tokens",
            ],
            [_spread(name, each, each.groups[what][name]) for name in groups for each in found],
        )


def _spread(name: str, each: Figures, rate: Rate) -> list[Cell]:
    spread = [_fixed(value) for value in rate.spread or (None,) * len(SPREAD)]
    singles = None if rate.singles_frac is None else f"{rate.singles_frac:.2%}"
    return [name, each.name, *spread, _fixed(rate.tokens_per_word), singles]


def _why_not(what: str, measured: Measured) -> str:
    if what == "language":
        return f"Not told: {measured.no_languages}."
    if what == "split":
        return "This text has no split into training and held-out documents: that of a data folder has (data_dir=)."
    return "The sample is of one kind alone: all of it code, or none."


def _kinds(page: Page, found: Sequence[Figures], cuts: Sequence[tuple[str, Sequence[Cut]]]) -> None:
    page.section("What costs many tokens")
    page.heading("How short texts are cut")
    page.cut_table(["", *(each.name for each in found)], cuts)
    names = [name for name in found[0].kinds if name != NAMES[BLANK]]  # nearly all of them are part of words' tokens
    page.heading("White space and digits")
    page.text("How many tokens one takes. An indentation's last blank is mostly part of the word behind it.")
    costs = {"a digit": [each.digits for each in found]}
    costs |= {ONE[name]: [each.white_space[name] for each in found] for name in found[0].white_space}
    page.table(
        ["", *(each.name for each in found)], [[name, *_compared(values, min)] for name, values in costs.items()]
    )
    page.heading("Kinds of characters: bytes per token")
    page.text(
        "Bytes of such characters to the tokens that end in one: a blank before a word is part of the word's token and "
        "costs nothing. Upper-case words have two capitals or more and no other letter."
    )
    _kind_table(page, found, [name for name in names if name not in SCRIPTS])
    page.heading("Scripts: bytes per token")
    page.text("Of their letters. Below the bytes of one character (1 to 4), a character takes several tokens.")
    _kind_table(page, found, [name for name in names if name in SCRIPTS])
    page.heading("Single-byte tokens")
    page.text("Their share of the tokens that end in such characters: beyond ASCII, each is a part of a character.")
    page.table(
        ["", *(each.name for each in found)],
        [[name, *(_share(each.kinds[name].singles, each.kinds[name].tokens) for each in found)] for name in names],
    )


def _kind_table(page: Page, found: Sequence[Figures], names: Sequence[str]) -> None:
    rows: list[list[Cell]] = []
    for name in names:
        values = [each.kinds[name].bytes_per_token for each in found]
        rows.append([name, human(found[0].kinds[name].utf8_bytes, "B"), *_compared(values, max)])
    page.table(["", "text", *(each.name for each in found)], rows)


def _round_trip(page: Page, sample: Sample, found: Sequence[Figures]) -> None:
    page.section("There and back")
    page.text("Each text of the sample was encoded, and the bytes of its tokens held against its own.")
    page.table(
        ["tokenizer", "texts", "came back", "encoded by"],
        [
            [each.name, each.whole.documents, each.came_back, each.engine.removeprefix("encoded by ")]
            for each in found
        ],
    )  # fmt: skip
    for each in found:
        if each.lost is not None:
            page.heading(f"{each.name}: the first that came back otherwise")
            page.text(each.lost.document)
            page.table(["", "text"], [["was", repr(each.lost.text)], ["came back as", repr(each.lost.back)]])


def _how(page: Page, sample: Sample, measured: Measured) -> None:
    page.section("What was read")
    sizes = measured.sizes
    rows: list[list[Cell]] = []
    for place, name in enumerate(sample.sources):
        mine = sizes[sample.source_of == place]
        rows.append([name, len(mine), human(int(mine.sum()), "B"), human(sample.text_bytes[place], "B")])
    whole = "of the whole source, about" if sample.is_estimate else "of the whole source"
    page.table(["source", "documents", "text", whole], rows)
    if sample.held_out is None:
        page.text("Documents as the sources give them, before any cleaning.")
    else:
        page.text("Documents of a finished data folder, as cleaning and deduplication left them, held-out ones too.")
    if sample.unreadable:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(sample.unreadable.items()))
        page.text(f"Records that could not be read, and were left out: {reasons}.")


def _compared(values: Sequence[float | None], best: Callable[[Iterable[float]], float]) -> list[Cell]:
    """Return the values of a row as cells, the best of several in bold."""
    known = [value for value in values if value is not None]
    top = best(known) if len(known) > 1 and min(known) < max(known) else None
    shown = map(_fixed, values)
    return [Strong(text) if text and value == top else text for value, text in zip(values, shown, strict=True)]


def _fixed(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _share(part: int, whole: int) -> str | None:
    return f"{part / whole:.2%}" if whole else None

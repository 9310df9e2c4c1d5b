"""What the page shows of the vocabularies: what their size costs and pays, how the text uses them, single tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from data_pipeline.compare_tokenizers.figures import PADDED, Figures
from data_pipeline.tokens.vocabulary import RARE, Used
from foundation.page import Line, Page
from foundation.text import one_line

FEW, SHOWN_CHARS = 15, 32  # tokens that are not folded away, and what is shown of one


def show_sizes(page: Page, found: Sequence[Figures]) -> None:
    """Show what a vocabulary's size costs, and what it pays."""
    page.section("What the size costs, and what it pays")
    d_models = list(found[0].parameters)
    page.text(
        f"Parameters of the embedding, vocabulary padded to a multiple of {PADDED} x d_model; where input and output "
        "embedding are two, twice that."
    )
    page.table(
        ["tokenizer", "vocabulary", "padded", *(f"M, d_model {d_model:,}" for d_model in d_models)],
        [
            [each.name, each.vocab_size, each.padded, *(f"{each.parameters[d] / 1e6:,.1f}" for d in d_models)]
            for each in found
        ],
    )
    lines = [
        Line(each.name, [at.vocab_size for at in each.curve], [at.bytes_per_token for at in each.curve], dots=True)
        for each in found
        if each.curve
    ]
    if not lines:
        return
    page.heading("With the first merges alone")
    page.text(
        "A BPE tokenizer adds merges in the order of their use: with its first ones alone it is the tokenizer that the "
        "same training gives for a smaller vocabulary. Where the curve is flat, more entries buy little."
    )
    page.lines(lines, "vocabulary", "bytes per token", log_x=True)
    rows: list[list[str | int]] = [
        [each.name, point.vocab_size, f"{point.bytes_per_token:.3f}", _gain(each, place)]
        for each in found
        for place, point in enumerate(each.curve)
    ]
    page.folded_table(
        "The figures", ["tokenizer", "vocabulary", "bytes per token", "fewer tokens than the size before"], rows
    )
    missing = [each.name for each in found if not each.curve]
    if missing:
        page.text(f"No BPE, and so without a curve: {', '.join(missing)}.")


def _gain(each: Figures, place: int) -> str:
    if not place:
        return ""
    return f"{1 - each.curve[place - 1].bytes_per_token / each.curve[place].bytes_per_token:.1%}"


def show_use(page: Page, found: Sequence[Figures]) -> None:
    """Show how much of each vocabulary the text uses, and how steeply use falls."""
    page.section("How the text uses the vocabularies")
    page.text(
        f"A token that training hardly meets keeps the embedding it was born with: fewer than {RARE} uses in the "
        "sample make it a candidate (arXiv:2405.05417); a larger corpus uses it proportionally more often. Out of "
        "reach: not even the token's own text is encoded as it."
    )
    page.table(
        ["tokenizer", "tokens", "never used", "", f"1 to {RARE - 1} times", "", "out of reach", "broken characters"],
        [
            [
                each.name,
                each.coverage.num_tokens,
                each.coverage.unused,
                _share(each.coverage.unused, each.coverage.num_tokens),
                each.coverage.rare,
                _share(each.coverage.rare, each.coverage.num_tokens),
                each.unreachable,
                _share(each.coverage.fragments, each.coverage.tokens),
            ]
            for each in found
        ],
    )  # fmt: skip
    page.text("Broken characters: share of the text's tokens that are no whole characters.")
    page.heading("Uses by rank")
    lines = [Line(each.name, *each.ranks) for each in found if each.ranks[0]]
    page.lines(lines, "rank of the token", "uses in the sample", log_y=True, log_x=True)


def show_tokens(page: Page, found: Sequence[Figures]) -> None:
    """Show single tokens of each vocabulary side by side; white space is drawn."""
    page.section("Tokens to look at")
    page.text(
        "␣ is a blank, ⏎ a line end, ⇥ a tab, <E2> a byte that is no whole character. Uses are those in the sample."
    )
    page.heading("Most frequent")
    headers = [header for each in found for header in (each.name, "uses")]
    page.table(headers, _side_by_side([each.most_frequent[:FEW] for each in found], _uses))
    more = [each.most_frequent[FEW:] for each in found]
    page.folded_table("More of them", headers, _side_by_side(more, _uses))
    for title, number, lists in (
        ("Longest", "uses", [each.longest for each in found]),
        ("Longest that were never used", "bytes", [each.longest_unused for each in found]),
        ("Longest out of reach", "uses", [each.out_of_reach for each in found]),
    ):
        if any(lists):
            names = [header for each in found for header in (each.name, number)]
            told = _bytes if number == "bytes" else _uses
            page.folded_table(title, names, _side_by_side(lists, told))


def _side_by_side(lists: Sequence[Sequence[Used]], told: Callable[[Used], int]) -> list[list[str | int]]:
    """Return rows of the lists beside each other, each token with a number of it."""
    rows: list[list[str | int]] = []
    for tokens in itertools.zip_longest(*lists):
        cells = [("", "") if token is None else (one_line(token.shown, SHOWN_CHARS), told(token)) for token in tokens]
        rows.append([cell for pair in cells for cell in pair])
    return rows


def _uses(token: Used) -> int:
    return token.uses


def _bytes(token: Used) -> int:
    return token.num_bytes


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else ""

"""What the tokens of each source are like, on the page and in the closing tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from data_pipeline.report.tables import table
from data_pipeline.shards.manifest import SPLITS, Manifest
from foundation.page import Page
from foundation.text import one_line

WORDS, NUMBERS = ["split", "source"], ["entropy", "ids used", "repeated", "single bytes", "unknown", "longest"]
ID_CHARS = 90
ABOUT = (
    "Entropy: bits a token, of how often each id occurs; of prose 8 to 11, of code less. "
    "Ids used: of the vocabulary. Repeated: tokens with the id of the one before, white space left out, as runs of "
    "one sign and padding have them. Single bytes: tokens whose text is one byte; letters of a script or language that "
    "the tokenizer has not learnt are two or three of them, binary data is nearly all of it. Unknown: tokens for text "
    "that the vocabulary can't write. Longest: tokens of the longest document. End-of-text tokens count in that one "
    "alone."
)
LENGTHS = "Documents by their tokens: from the number above a column, up to twice that."


def show_tokens(page: Page, manifest: Manifest, alarms: Sequence[str]) -> None:
    """Add a section; none where nobody counted.

    Args:
        alarms: a line for each limit that a source's tokens pass.
    """
    rows = list(_rows(manifest))
    if not rows:
        return
    page.section("What the tokens are like", "tokens")
    for alarm in alarms:
        page.text(f"Alarm: {alarm}.")
    page.text(ABOUT)
    page.table([*WORDS, *NUMBERS, "which it is"], rows)
    held = [(split, name, each.health) for split in SPLITS for name, each in manifest.splits[split].items()]
    bins = max(len(health.lengths) for _, _, health in held if health is not None)
    page.text(LENGTHS)
    counts = [
        [split, name, *(f"{count:,}" for count in health.lengths), *[""] * (bins - len(health.lengths))]
        for split, name, health in held
        if health is not None
    ]
    page.table([*WORDS, *(f"{1 << place:,}" for place in range(bins))], counts)


def tokens_table(manifest: Manifest) -> Table:
    """Return the closing table."""
    made = table(WORDS, NUMBERS)
    for row in _rows(manifest):
        made.add_row(*row[:-1])
    return made


def _rows(manifest: Manifest) -> Iterator[list[str]]:
    """Yield a row a source and split: the words, the numbers, the longest document's id."""
    for split in SPLITS:
        for name, held in manifest.splits[split].items():
            health = held.health
            if health is None:
                continue
            shares = (health.repeated_tokens, health.single_byte_tokens, health.unknown_tokens)
            numbers = [f"{health.entropy_bits:.2f}", f"{health.used_ids / manifest.vocab_size:.1%}"]
            numbers += [f"{health.share(tokens):.2%}" for tokens in shares]
            yield [split, name, *numbers, f"{health.longest_tokens:,}", one_line(health.longest_id, ID_CHARS)]

"""What the page shows of the tokenizer: how far a token reaches in each source, what the vocabulary is used for."""

from __future__ import annotations

import itertools

from data_pipeline.shards.manifest import SPLITS, Manifest, SourceManifest
from data_pipeline.tokens.sampled import Sampled
from data_pipeline.tokens.vocabulary import Used
from foundation.page import Page
from foundation.progress import human
from foundation.text import number_of, one_line

SHOWN_CHARS = 44  # of a token
COMPARE = "python -m data_pipeline.compare_tokenizers data_dir=<this folder> tokenizers='[<this folder>,other.json]'"


def show_tokenizer(page: Page, manifest: Manifest, found: Sampled) -> None:
    """Add the section.

    Args:
        found: what a sample of the texts is in tokens.
    """
    page.section("The tokenizer")
    page.text("Bytes of text to a token, by source; end-of-text tokens don't count.")
    page.table(
        ["source", *SPLITS],
        [
            [source, *(_bytes_per_token(manifest.splits[split].get(source)) for split in SPLITS)]
            for source in manifest.splits[SPLITS[0]]
        ],
    )
    of_text = f"{human(found.utf8_bytes, 'B')} of {number_of(found.texts, 'text')}"
    page.heading(f"In a sample, {of_text}")
    used, num_tokens = found.coverage, found.coverage.num_tokens
    came_back = "all" if found.came_back == found.texts else f"{found.came_back:,} of {found.texts:,}"
    came_back = "all" if found.came_back == found.texts else f"{found.came_back:,} of {found.texts:,}"
    page.facts(
        {
            "Come back byte for byte": came_back,
            "Tokens per word": round(used.tokens / found.words, 3) if found.words else None,
            "Vocabulary used": f"{(num_tokens - used.unused) / max(num_tokens, 1):.1%}",
            "Single-byte tokens": f"{used.singles / max(used.tokens, 1):.1%}",
        }
    )
    page.text(f"Beside others, in full: {COMPARE}")
    page.folded_table(
        "Most frequent and longest tokens (␣ is a blank, ⏎ a line end, <E2> a byte)",
        ["most frequent", "uses", "longest", "bytes"],
        [
            [*_cells(frequent, "uses"), *_cells(long, "num_bytes")]
            for frequent, long in itertools.zip_longest(found.most_frequent, found.longest)
        ],
    )


def _bytes_per_token(source: SourceManifest | None) -> float | None:
    if source is None or source.tokens <= source.documents:
        return None
    return round(source.utf8_bytes / (source.tokens - source.documents), 3)


def _cells(token: Used | None, told: str) -> tuple[str, str | int]:
    return ("", "") if token is None else (one_line(token.shown, SHOWN_CHARS), int(getattr(token, told)))

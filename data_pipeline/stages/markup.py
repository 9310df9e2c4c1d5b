"""How many texts begin as HTML once the rules have had them: it is trained on as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.html_detect import is_fragment, is_html

MARKUP = "markup"  # in facts: source -> how many documents there are, and how many of them begin so
HTML_KEY = "html_key"  # in facts, as of `html_key`
_RULE = "data_pipeline.clean.html.Html"


def count_markup(texts: pa.LargeStringArray) -> dict[str, int]:
    """Return how many `documents` there are, and how many begin as `pages` and as `fragments` of HTML."""
    pages, fragments = (int(np.count_nonzero(found(texts))) for found in (is_html, is_fragment))
    return {"documents": len(texts), "pages": pages, "fragments": fragments}


def html_key(raw_clean: dict[str, Any]) -> str:
    """Return the config key of the rule that takes text out of HTML; empty where there is none."""
    rules = raw_clean.get("rules")
    named = rules.items() if isinstance(rules, dict) else ()
    found = [label for label, raw in named if raw.get("_target_") == _RULE]
    return f"clean.rules.{found[0]}" if found else ""

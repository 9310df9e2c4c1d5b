"""Where a long text can be cut with the ids of the pieces being those of the whole: where its split cuts it anyway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.tokenize.sentencepiece_split import WORD

# No alternative of these splits goes on from a letter or digit into a space, a line end or one of these signs, and none
# looks back. (An apostrophe is no such sign: o200k's words go on through it.) `_` is of GPT-2's signs, which end there,
# but cl100k's go on into a line end. Letters and digits are Python's, all of which are so for tokenizers.
_SIGNS = re.escape(".,;:!?()，。、；：！？（）「」『』《》…")
AFTER_WORD = re.compile(rf"[^\W_](?=[ \n{_SIGNS}])")
BEFORE_SPACE = re.compile("[^ ](?= )")  # of a SentencePiece model, whose words are spaces and then what is none

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SIGNS_AND_SPACE = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
)
_CASED_END = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Published splits, as they stand in a tokenizer.json.
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _SIGNS_AND_SPACE  # Llama 3, OLMo 2
QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _SIGNS_AND_SPACE
QWEN35 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = f"{_CASED[0]}{_CONTRACTIONS}?|{_CASED[1]}{_CONTRACTIONS}?|" + r"\p{N}{1,3}" + _CASED_END
NEMOTRON = f"{_CASED[0]}|{_CASED[1]}|" + r"\p{N}" + _CASED_END
# cl100k as tiktoken writes it, and with a single line end
CL100K_OTHERS = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s+",
    CL100K.replace(r"\s*[\r\n]+|", r"\s*[\r\n]|"),
)
DEEPSEEK = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)
_ALONE = frozenset((GPT2, CL100K, QWEN2, QWEN35, O200K, NEMOTRON, *CL100K_OTHERS))


def border_of(record: dict[str, Any]) -> re.Pattern[str] | None:
    """Return what matches the character before each place where a text may be cut; None where no such place is known.

    Args:
        record: the JSON of a tokenizer.json.
    """
    steps = _steps(record.get("pre_tokenizer"))
    if _normalizer(record) is None and _splits_after_words(steps):
        border = AFTER_WORD
    elif prepends_space(record) and _splits_before_spaces(steps):
        border = BEFORE_SPACE
    else:
        return None
    added = [token for token in record.get("added_tokens") or [] if not token["special"]]
    for token in added:
        if border.search(token["content"]) or token["lstrip"] or token["rstrip"] or token["single_word"]:
            return None
    return border


def prepends_space(record: dict[str, Any]) -> bool:
    """Return whether the only change before the split is a space that is put before the text, or none."""
    return _normalizer(record) in (None, {"type": "Prepend", "prepend": " "})


def _normalizer(record: dict[str, Any]) -> Any:
    """Return the normalizer; None also for a sequence of none, as DeepSeek's file has it."""
    normalizer = record.get("normalizer")
    return None if normalizer == {"type": "Sequence", "normalizers": []} else normalizer


def cut_text(text: str, max_chars: int, border: re.Pattern[str] = AFTER_WORD) -> Iterator[str]:
    """Cut a long text where its split cuts it anyway: the pieces' ids are the text's, end to end.

    A piece is longer than `max_chars` only up to the first such place after it.

    Args:
        border: what `border_of` gives.
    """
    start = 0
    while len(text) - start > max_chars:
        match = border.search(text, start + max_chars - 1)
        if match is None:
            break
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def _steps(split: dict[str, Any] | None) -> list[dict[str, Any]]:
    if split is None:
        return []
    if split["type"] == "Sequence":
        return [step for each in split["pretokenizers"] for step in _steps(each)]
    return [split]


def _splits_after_words(steps: list[dict[str, Any]]) -> bool:
    """Return whether the steps are digits or published splits, and bytes at last."""
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space", True):
        return False
    *before, last = [step for step in steps if step["type"] != "Digits"]
    patterns = tuple(_pattern(step) for step in before)
    known = patterns == DEEPSEEK or (len(patterns) == 1 and patterns[0] in _ALONE)
    return known or (not patterns and bool(last.get("use_regex", True)))


def _splits_before_spaces(steps: list[dict[str, Any]]) -> bool:
    """Return whether the last step cuts SentencePiece's words, and the one before cuts names that hold no space."""
    if not steps or _pattern(steps[-1]) != WORD:
        return False
    before = steps[:-1]
    return not before or (
        len(before) == 1
        and before[0].get("behavior") == "MergedWithPrevious"
        and " " not in (_pattern(before[0]) or " ")
    )


def _pattern(step: dict[str, Any]) -> str | None:
    isolates = step["type"] == "Split" and not step.get("invert")
    return step["pattern"].get("Regex") if isolates else None

"""Added tokens of a tokenizer.json: whether they are what the file says, and which texts give them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tokenizers import Tokenizer

from data_pipeline.tokenize.errors import TokenizerError


def require_apart(tokenizer: Tokenizer, record: dict[str, Any], where: str) -> None:
    """Refuse added tokens that tokenizers numbers otherwise than the file, or that hide one another.

    Special-token text in a document is text. Where it lies across an added token that is not special, tokenizers finds
    the special one first, passes over it, and never sees the other. (Ordinary ones may overlap: the leftmost, then the
    longest is taken, as GPT-NeoX's runs of spaces are.)

    Args:
        record: the file's JSON.
        where: the key and file that errors name.
    Raises:
        TokenizerError: names both tokens, or both ids.
    """
    added = record.get("added_tokens") or []
    for problem in (_numbers(tokenizer, added), _overlaps(added)):
        if problem is not None:
            raise TokenizerError(f"{where}: {problem}")


def _numbers(tokenizer: Tokenizer, added: list[dict[str, Any]]) -> str | None:
    for what in ("content", "id"):
        counts = Counter(token[what] for token in added)
        if twice := [value for value, count in counts.items() if count > 1]:
            return f"two added tokens have the {what} {twice[0]!r}; keep one"
    ids = tokenizer.get_vocab(with_added_tokens=False)
    taken = {index: text for text, index in ids.items()}
    for token in added:
        text, index = token["content"], token["id"]
        found = tokenizer.token_to_id(text)
        if found != index:
            own = f"the vocabulary's own {text!r} has it" if text in ids else "they follow the vocabulary without a gap"
            return f"the added token {text!r} has the id {index}, but tokenizers gives it {found}: {own}; renumber it"
        if taken.get(index, text) != text:
            return f"the added token {text!r} and the vocabulary's {taken[index]!r} have one id, {index}; renumber one"
    return None


def _overlaps(added: list[dict[str, Any]]) -> str | None:
    special = [token["content"] for token in added if token["special"]]
    ordinary = [token["content"] for token in added if not token["special"]]
    for one in special:
        for other in ordinary:
            if lie_across(one, other):
                return (
                    f"the added tokens {one!r} (special) and {other!r} (not special) can lie across each other in a "
                    "text, where one would hide the other; make both special, or leave one out"
                )
    return None


def lie_across(one: str, other: str) -> bool:
    """Return whether two texts can share characters in a third: one holds the other, or ends as the other begins."""
    if one in other or other in one:
        return True
    return any(
        left.endswith(right[:size])
        for left, right in ((one, other), (other, one))
        for size in range(1, min(len(left), len(right)))
    )

"""The JSON of tokenizers that are made from other formats, as tokenizers reads it."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def record_of(
    model: Record, special: dict[str, int], normalizer: Record | None, pre_tokenizer: Record | None, decoder: Record
) -> Record:
    """Return a tokenizer.json.

    Args:
        special: text -> id of its special tokens.
    """
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(text, index) for text, index in sorted(special.items(), key=lambda each: each[1])],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def byte_level_bpe(vocab: dict[str, int], merges: list[list[str]], special: dict[str, int]) -> Record:
    """Return that of a byte-level BPE tokenizer with GPT-2's split."""
    model = bpe_model(vocab, merges)
    split = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return record_of(model, special, None, split, split)


def bpe_model(vocab: dict[str, int], merges: list[list[str]], **others: Any) -> Record:
    """Return a BPE model; merges: best first."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **others,
        "vocab": vocab,
        "merges": merges,
    }


def split(pattern: str, behavior: str = "Isolated") -> Record:
    """Return the pre-tokenizer that cuts at the matches of a regular expression."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def sequence(kind: str, steps: list[Record]) -> Record | None:
    """Return steps one after another; the only one by itself; None for none.

    Args:
        kind: `normalizers`, `pretokenizers` or `decoders`.
    """
    if len(steps) < 2:
        return steps[0] if steps else None
    return {"type": "Sequence", kind: steps}


def _special(text: str, index: int) -> Record:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": text, **flags, "special": True}

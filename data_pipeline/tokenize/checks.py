"""Whether a tokenizer.json can be used: byte-level, nothing lost, an end-of-text token that no text can produce."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
from tokenizers import Tokenizer, pre_tokenizers

from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts

END_OF_TEXT = "<|endoftext|>"
USABLE = "give a byte-level BPE tokenizer.json, or train one with tokenizer=bpe"
SHOWN_CHARS = 60
BYTE_LEVEL = ("BPE", "Unigram", "WordPiece")  # models that can be
_KINDS = " or ".join(BYTE_LEVEL)
_CUT = re.compile(r"\.\{1,(\d+)\}")  # a pattern that cuts pieces after so many characters


def load(tokenizer_json: bytes, where: str) -> Tokenizer:
    """Parse a tokenizer.json for encoding documents: special-token text is ordinary text, nothing is cut or padded.

    Args:
        where: the key or file that errors name.
    Raises:
        TokenizerError: it is no tokenizer.json.
    """
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    except Exception as error:  # tokenizers raises Exception itself
        raise TokenizerError(f"{where}: not a tokenizer.json that tokenizers can read ({error}); {USABLE}") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def check(tokenizer_json: bytes, eot_token: str, texts: Iterable[str], where: str) -> None:
    """Refuse a tokenizer that would lose bytes or documents' ends.

    Args:
        eot_token: text of the end-of-text token.
        texts: tried beside the probe's texts, e.g. a sample of the corpus.
        where: the key or file that errors name.
    Raises:
        TokenizerError: says what is wrong, and with which text it shows.
    """
    tokenizer, record = load(tokenizer_json, where), orjson.loads(tokenizer_json)
    _check_byte_level(tokenizer, record, where)
    eot_id = end_of_text(tokenizer, eot_token, where)
    for text in (eot_token, *probe_texts(added_texts(record)), *texts):
        ids = _ids(tokenizer, text)
        if eot_id in ids:
            raise TokenizerError(
                f"{where}: {text[:SHOWN_CHARS]!r} in a document gives the end-of-text token itself: merges or a byte's "
                f"own token make it; choose another tokenizer.eot_token, e.g. {END_OF_TEXT}"
            )
        back = tokenizer.decode(ids, skip_special_tokens=False)
        if back != text:
            raise TokenizerError(f"{where}: loses bytes: {_around(text, back)}; {USABLE}")


def end_of_text(tokenizer: Tokenizer, eot_token: str, where: str) -> int:
    """Return the id of the end-of-text token.

    Raises:
        TokenizerError: the tokenizer has no such special token; names those it has.
    """
    special = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    if eot_token not in special:
        known = ", ".join(sorted(special)) or "none"
        raise TokenizerError(
            f"tokenizer.eot_token: {eot_token!r} is no special token of the tokenizer ({where}); it has: {known}; "
            "name one of them"
        )
    return special[eot_token]


def vocab_size(tokenizer: Tokenizer) -> int:
    """Return one more than the largest id (ids may have holes)."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def added_texts(record: dict[str, Any]) -> list[str]:
    """Return the texts of a tokenizer.json's added tokens, special or not."""
    return [token["content"] for token in record.get("added_tokens") or []]


def _check_byte_level(tokenizer: Tokenizer, record: dict[str, Any], where: str) -> None:
    model, decoder = record["model"], (record.get("decoder") or {}).get("type")
    if model.get("type") not in BYTE_LEVEL or decoder != "ByteLevel":
        found = f"model {model.get('type')}, decoder {decoder}"
        raise TokenizerError(f"{where}: {found}; only byte-level {_KINDS} keeps every byte and is read here; {USABLE}")
    if model["type"] == "WordPiece":
        _check_bounded(record, where)
    if model.get("dropout"):
        raise TokenizerError(
            f"{where}: dropout {model['dropout']} encodes the same text differently each time; "
            "set its model.dropout to null"
        )
    missing = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(tokenizer.get_vocab(with_added_tokens=False)))
    if missing:
        shown = "".join(missing[:16])
        raise TokenizerError(f"{where}: {len(missing)} of the 256 bytes have no token of their own ({shown}); {USABLE}")


def _check_bounded(record: dict[str, Any], where: str) -> None:
    """Refuse a WordPiece whose pieces may be too long for it, or that writes tokens inside of a word another way."""
    model, split = record["model"], record.get("pre_tokenizer") or {}
    last = (split.get("pretokenizers") or [split])[-1]
    pattern = str((last.get("pattern") or {}).get("Regex", "")) if last.get("type") == "Split" else ""
    cut, most = _CUT.fullmatch(pattern), model["max_input_chars_per_word"]
    if cut is None or int(cut[1]) > most or last.get("behavior") != "Isolated":
        raise TokenizerError(
            f"{where}: WordPiece gives the unknown token for pieces of more than {most} characters, and its "
            f"pre-tokenizer does not end with a split of .{{1,{most}}}; train one with tokenizer=wordpiece"
        )
    if model["continuing_subword_prefix"]:
        raise TokenizerError(
            f"{where}: WordPiece with the prefix {model['continuing_subword_prefix']!r} would lose it in a text; "
            "train one without it with tokenizer=wordpiece"
        )


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    return ids


def _around(text: str, back: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    start = max(place - 10, 0)
    return f"{text[start : start + SHOWN_CHARS]!r} comes back as {back[start : start + SHOWN_CHARS]!r}"

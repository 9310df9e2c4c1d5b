"""Whether a tokenizer.json can be used: no byte is lost, and no text can produce a special token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from tokenizers import Tokenizer

from data_pipeline.shards.token_bytes import TokenBytes, byte_chars, byte_pieces, read_token_bytes
from data_pipeline.tokenize.added import require_apart
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts

END_OF_TEXT = "<|endoftext|>"
USABLE = (
    "give a byte-level tokenizer.json without a normalizer, or a SentencePiece .model (tokenizer=sentencepiece), or "
    "train one with tokenizer=bpe"
)
SHOWN_CHARS = 60
MAX_VOCAB = (1 << 31) - 1  # ids of shards are int32
MODELS = ("BPE", "Unigram", "WordPiece")
SHOWN_BYTES = 16
LONG_WORD = 1 << 20  # characters; a limit above it is none


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
    behind = _keeps_bytes(tokenizer, record, where)
    end_of_text(tokenizer, eot_token, where)
    require_apart(tokenizer, record, where)
    added = added_texts(record)
    for text in (*probe_texts([eot_token, *added]), *_long_words(record["model"]), *texts):
        ids = _ids(tokenizer, text, where)
        if special := behind.special.intersection(ids):
            token = tokenizer.id_to_token(min(special))
            what = "the end-of-text token" if token == eot_token else f"the special token {token!r}"
            raise TokenizerError(
                f"{where}: {text[:SHOWN_CHARS]!r} in a document gives {what} itself: merges or a byte's own token make "
                f"it; choose another text for it (tokenizer.eot_token), e.g. {END_OF_TEXT}"
            )
        back = tokenizer.decode(ids, skip_special_tokens=False)
        if back != text:
            raise TokenizerError(f"{where}: loses bytes: {_around(text, back)}; {USABLE}")
        if behind.text_of(ids) != text.encode():
            raise TokenizerError(
                f"{where}: the bytes of the tokens of {text[:SHOWN_CHARS]!r} are not the text's, so no loss could be "
                f"counted by the byte; {USABLE}"
            )


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


def _keeps_bytes(tokenizer: Tokenizer, record: dict[str, Any], where: str) -> TokenBytes:
    """Return the bytes of the tokens of a tokenizer that has some for every text.

    Raises:
        TokenizerError: it is of a kind that has not, is not the same each time, or has ids above what shards hold.
    """
    model = record["model"]
    if model.get("type") not in MODELS:
        raise TokenizerError(
            f"{where}: model {model.get('type')}; of {', '.join(MODELS)} some keep every byte; {USABLE}"
        )
    if random := [f"{key} {model[key]}" for key in ("dropout", "alpha", "nbest_size") if model.get(key)]:
        raise TokenizerError(
            f"{where}: {random[0]} encodes the same text differently each time; set its "
            f"model.{random[0].split()[0]} to null"
        )
    if (size := vocab_size(tokenizer)) > MAX_VOCAB:
        raise TokenizerError(
            f"{where}: the id {size - 1} is above {MAX_VOCAB - 1:,}, the largest that shards hold (int32); number the "
            "tokens anew"
        )
    try:
        behind = read_token_bytes(tokenizer, record)
    except ValueError as error:
        raise TokenizerError(f"{where}: {error}: model {model['type']}; {USABLE}") from error
    alphabet = byte_pieces() if model.get("byte_fallback") else byte_chars()
    missing = sorted(set(alphabet) - set(tokenizer.get_vocab(with_added_tokens=False)))
    if missing:
        shown = " ".join(missing[:SHOWN_BYTES])
        raise TokenizerError(f"{where}: {len(missing)} of the 256 bytes have no token of their own ({shown}); {USABLE}")
    return behind


def _long_words(model: dict[str, Any]) -> list[str]:
    """Return a word above the length from which WordPiece takes any for unknown."""
    longest = model.get("max_input_chars_per_word", LONG_WORD)
    return ["a" * (longest + 1)] if longest < LONG_WORD else []


def _ids(tokenizer: Tokenizer, text: str, where: str) -> list[int]:
    try:
        ids: list[int] = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    except Exception as error:  # tokenizers raises Exception itself
        raise TokenizerError(f"{where}: can't encode {text[:SHOWN_CHARS]!r} ({error}); {USABLE}") from error
    return ids


def _around(text: str, back: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    start = max(place - 10, 0)
    return f"{text[start : start + SHOWN_CHARS]!r} comes back as {back[start : start + SHOWN_CHARS]!r}"

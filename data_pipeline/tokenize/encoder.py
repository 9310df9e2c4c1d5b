"""Documents to token ids, by the faster engine where both give the same."""

from __future__ import annotations

from typing import Literal

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.shards.index import dtype_for
from data_pipeline.tokenize.checked import CheckedEngine, first_difference
from data_pipeline.tokenize.checks import END_OF_TEXT, SHOWN_CHARS, added_texts, end_of_text, load, vocab_size
from data_pipeline.tokenize.engines import Engine, GigatokenEngine, TokenizersEngine
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts


class Encoder:
    """Turns documents into token ids: ordinary text only, and one end-of-text token after each document.

    Which engine encodes is chosen when it is made: gigatoken where it is installed and gives the ids of tokenizers on
    every text of the probe; it is held against them again on a sample of each batch, which goes to tokenizers where
    they differ. So far they never did: all code points in five contexts, two splits, were tried, too.

    Args:
        tokenizer_json: bytes of the file.
        eot_token: text of the end-of-text token.
        engine: `auto`, or one by name.
    Attributes:
        engine: `gigatoken` or `tokenizers`.
        engine_reason: why it is that one.
        eot_id, vocab_size, dtype: of the ids; uint16 where the vocabulary allows, else int32.
    Raises:
        TokenizerError: the file can't be read, has no such token, or the engine named can't be used.
    """

    def __init__(
        self,
        tokenizer_json: bytes,
        eot_token: str = END_OF_TEXT,
        engine: Literal["auto", "gigatoken", "tokenizers"] = "auto",
    ) -> None:
        tokenizer, record = load(tokenizer_json, "tokenizer.json"), orjson.loads(tokenizer_json)
        self.eot_id = end_of_text(tokenizer, eot_token, "tokenizer.json")
        self.vocab_size = vocab_size(tokenizer)
        self.dtype = dtype_for(self.vocab_size)
        self._engine: Engine = TokenizersEngine(tokenizer, record)
        self.engine_reason = "asked for"
        if engine != "tokenizers":
            fast, self.engine_reason = _gigatoken(record, self._engine)
            self._engine = fast or self._engine
        self.engine = self._engine.name
        if engine not in ("auto", self.engine):
            raise TokenizerError(
                f"the engine gigatoken can't be used: {self.engine_reason}; leave the choice to `auto`"
            )

    def describe(self) -> str:
        """Return which engine encodes, and why when it is the slow one; of a batch that was just encoded."""
        if isinstance(self._engine, CheckedEngine) and self._engine.differed:
            return f"encoded by {TokenizersEngine.name} where {self.engine} gives other ids"
        is_fast = self.engine == GigatokenEngine.name
        return f"encoded by {self.engine}" + (", checked against tokenizers" if is_fast else f": {self.engine_reason}")

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """Encode documents.

        Args:
            texts: their texts, without nulls.
        Returns:
            ids (num_tokens,) of `dtype`, end to end; lengths (len(texts),) int32, each with its end-of-text.
        Raises:
            TokenizerError: a text gives the end-of-text id itself.
        """
        ids, offsets = self.encode_texts(texts)
        ends = offsets[1:] + np.arange(len(texts))  # where the end-of-text tokens go
        out = np.empty(len(ids) + len(texts), self.dtype)
        is_text = np.ones(len(out), np.bool_)
        is_text[ends] = False
        out[is_text] = ids
        out[ends] = self.eot_id
        return out, (np.diff(offsets) + 1).astype(np.int32)

    def encode_texts(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """Encode documents without their end-of-text: what `encode` lays out, for who lays it out otherwise.

        Args:
            texts: their texts, without nulls.
        Returns:
            ids (num_tokens,) uint32, end to end; offsets (len(texts) + 1,) int64 into them, from 0.
        Raises:
            TokenizerError: a text gives the end-of-text id itself.
        """
        ids, offsets = self._engine.encode(texts)
        is_end = ids == self.eot_id
        if is_end.any():
            text = texts[int(np.searchsorted(offsets, np.argmax(is_end), side="right")) - 1].as_py()
            raise TokenizerError(
                f"tokenizer.eot_token: the text that begins {text[:SHOWN_CHARS]!r} gives the end-of-text id itself; "
                "choose a token that no text can become"
            )
        return ids, offsets


def _gigatoken(record: dict[str, object], reference: Engine) -> tuple[Engine | None, str]:
    """Return gigatoken's engine, or None, and the reason."""
    try:
        engine = GigatokenEngine(record, reference)
    except ImportError as error:
        return None, f"gigatoken is not installed ({error}); pip install gigatoken"
    except Exception as error:  # whatever it refuses a tokenizer with, tokenizers takes it
        return None, f"gigatoken refuses this tokenizer ({error})"
    texts = probe_texts(added_texts(record))
    if (place := first_difference(engine, reference, pa.array(texts, pa.large_string()))) is not None:
        return None, f"gigatoken gives other ids than tokenizers for {texts[place]!r} of the probe"
    return CheckedEngine(engine, reference), f"gives the ids of tokenizers on {len(texts)} texts of the probe"

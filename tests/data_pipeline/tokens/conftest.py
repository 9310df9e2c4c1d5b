"""Small tokenizers that the tests count by."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.probe import WRITTEN


@pytest.fixture(scope="session")
def byte_level() -> bytes:
    """A byte-level tokenizer.json of 340 tokens."""
    texts = [f"{text} the other words of these lines, over and over\n    again" for text in WRITTEN] * 3
    return ByteLevelBPE(vocab_size=340).train(iter(texts))


@pytest.fixture(scope="session")
def sentence_piece() -> bytes:
    """A tokenizer.json as SentencePiece's become: a blank before each text; bytes for all that has no piece."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), " ", *"abcdenrthw", "th", " th", " the"]
    merges = [("t", "h"), (" ", "th"), (" th", "e")]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken("</s>", special=True, normalized=False)])
    return tokenizer.to_str().encode()

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.tokenize.checks import load
from data_pipeline.tokens.pieces import cut

TEXTS = st.text(st.one_of(st.sampled_from(" \n\tab the12'😀é的\u200d"), st.characters(codec="utf-8")), max_size=40)


@given(TEXTS)
def test_pieces_are_the_text_and_their_ids_its_tokens(byte_level: bytes, sentence_piece: bytes, text: str) -> None:
    text = text.replace("▁", "_")
    for tokenizer in (load(byte_level, "x"), load(sentence_piece, "x")):
        pieces = cut(tokenizer, text)
        assert "".join(piece.text for piece in pieces) == text
        ids = [index for piece in pieces for index in piece.ids]
        assert ids == (tokenizer.encode(text, add_special_tokens=False).ids if text else ids)


def test_a_character_that_is_cut_is_one_piece(byte_level: bytes) -> None:
    pieces = cut(load(byte_level, "x"), "a\U0001f9ff.")
    assert [piece.text for piece in pieces] == ["a", "\U0001f9ff", "."]
    assert [len(piece.ids) for piece in pieces][1] > 1

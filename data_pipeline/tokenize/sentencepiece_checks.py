"""Which SentencePiece models keep every byte, and why the others don't."""

from __future__ import annotations

from collections import Counter

from data_pipeline.shards.token_bytes import byte_pieces
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.sentencepiece_model import Kind, SentencePieceModel
from data_pipeline.tokenize.sentencepiece_split import names_of, texts_of

SHOWN = 3
AS_TRAINED = "give the model as SentencePiece trained it"
OR = "or train one with tokenizer=bpe"


def require_lossless(model: SentencePieceModel, where: str) -> None:
    """Refuse a model with which text would not come back, or whose ids can't be kept.

    Args:
        where: the key and file that errors name.
    Raises:
        TokenizerError: says what is wrong and how such a model is trained.
    """
    for problem in (_rules(model), _pieces(model)):
        if problem is not None:
            raise TokenizerError(f"{where}: {problem}; {OR}")


def _rules(model: SentencePieceModel) -> str | None:
    if model.algorithm not in ("bpe", "unigram"):
        return f"a {model.algorithm} model has no pieces for every text; train it with --model_type=bpe or unigram"
    if model.has_charsmap:
        return (
            f"its normalisation {model.normalization!r} changes characters before they are encoded; train it with "
            "--normalization_rule_name=identity"
        )
    if model.remove_extra_whitespaces:
        return "it drops spaces (remove_extra_whitespaces); train it with --remove_extra_whitespaces=false"
    if not model.escape_whitespaces:
        return "its pieces hold plain spaces (escape_whitespaces is off); train it with the default"
    if model.space_as_suffix:
        return "its space goes behind words (treat_whitespace_as_suffix), which is not read here; train it without"
    return None


def _pieces(model: SentencePieceModel) -> str | None:
    texts = [piece.text for piece in model.pieces]
    absent = sorted(set(byte_pieces()) - {piece.text for piece in model.pieces if piece.kind == Kind.BYTE})
    if not model.byte_fallback or absent:
        return (
            f"it has no token for {len(absent)} of the 256 bytes, and a character without a piece is lost; train it "
            "with --byte_fallback=true"
        )
    if twice := [text for text, count in Counter(texts).items() if count > 1]:
        return f"the piece {twice[0]!r} is there twice; {AS_TRAINED}"
    if unused := [piece.text for piece in model.pieces if piece.kind == Kind.UNUSED]:
        return f"{len(unused)} pieces are marked unused ({unused[0]!r}), which is not read here; train it without"
    if (count := sum(piece.kind == Kind.UNKNOWN for piece in model.pieces)) != 1:
        return f"it has {count} unknown pieces where one belongs; {AS_TRAINED}"
    if spaced := [text for text in texts if " " in text]:
        return f"the piece {spaced[0]!r} holds a plain space, for which U+2581 stands; {AS_TRAINED}"
    return _characters(model) or _names(model)


def _characters(model: SentencePieceModel) -> str | None:
    """A character that only longer pieces hold would be bytes here where SentencePiece finds the longer piece."""
    normal = set(texts_of(model, Kind.NORMAL))
    if absent := sorted({char for text in normal for char in text} - normal):
        return (
            f"{len(absent)} characters are in pieces but are none themselves ({' '.join(absent[:SHOWN])}); {AS_TRAINED}"
        )
    return None


def _names(model: SentencePieceModel) -> str | None:
    names = names_of(model)
    if short := [name for name in names if len(name) < 2]:
        return (
            f"the control piece {short[0]!r} is a single character, which a text may hold; train it with a longer name"
        )
    return _symbols(texts_of(model, Kind.USER_DEFINED)) if model.algorithm == "unigram" else None


def _symbols(symbols: list[str]) -> str | None:
    """Unigram weighs symbols that lie across each other in a text, by a bonus that differs between its versions."""
    for one in symbols:
        for other in symbols:
            if any(one[place:] == other[: len(one) - place] for place in range(1, len(one))):
                return (
                    f"its symbols {one!r} and {other!r} (user_defined_symbols) can lie across each other in a text; "
                    "train it without one, or with --model_type=bpe"
                )
    return None

"""What stands behind the ids of tokenizers of the usual kinds."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.token_bytes import single_byte_ids, unknown_id


def test_a_byte_level_vocabulary_has_all_bytes_once() -> None:
    made = ByteLevelBPE(vocab_size=270).train(iter(["the théâtre of the \N{GREEK SMALL LETTER PI} and the rest " * 50]))
    tokenizer = Tokenizer.from_str(made.decode())
    single = single_byte_ids(made, 270)
    assert single.sum() == 256 and unknown_id(made) is None
    ids = tokenizer.encode("\N{GREEK SMALL LETTER PI} x").ids
    by_one = [single[number] for number in ids]
    assert by_one.count(True) >= 2  # whatever was merged, x is one byte and so is what comes before it, or in it
    assert not single[tokenizer.token_to_id("<|endoftext|>")]


def test_bytes_that_a_vocabulary_falls_back_to_are_single_and_letters_of_two_bytes_are_not() -> None:
    vocab = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    vocab |= {"\u2581": 257, "a": 258, "é": 259, "ab": 260}
    tokenizer = Tokenizer(
        models.BPE(vocab, [("a", "b")] if "b" in vocab else [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.ByteFallback()
    data = tokenizer.to_str().encode()
    single = single_byte_ids(data, 261)
    assert single[1:259].all() and not single[[0, 259, 260]].any()
    assert unknown_id(data) == 0


def test_a_unigram_vocabulary_is_a_list() -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581", -1.0), ("\u2581the", -2.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    data = tokenizer.to_str().encode()
    assert single_byte_ids(data, 3).tolist() == [False, True, False] and unknown_id(data) == 0


def test_an_added_token_of_one_byte_counts_and_a_special_one_does_not() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "word": 1}, unk_token="<unk>"))
    tokenizer.add_tokens(["!"])
    tokenizer.add_special_tokens(["\n"])
    data = tokenizer.to_str().encode()
    assert single_byte_ids(data, 4).tolist() == [False, False, True, False]

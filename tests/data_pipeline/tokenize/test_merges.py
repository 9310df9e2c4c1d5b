"""Merges are those of the plain algorithm, and of tokenizers' trainer where its 32-bit counts do not overflow."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.merges import NUM_BYTE_TOKENS, Merges, byte_order, find_merges, merge_plainly
from data_pipeline.tokenize.piece_table import PieceTable
from foundation.progress import Meter

Shown = tuple[list[str], list[tuple[str, str]]]


def counted(pieces: dict[bytes, int]) -> Counted:
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    table = PieceTable(1 << 30)
    data = np.frombuffer(b"".join(pieces), np.uint8).copy()
    assert not list(table.add(Counted(data, ends, np.array(list(pieces.values()), np.int64))))
    return table.take()


def found(pieces: dict[bytes, int], num_tokens: int, min_frequency: int) -> Merges:
    return find_merges(counted(pieces), num_tokens, min_frequency, Meter("merge", None, "merges"))


def of_tokenizers(texts: Iterable[str], num_tokens: int, min_frequency: int) -> Shown:
    """Return its vocabulary by id and its merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=num_tokens, min_frequency=min_frequency, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = orjson.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), [tuple(pair) for pair in model["merges"]]


def shown(merges: Merges) -> Shown:
    chars = byte_chars()
    texts = ["".join(chars[byte] for byte in token) for token in merges.tokens]
    return texts, [(texts[left], texts[right]) for left, right in merges.pairs]


def random_words(rng: random.Random) -> dict[bytes, int]:
    """Return words of one to four letters, so that pairs overlap, come and go: `aaaa`, `abab`."""
    alphabet = "abcd"[: rng.randrange(1, 5)] + ("é" if rng.random() < 0.2 else "")
    longest = rng.choice([5, 12, 60])
    words = {"".join(rng.choices(alphabet, k=rng.randrange(1, longest))).encode() for _ in range(rng.randrange(1, 40))}
    return {word: rng.choice([1, 1, 2, 7]) for word in sorted(words)}


@pytest.mark.parametrize("seed", range(8))
def test_merges_of_random_words_are_those_of_the_plain_algorithm_and_of_tokenizers(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        words = random_words(rng)
        num_tokens, min_frequency = NUM_BYTE_TOKENS + rng.randrange(1, 200), rng.randrange(4)
        ours = found(words, num_tokens, min_frequency)
        assert ours == merge_plainly(words, num_tokens, min_frequency), words
        text = " ".join(word for each, count in words.items() for word in [each.decode()] * count)
        assert shown(ours) == of_tokenizers([text], num_tokens, min_frequency), words


@pytest.mark.parametrize("seed", range(3))
def test_no_token_is_made_twice(seed: int) -> None:
    """What the kernel relies on: see the head of its file."""
    rng = random.Random(seed)
    for _ in range(200):
        tokens = found(random_words(rng), 2000, 1).tokens
        assert len(set(tokens)) == len(tokens)


def test_counts_beyond_32_bits_decide_as_they_should() -> None:
    """Three and five thousand million: tokenizers (0.23) counts in int32, where the pair that is most frequent has a
    negative count and vanishes, and the next has less than the third."""
    words = {b"th": 3_000_000_000, b"he": 5_000_000_000, b"in": 1_000_000_000}
    ours = shown(found(words, NUM_BYTE_TOKENS + 3, 2))[1]
    assert ours == [("h", "e"), ("t", "h"), ("i", "n")]
    assert shown(merge_plainly(words, NUM_BYTE_TOKENS + 3, 2))[1] == ours
    wrapped = {word: int(np.int64(count).astype(np.int32)) for word, count in words.items()}
    assert max(wrapped, key=wrapped.__getitem__) == b"in"
    assert not found(words, NUM_BYTE_TOKENS + 3, 6_000_000_000).pairs


def test_more_pairs_than_63_bits_count_are_refused() -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.sample_bytes: the sample has more pairs than 63 bits count"):
        found({b"abc": 1 << 62}, 300, 1)


def test_arrays_grow_as_they_fill_up() -> None:
    """Words that are all pairs, merged to the end: far more pairs and words than there was room for at first."""
    rng = random.Random(2)
    words = Counter(bytes(rng.choices(b"abcdefgh", k=rng.randrange(2, 40))) for _ in range(3000))
    ours = found(words, 20_000, 1)
    assert len(ours.pairs) > 10_000
    assert max(map(len, ours.tokens)) == max(map(len, words))
    text = " ".join(word for each, count in words.items() for word in [each.decode()] * count)
    assert shown(ours) == of_tokenizers([text], 20_000, 1)


def test_without_pairs_there_are_the_bytes() -> None:
    assert found({}, 300, 1) == found({b"a": 5, b"b": 1}, 300, 1) == merge_plainly({b"a": 5}, 300, 1)
    assert found({}, 300, 1).tokens == [bytes([byte]) for byte in byte_order()]
    assert found({b"abab": 9}, 256, 1).pairs == []


def test_a_vocabulary_of_two_thousand_million_takes_the_room_of_the_text() -> None:
    assert len(found({b"some": 2, b"words": 3}, (1 << 31) - 1, 1).pairs) == 7


def test_one_long_piece_is_merged_in_time() -> None:
    """A megabyte without a border: each place is looked at once a merge, not once a pair of them."""
    word = b"ab" * 500_000
    merges = found({word: 1}, 1000, 1)
    assert merges.tokens[-1] == word
    assert len(merges.pairs) < 40

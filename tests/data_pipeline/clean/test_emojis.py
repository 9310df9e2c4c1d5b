from __future__ import annotations

from collections.abc import Callable

import emoji
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.emojis import DROPPED, SPELT, Action, Emoji, known_emoji
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
QUALIFIED = sorted(chars for chars, data in emoji.EMOJI_DATA.items() if data["status"] <= 3)
words = st.text("ab 1#*\n©é", min_size=1, max_size=4)


@given(st.lists(st.tuples(words, st.sampled_from(QUALIFIED)), max_size=4), words)
def test_codes_are_those_of_the_package(batch_of: BatchOf, parts: list[tuple[str, str]], tail: str) -> None:
    text = "".join(word + each for word, each in parts) + tail
    applied = Emoji("spell").apply(batch_of("plain", text))
    # © by itself the package takes for an emoji
    plain = "".join(word.replace("©", "\x01") + each for word, each in [*parts, (tail, "")])
    assert applied.batch.column("text").to_pylist() == ["plain", emoji.demojize(plain).replace("\x01", "©")]
    assert applied.changed == ({SPELT: len(parts)} if parts else {})
    again = Emoji("spell").apply(applied.batch)
    assert again.batch is applied.batch


@given(st.lists(st.sampled_from(QUALIFIED), max_size=5))
def test_what_may_hold_an_emoji_is_seen(batch_of: BatchOf, many: list[str]) -> None:
    applied = Emoji("drop").apply(batch_of(*(f"a{each}b" for each in many)))
    assert applied.batch.column("text").to_pylist() == ["ab"] * len(many)


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("Great 😀 job", "Great job", 1),
        ("Great😀job 👍🏽👨‍👩‍👧", "Greatjob", 3),
        ("😀 first\nlast 😀\nmiddle😀 end", "first\nlast\nmiddle end", 3),
        ("I ❤️ you", "I you", 1),
        ("flag 🇩🇪, keycap 1️⃣ #1", "flag, keycap #1", 2),
        ("family of strangers 👩‍🦖!", "family of strangers!", 2),
    ],
)
def test_dropped_emoji_take_a_space_with_them(batch_of: BatchOf, text: str, expected: str, count: int) -> None:
    applied = Emoji("drop").apply(batch_of("plain", text))
    assert applied.batch.column("text").to_pylist() == ["plain", expected]
    assert applied.changed == {DROPPED: count}
    assert {(each.kind, each.row) for each in applied.examples} == {(DROPPED, 2)}


@pytest.mark.parametrize("action", ["drop", "spell"])
def test_what_is_text_by_default_stays(batch_of: BatchOf, action: Action) -> None:
    batch = batch_of("© 2020 ™ ® ✔ ❤ ↔ ☎ 1 # *", "नमस्ते क्\u200dष", "❤\ufe0e", "a\ufe0f")
    assert Emoji(action).apply(batch).batch is batch


def test_emoji_are_spelt_as_words(batch_of: BatchOf) -> None:
    applied = Emoji("spell", spelling="words").apply(batch_of("I❤️you 😀, 👍🏽👍"))
    assert applied.batch.column("text").to_pylist() == [
        "I red heart you grinning face, thumbs up medium skin tone thumbs up"
    ]
    assert (
        applied.examples[0].before == "I❤️you 😀, 👍🏽👍" and applied.examples[0].after == "I red heart you 😀, 👍🏽👍"
    )
    german = Emoji("spell", language="de").apply(batch_of("❤️"))
    assert german.batch.column("text").to_pylist() == [":rotes_herz:"]


def test_a_long_run_takes_no_longer_than_its_length(batch_of: BatchOf) -> None:
    text = "→" * 300_000 + "😀" * 300_000 + "\u200d" * 300_000
    assert Emoji("drop").apply(batch_of(text)).batch.column("text").to_pylist() == ["→" * 300_000]


def test_by_default_they_are_kept(batch_of: BatchOf) -> None:
    batch = batch_of("😀")
    assert Emoji().apply(batch).batch is batch


def test_settings_that_can_not_work_are_refused(batch_of: BatchOf) -> None:
    with pytest.raises(SettingError, match=r"^action: 'eat' is not allowed; give keep, drop, spell"):
        Emoji("eat")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"^language: 'xx' is not allowed; give one of en, "):
        known_emoji("xx")

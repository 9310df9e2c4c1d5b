"""Misspelt words replaced by a user's table of them; the project brings none."""

from __future__ import annotations

from typing import Any

from data_pipeline.clean.table_rule import TableRule


class Spelling(TableRule):
    """Replaces misspelt words by those that a table names: `teh` by `the`, `Teh` by `The`, `TEH` by `THE`.

    Words are whole ones, and the format of a table is that of `data_pipeline.clean.word_table`. Of an entry in small
    letters the case of the text is kept where it is that of a word at a sentence's begin or of a heading; else, and for
    an entry with capitals, the right word stands as the table writes it. Counts `misspellings_mended`.

    Args:
        words: wrong word -> right one, or language -> such a mapping.
        path: a file with the table, in its place; relative to where the command is typed.
        language_key: the key of a record that holds its language; entries of a language are for its documents alone.
        language: of documents without one.
    Raises:
        SettingError: both a table and a file, or an entry that can't work.
    """

    def __init__(
        self,
        words: dict[str, Any] | None = None,
        path: str | None = None,
        language_key: str | None = None,
        language: str | None = None,
    ) -> None:
        super().__init__(words, path, language_key, language, "misspellings_mended")

    def written(self, word: str, said: str, is_exact: bool, before: str, after: str) -> str:
        return said if is_exact else with_case(said, word)


def with_case(right: str, word: str) -> str:
    """Return the right word in the case of the one that it replaces: capitals, a capital first, else as it is."""
    if len(word) > 1 and word.isupper():
        return right.upper()
    return right[:1].upper() + right[1:] if word[:1].isupper() and word[1:] == word[1:].lower() else right

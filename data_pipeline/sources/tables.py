"""The settings that files with a column of text share, and which files they are."""

from __future__ import annotations

from typing import Any

from data_pipeline.sources.columnar import MAX_BLOCK_BYTES, Keys
from data_pipeline.sources.inputs import check_paths, check_source, find_files
from data_pipeline.sources.records import MAX_DOC_BYTES
from data_pipeline.sources.source import InputFile, Source


class Tables(Source):
    """Files with a column of text. The arguments are those of its sources; each says what `max_block_bytes` bounds.

    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        paths: list[str],
        source: str = "table",
        text_key: str = "text",
        id_key: str = "id",
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
        max_doc_bytes: int = MAX_DOC_BYTES,
        max_block_bytes: int = MAX_BLOCK_BYTES,
        storage_options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        check_paths(paths, storage_options)
        self._keys = Keys(text_key, id_key, max_doc_bytes, max_block_bytes)
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.paths, self.text_key, self.id_key = paths, text_key, id_key
        self.max_doc_bytes, self.max_block_bytes = max_doc_bytes, max_block_bytes
        self.storage_options = storage_options

    def files(self) -> list[InputFile]:
        return find_files(self.paths, self.name, self.storage_options, self.key)

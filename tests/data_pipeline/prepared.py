"""Imported in the process that runs are forked from: what each of them would do first, done once."""

from __future__ import annotations

import data_pipeline.pipeline  # noqa: F401
from data_pipeline.decontaminate.index import words_of_text
from data_pipeline.executors.libraries import prepare_libraries

prepare_libraries()
words_of_text("the first text of a process")

"""The documents of a finished data folder, as its tokenizer found them: read from what its stages left in work/."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.output_dir import WORK
from data_pipeline.records import Records
from data_pipeline.shards import manifest
from data_pipeline.stages.decontaminate import Decontaminate
from data_pipeline.stages.duplicates import ExactDuplicates, NearDuplicates
from data_pipeline.stages.filter import Filter
from data_pipeline.stages.paragraphs import CutParagraphs
from data_pipeline.stages.sample import Sample
from data_pipeline.stages.split import Split
from data_pipeline.stages.view import CLEAN, Partition, View
from foundation.errors import ConfigError

# whose decisions apply, in the order of `pipeline.run`; the copies that are added after them are left out
DECIDED = tuple(
    stage.name for stage in (Filter, ExactDuplicates, NearDuplicates, CutParagraphs, Split, Decontaminate, Sample)
)


def finished_view(folder: Path, key: str) -> View:
    """Return the documents of a data folder, held-out ones too; changed copies of documents are none of them.

    Args:
        key: that named the folder, for errors.
    Raises:
        ConfigError: it is no finished data folder, or its work folder is gone.
        DamagedFile: a file of it is not what was written.
    """
    if not (folder / manifest.NAME).is_file():
        what = f"has no {manifest.NAME}: its run was not finished" if (folder / WORK).is_dir() else "is no data folder"
        raise ConfigError(f"{key}: {folder} {what}; give a folder that `python -m data_pipeline` finished")
    work = folder / WORK
    if not all((work / stage / "stage.json").is_file() for stage in (CLEAN, *DECIDED)):
        raise ConfigError(
            f"{key}: {work} is not what a finished run leaves: the texts lie there, but not of a folder that was "
            "imported or merged; run it again, or give its input by corpus="
        )
    facts = Records(work / CLEAN, folder).facts("stage")["facts"]
    partitions = [Partition(**each) for each in facts["partitions"]]
    return View(work, partitions, facts["file_names"], DECIDED)

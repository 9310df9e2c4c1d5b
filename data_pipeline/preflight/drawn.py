"""The drawn part of a source, and the source that gives it to the pipeline: the same documents, parsed the same way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_pipeline.sources.source import Block, Corpus, InputFile, Parsed, Source


@dataclass(frozen=True, slots=True)
class DrawnBlock:
    """A block that was drawn; its bytes lie in the spool.

    Attributes:
        file: name of its file.
        size: bytes that it counts for: those of its records, or of the file where a block is a mere recipe.
        start, stop: in the spool.
    """

    file: str
    first_row: int
    offset_bytes: int
    unpacked_bytes: int
    size: float
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn of a source.

    Attributes:
        source: the original.
        files: name -> file, of those that something was drawn of, in their order.
        blocks: in the order of the source.
        spool: the file that holds their bytes.
        whole: bytes of the source, in the measure of the blocks' sizes; exact where all was read.
        num_files: of the source.
        read_files: of these, those that were read.
        read_bytes: as stored.
        stored_bytes: of all files; 0 where the source doesn't know.
        read_s: seconds that reading took.
        every: one block of so many was drawn.
    """

    source: Source
    files: dict[str, InputFile]
    blocks: list[DrawnBlock]
    spool: Path
    whole: float
    num_files: int
    read_files: int
    read_bytes: int
    stored_bytes: int
    read_s: float
    every: int

    @property
    def size(self) -> float:
        """Bytes that were drawn."""
        return sum(block.size for block in self.blocks)

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out."""
        return self.every == 1 and self.read_files == self.num_files and self.size >= self.whole

    @property
    def by_file(self) -> bool:
        """Whether files were drawn, not only blocks inside each."""
        return self.read_files < self.num_files

    def fewer(self, every: int) -> Drawn:
        """Return one block of so many."""
        blocks = self.blocks[::every]
        names = {block.file for block in blocks}
        return replace(self, blocks=blocks, files={name: file for name, file in self.files.items() if name in names})


class DrawnSource(Source):
    """Gives the pipeline what was drawn of a source, as if it were the source.

    Args:
        source: what was drawn, with the original.
    """

    def __init__(self, source: Drawn) -> None:
        self._drawn = source
        for attribute in Source.__annotations__:  # all of them: stages shall not tell it from the original
            setattr(self, attribute, getattr(source.source, attribute))

    def files(self) -> list[InputFile]:
        sizes = dict.fromkeys(self._drawn.files, 0.0)
        for block in self._drawn.blocks:
            sizes[block.file] += block.size
        return [InputFile(name, None, round(size)) for name, size in sizes.items()]

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        read = 0.0
        with self._drawn.spool.open("rb") as spool:
            for block in self._drawn.blocks:
                if block.file == file.name:
                    spool.seek(block.start)
                    data = spool.read(block.stop - block.start)
                    read += block.size
                    yield Block(block.first_row, block.offset_bytes, round(read), data, block.unpacked_bytes)

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        return self._drawn.source.parse(block, self._drawn.files[file.name], file_number)

    def advice(self) -> str:
        return self._drawn.source.advice()


class DrawnCorpus(Corpus):
    """The drawn parts of all sources, in their order."""

    def __init__(self, drawn: list[Drawn]) -> None:
        self._drawn = drawn

    def sources(self) -> list[Source]:
        return [DrawnSource(each) for each in self._drawn]

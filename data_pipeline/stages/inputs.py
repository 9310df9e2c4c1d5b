"""The input of the first stage: files in groups, blocks in partitions. Both are cut by sizes and content alone.

A *group* is one file, or a run of small files of one source that together hold no more than one partition; its files
are read in one go and are finished together. A *partition* is a run of records of a group. So a corpus of a million
small files does not become a million partitions, and a file that changes touches its group alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from data_pipeline.sources.source import Block, InputChanged, InputFile, Source
from foundation.hashes import hash_bytes


@dataclass(frozen=True, slots=True)
class NumberedFile:
    """An input file.

    Attributes:
        number: its own in the corpus.
        source: its source's.
    """

    file: InputFile
    number: int
    source: int


@dataclass(frozen=True, slots=True)
class NumberedBlock:
    """One block of a partition.

    Attributes:
        progress_bytes: of its file on disk, read since the block before.
    """

    block: Block
    file: NumberedFile
    progress_bytes: int

    def size_bytes(self) -> int:
        """Return what it counts for in a partition; a block's data may be packed, or a mere recipe."""
        return max(len(self.block.data), self.block.unpacked_bytes, self.progress_bytes)


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are read in one go.

    Attributes:
        number: of the group.
        source: which they belong to.
    """

    number: int
    source: Source
    files: list[NumberedFile]

    def name(self) -> str:
        """Return the group's name: the beginning of its partitions' names."""
        return f"{self.number:05d}"

    def state(self, again: bool = False) -> list[Any]:
        """Return what changes when one of its files does, without reading them; `again` as of `InputFile.state`."""
        return [[each.number, each.file.name, *each.file.state(again)] for each in self.files]

    def partitions(self, partition_bytes: int, on_read: Callable[[int], None]) -> Iterator[list[NumberedBlock]]:
        """Read the files and yield their blocks, packed into partitions.

        Args:
            partition_bytes: most bytes of records in a partition, one longer record excepted.
            on_read: is told the bytes on disk of each block that was read.
        Raises:
            InputError: a file can't be read to its end, or changed meanwhile; what was yielded of the group is void.
        """
        before = self.state()
        packed: list[NumberedBlock] = []
        held = 0
        for numbered in self._blocks(partition_bytes):
            on_read(numbered.progress_bytes)
            if packed and held + numbered.size_bytes() > partition_bytes:
                yield packed
                packed, held = [], 0
            packed.append(numbered)
            held += numbered.size_bytes()
        if self.state(again=True) != before:
            names = ", ".join(each.file.where for each in self.files[:3])
            raise InputChanged(f"{names}: changed while it was read; let its writer finish and run again")
        if packed:
            yield packed

    def _blocks(self, partition_bytes: int) -> Iterator[NumberedBlock]:
        for each in self.files:
            seen = 0
            for block in self.source.blocks(each.file, partition_bytes):
                yield NumberedBlock(block, each, block.read_bytes - seen)
                seen = block.read_bytes


def group_files(sources: list[Source], partition_bytes: int) -> list[Group]:
    """List the files of all sources, number them in order and put small neighbours together.

    Args:
        partition_bytes: a group of several files holds at most this, by their sizes on disk.
    Raises:
        InputError: a pattern matches nothing, a file can't be read.
    """
    groups: list[Group] = []
    number = 0
    for source_number, source in enumerate(sources):
        run: list[NumberedFile] = []
        held = 0
        for file in source.files():
            if run and held + file.size_bytes > partition_bytes:
                groups.append(Group(len(groups), source, run))
                run, held = [], 0
            run.append(NumberedFile(file, number, source_number))
            held += file.size_bytes
            number += 1
        if run:
            groups.append(Group(len(groups), source, run))
    return groups


def content_key(blocks: list[NumberedBlock]) -> list[Any]:
    """Return what a partition's documents depend on beside the settings: its content and its place."""
    return [
        [
            each.file.number,
            each.file.file.name,
            each.block.first_row,
            each.block.offset_bytes,
            hash_bytes(each.block.data),
        ]
        for each in blocks
    ]

"""Documents come out the same however the tokens are cut into files and reads."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.exchange.formats import UINT16, Place, TokenFile
from data_pipeline.exchange.stream import DocumentStream
from foundation.progress import Meter

VOCAB, EOT = 50, 7
BLANK = np.arange(VOCAB) % 2 == 0


def plainly(tokens: list[int], place: Place) -> list[list[int]]:
    """Documents with their end-of-text token behind them, token by token."""
    if place == "start":
        tokens = [*tokens[1:], EOT]
    found, document = [], []
    for token in tokens:
        document.append(token)
        if token == EOT:
            found.append(document)
            document = []
    return found


def read(stream: DocumentStream) -> list[list[int]]:
    found = []
    for ids, lengths in stream.read(Meter("", None, "")):
        ends = np.cumsum(lengths)
        assert ends[-1] == len(ids)
        found += [ids[stop - length : stop].tolist() for stop, length in zip(ends, lengths, strict=True)]
    return found


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize("seed", range(12))
def test_any_cut_gives_the_documents_of_the_plain_way(tmp_path: Path, place: Place, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 12, int(rng.integers(1, 300))).tolist()
    tokens = [EOT, *tokens] if place == "start" else [*tokens, EOT]
    cuts = sorted({0, len(tokens), *rng.integers(1, len(tokens), 3).tolist()})
    files = []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"head" + struct.pack(f"<{stop - start}H", *tokens[start:stop]))
        files.append(TokenFile(path, UINT16, stop - start, offset=4))
    stream = DocumentStream(files, np.ones(VOCAB, np.int32), BLANK, EOT, place, chunk_tokens=int(rng.integers(1, 40)))
    assert read(stream) == plainly(tokens, place)
    found = plainly(tokens, place)
    assert stream.tally.counts.tolist() == [sum(each[:-1].count(token) for each in found) for token in range(VOCAB)]
    assert stream.tally.repeated == sum(
        first == second and not BLANK[second] for each in found for first, second in itertools.pairwise(each[:-1])
    )
    longest = max(range(len(found)), key=lambda number: len(found[number]))
    first = sum(map(len, found[:longest]))
    named = f"document {longest:,} of the source, from its token {first:,} on"
    assert stream.tally.longest == (len(found[longest]), named)


def test_a_document_beyond_the_limit_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<90H", *[1] * 90))
    stream = DocumentStream(
        [TokenFile(path, UINT16, 90)], np.ones(VOCAB, np.int32), BLANK, EOT, "end", chunk_tokens=10, most_tokens=40
    )
    with pytest.raises(ExchangeError, match="there is none: 50 tokens don't end"):
        read(stream)


def test_an_id_in_a_hole_of_the_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<4H", 1, 30, 31, EOT))
    lengths = np.ones(VOCAB, np.int32)
    lengths[31] = -1
    with pytest.raises(ExchangeError, match="token 2 has id 31, which the vocabulary does not have"):
        read(DocumentStream([TokenFile(path, UINT16, 4)], lengths, BLANK, EOT, "end"))

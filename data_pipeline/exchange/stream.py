"""Files of tokens laid end to end and cut into documents, each with its end-of-text token behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.exchange.formats import Place, TokenFile
from data_pipeline.exchange.token_bytes import NO_TOKEN
from data_pipeline.shards.health import Tally
from data_pipeline.shards.kernels import count_tokens
from foundation.progress import Meter

CHUNK_TOKENS = 1 << 22  # read at a time
MOST_TOKENS = 1 << 28  # of a document, which is held in memory until it ends


@dataclass(slots=True)
class DocumentStream:
    """Reads files and gives documents. What it counts is complete when it has been iterated over.

    Args:
        files: in the order in which they are laid end to end; a document may go on in the next one.
        lengths: (vocab_size,) int32, of `token_bytes.byte_lengths`.
        place: where each document has its end-of-text token.
        append_eot: put one behind documents of an index that have none.
        chunk_tokens, most_tokens: read at a time; of a document.
    Attributes:
        tally: of the documents that were given; the longest one is named by its number and its first token.
        split: end-of-text tokens inside documents of an index, which are two documents here.
        appended: end-of-text tokens that were put in.
        begun: whether the files begin amid a document, whose rest is one of its own here.
    """

    files: Sequence[TokenFile]
    lengths: np.ndarray
    is_blank: np.ndarray
    eot_id: int
    place: Place
    append_eot: bool = False
    chunk_tokens: int = CHUNK_TOKENS
    most_tokens: int = MOST_TOKENS
    tally: Tally = field(init=False)
    split: int = field(init=False, default=0)
    appended: int = field(init=False, default=0)
    begun: bool = field(init=False, default=False)
    _num_read: int = field(init=False, default=0)
    _num_ended: int = field(init=False, default=0)  # end-of-text tokens among them
    _num_given: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.tally = Tally.empty(len(self.lengths))

    def read(self, meter: Meter) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ids (num_tokens,), documents end to end, each with its end-of-text token last; lengths (n,) int32.

        Args:
            meter: receives the bytes that are read.
        Raises:
            ExchangeError: an id is not in the vocabulary, a document has no end-of-text token; names file and token.
        """
        held: list[np.ndarray] = []
        for ids in self._moved(self._chunks(meter)):
            ends = np.flatnonzero(ids == self.eot_id) + 1
            self._num_read += len(ids)
            self._num_ended += len(ends)
            if not len(ends):
                held.append(ids)
                self._check_length(held)
                continue
            lengths = np.diff(ends, prepend=-sum(map(len, held))).astype(np.int32)
            whole = np.concatenate([*held, ids[: ends[-1]]]) if held else ids[: ends[-1]]
            held = [ids[ends[-1] :]] if ends[-1] < len(ids) else []
            self._count(whole, lengths)
            yield whole, lengths
        if held:
            raise self._unended(sum(map(len, held)))

    def _chunks(self, meter: Meter) -> Iterator[np.ndarray]:
        """Yield the ids of all files, checked, an end-of-text token behind each document of an index."""
        for file in self.files:
            before = self._num_ended
            with file.path.open("rb") as reader:
                reader.seek(file.offset)
                for begin in range(0, file.num_tokens, self.chunk_tokens):
                    count = min(self.chunk_tokens, file.num_tokens - begin)
                    ids = np.fromfile(reader, file.dtype, count)
                    if len(ids) != count:
                        raise ExchangeError(f"{file.path}: became shorter while it was read; import it again")
                    meter.add(ids.nbytes)
                    self._check_ids(file, ids, begin)
                    yield ids if file.ends is None else self._ended(file, ids, begin)
            if file.ends is not None:
                documents = int((np.diff(file.ends, prepend=0) > 0).sum())
                self.split += self._num_ended - before - documents

    def _count(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Add documents to the tally."""
        tally, place = self.tally, int(np.argmax(lengths))
        if lengths[place] > tally.longest[0]:
            number = int(tally.lengths.sum()) + place
            token = self._num_given + int(lengths[:place].sum(dtype=np.int64))
            tally.longest = int(lengths[place]), f"document {number:,} of the source, from its token {token:,} on"
        self._num_given += len(ids)
        tally.repeated += count_tokens(ids, lengths, tally.counts, self.is_blank)
        tally.add_lengths(lengths)

    def _check_ids(self, file: TokenFile, ids: np.ndarray, begin: int) -> None:
        unsigned = ids.view(f"<u{ids.itemsize}")  # a negative id becomes a large one
        bad = unsigned >= len(self.lengths) if int(unsigned.max()) >= len(self.lengths) else None
        if bad is None and (self.lengths == NO_TOKEN).any():
            bad = self.lengths[ids] == NO_TOKEN
        if bad is not None and bad.any():
            place = int(np.argmax(bad))
            raise ExchangeError(
                f"{file.path}: token {begin + place:,} has id {ids[place]}, which the vocabulary does not have: its "
                f"largest is {len(self.lengths) - 1}; name the tokenizer that encoded these, or the right --format"
            )

    def _ended(self, file: TokenFile, ids: np.ndarray, begin: int) -> np.ndarray:
        """Return a chunk of a file with an index, each of whose documents ends in an end-of-text token."""
        assert file.ends is not None
        mine = slice(*np.searchsorted(file.ends, [begin, begin + len(ids)], side="right").tolist())
        ends = np.unique(file.ends[mine]) - begin
        missing = ends[ids[ends - 1] != self.eot_id]
        if not len(missing):
            return ids
        if not self.append_eot:
            number = int(np.searchsorted(file.ends, begin + missing[0]))
            raise ExchangeError(
                f"{file.path}: document {number} ends at token {begin + int(missing[0]) - 1:,} with id "
                f"{ids[missing[0] - 1]}, not with the end-of-text token {self.eot_id}; --append-eot puts one behind "
                "each document that has none, --eot-token names another token"
            )
        self.appended += len(missing)
        return np.insert(ids, missing, ids.dtype.type(self.eot_id))

    def _moved(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the same tokens with each document's end-of-text token behind it."""
        if self.place == "end":
            yield from chunks
            return
        if not self.files:
            return
        begins, dtype = self._begins(), self.files[-1].dtype
        for ids in chunks:
            yield ids[1:] if begins else ids
            self.begun = self.begun or not begins
            begins = False
        if self.begun and not self._num_ended:
            raise self._unended(self._num_read)
        yield np.array([self.eot_id], dtype)

    def _begins(self) -> bool:
        """Return whether the first token is that of the first document; False: the files begin amid one.

        llm.c cuts its files amid documents: the rest of the last held-out one begins the first file to train on.

        Raises:
            ExchangeError: the tokens end with end-of-text but don't begin with it, so that it stands behind documents.
        """
        first, last = _token(self.files[0], 0), _token(self.files[-1], -1)
        if first != self.eot_id and last == self.eot_id:
            raise ExchangeError(
                f"{self.files[0].path}: begins with id {first}, and the last file ends with the end-of-text token "
                f"{last}: it stands behind documents here, not before them as in this format; give --eot-at end"
            )
        return first == self.eot_id

    def _check_length(self, held: list[np.ndarray]) -> None:
        if sum(map(len, held)) > self.most_tokens:
            raise self._unended(sum(map(len, held)))

    def _unended(self, num_tokens: int) -> ExchangeError:
        seen = self._num_ended
        what = f"after {seen:,} documents" if seen else "in all of it: there is none"
        names = self.files[-1].path if len(self.files) == 1 else f"{self.files[0].path} to {self.files[-1].path}"
        return ExchangeError(
            f"{names}: the end-of-text token {self.eot_id} is missing {what}: {num_tokens:,} tokens don't end; give "
            "all files in their order, the --eot-token that ends documents there, or --eot-at start if it begins them"
        )


def _token(file: TokenFile, place: int) -> int:
    """Return one token of a file, which has some; place: from its beginning, or -1 for the last."""
    with file.path.open("rb") as reader:
        reader.seek(file.offset + place % file.num_tokens * file.dtype.itemsize)
        return int(np.fromfile(reader, file.dtype, 1)[0])

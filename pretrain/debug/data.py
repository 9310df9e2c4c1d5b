"""The data: ids, tokenizer, the first batch as text, how often each source is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.manifest import TOKENIZER
from data_pipeline.shards.reader import TokenStream
from foundation.hashes import hash_file
from foundation.text import number_of, one_line
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.plan import epochs
from pretrain.types import IGNORE

STRETCHES, STRETCH_TOKENS = 64, 1 << 16  # of each source, whose ids are looked at
SHOWN_SEQUENCES, SHOWN_CHARS = 3, 100
MANY_EPOCHS = 4.0  # past which tokens that are read again teach little, arXiv:2305.16264
COMPARED_DOCUMENTS, MAX_DOCUMENT_TOKENS = 32, 4096  # that are decoded and encoded again
MOSTLY, HARDLY = 0.9, 0.5  # of the tokens that must come back as they were


class TokenIds(Rung):
    """Every id that is looked at stands for a token; a wrong one would read beside the embedding."""

    name = "token ids"

    def check(self, subject: Subject) -> Finding:
        dataset = subject.run.loader.dataset
        vocab_size = dataset.manifest.vocab_size
        parts, where = list(_of_batch(subject)), "the first batch"
        if subject.run.mesh.is_main and not subject.is_short:
            streams = [*dataset.train.values(), *dataset.val.values()]
            of_shards = list(_of_shards(streams))
            parts += of_shards
            where = told_tokens(sum(map(len, of_shards)), sum(stream.num_tokens for stream in streams))
        ids = np.concatenate(parts)
        low, high = int(ids.min()), int(ids.max())
        problems = []
        if low < 0 or high >= vocab_size:
            wrong = low if low < 0 else high
            problems.append(
                stop(
                    f"id {wrong} stands for no token, the vocabulary ends at {vocab_size - 1:,}: shards and tokenizer "
                    "don't belong together; make the shards again (python -m data_pipeline)"
                )
            )
        return self.found(f"{low:,} to {high:,} in {where}, of a vocabulary of {vocab_size:,}", problems)


def _of_batch(subject: Subject) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the ids of this rank's first batch; of a short look, of its first micro batch."""
    for batch in subject.batches[:1] if subject.is_short else subject.batches:
        yield batch.inputs_BT.cpu().numpy().ravel()
        targets_BT = batch.targets_BT.cpu().numpy()
        yield targets_BT[targets_BT != IGNORE]


def _of_shards(streams: Iterable[TokenStream]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the ids of stretches of every stream."""
    for stream in streams:
        for start, stop_at in stretches(stream, STRETCHES, STRETCH_TOKENS):
            yield stream.tokens(start, stop_at).astype(np.int64)


def told_tokens(looked_at: int, total: int) -> str:
    """Return how many tokens of the shards were looked at: `all 383,293 tokens`, `4,194,304 of 9,000,000 tokens`."""
    return f"all {total:,} tokens" if looked_at == total else f"{looked_at:,} of {total:,} tokens"


def stretches(stream: TokenStream, count: int, length: int) -> list[tuple[int, int]]:
    """Return up to `count` stretches of a stream, [start, stop), spread evenly; all of it where it is not longer."""
    if stream.num_tokens <= count * length:
        return [(start, min(start + length, stream.num_tokens)) for start in range(0, stream.num_tokens, length)]
    starts = np.linspace(0, stream.num_tokens - length, count).astype(int).tolist()
    return [(start, start + length) for start in starts]


class TokenizerFile(Rung):
    """tokenizer.json is the file that the manifest names, and encodes the text of the shards to the ids in them."""

    name = "tokenizer"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        dataset = subject.run.loader.dataset
        found, expected = hash_file(dataset.path / TOKENIZER), dataset.manifest.tokenizer_hash
        figure, problems = f"{TOKENIZER} has the manifest's hash, {expected[:12]}", list[Problem]()
        if found != expected:
            figure = f"{TOKENIZER} has the hash {found[:12]}, the manifest says {expected[:12]}"
            problems.append(
                stop(
                    f"{dataset.path / TOKENIZER} is not what encoded these shards: put the original back, or make them"
                )
            )
        elif not subject.is_short:
            same, total = self._encoded_again(subject)
            figure += f"; {same / max(total, 1):.1%} of {total:,} held-out tokens come back when encoded again"
            problems += judged_again(same, total)
        return self.found(figure, problems)

    def _encoded_again(self, subject: Subject) -> tuple[int, int]:
        """Return how many tokens of whole documents, decoded and encoded, are the same, and of how many."""
        same = total = 0
        for ids in first_documents(subject.run.loader.dataset.val, COMPARED_DOCUMENTS):
            again = subject.tokenizer.encode(subject.tokenizer.decode(ids))
            total += len(ids)
            same += sum(one == other for one, other in zip(ids, again, strict=False))
        return same, total


def judged_again(same: int, total: int) -> list[Problem]:
    """Return what is wrong where too few tokens are the same when their text is encoded again."""
    if not total or same >= MOSTLY * total:
        return []
    told = (
        f"encoding the shards' own text again gives other ids for {1 - same / total:.0%} of it: another tokenizer made "
        "them, or one with other settings; make the shards again, or restore their tokenizer.json"
    )
    return [warning(told) if same >= HARDLY * total else stop(told)]


def first_documents(split: dict[str, TokenStream], count: int) -> Iterator[list[int]]:
    """Yield the ids of the first whole documents of each source, without their end-of-text; long ones are left out."""
    for stream in split.values():
        starts = stream.shards[0].document_starts[: count + 1].tolist()
        for start, end in pairwise(starts):
            if 1 < end - start <= MAX_DOCUMENT_TOKENS:
                yield stream.shards[0].tokens(start, end - 1).tolist()


class FirstBatch(Rung):
    """What the first step learns, to be read by a person; and that each target is the token after its input."""

    name = "first batch"

    def check(self, subject: Subject) -> Finding:
        run, batch = subject.run, subject.batches[0]
        inputs_BT, targets_BT = batch.inputs_BT.cpu().numpy(), batch.targets_BT.cpu().numpy()
        problems = list[Problem]()
        follows = (targets_BT[:, :-1] == inputs_BT[:, 1:]) | (targets_BT[:, :-1] == IGNORE)
        if not follows.all():
            problems.append(stop("targets are not the inputs one to the right: the loader is broken, mend it"))
        if not (targets_BT != IGNORE).any():
            problems.append(stop("no position has a target: there is nothing to learn; see data.mask_after_eot"))
        if len(set(map(bytes, inputs_BT))) < len(inputs_BT):
            problems.append(
                warning("a sequence stands in it twice: is the text full of copies? See dedup= of the data")
            )
        distinct = len(np.unique(inputs_BT))
        if distinct * 100 < inputs_BT.size and distinct < 16:
            problems.append(warning(f"it holds {number_of(distinct, 'distinct token')}: this is no text"))
        eots = int((inputs_BT == run.loader.dataset.manifest.eot_id).sum())
        figure = (
            f"{number_of(len(inputs_BT), 'sequence')} of {inputs_BT.shape[1]:,} tokens, {distinct:,} distinct, "
            f"{number_of(eots, 'end')} of documents inside"
        )
        return self.found(figure, problems, self._text(subject, inputs_BT[:SHOWN_SEQUENCES]))

    def _text(self, subject: Subject, inputs_BT: npt.NDArray[np.int64]) -> Iterator[str]:
        for row in inputs_BT:
            yield f"| {one_line(subject.tokenizer.decode(row.tolist()), SHOWN_CHARS)}"


class Epochs(Rung):
    """How often the run reads each source."""

    name = "epochs"
    is_of_all = True

    def check(self, subject: Subject) -> Finding:
        plan = subject.run.plan
        counts = subject.run.loader.epochs_at(plan.max_steps)
        problems = [
            warning(
                f"{name} is read {count:.1f} times: past {MANY_EPOCHS:g}, tokens that are read again teach little "
                "(arXiv:2305.16264); shorten the run, lower its weight in data.mixture, or give more text"
            )
            for name, count in counts.items()
            if count > MANY_EPOCHS
        ]
        told = ", ".join(f"{name} {epochs(count)}" for name, count in counts.items())
        return self.found(f"{told} in {number_of(plan.max_steps, 'step')}", problems)

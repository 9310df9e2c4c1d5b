"""Are the ranks' copies of the run's state still equal? A digest of each tensor, compared over the ranks.

Data parallelism never sends weights again after the start: a flipped bit on one rank, or a kernel that sums in another
order there, is never mended and spoils every later gradient a little, without a sign of it in the loss.

A digest is the sum, modulo 2^64, over a tensor's words of 32 bits (16 or 8 where its elements are smaller) of a hash of
(place, word). The hash is a bijection, so a change of a single word always shows; any other difference, a swap
too, is missed once in 2^64. Sums of whole numbers have no order, so no kernel of another order changes a digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foundation.hashes import hash_json
from pretrain.mesh import Mesh
from pretrain.mixing import MULTIPLIERS, SHIFTS, mix64
from pretrain.parallel.errors import ReplicasDiffer
from pretrain.pieces import NONE, choose

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int32, 16: torch.int32}  # by bytes of an element
# Words hashed at once, 8 bytes each and a few copies of them: in the cache of a CPU; on a GPU large kernels, 0.4 GB.
CPU_CHUNK_WORDS, GPU_CHUNK_WORDS = 1 << 16, 1 << 24
NAMED = 4  # tensors that an error names


def compare_replicas(
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    mesh: Mesh,
    step: int,
    plain_pieces: frozenset[str] = NONE,
) -> None:
    """Compare what every rank holds a copy of. A host sync; called on every rank, which all raise or none.

    Args:
        tensors: name -> tensor, the same names on every rank.
        facts: name -> JSON value: what of the state is no tensor.
        mesh: the ranks; one alone has nothing to compare.
        step: steps finished, for the error.
        plain_pieces: of which `digest` runs plainly; the same on every rank.
    Raises:
        ReplicasDiffer: names ranks and tensors.
    """
    digest_of = choose("digest", plain_pieces, digest, digest_plainly)
    if mesh.world_size == 1:
        return
    names = [*tensors, *facts]
    # a user's optimizer may keep counters on the host
    digests = [digest_of(tensor).to(mesh.device) for tensor in tensors.values()]
    mine = torch.stack([*digests, *(_digest_of(fact, mesh.device) for fact in facts.values())])
    gathered_RN = torch.zeros(mesh.world_size, len(names), dtype=torch.int64, device=mesh.device)
    gathered_RN[mesh.rank] = mine
    found_RN = mesh.sum(gathered_RN).cpu().numpy()  # a sum with zeros: every rank's own row
    differing = [place for place in range(len(names)) if (found_RN[:, place] != found_RN[0, place]).any()]
    if differing:
        raise ReplicasDiffer(describe_difference([names[place] for place in differing], found_RN[:, differing], step))


def digest(tensor: Tensor) -> Tensor:
    """Return () int64, the digest of a tensor's bits, on its device, in one pass; nothing of the tensor's size is made.

    Args:
        tensor: any shape and dtype.
    """
    flat = tensor.detach().contiguous().reshape(-1)
    words = flat.view(WORDS[flat.element_size()])
    size = CPU_CHUNK_WORDS if words.device.type == "cpu" else GPU_CHUNK_WORDS
    total = torch.zeros((), dtype=torch.int64, device=words.device)
    for start in range(0, words.numel(), size):
        chunk = words[start : start + size].to(torch.int64).bitwise_and_(0xFFFFFFFF)
        places = torch.arange(start, start + chunk.numel(), device=words.device)
        total += mix64(chunk.bitwise_or_(places.bitwise_left_shift_(32))).sum()
    return total


def digest_plainly(tensor: Tensor) -> Tensor:
    """Return what `digest` returns, computed on the host."""
    host = tensor.detach().cpu().contiguous()
    flat = host.reshape(-1).view(WORDS[host.element_size()])  # numpy has no bfloat16
    return torch.tensor(reference_digest(flat.numpy()), device=tensor.device)


def reference_digest(values: npt.NDArray[Any]) -> int:
    """Return what `digest` returns, over all words at once in numpy's unsigned integers.

    Args:
        values: the tensor's.
    """
    width = min(values.itemsize, 4)
    words = np.frombuffer(values.tobytes(), dtype=f"<i{width}" if width > 1 else "u1").astype(np.int64)
    hashed = (words & 0xFFFFFFFF).astype(np.uint64) | np.arange(len(words), dtype=np.uint64) << np.uint64(32)
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        hashed = (hashed ^ hashed >> np.uint64(shift)) * np.uint64(multiplier)
    hashed ^= hashed >> np.uint64(SHIFTS[-1])
    return int(hashed.sum(dtype=np.uint64).astype(np.int64))


def describe_difference(names: Sequence[str], found_RN: npt.NDArray[np.int64], step: int) -> str:
    """Return in words which ranks differ in what, and what to do.

    Args:
        names: of the N that differ.
        found_RN: (ranks, N) int64 digests.
        step: steps finished.
    """
    named: dict[str, list[str]] = {}
    for name, digests in zip(names, found_RN.T.tolist(), strict=True):
        named.setdefault(_who(digests), []).append(name)
    parts = [f"{who} in {_some(which)}" for who, which in named.items()]
    return (
        f"step {step}: the ranks no longer hold the same: {'; '.join(parts)}. Nothing was saved of it. A faulty device "
        "or memory does this (test the odd rank's, or leave its machine out), or a kernel that sums in no fixed order "
        "(trainer.deterministic=true). The same line again goes on from the newest checkpoint, at which all ranks were "
        "equal; without one it begins anew"
    )


def _who(digests: list[int]) -> str:
    """Return which ranks differ, by majority where more than half agree."""
    most, count = Counter(digests).most_common(1)[0]
    if 2 * count > len(digests):
        odd = [rank for rank, found in enumerate(digests) if found != most]
        return f"{_ranks(odd)} from the {count} others"
    groups = [[rank for rank, found in enumerate(digests) if found == one] for one in dict.fromkeys(digests)]
    return f"{' and '.join(map(_ranks, groups))} from each other"


def _ranks(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _digest_of(fact: Any, device: torch.device) -> Tensor:
    return torch.tensor(int(hash_json(fact)[:16], 16) - (1 << 63), device=device)

"""One rank of test_ddp.py: `torchrun ddp_worker.py <folder>`; writes what it saw to <folder>/rank<n>.pt."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from pretrain.mesh import Mesh, start_mesh
from pretrain.model.transformer import Transformer
from pretrain.optim.adamw import AdamW
from pretrain.parallel.ddp import DDP

NUM_MICRO, VOCAB, SEQ_LEN = 6, 64, 16


def micro_batches(step: int) -> list[tuple[Tensor, Tensor]]:
    """The global batch of a step, with a different number of masked targets in each micro batch."""
    generator = torch.Generator().manual_seed(step)
    pairs = []
    for number in range(NUM_MICRO):
        inputs_BT, targets_BT = torch.randint(0, VOCAB, (2, 2, SEQ_LEN), generator=generator)
        targets_BT[:, : 2 * number] = -100
        pairs.append((inputs_BT, targets_BT))
    return pairs


def make_model() -> Transformer:
    model = Transformer(num_layers=2, num_heads=2, d_model=16, context_len=SEQ_LEN, vocab_size=VOCAB)
    model.init_weights(seed=5)
    return model


def gradients(model: Transformer) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def run(mesh: Mesh, folder: Path) -> None:
    model, parallel = make_model(), DDP(bucket_bytes=8192)  # several buckets
    wrapped = parallel.wrap(model, mesh)
    optimizer = AdamW(1e-2, model)
    seen: dict[str, dict[str, Tensor]] = {}
    for step in range(3):
        mine = micro_batches(step)[mesh.dp_rank :: mesh.dp_size]
        num_targets = sum((targets_BT != -100).sum() for _, targets_BT in micro_batches(step))
        for place, (inputs_BT, targets_BT) in enumerate(mine):
            with parallel.accumulate(wrapped, last=place == len(mine) - 1):
                loss = wrapped(inputs_BT, targets_BT)[0] * mesh.dp_size / num_targets
                if step == 2 and mesh.rank == 1 and place == 0:
                    loss = loss * float("nan")
                loss.backward()
            if step == 0 and place == len(mine) - 2:
                seen["before the last"] = gradients(model)
        seen[f"step {step}"] = gradients(model)
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
        before = {**model.state_dict(), **optimizer.tensors()}
        seen["before the bad step"] = {name: tensor.clone() for name, tensor in before.items()}
        optimizer.step(1e-2, bad=(~norm.isfinite()).float(), grad_scale=norm.clamp(min=1.0))
        optimizer.zero_grad()
    seen["after the bad step"] = {**model.state_dict(), **optimizer.tensors()}
    torch.save(seen, folder / f"rank{mesh.rank}.pt")


if __name__ == "__main__":
    with start_mesh("cpu") as its_mesh:
        run(its_mesh, Path(sys.argv[1]))

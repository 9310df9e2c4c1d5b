"""Tokens per second and MFU of GPT-2 training, side by side with nanoGPT: same work, same machine, same call.

    git clone https://github.com/karpathy/nanoGPT
    python benchmarks/train.py --peer-dir nanoGPT --models gpt_tiny --loop --out docs/benchmarks/train_cpu.md

Three things can be measured, in turns (ours, theirs, ours, ...), so that a machine that slows down slows both:
- the model step: forward, backward, clipping and AdamW on the same batches, from the same weights, whose loss is first
  checked to be equal; the peer's model.py and its own optimizer are imported from --peer-dir;
- with --memory, what the model step's process holds at its highest, on a CPU;
- with --loop, the whole command on the same tokens, launch/train.py against the peer's train.py: see train_loop.py.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from table import commit_of, cpu_name, ratio, spread, table
from torch import Tensor

from pretrain.metrics.flops import peak_flops
from pretrain.model.hf import to_huggingface_state
from pretrain.model.transformer import Transformer
from pretrain.optim.adamw import AdamW
from pretrain.parallel.compile import apply_compile
from pretrain.parallel.precision import Precision

REPOSITORY = Path(__file__).resolve().parent.parent
VOCAB_SIZES = {"gpt_tiny": 16384}  # others: GPT-2's 50257, padded
LR, MAX_GRAD_NORM = 6e-4, 1.0
SHIFT = 0.1  # of the weights before they are compared, in the units of initial ones of 0.02


@dataclass(frozen=True)
class Work:
    """What both sides do. batch_size is a step's, micro_batch_size what goes through the model at a time."""

    model: str
    sizes: dict[str, Any]
    vocab_size: int
    seq_len: int
    batch_size: int
    micro_batch_size: int
    device: torch.device
    precision: Precision
    compile: bool

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.seq_len

    def batches(self, seed: int) -> list[tuple[Tensor, Tensor]]:
        """Return one step's micro batches, of token ids as unequal in frequency as words are."""
        generator = torch.Generator().manual_seed(seed)
        frequencies = 1.0 / (torch.arange(self.vocab_size) + 2.7)  # Zipf's law, in Mandelbrot's form
        count = self.batch_size * (self.seq_len + 1)
        ids = torch.multinomial(frequencies, count, replacement=True, generator=generator).view(self.batch_size, -1)
        ids = ids.to(self.device)
        return [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in ids.split(self.micro_batch_size)]


class Contender(Protocol):
    """One side: its loss on a micro batch, and one whole step."""

    name: str

    def loss(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor: ...

    def step(self, batches: list[tuple[Tensor, Tensor]]) -> None: ...


class Ours:
    """What pretrain/train.py does in a step, without logging and guard."""

    name = "groundwork"

    def __init__(self, work: Work) -> None:
        with torch.device("meta"):
            self.model = Transformer(**work.sizes, vocab_size=work.vocab_size)
        self.model.to_empty(device=work.device)
        self.model.init_weights(seed=0)
        self._work = work
        self._optimizer = AdamW(LR, self.model)
        self._never = torch.zeros((), device=work.device)
        if work.compile:
            apply_compile(self.model, work.device)

    def loss(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        with self._work.precision.autocast(self._work.device):
            return self.model.loss_sum(inputs_BT, targets_BT)[0] / targets_BT.numel()

    def step(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        for inputs_BT, targets_BT in batches:
            (self.loss(inputs_BT, targets_BT) / len(batches)).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self._optimizer.step(LR, self._never, torch.clamp(norm / MAX_GRAD_NORM, min=1.0))
        self._optimizer.zero_grad()


class NanoGpt:
    """nanoGPT's model and optimizer as its train.py drives them. GPT-2's biases on, so that both compute the same."""

    name = "nanoGPT"

    def __init__(self, work: Work, peer_dir: Path, weights: dict[str, Tensor] | None = None) -> None:
        """Args:
        weights: ours, to begin with; None: its own.
        """
        module = _import(peer_dir / "model.py")
        sizes = work.sizes
        config = module.GPTConfig(
            block_size=sizes["context_len"],
            vocab_size=work.vocab_size,
            n_layer=sizes["num_layers"],
            n_head=sizes["num_heads"],
            n_embd=sizes["d_model"],
            dropout=0.0,
            bias=True,
        )
        with contextlib.redirect_stdout(sys.stderr):  # it prints as it builds; stdout is for the table
            self.model = module.GPT(config).to(work.device)
            self._optimizer = self.model.configure_optimizers(0.1, LR, (0.9, 0.95), work.device.type)
        if weights is not None:
            theirs = to_huggingface_state(weights, work.vocab_size)
            conv1d = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
            self.model.load_state_dict({k: v.T if k.endswith(conv1d) else v for k, v in theirs.items()}, strict=False)
        self._work = work
        # dynamic=False is what it does by default at the first shape; so the next micro batch is compiled alike
        self._call = torch.compile(self.model, dynamic=False) if work.compile else self.model

    def loss(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        with self._work.precision.autocast(self._work.device):
            _, loss = self._call(inputs_BT, targets_BT)
        return loss

    def step(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        for inputs_BT, targets_BT in batches:
            (self.loss(inputs_BT, targets_BT) / len(batches)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Row:
    """One line of the table: tokens per second of each repeat, ours and theirs taken in turns."""

    what: str
    ours: list[float]
    theirs: list[float]
    work: Work

    def cells(self) -> list[str]:
        faster = ratio(self.ours, self.theirs)
        return [self.what, spread(self.ours), spread(self.theirs), f"{faster:.2f}", *self._utilisation()]

    def _utilisation(self) -> list[str]:
        peak = peak_flops(self.work.device)
        if peak is None:
            return ["-", "-"]
        with torch.device("meta"):
            model = Transformer(**self.work.sizes, vocab_size=self.work.vocab_size)
        costs = (model.flops_per_token(self.work.seq_len), model.causal_flops_per_token(self.work.seq_len))
        rates = (statistics.median(self.ours), statistics.median(self.theirs))
        return [" / ".join(f"{rate * cost / peak:.1%}" for rate in rates) for cost in costs]


HEADER = ["work", "groundwork, tokens/s", "nanoGPT, tokens/s", "ratio", "MFU, F1 (ours / theirs)", "MFU, F2"]


def main() -> None:
    """Read the command line, measure, print the table and write it."""
    options = _options()
    works = [work_of(name, options) for name in options.models]
    rows = [row for work in works for row in measure_steps(work, options)]
    if options.loop:
        from train_loop import measure_loop

        for work in works:
            ours, theirs = measure_loop(work, options.peer_dir, options.repeats, options.loop_steps)
            rows.append(Row(f"{_describe(work)}, whole command", ours, theirs, work))
    tables = [table([HEADER, *(row.cells() for row in rows)]), *([_memory(works, options)] if options.memory else [])]
    text = "\n\n".join([*tables, "\n".join(machine(works[0].device, options))])
    print(text)
    if options.out:
        options.out.write_text(f"# Training throughput\n\n{text}\n")


def work_of(name: str, options: argparse.Namespace) -> Work:
    """Return the work for one model of conf/model."""
    sizes = yaml.safe_load((REPOSITORY / "conf" / "model" / f"{name}.yaml").read_text())
    sizes.pop("_target_")
    available = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(available if options.device == "auto" else options.device)
    return Work(
        model=name,
        sizes=sizes,
        vocab_size=VOCAB_SIZES.get(name, 50304),
        seq_len=options.seq_len,
        batch_size=options.batch_size,
        micro_batch_size=options.micro_batch_sizes[0],
        device=device,
        precision=Precision(options.precision),
        compile=options.compile,
    )


def measure_steps(work: Work, options: argparse.Namespace) -> list[Row]:
    """Measure the model step; with several micro batches given, each side at its own best one."""
    check_equal(work, options.peer_dir)
    best: dict[str, tuple[float, Contender, Work]] = {}
    for size in options.micro_batch_sizes:
        work_here = Work(**{**vars(work), "micro_batch_size": size})
        ours = Ours(work_here)
        weights = {name: tensor.detach().cpu() for name, tensor in ours.model.state_dict().items()}
        sides: tuple[Contender, ...] = (ours, NanoGpt(work_here, options.peer_dir, weights))
        for contender in sides:
            rate = warm_up(contender, work_here, options.warmup)
            print(f"{work.model}, micro batch {size}: {contender.name} {rate:,.0f} tokens/s", file=sys.stderr)
            if contender.name not in best or rate > best[contender.name][0]:
                best[contender.name] = (rate, contender, work_here)
    (_, ours_best, work_ours), (_, theirs_best, work_theirs) = best[Ours.name], best[NanoGpt.name]
    ours_rates, theirs_rates = [], []
    for repeat in range(options.repeats):
        ours_rates.append(timed(ours_best, work_ours, options.steps, seed=repeat))
        theirs_rates.append(timed(theirs_best, work_theirs, options.steps, seed=repeat))
    sizes = f"micro batch {work_ours.micro_batch_size} and {work_theirs.micro_batch_size}"
    return [Row(f"{_describe(work)}, {sizes}, model step", ours_rates, theirs_rates, work)]


def check_equal(work: Work, peer_dir: Path) -> None:
    """Check that both sides compute the same loss and gradient from the same weights.

    In float32, and away from the initial weights: there any model's loss is the logarithm of the vocabulary's size.
    """
    plain = Work(**{**vars(work), "precision": Precision("float32"), "compile": False})
    ours = Ours(plain)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours.model.parameters():
            parameter.add_(SHIFT * torch.randn(parameter.shape, generator=generator).to(work.device))
    weights = {name: tensor.detach().cpu() for name, tensor in ours.model.state_dict().items()}
    theirs = NanoGpt(plain, peer_dir, weights)
    for block in theirs.model.transformer.h:  # the one thing computed differently: by erf there, by GPT-2's tanh here
        block.mlp.gelu = torch.nn.GELU(approximate="tanh")
    embeddings = ours.model.token_embedding.weight, theirs.model.transformer.wte.weight
    require_same(ours, theirs, embeddings, plain.batches(seed=1)[0])


def require_same(
    ours: Contender, theirs: Contender, weights: tuple[Tensor, Tensor], batch: tuple[Tensor, Tensor]
) -> None:
    """Check one batch's loss, and its gradient in a weight that everything else feeds into: the embedding.

    Raises:
        SystemExit: they differ by more than float32 rounds.
    """
    losses = ours.loss(*batch), theirs.loss(*batch)
    for loss in losses:
        loss.backward()
    gradients = [weight.grad for weight in weights]
    assert gradients[0] is not None and gradients[1] is not None
    loss_error = abs(losses[0].item() - losses[1].item()) / losses[1].item()
    gradient_error = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    if loss_error > 1e-6 or gradient_error > 1e-4:
        raise SystemExit(
            f"not the same work: from the same weights the losses differ by {loss_error:.1e} of their size, the "
            f"gradients by {gradient_error:.1e}; allowed are 1e-6 and 1e-4"
        )


def warm_up(contender: Contender, work: Work, steps: int) -> float:
    """Run some steps, compilation among them; return tokens per second of the last."""
    timed(contender, work, steps, seed=0)
    return timed(contender, work, 1, seed=1)


def timed(contender: Contender, work: Work, steps: int, seed: int) -> float:
    """Return tokens per second over `steps` steps."""
    batches = work.batches(seed)
    synchronize = _synchronizer(work.device)
    synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        contender.step(batches)
    synchronize()
    return steps * work.tokens_per_step / (time.perf_counter() - started)


def _memory(works: list[Work], options: argparse.Namespace) -> str:
    from train_memory import SIDES, measure_memory

    rows = [["memory at its highest, MB", *SIDES]]
    for work in works:
        if work.device.type != "cpu":
            raise SystemExit("--memory: the processes' memory is looked at, which says little of a GPU's; --device cpu")
        rows.append([_describe(work), *(f"{mb:,.0f}" for mb in measure_memory(work, options.peer_dir, options.steps))])
    return table(rows)


def machine(device: torch.device, options: argparse.Namespace) -> list[str]:
    """Return what the figures depend on, as lines of markdown."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    commit = commit_of(options.peer_dir)
    dtype = str(Precision(options.precision).resolve(device)).removeprefix("torch.")
    return [
        f"- machine: {name}, {torch.get_num_threads()} CPU threads; {dtype}, compile={options.compile}",
        f"- versions: torch {torch.__version__}, Python {platform.python_version()}, nanoGPT {commit}",
        f"- {options.repeats} repeats in turns, median (least to most); ratio: median of the pairs'",
        "- F1 = 6 N_matmul + 12 L D T (PaLM), F2 = 6 N + 6 L D T (llm.c) FLOPs a token; no MFU without a known peak",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peer-dir", type=Path, required=True, help="a clone of nanoGPT")
    add("--models", nargs="+", default=["gpt_tiny"], help="options of conf/model")
    add("--device", default="auto", help="auto, cuda or cpu")
    add("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    add("--compile", action="store_true", help="torch.compile on both sides")
    add("--seq-len", type=int, default=1024, help="tokens a sequence")
    add("--batch-size", type=int, default=4, help="sequences a step")
    add("--micro-batch-sizes", type=int, nargs="+", default=[4], help="sequences at a time; several: the best is taken")
    add("--warmup", type=int, default=2, help="steps before anything is timed")
    add("--steps", type=int, default=2, help="steps timed at a time")
    add("--repeats", type=int, default=5, help="times that each side is timed")
    add("--loop", action="store_true", help="measure the whole commands too")
    add("--loop-steps", type=int, default=12, help="steps of one run of a whole command")
    add("--memory", action="store_true", help="measure the memory of the model step too, on a CPU")
    add("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


def _import(path: Path) -> Any:
    if not path.is_file():
        raise SystemExit(f"--peer-dir: {path} is not there; git clone https://github.com/karpathy/nanoGPT")
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up here
    spec.loader.exec_module(module)
    return module


def _synchronizer(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def _describe(work: Work) -> str:
    return f"{work.model}, vocabulary {work.vocab_size:,}, {work.batch_size} x {work.seq_len} tokens a step"


if __name__ == "__main__":
    main()

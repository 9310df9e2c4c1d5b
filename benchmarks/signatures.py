"""MinHash signatures from texts: MB/s of one core and peak memory, beside datasketch and rensa on the same documents.

    pip install rensa
    python benchmarks/signatures.py --input peps.jsonl.zst rfcs.jsonl.zst --out docs/benchmarks/signatures_cpu.md

Text in, signature out: lower case, words, shingles of 5 words, 128 permutations. All sides run in turns in this
process, on one thread; each is called once before it is timed. A side's memory is what its arrays and objects take at
their highest, as tracemalloc sees it, beside the texts and the signatures.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from table import commit_of, cpu_name, ratio, spread, table

from data_pipeline.dedup.signatures import SIGNERS, Engine
from data_pipeline.dedup.words import join_words
from data_pipeline.sources.decompress import read_pieces
from data_pipeline.sources.source import InputFile

NUM_PERM, NGRAM, SEED = 128, 5, 1
WINDOW_BYTES = 1 << 27
Sign = Callable[[pa.LargeStringArray], np.ndarray]


def main() -> None:
    """Read the command line, measure, print the table and write it."""
    options = _options()
    texts = pa.array([text for path in options.input for text in read_texts(path)], pa.large_string())
    megabytes = texts.nbytes / 1e6
    sides = contenders()
    for sign in sides.values():
        sign(texts[:2])
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, sign in sides.items():
            started = time.perf_counter()
            sign(texts)
            rates[name].append(megabytes / (time.perf_counter() - started))
    lines = report(rates, {name: peak_mb(sign, texts) for name, sign in sides.items()})
    lines += ["", *notes(texts, options.repeats)]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("# MinHash signatures\n\n" + "\n".join(lines) + "\n")


def contenders() -> dict[str, Sign]:
    """Return what is measured, by name; rensa where it is installed."""
    sides: dict[str, Sign] = {
        "groundwork, engine=fast": lambda texts: ours("fast", texts),
        "groundwork, engine=compatible": lambda texts: ours("compatible", texts),
        "datasketch `update_batch`": datasketch,
    }
    if importlib.util.find_spec("rensa"):
        sides["rensa `RMinHash`"] = rensa
    else:
        print("rensa is not installed: it is left out (pip install rensa)", file=sys.stderr)
    return sides


def ours(engine: Engine, texts: pa.LargeStringArray) -> np.ndarray:
    """Sign as the pipeline does."""
    signer = SIGNERS[engine](NUM_PERM, SEED, NGRAM)
    return np.stack([signer.sign(words) for words in join_words(texts)])


def shingles(text: str) -> list[str]:
    """Return a text's shingles as text: what both peers are given."""
    words = text.lower().split()
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def datasketch(texts: pa.LargeStringArray) -> np.ndarray:
    """Sign by datasketch, its permutations made once."""
    from datasketch import MinHash

    sketch = MinHash(num_perm=NUM_PERM, seed=SEED)
    signatures = np.empty((len(texts), NUM_PERM), np.uint32)
    for place, text in enumerate(texts):
        sketch.clear()
        sketch.update_batch([shingle.encode() for shingle in shingles(text.as_py())])
        signatures[place] = sketch.hashvalues
    return signatures


def rensa(texts: pa.LargeStringArray) -> np.ndarray:
    """Sign by rensa's full signature; its newer one looks at a few of a document's shingles alone."""
    from rensa import RMinHash

    signatures = np.empty((len(texts), NUM_PERM), np.uint32)
    for place, text in enumerate(texts):
        sketch = RMinHash(num_perm=NUM_PERM, seed=SEED)
        sketch.update(shingles(text.as_py()))
        signatures[place] = sketch.digest()
    return signatures


def peak_mb(sign: Sign, texts: pa.LargeStringArray) -> float:
    """Return the memory that signing takes at its highest beside the texts and the signatures, in MB."""
    tracemalloc.start()
    signatures = sign(texts)
    peak = tracemalloc.get_traced_memory()[1] - signatures.nbytes
    tracemalloc.stop()
    return peak / 1e6


def report(rates: dict[str, list[float]], peaks: dict[str, float]) -> list[str]:
    """Return the table: every side, and what ours does of each peer's rate."""
    mine = [name for name in rates if name.startswith("groundwork")]
    rows = [["", "MB/s", *(f"{name.partition('=')[2]}, times its rate" for name in mine), "memory, MB"]]
    for name, measured in rates.items():
        times = ["-" if name in mine else f"{ratio(rates[each], measured):.1f}" for each in mine]
        rows.append([name, spread(measured, 1), *times, f"{peaks[name]:,.1f}"])
    return [table(rows)]


def notes(texts: pa.LargeStringArray, repeats: int) -> list[str]:
    """Return what was measured, where and with what."""
    packages = ["numpy", "numba", "pyarrow", "datasketch"]
    packages += ["rensa"] if importlib.util.find_spec("rensa") else []
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return [
        f"- {len(texts):,} documents, {texts.nbytes / 1e6:.1f} MB; {NUM_PERM} permutations, shingles of {NGRAM} words",
        f"- machine: {cpu_name()}, one core; Python {platform.python_version()}, {versions}",
        f"- {repeats} repeats in turns, median (least to most); times its rate: median of the pairs'",
        f"- measured at commit {commit_of(Path(__file__).parent)}",
    ]


def read_texts(path: Path) -> list[str]:
    """Return the `text` fields of a .jsonl file, also compressed."""
    data = b"".join(piece.data for piece in read_pieces(InputFile(str(path), path, 0), WINDOW_BYTES))
    return [orjson.loads(line)["text"] for line in data.splitlines() if line.strip()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", required=True, help=".jsonl files, also .gz or .zst")
    parser.add_argument("--repeats", type=int, default=5, help="times that each side signs all documents")
    parser.add_argument("--out", type=Path, help="markdown file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()

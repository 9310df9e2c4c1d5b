"""The process that unigram_training starts: trains with sentencepiece on the counted pieces that it reads.

Run by its path, not as a module of the package: it imports nothing of this project. In come lines of a piece, a tab and
its count; out goes the bytes of the model.
"""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Train once."""
    given = json.loads(sys.argv[1])
    end_with_parent(given["parent"])
    pipe_out, model = os.fdopen(os.dup(1), "wb"), io.BytesIO()
    os.dup2(2, 1)  # what a library prints must not look like the model
    trainer = importlib.import_module("sentencepiece").SentencePieceTrainer
    trainer.train(sentence_iterator=iter(sys.stdin.buffer), model_writer=model, **given["settings"])
    with pipe_out:
        pipe_out.write(model.getvalue())


def end_with_parent(parent: int) -> None:
    """Never outlive the parent, on Linux; elsewhere the training ends and nobody reads the model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this one
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main()

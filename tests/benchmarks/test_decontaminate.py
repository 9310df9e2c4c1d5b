"""The benchmark of decontamination finds what it planted, and says which peer is not there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORDS = [f"{start}{end}" for start in "bdfgklmnprstvz" for end in ("ano", "estu", "irre", "olm", "u", "andr", "ixe")]


def test_planted_copies_are_found_and_a_missing_peer_is_named(tmp_path: Path) -> None:
    rng = random.Random(3)
    texts = ["\n\n".join(" ".join(rng.choices(WORDS, k=60)) for _ in range(14)) for _ in range(60)]
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    page = tmp_path / "page.md"
    page.write_text("# Old\n\nold numbers\n\n**What they show.** Much.\n")
    command = [sys.executable, str(ROOT / "benchmarks/decontaminate.py"), "--input", str(path), "--repeats", "1"]
    command += ["--out", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| groundwork")]
    assert len(lines) == 2  # short and long items
    for ours in lines:
        assert [cell.strip() for cell in ours.split("|")[5:11]] == ["100.0%"] * 6
        assert "| 0 of 57" in ours
    assert page.read_text() == done.stdout.removesuffix("\n") + "\n**What they show.** Much.\n"  # print's own line end
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    assert f"- measured at commit {commit.stdout.strip() or 'unknown commit'}, " in done.stdout
    assert "lm-eval Janitor: not measured, --janitor names no file" in done.stdout

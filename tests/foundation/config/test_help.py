"""--help shows a command's own groups and every key with its comment."""

from __future__ import annotations

from pathlib import Path

from foundation.config.help import help_text

CONF = Path(__file__).parents[3] / "conf"


def test_a_command_lists_its_own_groups_alone() -> None:
    train, pipeline = help_text(CONF, "train", {}), help_text(CONF, "pipeline", {})
    assert "\noptim= [adamw]\n" in train
    assert "\ndedup= exact, [minhash], none\n" in pipeline
    assert "dedup=" not in train.replace("data_pipeline", "")
    assert "optim=" not in pipeline


def test_a_key_stands_under_its_explanation() -> None:
    lines = help_text(CONF, "train", {}).splitlines()
    place = lines.index("  optim.lr: 6.0e-4")
    assert lines[place - 1] == "  # peak learning rate, which the schedule multiplies"
    assert not any("_target_" in line or "defaults" in line for line in lines)


def test_another_option_shows_its_keys() -> None:
    text = help_text(CONF, "pipeline", {"corpus": "jsonl"})
    assert "corpus= [jsonl], pydocs, several, synthetic, text" in text
    assert "corpus.text_key: text" in text

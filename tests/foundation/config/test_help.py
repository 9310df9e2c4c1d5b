"""--help shows a command's own groups and every key with its comment."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.config.help import help_text

CONF = Path(__file__).parents[3] / "conf"


def test_a_command_lists_its_own_groups_alone() -> None:
    train, pipeline = help_text([CONF], "train", {}), help_text([CONF], "pipeline", {})
    assert "\noptim= [adamw]\n" in train
    assert "\ndedup= exact, [minhash], none\n" in pipeline
    assert "dedup=" not in train.replace("data_pipeline", "")
    assert "optim=" not in pipeline


def test_a_key_stands_under_its_explanation() -> None:
    lines = help_text([CONF], "train", {}).splitlines()
    place = lines.index("  optim.lr: 6.0e-4")
    assert lines[place - 1] == "  # peak learning rate, which the schedule multiplies"
    assert not any("_target_" in line or "defaults" in line for line in lines)


@pytest.mark.parametrize("root", ["train", "pipeline"])
def test_a_comment_above_a_shown_key_is_shown(root: str) -> None:
    lines, comment = help_text([CONF], root, {}).splitlines(), ""
    own = (CONF / f"{root}.yaml").read_text().split("_self_", 1)[1].splitlines()
    shown = {f"  {line}" for line in own if line[:1].isalpha() and not line.startswith(("defaults", "hydra"))}
    assert len(shown) >= 5
    for line in own:
        if f"  {line}" in shown and comment:
            assert lines[lines.index(f"  {line}") - 1] == f"  {comment}"
        comment = line if line.startswith("#") else ""


def test_an_option_of_no_key_shows_what_it_is() -> None:
    assert "  # no document is compared with another" in help_text([CONF], "pipeline", {"dedup": "none"}).splitlines()


def test_the_keys_of_a_recipe_are_those_of_the_whole_config() -> None:
    lines = help_text([CONF], "pipeline", {"recipe": "web"}).splitlines()
    place = lines.index("  tokenizer:")
    assert "vocab_size: 50257" in "\n".join(lines[place : place + 3])


def test_another_option_shows_its_keys() -> None:
    text = help_text([CONF], "pipeline", {"corpus": "jsonl"})
    assert "corpus= [jsonl], pydocs, several, synthetic, text" in text
    assert "corpus.text_key: text" in text


def test_options_of_a_folder_of_ones_own_are_listed_and_shown(tmp_path: Path) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim/mine.yaml").write_text("_target_: mine.Sgd\n# peak\nrate: 3\n")
    text = help_text([CONF, tmp_path], "train", {"optim": "mine"})
    assert "optim= adamw, [mine]\n  # peak\n  optim.rate: 3\n" in text

"""--help shows a command's own groups and every key as it is typed, with its comment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from foundation.config.compose import CommandLine, plain
from foundation.config.help import help_text
from foundation.config.suggest import keys_of
from foundation.errors import ConfigError

CONF = Path(__file__).parents[3] / "conf"
KEY = re.compile(r"  ([a-z_][\w.]*): ", re.MULTILINE)


def shown(root: str, *asked: str, width: int = 120, conf_dirs: tuple[Path, ...] = (CONF,), **chosen: str) -> str:
    return help_text(list(conf_dirs), root, chosen, list(asked), width)


def test_a_command_lists_its_own_groups_alone() -> None:
    train, pipeline = shown("train"), shown("pipeline")
    assert "\noptim= [adamw], sgd\n" in train
    assert "\ndedup= exact, [minhash], none\n" in pipeline
    assert "dedup=" not in train.replace("data_pipeline", "")
    assert "optim=" not in pipeline


@pytest.mark.parametrize(
    ("root", "chosen"),
    [
        ("train", {}),
        ("train", {"logger": "wandb", "eval": "none", "spike": "none"}),
        ("train", {"experiment": "gpt2_124m"}),
        ("pipeline", {"name": "x"}),
        ("pipeline", {"corpus": "synthetic", "clean": "none"}),
        ("pipeline", {"recipe": "web"}),
        ("classifier", {"corpus@good": "text", "corpus@labelled": "csv"}),
    ],
)
def test_the_keys_are_those_of_the_whole_config(root: str, chosen: dict[str, str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose(root, [f"{group}={option}" for group, option in chosen.items()]))
    expected = {key for key in keys_of(tree) if not key.endswith("_target_")}
    assert len(expected) > 20
    assert set(KEY.findall(help_text([CONF], root, chosen, [], 120))) == expected


def test_a_key_stands_under_its_explanation() -> None:
    lines = shown("train").splitlines()
    place = lines.index("  optim.lr: 6.0e-4")
    assert lines[place - 1] == "  # peak learning rate, which the schedule multiplies"
    assert not any("_target_" in line or "defaults:" in line for line in lines)


@pytest.mark.parametrize("root", ["train", "pipeline"])
def test_a_comment_above_a_shown_key_is_shown(root: str) -> None:
    lines, comment = shown(root, width=200).splitlines(), ""
    own = (CONF / f"{root}.yaml").read_text().split("_self_", 1)[1].splitlines()
    keys = {f"  {line}" for line in own if line[:1].isalpha() and not line.startswith(("defaults", "hydra"))}
    assert len(keys) >= 5
    for line in own:
        if f"  {line}" in keys and comment:
            assert lines[lines.index(f"  {line}") - 1] == f"  {comment}"
        comment = line if line.startswith("#") else ""


def test_an_option_of_no_key_shows_what_it_is() -> None:
    assert "none\n  no document is compared with another\n" in shown("pipeline", dedup="none").replace("[none]", "none")


def test_an_option_made_of_others_shows_their_keys() -> None:
    text = shown("train")
    assert "\n  # steps between two lines; skipped steps and evaluations are always shown\n  logger.loggers.con" in text
    assert "\n  # project of the run\n  logger.loggers.wandb.project: groundwork\n" in text


def test_an_option_made_of_others_overrides_them(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    parts = "defaults:\n  - jsonl@sources.web\n  - text@sources.books\n  - elsewhere\n"
    own = "sources:\n  web:\n    paths:\n    - a.jsonl\n    - b.jsonl\n"
    (tmp_path / "corpus/mixed.yaml").write_text(f"# two\n{parts}{own}")
    text = shown("pipeline", conf_dirs=(CONF, tmp_path), corpus="mixed")
    assert ", jsonl, [mixed], parquet, pile, pydocs, " in text
    assert ".[remote]'\n  corpus.sources.web.paths: [a.jsonl, b.jsonl]\n" in text  # under jsonl's comment
    assert "\n  corpus.sources.books.paths: ???\n" in text
    assert text.count("corpus.sources.web.paths") == 1


def test_an_option_made_of_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim/one.yaml").write_text("defaults:\n  - other@x\n")
    (tmp_path / "optim/other.yaml").write_text("defaults:\n  - one@y\n")
    with pytest.raises(ConfigError, match=r"^optim: 'one' is made of itself; take it out of its defaults list$"):
        shown("train", conf_dirs=(CONF, tmp_path), optim="one")


def test_a_recipe_shows_what_it_chooses_in_other_groups() -> None:
    text = shown("pipeline", recipe="web")
    assert ", hub, [jsonl], parquet, pile, pydocs, several, synthetic, text, warc, " in " ".join(text.split())
    assert "\n  # entries, as GPT-2's\n  tokenizer.vocab_size: 50257\n" in text
    other = shown("pipeline", recipe="web", corpus="text")
    assert ", hub, jsonl, parquet, pile, pydocs, several, synthetic, [text], warc, " in " ".join(other.split())


def test_a_group_alone_shows_each_of_its_options() -> None:
    text = shown("pipeline", "dedup", "executor", dedup="exact")
    assert text.startswith("dedup= [exact], minhash, none\n\ndedup=exact\n  documents whose words")
    assert "\n\ndedup=none\n  no document is compared with another\n\nexecutor= [local]\n\nexecutor=local\n" in text
    assert "\n  dedup.threshold: 0.8\n" in text
    assert "corpus" not in text.replace("corpus ", "")


@pytest.mark.parametrize("root", ["train", "pipeline"])
def test_prose_is_broken_at_the_width_and_what_is_typed_is_not(root: str) -> None:
    lines = shown(root, width=60).splitlines()
    prose = [line for line in lines if line.startswith("  # ")]
    assert len(prose) > 40
    assert all(len(line) <= 60 for line in prose)
    in_one_piece, wide = (" ".join(shown(root, width=width).replace("#", "").split()) for width in (60, 500))
    assert in_one_piece == wide
    assert any(len(line) > 60 and not line.startswith("  # ") for line in lines)
    assert all(len(line) <= 80 for line in shown(root, width=80).splitlines())


def test_options_of_a_folder_of_ones_own_are_listed_and_shown(tmp_path: Path) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim/mine.yaml").write_text("defaults:\n_target_: mine.Sgd\n# peak\nrate: 3  # a third\n")
    text = shown("train", conf_dirs=(CONF, tmp_path), optim="mine")
    assert "optim= adamw, [mine], sgd\n  # peak\n  optim.rate: 3  # a third\n" in text


@pytest.mark.parametrize("word", ["optim", "optim=", "optim.lr"])
def test_a_name_beside_help_is_that_of_a_group(word: str, tmp_path: Path) -> None:
    text = CommandLine(["--help", word], CONF, "train", tmp_path).help()
    assert text.startswith("optim= [adamw], sgd\n\noptim=adamw\n")


def test_a_name_beside_help_that_is_no_group(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--help optm: is no group, did you mean 'optim'\?; groups are model, data"):
        CommandLine(["--help", "optm"], CONF, "train", tmp_path)


def test_an_unlike_name_beside_help_gets_no_guess(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--help nothing: is no group; groups are model, data"):
        CommandLine(["--help", "nothing"], CONF, "train", tmp_path)


def test_a_sweep_beside_help_shows_the_default(tmp_path: Path) -> None:
    command = CommandLine(["-m", "--help", "model=gpt_tiny,gpt_small"], CONF, "train", tmp_path)
    assert "[gpt_small]" in command.help()


def test_a_command_that_takes_the_words_of_another_says_what_it_is_itself() -> None:
    about = "Looks at a run\nbefore it starts.\n\n    python look.py model=x\nThe end.\n"
    text = help_text([CONF], "train", {}, [], 120, about)
    own = help_text([CONF], "train", {}, [], 120)
    told, rest = text.split("\nof the command itself\n")
    assert told == "Looks at a run before it starts.\n\n    python look.py model=x\nThe end.\n"
    assert rest == own.split("\nof the command itself\n")[1]

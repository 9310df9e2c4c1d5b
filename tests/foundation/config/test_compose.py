"""From what is typed to what Hydra gets, and back from its config to plain values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from foundation.config.compose import RAISES, CommandLine, config_yaml, plain, read_config, run_hydra
from foundation.errors import ConfigError


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name in ("model/small.yaml", "model/large.yaml", "train.yaml"):
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x: 1\n")
    (tmp_path / "conf" / "train.yaml").write_text("defaults:\n  - _self_\n  - model: small\n")
    (tmp_path / "conf" / "other.yaml").write_text("defaults:\n  - corpus: web\nhydra: {help: {app_name: other}}\n")
    return tmp_path / "conf"


def typed(conf: Path, *arguments: str) -> CommandLine:
    return CommandLine(list(arguments), conf, "train", conf)


def test_a_key_is_forced_so_that_an_unknown_one_gets_our_message(conf: Path) -> None:
    arguments = typed(conf, "model=large", "optim.lr=1", "+new=2", "~gone").arguments
    assert arguments[:4] == ["model=large", "++optim.lr=1", "+new=2", "~gone"]
    assert "hydra.output_subdir=null" in arguments


@pytest.mark.bad_input(49)
def test_a_wrong_option_gets_the_nearest_and_the_list(conf: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: 'smal' is no option .* did you mean 'small'.*allowed: large, small"):
        typed(conf, "model=smal")
    with pytest.raises(ConfigError, match="'huge'"):
        typed(conf, "-m", "model=small,huge")


def test_an_option_may_have_a_name_that_hydra_reads_as_a_number(conf: Path) -> None:
    (conf / "model" / "nan.yaml").write_text("x: 3\n")
    assert typed(conf, "model=nan").arguments[0] == typed(conf, "model='nan'").arguments[0] == "model='nan'"
    with pytest.raises(ConfigError, match="model: inf is no option"):
        typed(conf, "model=inf")


def test_a_sweep_over_options_may_use_hydras_grammar(conf: Path) -> None:
    for value in ("small,large", "choice(small,large)", "glob(*)"):
        assert f"model={value}" in typed(conf, "-m", f"model={value}").arguments
    with pytest.raises(ConfigError, match="model: 'huge' is no option"):
        typed(conf, "-m", "model=choice(small,huge)")


def test_a_group_below_another_key_is_typed_by_that_key(conf: Path) -> None:
    (conf / "train.yaml").write_text("defaults:\n  - _self_\n  - model@good: small\n  - model@bad: small\n")
    for text in ("good=large", "model@good=large"):
        assert typed(conf, text).arguments[0] == "model@good=large"
    assert typed(conf, "good.x=2").arguments[0] == "++good.x=2"
    with pytest.raises(ConfigError, match=r"^model@bad: 'smal' is no option of this group, did you mean 'small'"):
        typed(conf, "bad=smal")
    assert "\ngood.x: 1" in typed(conf, "--help", "good").help().replace("\n  ", "\n")


def test_a_group_of_another_command_is_named_as_its(conf: Path) -> None:
    with pytest.raises(ConfigError, match=r"^corpus: is a group of other; here are model$"):
        typed(conf, "corpus=web")


def test_a_folder_of_ones_own_has_options_beside_the_projects(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "mine/model").mkdir(parents=True)
    (tmp_path / "mine/model/tiny.yaml").write_text("x: 1\n")
    command = typed(conf, f"--config-dir={tmp_path / 'mine'}", "model=tiny")
    assert "model=tiny" in command.arguments
    assert f"--config-dir={tmp_path / 'mine'}" in command.arguments
    with pytest.raises(ConfigError, match="allowed: large, small, tiny"):
        typed(conf, f"--config-dir={tmp_path / 'mine'}", "model=huge")
    with pytest.raises(ConfigError, match=r"^--config-dir: .*/absent is no folder; give one that holds <group>/"):
        typed(conf, f"--config-dir={tmp_path / 'absent'}", "model=tiny")
    (tmp_path / "mine/model/tiny.yaml").write_text("x: 010\n")
    with pytest.raises(ConfigError, match=r"tiny\.yaml:1: 010 .* write 10"):
        typed(conf, f"--config-dir={tmp_path / 'mine'}", "model=tiny")


def test_an_object_in_place_of_an_option_is_told_where_it_goes(conf: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^model: takes the name of an option, not an object; write it as <folder>/m"
    ):
        typed(conf, "model={_target_:mine.Model,x:1}")
    with pytest.raises(ConfigError, match=r"^model: takes the name of one option, not a list; allowed: "):
        typed(conf, "model=[small,large]")


def test_extra_targets_are_taken_from_the_command_line_alone(conf: Path) -> None:
    command = typed(conf, "extra_targets=[mine.,yours.]", "a=1")
    assert command.allowed[-2:] == ("mine.", "yours.")
    assert not any(text.lstrip("+").startswith("extra_targets") for text in command.arguments)
    with pytest.raises(ConfigError, match="doesn't end in a dot"):
        typed(conf, "extra_targets=[mine]")


def test_a_rerun_takes_the_path_from_the_current_folder(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = conf.parent / "runs" / "x"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("a: 1\n")
    monkeypatch.chdir(conf.parent)
    for form in (["--config-path", "runs/x"], ["--config-path=runs/x"], ["-cp", "runs/x"]):
        command = typed(conf, *form, "--config-name", "config", "a=2")
        assert f"--config-path={run}" in command.arguments
        assert "++a=2" in command.arguments
    with pytest.raises(ConfigError, match="model: a run's own config has its options resolved"):
        typed(conf, "--config-path=runs/x", "--config-name=config", "model=small")
    for form in (["--config-path=runs/y", "--config-name=config"], ["--config-name=nope"]):
        with pytest.raises(ConfigError, match=r"^--config-path, --config-name: there is no"):
            typed(conf, *form)


def test_an_option_of_another_group_is_named_with_its_group(conf: Path) -> None:
    (conf / "recipe").mkdir()
    (conf / "recipe" / "tiny_1m.yaml").write_text("x: 1\n")
    (conf / "train.yaml").write_text("defaults:\n  - model: small\n  - recipe: tiny_1m\n")
    with pytest.raises(ConfigError, match=r"model: 'tiny' is no option .*, did you mean recipe=tiny_1m\?; allowed: l"):
        typed(conf, "model=tiny")
    with pytest.raises(ConfigError, match="model: 'x' is no option of this group; allowed: large, small"):
        typed(conf, "model=x")


def test_a_group_cannot_be_removed(conf: Path) -> None:
    for text in ("~model", "~model=small"):
        with pytest.raises(ConfigError, match=r"^~model: is a group .*; choose one with model=: large, small$"):
            typed(conf, text)


def test_a_group_is_chosen_without_a_plus(conf: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\+model: is a group, .*; type model=large$"):
        typed(conf, "+model=large")


def test_a_bad_yaml_anywhere_in_the_tree_is_refused(conf: Path) -> None:
    (conf / "model/small.yaml").write_text("x: 010\n")
    with pytest.raises(ConfigError, match=r"small\.yaml:1: 010 .* write 10"):
        typed(conf, "model=large")


@pytest.mark.bad_input(50)
def test_references_are_resolved_and_resolvers_refused() -> None:
    assert plain(OmegaConf.create({"a": 1, "b": "${a}"})) == {"a": 1, "b": 1}
    with pytest.raises(ConfigError, match=r"b: '\$\{oc\.env:HOME\}' uses a resolver"):
        plain(OmegaConf.create({"b": "${oc.env:HOME}"}))
    with pytest.raises(ConfigError, match=r"^b: [^\n]*'missing' not found; a reference is \$\{full\.key\} of a key"):
        plain(OmegaConf.create({"b": "${missing}"}))


def test_a_tree_survives_the_way_through_a_file(tmp_path: Path) -> None:
    tree = {"a": [1, 2.5, None, "x: y"], "b": {"c": True, "d": "010", "e": "1e-3", "f": 1e-5, "g": "off"}}
    (tmp_path / "config.yaml").write_bytes(config_yaml(tree))
    assert read_config(tmp_path / "config.yaml") == tree


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("fields=[a]", r"^fields: a list, where names with values are expected; give e\.g\. fields='\{name: value\}'$"),
        ("~y", "^~y: there is nothing to remove, or a null, which can't be removed; leave it out$"),
        ("~fields.a", "^~fields.a: there is nothing to remove, .*; to change the class, write it as <folder>/fields/"),
        ("+x=2", r"^\+x: is there already; type x=\.\.\. without the \+$"),
        ("hydra.foo=1", r"^Could not override 'hydra\.foo': .*; --help lists what can be set$"),
    ],
)
def test_what_cannot_be_composed_is_an_error_of_ours(
    conf: Path, monkeypatch: pytest.MonkeyPatch, argument: str, message: str
) -> None:
    (conf / "train.yaml").write_text("defaults:\n  - _self_\nx: 1\nfields: {}\n")
    monkeypatch.delenv(RAISES, raising=False)
    command = typed(conf, argument)
    monkeypatch.setattr("sys.argv", ["train", *command.arguments])
    with pytest.raises(ConfigError, match=message):
        run_hydra(command, "train", lambda config: None)
    assert RAISES not in os.environ


def test_hydras_own_switch_stays_as_it_was_and_errors_of_the_task_pass(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: DictConfig) -> None:
        raise ZeroDivisionError(config.model.x)

    monkeypatch.setenv(RAISES, "0")
    command = typed(conf)
    monkeypatch.setattr("sys.argv", ["train", *command.arguments])
    with pytest.raises(ZeroDivisionError, match="1"):
        run_hydra(command, "train", fail)
    assert os.environ[RAISES] == "0"


@pytest.mark.bad_input(50)
@pytest.mark.parametrize("parts", [{"one": "one"}, {"one": "other", "other": "one"}])
@pytest.mark.parametrize("is_typed", [True, False])
def test_an_option_made_of_itself_is_named_where_it_is_composed(
    conf: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, str], is_typed: bool
) -> None:
    for option, part in parts.items():
        (conf / f"model/{option}.yaml").write_text(f"defaults:\n  - {part}\nx: 1\n")
    if not is_typed:
        (conf / "train.yaml").write_text("defaults:\n  - _self_\n  - model: one\n")
    command = typed(conf, *(["model=one"] if is_typed else []))
    monkeypatch.setattr("sys.argv", ["train", *command.arguments])
    with pytest.raises(ConfigError, match=r"^model: 'one' is made of itself; take it out of its defaults list$"):
        run_hydra(command, "train", lambda config: None)


def test_a_recursion_of_the_task_passes(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: DictConfig) -> None:
        raise RecursionError("its own")

    monkeypatch.setattr("sys.argv", ["train", *(command := typed(conf)).arguments])
    with pytest.raises(RecursionError, match="its own"):
        run_hydra(command, "train", fail)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "+box/part@box.a=one",
            r"^\+box/part@box\.a: has its place already; type box/part@box\.a=one once, without the",
        ),
        (
            "box/part@box.b=one",
            r"^box/part@box\.b=one: has no place here yet; type \+box/part@box\.b=one, which adds it",
        ),
    ],
)
def test_what_is_added_has_a_plus_and_what_has_its_place_has_none(
    conf: Path, monkeypatch: pytest.MonkeyPatch, argument: str, message: str
) -> None:
    (conf / "box/part").mkdir(parents=True)
    (conf / "box/part/one.yaml").write_text("x: 1\n")
    (conf / "box/some.yaml").write_text("defaults:\n  - part@a: null\n  - _self_\ny: 1\n")
    (conf / "train.yaml").write_text("defaults:\n  - box: some\n  - _self_\n")
    command = typed(conf, argument)
    monkeypatch.setattr("sys.argv", ["train", *command.arguments])
    with pytest.raises(ConfigError, match=message):
        run_hydra(command, "train", lambda config: None)

"""What people mistype: each time the word, what is wrong with it and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException

from foundation.config.groups import options_of
from foundation.config.typed import FLAGS, in_words, read_flags, read_override, similar_option
from foundation.errors import ConfigError

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "1e-3"], f"--lr: is no flag; settings are typed without dashes, lr=1e-3; flags are {FLAGS}"),
        (["a=1", "--batch-size=8"], "--batch-size: is no flag; settings are typed without dashes, batch_size=8; "),
        (["--foo"], "--foo: is no flag; settings are typed without dashes, foo=<value>; "),
        (["--foo", "a=1"], "foo=<value>; "),
        (["--foo", "-m"], "foo=<value>; "),
        (["--config-name"], "argument --config-name/-cn: expected one argument; settings are key=value without dashes"),
        (["--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
        (["--cfg", "job", "-m"], "--multirun and --cfg exclude each other; keep one of them"),
        (["--resolve"], "--resolve: shows a config with its references resolved; add --cfg job"),
        (["--help", "--config-path", "x"], "--help: lists groups, and a run's own config has none; leave"),
        (["--experimental-rerun", "x.pickle"], "--experimental-rerun: runs a pickle; type --config-path"),
    ],
)
def test_a_flag_that_there_is_not(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_flags(words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flags_stand_anywhere_and_the_rest_are_overrides() -> None:
    flags = read_flags(["a=1", "-m", "b=2", "--config-path", "runs/x"])
    assert (flags.overrides, flags.multirun, flags.config_path) == (["a=1", "b=2"], True, "runs/x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model", "'model': arguments are key=value; a value with spaces needs quotes around it all"),
        ("=1", "'=1': '' is no key"),
        ("a.=1", "'a.=1': 'a.' is no key"),
        ("/model=x", "'/model=x': '/model' is no key; a key is a name, or names with dots between them"),
        (
            "a=1,2",
            "a: '1,2' is several values; add -m to run with each of them. As one value, a list is typed a='[1,2]'",
        ),
        ("+a=1,2", "+a: '1,2' is several values"),
        ("a=range(1,3)", "add -m"),
        ("a=[x/*.jsonl", "a: '[x/*.jsonl' can't be read; a [ has no ]; close it, and quote it all for the shell: "),
        ("a=[x,", "a: '[x,' can't be read; it ends behind a comma: the shell cut it at the blank that followed; "),
        ("a=x]", "a ] has no [ before it"),
        ("a={b:1", "a { has no }"),
        ("a='x", "it has a quote ' without its second"),
        ("a=~/x", "put the value into quotes of its own inside the shell's, e.g. a='\"~/x\"'"),
        ("a=b=c", "a='\"b=c\"'"),
    ],
)
def test_a_setting_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_override(text, multirun=False)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("advised", ["a='[1,2]'", "a='\"1,2\"'", "a='[x/*.jsonl]'", "a='\"~/x\"'", "a='\"b=c\"'"])
def test_the_advised_words_can_be_read(advised: str) -> None:
    shell_takes_away = advised.replace("'", "")
    assert not read_override(shell_takes_away, multirun=False).is_sweep_override()


def test_several_values_are_a_sweep() -> None:
    assert list(read_override("a=1,2", multirun=True).sweep_iterator()) == [1, 2]


@pytest.mark.parametrize(
    ("group", "option", "meant"),
    [
        ("model", "gpt2", "'gpt_small'"),  # as its file says: GPT-2, 124M parameters
        ("model", "gpt2-xl", "'gpt_xl'"),
        ("model", "gpt_smal", "'gpt_small'"),
        ("experiment", "gpt2", "'gpt2_124m'"),
        ("optim", "gpt2", "experiment=gpt2_124m"),
        ("model", "gpt_foo", ""),  # they all begin so
        ("optim", "", ""),
    ],
)
def test_the_option_that_may_be_meant(group: str, option: str, meant: str) -> None:
    options = {each: options_of([CONF], each) for each in ("model", "optim", "experiment")}
    assert similar_option(group, option, options) == (f", did you mean {meant}?" if meant else "")


def test_an_option_that_says_nothing_of_itself_is_not_what_nothing_means(tmp_path: Path) -> None:
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim/mine.yaml").write_text("lr: 1\n")
    assert similar_option("optim", "", {"optim": options_of([CONF, tmp_path], "optim")}) == ""


KEYS = ["clean.rules", "clean.rules.gopher", "clean.rules.gopher.min_words", "clean.rules.fineweb", "corpus.source"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "Could not delete from config. 'clean.rules.fineweeb' does not exist.",
            "~clean.rules.fineweeb: there is nothing to remove, did you mean '~clean.rules.fineweb'?",
        ),
        (
            "Could not delete from config. 'clean.rules.x' does not exist.",
            "~clean.rules.x: there is nothing to remove, or a null, which can't be removed; clean.rules has gopher, "
            "fineweb",
        ),
        (
            "In 'pipeline': Could not find 'clean/rules/toxi'",
            "clean/rules: 'toxi' is no option of this group, did you mean 'toxic'?; allowed: ",
        ),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(said: str, expected: str) -> None:
    conf = Path(__file__).parents[3] / "conf"
    assert in_words(HydraException(said), [conf], KEYS).startswith(expected)
    null = HydraException("Could not delete from config. 'corpus.source' does not exist.")
    assert in_words(null, [conf], KEYS) == in_words(null)  # it is there, and a null

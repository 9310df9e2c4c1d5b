"""An unknown key: what it may have meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.pipeline import check_config
from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from foundation.config.suggest import OTHER_NAMES, SHOWN, NoObjectError, keys_of, other_options_named, suggest
from foundation.errors import UnknownKeyError

CONF = Path(__file__).parents[3] / "conf"
PATHS = (
    "corpus=arrow and corpus=csv and corpus=jsonl and corpus=parquet and corpus=text and corpus=warc have corpus.paths"
)
KEYS = ["seed", "optim.lr", "eval.seed", "mix.seed", "a.every", "b.every", "c.every", "d.every"]


@pytest.fixture(scope="module")
def training() -> list[str]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return list(keys_of(plain(compose("train"))))


@pytest.mark.parametrize(
    ("full", "allowed", "expected"),
    [
        ("lr", ["logger", "seed"], ", did you mean 'optim.lr'?"),
        ("optim.lrs", ["eps"], ", did you mean 'optim.lr'?"),
        ("optim.epps", ["eps"], ", did you mean 'optim.eps'?"),  # the config has none: its default is the signature's
        ("clean.rules.length.min_word", ["min_words"], ", did you mean 'clean.rules.length.min_words'?"),
        ("seeed", ["seed"], ", did you mean 'seed'?"),
        ("data.seed", ["path"], ", did you mean 'seed' or 'eval.seed' or 'mix.seed'?"),
        ("every", ["seed"], ""),  # four keys end so: no suggestion is better than four
        ("unlike", ["seed"], ""),
        ("learning_rate", ["seed"], ", did you mean 'optim.lr'?"),
        ("n_layer", ["seed"], ""),  # this config has no such key
    ],
)
def test_the_key_that_may_be_meant(full: str, allowed: list[str], expected: str) -> None:
    assert suggest(full, allowed, [*KEYS, full]) == expected


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_trainers_name_leads_to_keys_that_the_training_has(name: str, training: list[str]) -> None:
    for meant in OTHER_NAMES[name]:
        assert [key for key in training if f".{key}".endswith(f".{meant}")], f"no key of the training ends in {meant}"
    found = suggest(name, [], training)
    assert 0 < found.count("'") // 2 <= SHOWN


def test_the_keys_of_a_tree_are_those_of_its_values() -> None:
    assert list(keys_of({"a": 1, "b": {"c": [{"d": 1}], "e": {}}})) == ["a", "b.c", "b.e"]


@pytest.mark.parametrize(
    ("group", "taken", "key", "message"),
    [
        ("corpus", "pydocs", "corpus.paths", f"corpus is pydocs here; {PATHS}"),
        ("launcher", "inline", "launcher.processes", "launcher=local and launcher=torchrun have launcher."),
        ("corpus", "pydocs", "corpus.pathss", PATHS),
        (
            "corpus",
            "pydocs",
            "corpus.path",
            " and corpus=hub and corpus=pile and corpus=wikipedia have ",
        ),
        ("clean", "none", "clean.rules", "clean is none here; clean=bare and clean=books and clean=code and"),
        (
            "logger",
            "console",
            "logger.loggers.wandb",
            "; logger=default and logger=email and logger=wandb and logger=webhook have",
        ),
    ],
)
def test_a_key_of_another_option_is_answered_with_that_option(group: str, taken: str, key: str, message: str) -> None:
    with pytest.raises(UnknownKeyError) as caught, other_options_named([CONF], {group: taken}):
        raise UnknownKeyError(key, "unknown key")
    assert str(caught.value).startswith(f"{key}: unknown key, {group} is {taken} here; ")
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["corpus.else", "corpus.max_byte", "corpus", "optim.lr", "nothing.paths"])
def test_a_key_of_no_other_option_is_answered_as_before(key: str) -> None:
    with pytest.raises(UnknownKeyError, match=f"^{key}: as before$"), other_options_named([CONF], {"corpus": "pydocs"}):
        raise UnknownKeyError(key, "as before")


def test_a_bare_name_of_another_option_is_answered_with_that_option() -> None:
    taken = {"hydra/output": "default", "model": "gpt_tiny", "corpus": "pydocs"}
    message = f"^paths: unknown key, corpus is pydocs here; {PATHS}$"
    with pytest.raises(UnknownKeyError, match=message), other_options_named([CONF], taken):
        raise UnknownKeyError("paths", "unknown key")


def test_a_guess_in_the_chosen_option_stands_before_one_in_others() -> None:
    with pytest.raises(UnknownKeyError, match=r"guessed$"), other_options_named([CONF], {"corpus": "pydocs"}):
        raise UnknownKeyError("corpus.pathss", "guessed", has_guess=True)


CORPORA = (
    "arrow (or books, code, csv, fineweb_edu, hub, jsonl, parquet, pile, pydocs, synthetic, text, warc, wikipedia)"
)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["corpus.sources.peps.weight=3"], CORPORA),
        (
            ["corpus.sources.peps.weight=3", "corpus.sources.peps.paths=[a.txt]"],
            "arrow (or csv, jsonl, parquet, text, warc)",
        ),
        (["corpus.sources.peps.separator=x", "corpus.sources.peps.paths=[a.txt]"], "text"),
    ],
)
def test_keys_of_an_object_that_no_option_makes_are_answered_with_the_word_that_does(
    given: list[str], options: str
) -> None:
    def checked(*words: str) -> None:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            tree = plain(compose("pipeline", ["name=x", "corpus=several", *(f"++{each}" for each in given), *words]))
        with other_options_named([CONF], {"corpus": "several"}):
            check_config(tree, DEFAULT_TARGETS)

    with pytest.raises(UnknownKeyError) as caught:
        checked()
    said = f"is not an object with a _target_; add +corpus@corpus.sources.peps={options}"
    assert str(caught.value).startswith("corpus.sources.peps: {") and str(caught.value).endswith(said)
    checked(str(caught.value).partition("add ")[2].partition(" (or")[0], "++corpus.sources.peps.paths=[a.txt]")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("clean.rules.links", {"max_links": 1}, "give it one, clean.rules.links._target_=<package.module.Class>"),
        ("corpus", 3, "choose an option of this group"),
    ],
)
def test_an_object_that_no_option_makes_is_asked_for_its_class(key: str, value: object, words: str) -> None:
    with pytest.raises(NoObjectError) as caught, other_options_named([CONF], {"clean": "default", "corpus": "several"}):
        raise NoObjectError(key, value)
    assert str(caught.value) == f"{key}: {value!r} is not an object with a _target_; {words}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus=jsonl", "corpus.path=x"], r"^corpus\.path: unknown key, did you mean 'corpus\.paths'\?"),
        (["clean.rules.repetition.max_top_2_gram_frac=0.1"], r"clean=web.* ha(s|ve) clean\.rules\.repetition"),
        (["clean.rules.toxic.model=x"], r"; add \+clean/rules@clean\.rules\.toxic=toxic(;|$)"),
    ],
)
def test_what_is_typed_wrong_is_answered_with_what_to_type(words: list[str], message: str) -> None:
    """A slip stands before the same name in other options; an object that some option has, or that one makes, too."""
    typed = [f"++{each}" if "." in each.partition("=")[0] else each for each in words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose("pipeline", ["name=x", *typed]))
    choices = {"corpus": "jsonl", "clean": "default", "augment": "none"}
    with pytest.raises(UnknownKeyError, match=message), other_options_named([CONF], choices):
        check_config(tree, DEFAULT_TARGETS)

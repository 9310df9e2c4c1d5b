"""Every option of every group is composed, checked and built; the composed experiments are kept in git."""

from __future__ import annotations

import difflib
import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from data_pipeline.pipeline import check_config as check_pipeline
from data_pipeline.preflight.preflight import check_preflight
from data_pipeline.tokenize.bpe import ByteLevelBPE
from foundation.config import DEFAULT_TARGETS, Node, build
from foundation.config.compose import config_yaml, plain
from foundation.errors import ConfigError
from pretrain.data.loader import Shards
from pretrain.main import check_config as check_train
from pretrain.mesh import Mesh
from pretrain.model.transformer import Transformer
from pretrain.pieces import NONE
from pretrain.plan import TrainerSettings
from pretrain.seats import RUNTIME
from pretrain.tokenizer import Tokenizer

CONF = Path(__file__).parents[2] / "conf"
PIPELINE_GROUPS = (
    "corpus",
    "clean",
    "dedup",
    "paragraphs",
    "decontaminate",
    "augment",
    "mix",
    "tokenizer",
    "shards",
    "executor",
    "preflight",
    "recipe",
)
RECIPES = ("web", "one_file", "fineweb_edu", "pile", "multilingual")
NEEDED = {
    "corpus=jsonl": ["corpus.paths=[some.jsonl]"],
    "recipe=web": ["corpus.paths=[some.jsonl]"],
    "recipe=one_file": ["corpus.paths=[some.txt]"],
    "corpus=text": ["corpus.paths=[some.txt]"],
    "corpus=warc": ["corpus.paths=[some.warc.gz]"],
    "corpus=parquet": ["corpus.paths=[some.parquet]"],
    "corpus=hub": ["corpus.path=some/thing"],
    "corpus=arrow": ["corpus.paths=[some.arrow]"],
    "corpus=csv": ["corpus.paths=[some.csv]"],
    "augment=swaps": ["augment.words={car: automobile}"],
    "recipe=multilingual": ["corpus.paths=[some.jsonl]"],
    "tokenizer=file": ["tokenizer.path=tokenizer.json"],
    "tokenizer=sentencepiece": ["tokenizer.path=some.model"],
    "logger=email": [f"logger.loggers.email.{text}" for text in ("host=smtp.x.org", "sender=a@x.org", "to=[b@x.org]")],
}


def options(pipeline: bool) -> list[str]:
    files = sorted(CONF.glob("*/*.yaml"))
    return [f"{path.parent.name}={path.stem}" for path in files if (path.parent.name in PIPELINE_GROUPS) is pipeline]


def composed(root: str, *overrides: str, conf: Path = CONF) -> dict[str, Any]:
    as_text = [text.replace("=nan", "='nan'") for text in overrides]  # which Hydra would read as a number
    with initialize_config_dir(str(conf), version_base="1.3"):
        return plain(compose(root, as_text))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run_dir = tmp_path_factory.mktemp("run")
    mesh = Mesh(0, 1, 0, torch.device("cpu"))
    plan = TrainerSettings(16, 8, 2, max_steps=4000).plan(1, 1000, seed=0)
    trained = ByteLevelBPE(vocab_size=260).train(iter(["a few words, more words and some more words"] * 9))
    tokenizer = Tokenizer(trained, vocab_size=260, eot_id=0)
    with torch.device("meta"):
        model = Transformer(1, 2, 8, 16, vocab_size=384)
    loader = Shards("nowhere").loader(plan, mesh)
    objects = {"mesh": mesh, "plan": plan, "device": mesh.device, "model": model, "run_dir": run_dir}
    objects |= {
        "tokenizer": tokenizer,
        "loader": loader,
        "vocab_size": 384,
        "plain_pieces": NONE,
    }
    assert set(objects) == RUNTIME
    return objects


@pytest.mark.parametrize("option", options(pipeline=False))
def test_an_option_of_the_training_is_built(
    option: str, runtime: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDWORK_WEBHOOK", "https://host/path")
    tree = composed("train", option, "run_name=x", *NEEDED.get(option, []))
    for value in check_train(tree, DEFAULT_TARGETS).values():
        if isinstance(value, Node):
            with torch.device("meta"):
                assert build(value, **runtime) is not None


def test_alerts_are_added_to_any_loggers(runtime: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    email = ["+logger/alerts@logger.loggers.email=email", *NEEDED["logger=email"]]
    tree = composed("train", "logger=webhook", *email, "logger.loggers.webhook.receiver=slack", "run_name=x")
    assert list(tree["logger"]["loggers"]) == ["console", "wandb", "page", "webhook", "email"]
    bare = composed("train", "logger=console", "+logger/alerts@logger.loggers.mine=webhook", "run_name=x")
    assert list(bare["logger"]["loggers"]) == ["console", "mine"]
    monkeypatch.setenv("GROUNDWORK_WEBHOOK", "https://host/path")
    node = check_train(tree, DEFAULT_TARGETS)["logger"]
    assert build(node, **runtime) is not None
    monkeypatch.delenv("GROUNDWORK_WEBHOOK")
    with pytest.raises(ConfigError, match=r"^logger\.loggers\.webhook\.url_env: the environment variable G"):
        build(node, **runtime)


@pytest.mark.parametrize("option", options(pipeline=True))
def test_an_option_of_the_pipeline_is_built(option: str) -> None:
    tree = composed("pipeline", "name=x", option, *NEEDED.get(option, []))
    for value in [*check_pipeline(tree, DEFAULT_TARGETS).values(), check_preflight(tree)]:
        if isinstance(value, Node):
            assert build(value) is not None


@pytest.mark.parametrize("option", options(pipeline=False) + options(pipeline=True))
def test_an_option_sets_no_key_that_it_does_not_explain(option: str) -> None:
    group, _, name = option.partition("=")
    explained = False
    for line in (CONF / group / f"{name}.yaml").read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif line.startswith("_target_"):
            explained = False  # what stands above it is said of the option
        elif line[:1].isalpha() and not line.startswith(("defaults", "hydra")) and line[-1] != ":":
            assert explained, f"{option}: {line!r} has no comment above"
            explained = False


@pytest.mark.parametrize(
    "group",
    [
        *("clean", "dedup", "decontaminate", "augment", "preflight", "recipe"),
        *("spike", "checkpoint", "eval", "logger", "profile", "watch", "debug", "experiment"),
    ],
)
def test_a_group_that_may_do_nothing_has_an_option_that_does(group: str) -> None:
    assert (CONF / group / "none.yaml").is_file()


COMPOSED = [("pipeline", "pipeline", "name=x")]
COMPOSED += [(path.stem, "train", f"experiment={path.stem}") for path in sorted((CONF / "experiment").glob("*.yaml"))]
COMPOSED += [
    (f"recipe_{name}", "pipeline", f"recipe={name}")
    for name in ("web", "one_file", "fineweb_edu", "pile", "multilingual")
]


@pytest.mark.parametrize(("name", "root", "typed"), COMPOSED, ids=[name for name, _, _ in COMPOSED])
def test_what_is_composed_is_the_one_in_git(name: str, root: str, typed: str) -> None:
    golden = Path(__file__).with_name("golden") / f"{name}.yaml"
    found = config_yaml(composed(root, typed, *NEEDED.get(typed, []))).decode()
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
        pytest.fail(f"{golden} was missing and is written now; look at it and commit it")
    kept = golden.read_text()
    changed = difflib.unified_diff(kept.splitlines(), found.splitlines(), "in git", "composed", lineterm="")
    anew = f"where that is meant: rm {golden} && pytest -k git {__file__}; it writes the file anew"
    assert found == kept, "\n".join(["what is composed is another:", *changed, anew])


OWN_KEYS: dict[str, dict[str, Any]] = {
    "train": {"seed": 7, "run_name": "mine", "runs_dir": "elsewhere", "resume": "never", "allow_change": ["optim.lr"]},
    "pipeline": {
        "name": "mine", "output_dir": "elsewhere", "partition_bytes": 7, "max_bad_frac": 0.5, "min_bad_records": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize(("root", "group"), [("train", "experiment"), ("pipeline", "recipe")])
def test_what_belongs_together_can_set_every_top_level_key(tmp_path: Path, root: str, group: str) -> None:
    values, conf = OWN_KEYS[root], shutil.copytree(CONF, tmp_path / "conf")
    assert set(values) == {key for key, value in composed(root).items() if not isinstance(value, dict)}
    body = "\n".join(f"{key}: {value}" for key, value in values.items())
    (conf / group / "mine.yaml").write_text(f"# @package _global_\n{body}\n")
    found = composed(root, f"{group}=mine", conf=conf)
    assert {key: found[key] for key in values} == values


def test_constructors_name_their_options_alone() -> None:
    for root, check in (("train", check_train), ("pipeline", check_pipeline)):
        tree = composed(root, "run_name=x" if root == "train" else "name=x")
        for value in check(tree, DEFAULT_TARGETS).values():
            if isinstance(value, Node):
                parameters = inspect.signature(value.target).parameters.values()
                assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)

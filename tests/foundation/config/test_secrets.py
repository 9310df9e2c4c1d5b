"""What looks like a secret is refused by its key, and its value appears nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundation.config.secrets import hide_queries, refuse_secrets
from foundation.errors import ConfigError


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"logger": {"api_key": "canary"}}, "logger.api_key"),
        ({"logger": {"loggers": {"mine": {"password": 12345}}}}, "logger.loggers.mine.password"),
        ({"a": {"db_password": "canary"}}, "a.db_password"),
        ({"hf_token": "canary"}, "hf_token"),
        ({"token": "canary"}, "token"),
        ({"data": {"path": "https://me:canary@host/x"}}, "data.path"),
        ({"paths": ["x", "s3://canary@bucket/x"]}, "paths.1"),
        ({"tags": ["hf_" + "canary" * 6]}, "tags.0"),
        ({"run_name": "AKIACANARYCANARYCAN1"}, "run_name"),
        ({"wandb_key": "canary" * 6}, "wandb_key"),
        ({"password": ["canary"]}, "password"),
        ({"a": {"secret": {"value": "canary"}}}, "a.secret"),
        ({"account_key": "canary"}, "account_key"),
        ({"sas_token": "canary"}, "sas_token"),
        ({"db": {"pwd": "canary"}}, "db.pwd"),
        ({"headers": ["Authorization: Bearer canary0canary0canary0"]}, "headers.0"),
        ({"headers": {"Authorization": "canary"}}, "headers.Authorization"),
        ({"path": "https://account.blob.core.windows.net/x?sv=2020&sig=canary%2Fcanary"}, "path"),
        ({"path": "https://host/x?X-Amz-Signature=canary"}, "path"),
        ({"note": "key sk-canarycanarycanary01"}, "note"),
        ({"note": "sk-proj-canary_canary-Canary_canary01"}, "note"),
        ({"note": "sk-ant-api03-canary_canary-Canary_canary01"}, "note"),
        ({"path": "abfss://me:canary@account.dfs.core.windows.net/x"}, "path"),
        ({"path": "https://me:can@ary@host/x"}, "path"),
    ],
)
def test_a_secret_is_refused_by_its_key_alone(tree: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match="give it in the environment") as refused:
        refuse_secrets(tree)
    assert str(refused.value).startswith(f"{key}: ")
    assert "canary" not in str(refused.value).lower()


def test_a_query_is_no_matter_where_it_is_hidden_and_the_rest_of_the_address_is() -> None:
    signed = re.compile(r"corpus\.paths(\.\d+)?")
    for address in ("https://host/x?X-Amz-Signature=canary", "http://host/x?token=canary&password=canary#canary"):
        refuse_secrets({"corpus": {"paths": ["a", address]}}, signed=signed)
        refuse_secrets({"corpus": {"paths": address}}, signed=signed)
        with pytest.raises(ConfigError, match=r"^corpus\.other: "):
            refuse_secrets({"corpus": {"other": address}}, signed=signed)
    for other in ("https://me:canary@host/x?a=b", "s3://host/x?sig=canary"):
        with pytest.raises(ConfigError, match=r"^corpus\.paths\.0: "):
            refuse_secrets({"corpus": {"paths": [other]}}, signed=signed)


def test_a_hidden_query_keeps_its_names() -> None:
    tree = {
        "a": ["https://host/x.gz?v=1&X-Amz-Signature=a%2Fb==&flag#part", "s3://host/x?.gz"],
        "b": {"c": 1},
        "d": None,
    }
    hidden = {"a": ["https://host/x.gz?v=***&X-Amz-Signature=***&***", "s3://host/x?.gz"], "b": {"c": 1}, "d": None}
    signed = re.compile(r"a\.\d+")
    assert hide_queries(tree, signed) == hidden == hide_queries(hidden, signed)


def test_what_is_no_signed_address_is_left_as_it_is() -> None:
    address = "https://host/law?lang=en#top"
    tree = {"tags": {"origin": address, "a": [address]}, "a": address, "note": f"see {address}, or not"}
    assert hide_queries(tree, re.compile("a")) == tree | {"a": "https://host/law?lang=***"}


def test_words_of_the_field_are_none() -> None:
    refuse_secrets(
        {
            "tokenizer": "bpe",
            "max_tokens": 5,
            "eot_token": "<|endoftext|>",
            "special_tokens": ["<s>"],
            "key": "text",
            "text_key": "text",
            "api_key": None,
            "use_auth_token": True,
            "path": "https://host/a@b",
            "email": "me@host.org",
            "id_key": "id",
            "keep_field": "score",
            "tokens": {"train": 5},
            "keys": ["text"],
            "data": {"path": "data/cs-sk-parallel-corpus-filtered"},
            "run_name": "sk-learning-rate-sweep-2026",
            "azure": "abfss://container@account.dfs.core.windows.net/x",
            "older": "wasb://container@account.blob.core.windows.net/x",
            "query": "https://host/x?page=2&keyword=a&monkey=b",
            "words": "a bearer of good news, basic understanding",
        }
    )


def test_no_option_of_ours_is_refused() -> None:
    options = sorted((Path(__file__).parents[3] / "conf").rglob("*.yaml"))
    assert len(options) > 50
    for option in options:
        tree = yaml.safe_load(option.read_text())
        refuse_secrets(tree)
        refuse_secrets(_given(tree))


def _given(tree: Any) -> Any:
    """The tree with a value for each key that has none."""
    if isinstance(tree, dict):
        return {name: _given(value) for name, value in tree.items()}
    return "x" if tree is None else tree

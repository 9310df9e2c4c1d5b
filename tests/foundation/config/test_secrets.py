"""What looks like a secret is refused by its key, and its value appears nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.config.secrets import refuse_secrets
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
    ],
)
def test_a_secret_is_refused_by_its_key_alone(tree: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match="give it in the environment") as refused:
        refuse_secrets(tree)
    assert str(refused.value).startswith(f"{key}: ")
    assert "canary" not in str(refused.value).lower()


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
        }
    )

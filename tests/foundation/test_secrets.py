"""Text that is written to a file others read: what is known to be a secret is gone from it, the rest stays."""

from __future__ import annotations

import pytest

from foundation.secrets import without_secrets


def test_what_is_known_to_be_a_secret_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "canary-of-the-environment")
    monkeypatch.setenv("WANDB_API_KEY", "canary-of-wandb")
    monkeypatch.setenv("OTHER_KEY", "step")  # too short to be told from a word
    monkeypatch.setenv("PLAIN", "a plain value")
    text = (
        "step 3: https://me:canary@host/x?sig=canary%2F&page=2 said no to canary-of-the-environment, canary-of-wandb, "
        f"hf_{'canary' * 6} and Bearer canary0canary0canary0: a plain value"
    )
    assert without_secrets(text) == "step 3: https://host/x***&page=2 said no to ***, ***, *** and ***: a plain value"


def test_text_without_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "data/cs-sk-parallel-corpus-filtered: 3 of 5 tokens, a key=value; abfss://box@account/x; me@host.org"
    assert without_secrets(text) == text

"""Text that is written to a file others read: what is known to be a secret is gone from it, the rest stays."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.secrets import (
    before_query,
    has_hidden_query,
    print_error,
    print_traceback,
    without_queries,
    without_query,
    without_secrets,
)

# RFC 3986, 3.4: what may stand in a query; `&` alone always ends a value
VALUE = string.ascii_letters + string.digits + "-._~%!$'()*+,;=:@/?"
ADDRESS = "https://host/a,b/it's(1).jsonl"


def test_what_is_known_to_be_a_secret_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "canary-of-the-environment")
    monkeypatch.setenv("WANDB_API_KEY", "canary-of-wandb")
    monkeypatch.setenv("GROUNDWORK_WEBHOOK", "https://host/canary-of-a-webhook")
    monkeypatch.setenv("OTHER_KEY", "step")  # too short to be told from a word
    monkeypatch.setenv("PLAIN", "a plain value")
    text = (
        "step 3: https://me:canary@host/x?sig=canary%2F&page=2 said no to canary-of-the-environment, canary-of-wandb, "
        "https://host/canary-of-a-webhook, "
        f"hf_{'canary' * 6} and Bearer canary0canary0canary0: a plain value"
    )
    assert (
        without_secrets(text) == "step 3: https://host/x***&page=2 said no to ***, ***, ***, *** and ***: a plain value"
    )


def test_text_without_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "data/cs-sk-parallel-corpus-filtered: 3 of 5 tokens, a key=value; abfss://box@account/x; me@host.org"
    assert without_secrets(text) == text


@given(
    st.lists(st.tuples(st.sampled_from(["f", "X-Amz-Signature", "a.b"]), st.text(VALUE)), min_size=1),
    st.text(VALUE, min_size=1),
)
def test_no_character_of_a_value_survives_in_a_value_or_in_prose(given: list[tuple[str, str]], fragment: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in given)
    hidden = ADDRESS + "?" + "&".join(f"{name}=***" if value.strip("=") else "***" for name, value in given)
    assert without_query(f"{ADDRESS}?{query}") == without_query(f"{ADDRESS}?{query}#{fragment}") == hidden
    assert without_query(hidden) == hidden and has_hidden_query(hidden)
    assert before_query(f"{ADDRESS}?{query}") == before_query(f"{ADDRESS}#{fragment}") == ADDRESS
    for before, behind in (("see ", " there"), ("<", ">"), ('"', '"'), ("", "\n")):
        assert without_queries(f"{before}{ADDRESS}?{query}{behind}") == f"{before}{hidden}{behind}"


def test_fragments_go_as_queries_do() -> None:
    assert without_queries(f"{ADDRESS}#access_token=canary,b&canary canary") == f"{ADDRESS}#access_token=***&*** canary"
    assert without_query(f"{ADDRESS}#access_token=canary canary") == f"{ADDRESS}#access_token=***"
    assert without_query(f"{ADDRESS}?Y2FuYXJ5==&canary;a=b&a=canary;canary=c") == f"{ADDRESS}?***&***&a=***"


def test_an_address_inside_of_another_is_cut_as_well() -> None:
    assert (
        without_query("zip://*.csv::https://host/x.zip?sig=canary, canary") == "zip://*.csv::https://host/x.zip?sig=***"
    )
    assert without_query("dumps/x?.jsonl") == before_query("dumps/x?.jsonl") == "dumps/x?.jsonl"


def test_errors_and_tracebacks_are_printed_without_either(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError("https://me:canary@host/x?f=a,b&hmac=canary failed")
    except RuntimeError as error:
        print_error(error)
        print_traceback()
    told = capsys.readouterr().err
    assert "canary" not in told
    assert told.startswith("error: https://host/x?f=***&hmac=*** failed\nTraceback")
    assert told.endswith("RuntimeError: https://host/x?f=***&hmac=*** failed\n")


def test_the_working_folder_is_told_though_shells_call_it_pwd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/someone/corpora")
    monkeypatch.setenv("DB_PWD", "correct-horse")
    assert without_secrets("in /home/someone/corpora: correct-horse") == "in /home/someone/corpora: ***"

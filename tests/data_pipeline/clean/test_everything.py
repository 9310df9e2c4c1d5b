"""The option `clean=everything`: what its rules make of a text one after the other."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hydra import compose, initialize_config_dir

from data_pipeline.clean.rules import Rule
from data_pipeline.pipeline import check_config
from foundation.config import DEFAULT_TARGETS, Node, build
from foundation.config.compose import plain

BatchOf = Callable[..., pa.RecordBatch]
CONF = Path(__file__).parents[3] / "conf"
BLOB = base64.b64encode(b"".join(hashlib.sha512(bytes([number])).digest() for number in range(4))).decode()
MESSY = (
    "\ufeffThe cafÃ© of pay\u00adpаl\u200b.com &amp; teh Java\r\n"
    "=====\n"
    "We use cookies. Accept all cookies?\n"
    f"data:{BLOB}\n"
    "I ❤️ it 😀.\u202e\x07\n"
    "می\u200cخواهم e\u0301\n"
)
CLEAN = "The café of paypal.com & the Java<island>\ndata:\nI it.\nمی\u200cخواهم é\n"


def built(*overrides: str) -> Rule:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        tree = plain(compose("pipeline", ["name=x", "clean=everything", *overrides]))
    node = check_config(tree, DEFAULT_TARGETS)["clean"]
    assert isinstance(node, Node)
    rule = build(node)
    assert isinstance(rule, Rule)
    return rule


@pytest.fixture(scope="module")
def everything() -> Rule:
    settings = ("emoji.action=drop", "spelling.words={teh: the}", "homographs.senses={Java: island}")
    return built(*(f"clean.rules.{setting}" for setting in settings))


def test_a_messy_text_becomes_clean(batch_of: BatchOf, everything: Rule) -> None:
    applied = everything.apply(batch_of("plain\n", MESSY))
    assert applied.batch.column("text").to_pylist() == ["plain\n", CLEAN]
    assert applied.changed == {
        "mojibake_repaired": 1,
        "html_unescaped": 1,
        "remove_control_chars": 2,
        "zero_width_dropped": 1,
        "soft_hyphens_dropped": 1,
        "direction_marks_dropped": 1,
        "line_ends_rewritten": 1,
        "documents_composed": 1,
        "homoglyph_words_mapped": 1,
        "emoji_dropped": 2,
        "blobs_replaced": 1,
        "symbol_lines_dropped": 1,
        "boilerplate_lines_dropped": 1,
        "misspellings_mended": 1,
        "homographs_tagged": 1,
    }
    assert applied.scores["homoglyph_words"][1] > 0 and applied.scores["blob_frac"][1] > 0.4
    assert {each.row for each in applied.examples} == {2}


def test_a_second_pass_changes_nothing(batch_of: BatchOf, everything: Rule) -> None:
    once = everything.apply(batch_of(MESSY)).batch
    again = everything.apply(once)
    assert again.batch is once and not again.changed


def test_by_default_emoji_and_words_stay(batch_of: BatchOf) -> None:
    batch = batch_of("I ❤️ teh Java 😀.\n")
    assert built().apply(batch).batch is batch

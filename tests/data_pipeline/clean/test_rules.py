from __future__ import annotations

import pickle
from collections.abc import Callable

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.length import Length
from data_pipeline.clean.quality import GopherQuality
from data_pipeline.clean.rules import Cleaned, NoClean, Rules
from data_pipeline.clean.unicode import Unicode
from data_pipeline.documents import SCHEMA

BatchOf = Callable[..., pa.RecordBatch]
LENIENT = GopherQuality(min_words=2, min_mean_word_length=1.0, min_stop_words=0)


def test_no_clean_takes_every_document_as_it_is(batch_of: BatchOf) -> None:
    batch = batch_of("", "a\r\n")
    assert NoClean().apply(batch) == Cleaned(batch)


def test_rules_apply_in_order_and_positions_are_those_of_the_batch_given(batch_of: BatchOf) -> None:
    rules = Rules({"unicode": Unicode(), "length": Length(min_words=1), "gopher": LENIENT})
    batch = batch_of("", "alone", "one\r\ntwo", "\x00\x01", "# #", "x y")
    cleaned = rules.apply(batch)
    assert [(removal.position, removal.reason) for removal in cleaned.removals] == [
        (0, "empty"), (1, "gopher_too_few_words"), (3, "empty"), (4, "gopher_hash_ratio"),
    ]  # fmt: skip
    assert cleaned.batch.column("text").to_pylist() == ["one\ntwo", "x y"]
    assert cleaned.batch.column("row").to_pylist() == [3, 6]
    assert cleaned.changed == {"line_ends_rewritten": 1, "control_characters_dropped": 2}


@given(
    st.lists(st.text(alphabet="ab# -\n\r\x00…", max_size=8), max_size=8),
    st.permutations(["length", "gopher", "unicode"]),
)
def test_every_document_stays_or_goes_once_and_sees_no_other(
    batch_of: BatchOf, texts: list[str], order: list[str]
) -> None:
    rules = {"unicode": Unicode(), "length": Length(min_words=2), "gopher": LENIENT}
    rule = Rules({name: rules[name] for name in order})
    batch = batch_of(*texts)
    cleaned = rule.apply(batch)
    assert cleaned.batch.schema == SCHEMA
    gone = [batch.column("row")[removal.position].as_py() for removal in cleaned.removals]
    assert sorted(gone + cleaned.batch.column("row").to_pylist()) == batch.column("row").to_pylist()
    assert gone == sorted(set(gone))
    alone = [rule.apply(batch_of(text)) for text in texts]
    kept = [text for each in alone for text in each.batch.column("text").to_pylist()]
    assert kept == cleaned.batch.column("text").to_pylist()
    assert [each.removals[0].reason for each in alone if each.removals] == [each.reason for each in cleaned.removals]


def test_rules_travel_to_workers(batch_of: BatchOf) -> None:
    rules = Rules({"unicode": Unicode(), "length": Length(), "gopher": LENIENT})
    batch = batch_of("one\r\ntwo", "")
    assert pickle.loads(pickle.dumps(rules)).apply(batch) == rules.apply(batch)

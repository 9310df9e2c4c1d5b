"""The books balance, add up and hand over; a lost document hidden by a doubled one is seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.documents import MODULUS, fingerprint
from data_pipeline.ledger import Account, LedgerUnbalanced, check_chain, ledger_json, listed


def account(
    rows_in: list[int],
    rows_out: list[int],
    dropped: list[int],
    quarantined: list[int],
    created: list[int] | None = None,
) -> Account:
    def of(rows: list[int]) -> int:
        return fingerprint(np.zeros(len(rows), np.int32), np.array(rows, np.int64))

    return Account(
        num_in=len(rows_in),
        num_out=len(rows_out),
        created=Counter({"noise": len(created)} if created else {}),
        dropped=Counter({"short": len(dropped)} if dropped else {}),
        quarantined=Counter({"json": len(quarantined)} if quarantined else {}),
        fingerprint_in=of(rows_in),
        fingerprint_out=of(rows_out),
        fingerprint_created=of(created or []),
        fingerprint_dropped=of(dropped),
        fingerprint_quarantined=of(quarantined),
    )


@given(st.lists(st.sampled_from(["out", "dropped", "quarantined", "created"]), max_size=40))
def test_whatever_goes_where_it_balances_and_survives_json(fates: list[str]) -> None:
    rows: dict[str, list[int]] = {"out": [], "dropped": [], "quarantined": [], "created": []}
    for row, fate in enumerate(fates):
        rows[fate].append(row)
    came = [row for row, fate in enumerate(fates) if fate != "created"]
    out = rows["out"] + rows["created"]
    whole = account(came, out, rows["dropped"], rows["quarantined"], rows["created"])
    whole.check("stage")
    assert Account.from_json(whole.to_json()) == whole


def test_a_lost_document_is_seen() -> None:
    with pytest.raises(LedgerUnbalanced, match=r"clean, source 'web': 3 documents in \+ 0 created are not 1 out \+ 1"):
        account([0, 1, 2], [0], [1], []).check("clean, source 'web'")


def test_a_lost_and_a_doubled_document_do_not_cancel() -> None:
    with pytest.raises(LedgerUnbalanced, match="not the same ones"):
        account([0, 1, 2], [0, 0], [1], []).check("clean")


def test_a_copy_that_nobody_created_is_seen() -> None:
    with pytest.raises(LedgerUnbalanced, match="not the same ones"):
        account([0, 1], [0, 1, 3], [], [], [2]).check("augment")


def test_partitions_add_up_to_the_whole() -> None:
    whole = account([0, 1, 2, 3, 4], [0, 3], [1, 4], [2])
    assert account([0, 1], [0], [1], []) + account([2, 3, 4], [3], [4], [2]) == whole
    added = account([0, 1], [0, 1, 7, 8], [], [], [7, 8])
    assert account([0], [0, 7], [], [], [7]) + account([1], [1, 8], [], [], [8]) == added
    assert whole.fingerprint_in < MODULUS


def test_a_stage_takes_in_what_the_one_before_gave_out() -> None:
    clean = {"web": account([0, 1, 2], [0, 1], [2], [])}
    check_chain({"clean": clean, "exact": {"web": account([0, 1], [1], [0], [])}})
    with pytest.raises(LedgerUnbalanced, match="source 'web': clean gave out 2 documents, exact took in 2"):
        check_chain({"clean": clean, "exact": {"web": account([0, 2], [0], [2], [])}})
    with pytest.raises(LedgerUnbalanced, match="exact took in 0"):
        check_chain({"clean": clean, "exact": {}})


def test_ledger_json_has_the_promised_keys() -> None:
    ledger = orjson.loads(ledger_json({"clean": {"web": account([0, 1, 2], [0], [1], [2])}}, {}))
    record = ledger["stages"]["clean"]["web"]
    assert {key: record[key] for key in ("in", "created", "out", "dropped", "quarantined")} == {
        "in": 3,
        "created": {},
        "out": 1,
        "dropped": {"short": 1},
        "quarantined": {"json": 1},
    }
    taken = sum(int(record[f"fingerprint_{kind}"], 16) for kind in ("out", "dropped", "quarantined"))
    assert int(record["fingerprint_in"], 16) == taken % (1 << 128)


def test_ledger_json_lists_the_stages_in_their_order_and_is_the_same_bytes_whatever_that_of_the_rest() -> None:
    web, books = account([0, 1, 2], [0, 1], [2], []), account([0], [0], [], [])
    stages = ["split", "near", "decontaminate"]  # neither the alphabet's order nor its reverse
    one = ledger_json(
        {stage: {"web": web, "books": books} for stage in stages}, {"near": {"clusters": 1, "pairs_verified": 2}}
    )
    assert list(orjson.loads(one)["stages"]) == stages
    other = ledger_json(
        {stage: {"books": books, "web": web} for stage in stages}, {"near": {"pairs_verified": 2, "clusters": 1}}
    )
    assert one == other


def test_reasons_are_listed_the_most_frequent_first_and_the_rest_summed_up() -> None:
    reasons = account([0, 1, 2, 3], [], [0, 1, 2], [3]).reasons() + Counter({"a": 2000, "b": 2})
    assert listed(reasons) == "a 2,000, short 3, b 2, json (unreadable) 1"
    assert listed(reasons, 2) == "a 2,000, short 3, others 3"
    assert listed(reasons, 3) == listed(reasons)  # no name is longer than its own
    assert listed(Counter()) == listed(Counter(), 4) == ""

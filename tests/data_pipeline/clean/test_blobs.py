from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.blobs import LINES_DROPPED, REPLACED, Action, Blobs, blobs_one
from data_pipeline.clean.rules import Removal, verdicts
from foundation.errors import SettingError

BatchOf = Callable[..., pa.RecordBatch]
BYTES = b"".join(hashlib.sha512(bytes([number])).digest() for number in range(6))
BASE64, HEX = base64.b64encode(BYTES).decode(), BYTES.hex()
HASH = hashlib.sha512(b"x").hexdigest()
encoded = st.binary(min_size=1, max_size=150).map(lambda data: base64.b64encode(data).decode())
pieces = (
    encoded
    | encoded.map(lambda text: text.translate(str.maketrans("+/", "-_")))
    | st.binary(max_size=60).map(bytes.hex)
    | encoded.map(lambda text: "\n".join(textwrap.wrap(text, 64)))
    | st.sampled_from([" ", "\n", " \n\t", "=", "==", "a", "/", "-", "é", "語 ", "word " * 9, "Z" * 64, "0" * 70])
)
texts = st.lists(pieces, max_size=6).map("".join)


def without_one(text: str, min_chars: int, action: Action) -> str:
    spans = blobs_one(text, min_chars)
    if action == "replace":
        for start, stop in reversed(spans):
            text = text[:start] + "[blob]" + text[stop:]
        return text
    out, place = "", 0
    for line in text.splitlines(keepends=True):  # of these texts "\n" is the only line end
        touched = any(start < place + len(line) and stop > place for start, stop in spans)
        out += "" if touched else line
        place += len(line)
    return out


@pytest.mark.parametrize("action", ["replace", "drop_lines"])
@given(many=st.lists(texts, max_size=4), min_chars=st.sampled_from([1, 8, 50, 100, 150]))
def test_texts_are_what_plain_python_makes_of_them(
    batch_of: BatchOf, action: Action, many: list[str], min_chars: int
) -> None:
    applied = Blobs(min_chars, action, "[blob]").apply(batch_of(*many))
    applied.batch.validate(full=True)
    assert applied.batch.column("text").to_pylist() == [without_one(text, min_chars, action) for text in many]
    shares = [
        sum(stop - start for start, stop in blobs_one(text, min_chars)) / max(len(text.encode()), 1) for text in many
    ]
    assert applied.scores["blob_frac"].tolist() == shares
    assert bool(applied.changed) == any(shares)


@pytest.mark.parametrize(
    "blob", [BASE64, HEX, HEX.upper(), base64.urlsafe_b64encode(BYTES).decode(), "\n".join(textwrap.wrap(BASE64, 64))]
)
def test_a_blob_goes_and_what_stands_beside_it_stays(batch_of: BatchOf, blob: str) -> None:
    applied = Blobs().apply(batch_of("plain", f"<img src='data:image/png;base64,{blob}'> ok"))
    assert applied.batch.column("text").to_pylist() == ["plain", "<img src='data:image/png;base64,'> ok"]
    assert applied.changed == {REPLACED: 1}
    assert [(each.kind, each.row) for each in applied.examples] == [(REPLACED, 2)]


def test_lines_with_blobs_go(batch_of: BatchOf) -> None:
    key = "\n".join(textwrap.wrap(BASE64, 64))
    text = f"before\nkey: {BASE64} {HEX}\n-----BEGIN-----\n{key}\n-----END-----\nlast {HEX}"
    applied = Blobs(action="drop_lines").apply(batch_of(text))
    assert applied.batch.column("text").to_pylist() == ["before\n-----BEGIN-----\n-----END-----\n"]
    assert applied.changed == {LINES_DROPPED: 1 + key.count("\n") + 1 + 1}


@pytest.mark.parametrize(
    "text",
    [
        f"sha512 {HASH} {HASH[:40]}",
        "A" * 400,
        "ACGT" * 100,
        "3" * 400,
        "Donaudampfschifffahrtsgesellschaft" * 10,
        "https://example.com/" + "Some-Path_with/Words2/" * 20,
        " ".join(textwrap.wrap(BASE64, 64)),
    ],
)
def test_hashes_words_rows_and_paths_stay(batch_of: BatchOf, text: str) -> None:
    batch = batch_of(text)
    assert Blobs().apply(batch).batch is batch


def test_the_share_has_a_limit(batch_of: BatchOf) -> None:
    batch = batch_of("Some text.", BASE64)
    assert verdicts(Blobs(max_frac=0.5), batch) == [Removal(1, "blobs", 1.0, 0.5)]
    assert verdicts(Blobs(), batch) == []


def test_settings_that_can_not_work_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^action: 'cut' is not allowed; give replace or drop_lines"):
        Blobs(action="cut")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"^min_chars: 0 is not allowed"):
        Blobs(min_chars=0)

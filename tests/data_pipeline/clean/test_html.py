"""HTML to text: what the engine gives page by page, and of hostile pages all of the text or a reason."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.clean.html import Html
from data_pipeline.clean.html_detect import is_html_one
from data_pipeline.clean.html_engines import Engine, Resiliparse, Trafilatura
from data_pipeline.clean.html_shape_one import shape_one
from data_pipeline.clean.length import Length
from data_pipeline.clean.rules import Applied, Rules, verdicts
from foundation.errors import SettingError

html2text = pytest.importorskip("resiliparse.extract.html2text")
pytest.importorskip("trafilatura.settings")

BatchOf = Callable[..., pa.RecordBatch]
TAIL = "the tail that must not be lost"
SENTENCE = "Some words of a sentence here, and then a few more of them. "


def page_of(body: str) -> str:
    return f"<!DOCTYPE html><html><head><title>t</title></head><body><p>{SENTENCE}</p>{body}<p>{TAIL}</p></body></html>"


def one(rule: Html, batch_of: BatchOf, text: str) -> str:
    """The text that becomes of a document, or the reason for which it goes to quarantine."""
    applied = rule.apply(batch_of(text))
    applied.batch.validate(full=True)
    if applied.failed:
        assert applied.failed[0].position == 0 and applied.batch.num_rows == 0
        return applied.failed[0].reason
    found: str = applied.batch.column("text")[0].as_py()
    return found


bodies = st.lists(
    st.sampled_from(
        ("<p>", "</p>", "<div>", "</div>", "<b>", "</b>", "<li>", "<ul>", "</ul>", "<script>", "</script>", "<!--",
         "-->", "<table><tr><td>", "</table>", "<a href='x'>", "</a>", "&amp;", "&#0;", "<img alt='y'>", "\n", "<pre>")
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    max_size=15,
).map("".join)  # fmt: skip
documents = st.builds(page_of, bodies) | bodies | st.builds("<html>{}".format, bodies)


@settings(max_examples=300)
@given(st.lists(documents, max_size=5), st.booleans(), st.booleans())
def test_texts_are_those_of_the_engine_called_page_by_page(
    batch_of: BatchOf, many: list[str], always: bool, main_content: bool
) -> None:
    rule = Html(Resiliparse(main_content), "always" if always else "auto", max_depth=4)
    expected: list[str] = []
    refused: list[int] = []
    for position, text in enumerate(many):
        if not (always or is_html_one(text)):
            expected.append(text)
            continue
        depth, _, _, _, unclosed = shape_one(text, 4)
        if depth > 4 or unclosed:
            refused.append(position)
        else:
            expected.append(html2text.extract_plain_text(text, preserve_formatting=True, main_content=main_content))
    applied = rule.apply(batch_of(*many))
    applied.batch.validate(full=True)
    assert applied.batch.column("text").to_pylist() == expected
    assert [each.position for each in applied.failed] == refused
    kept = [row for position, row in enumerate(batch_of(*many).column("row").to_pylist()) if position not in refused]
    assert applied.batch.column("row").to_pylist() == kept
    assert all(len(scores) == len(expected) for scores in applied.scores.values())
    assert sum(applied.changed.values()) == sum(always or is_html_one(text) for text in many) - len(refused)


@given(st.lists(documents, min_size=2, max_size=5))
def test_a_document_does_not_depend_on_its_neighbours(batch_of: BatchOf, many: list[str]) -> None:
    rule = Html(Resiliparse())
    together = rule.apply(batch_of(*many))
    apart = [rule.apply(batch_of(text)) for text in many]
    assert together.batch.column("text").to_pylist() == [
        text for each in apart for text in each.batch.column("text").to_pylist()
    ]
    for name in together.scores:
        assert repr(together.scores[name].tolist()) == repr(
            [score for each in apart for score in each.scores[name].tolist()]
        )


def test_scores_counts_and_examples(batch_of: BatchOf) -> None:
    page = page_of("<div><div>x</div></div>")
    applied = Html(Resiliparse()).apply(batch_of("plain <b>text</b>", page, "<html></html>"))
    ratio, depth = applied.scores["html_text_ratio"], applied.scores["html_depth"]
    text = applied.batch.column("text")[1].as_py()
    assert math.isnan(ratio[0]) and math.isnan(depth[0])
    assert depth[1:].tolist() == [2, 0]
    assert ratio[1:].tolist() == [len(text) / len(page), 0]
    assert applied.changed == {"html_extracted": 2}
    assert [(each.kind, each.row) for each in applied.examples] == [("html_extracted", 2), ("html_extracted", 3)]
    assert SENTENCE.strip() in applied.examples[0].before and applied.examples[0].after.startswith(SENTENCE.strip())


def test_pages_of_little_text_go_where_that_is_set(batch_of: BatchOf) -> None:
    batch = batch_of("text", page_of("<script>" + "x" * 9_000 + "</script>"))
    assert not verdicts(Html(Resiliparse()), batch)
    [removal] = verdicts(Html(Resiliparse(), min_text_ratio=0.1), batch)
    assert (removal.position, removal.reason, removal.threshold) == (1, "html_little_text", 0.1)
    assert removal.value is not None and removal.value < 0.1


def test_a_page_without_text_is_an_empty_document(batch_of: BatchOf) -> None:
    rules = Rules({"html": Html(Resiliparse()), "length": Length()})
    assert [each.reason for each in verdicts(rules, batch_of("<html><body></body></html>", "a"))] == ["empty"]


def test_the_options_reach_the_engine(batch_of: BatchOf) -> None:
    body = "<ul><li>item</ul><img alt='picture'><a href='where'>link</a><noscript>bare</noscript>"
    plain = one(Html(Resiliparse(main_content=False)), batch_of, page_of(body))
    assert "• item" in plain and "picture" in plain and "where" not in plain and "bare" not in plain
    other = Resiliparse(False, True, list_bullets=False, alt_texts=False, links=True, noscript=True)
    text = one(Html(other), batch_of, page_of(body))
    assert "•" not in text and "picture" not in text and "where" in text and "bare" in text
    assert "\n" not in one(Html(Resiliparse(False, preserve_formatting=False)), batch_of, page_of(body))


ENTITIES = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
HOSTILE = {
    "nested": page_of("<div>" * 200_000 + "x"),
    "nested_lists": page_of("<ul><li>" * 20_000),
    "nested_just_allowed": page_of("<div>" * 256 + "x" + "</div>" * 256),
    "nested_too_deep_by_one": page_of("<div>" * 257 + "x" + "</div>" * 257),
    "attribute": page_of(f'<p title="{"x" * 20_000_000}">in</p>'),
    "attributes": page_of(f"<p {' '.join(f'a{number}=1' for number in range(200_000))}>in</p>"),
    "long_text": page_of(f"<p>{'word ' * 2_400_000}</p>"),
    "entities": page_of("<p>" + "&amp;" * 500_000 + "</p>"),
    "numeric_entities": page_of("<p>" + "&#x10FFFF;" * 200_000 + "</p>"),
    "no_entities": page_of("<p>" + "&abcdefghijk" * 200_000 + "</p>"),
    "options": page_of("<select>" + "<option>x" * 300_000 + "</select>"),
    "fonts": page_of("<p>" + "".join(f"<font size={size}>" for size in range(2_000)) + "<p>x" * 2_000),
    "fonts_allowed": page_of("<p>" + "".join(f"<font size={size}>" for size in range(250)) + "<p>x" * 20_000),
    "nul": page_of("<p>a\0b</p>\0<p\0>c</p>" + "\0" * 1_000_000),
    "less_than": page_of("<p>" + "< " * 500_000 + "</p>"),
    "billion_laughs": f"<?xml version='1.0'?><!DOCTYPE html [<!ENTITY l0 'lol'>{ENTITIES}]>{page_of('&l9;')}",
    "cut_in_tag": page_of("")[:-20] + f"{TAIL}</p><a href='x>{TAIL}",
    "cut_in_comment": f"<html><p>{SENTENCE}<!-- {TAIL}",
    "cut_in_script": f"<html><p>{SENTENCE}<script>{TAIL}</p>",
    "cut_in_title": f"<html><title>{TAIL}</p>",
    "cut_in_template": f"<html><p>{SENTENCE}<template>{TAIL}</p>",
    "after_its_end": f"<html><body><p>{SENTENCE}</p></body></html>" + page_of(""),
    "closed_at_once": f"<html lang='en'/><body/><div/><p>{SENTENCE}</p><p>{TAIL}</p>",
    "controls": page_of("<p>&#0;&#1;&#x1f;&#31;&#x0B;&#xFFFE; \x01\x0b\x1f\x7f\ufffe"),
    "cut_in_text": page_of("")[: -len("</p></body></html>")],
}
KEPT = {"nested_just_allowed", "attribute", "long_text", "entities", "numeric_entities", "no_entities", "nul",
        "less_than", "billion_laughs", "cut_in_text", "after_its_end", "closed_at_once", "controls"}  # fmt: skip


@pytest.mark.bad_input(31, 32)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_keeps_its_text_or_goes_to_quarantine(batch_of: BatchOf, name: str) -> None:
    found = one(Html(Resiliparse()), batch_of, HOSTILE[name])
    assert (TAIL in found) is (name in KEPT)
    assert name in KEPT or found.startswith("html_")
    assert len(found) <= len(HOSTILE[name])


@pytest.mark.bad_input(31, 32)
@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_trafilatura_keeps_the_text_of_a_hostile_page_or_it_goes_to_quarantine(
    batch_of: BatchOf, precise: Html, name: str
) -> None:
    page = HOSTILE[name].replace(f"<p>{TAIL}", f"<p>{SENTENCE * 9}{TAIL}")
    found = one(precise, batch_of, page)
    assert TAIL in found or found.startswith("html_"), found[:200]
    assert (TAIL in found) is (name in KEPT)


@pytest.fixture(scope="module")
def precise() -> Html:
    """With limits that tests can reach."""
    return Html(Trafilatura(max_cpu_s=20.0, max_memory_bytes=1 << 30))


@pytest.fixture(scope="module", params=["resiliparse", "trafilatura"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Resiliparse() if request.param == "resiliparse" else Trafilatura()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.5)
        yield listening


@pytest.mark.bad_input(32)
def test_nothing_is_loaded_from_outside(
    batch_of: BatchOf, engine: Engine, server: socket.socket, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of this machine")
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    page = (
        f"<?xml version='1.0'?><?xml-stylesheet href='{url}/a'?><!DOCTYPE html SYSTEM '{url}/x.dtd' "
        f"[<!ENTITY file SYSTEM '{secret.as_uri()}'><!ENTITY % net SYSTEM '{url}/e'>%net;]>"
        f"<html xmlns:xi='http://www.w3.org/2001/XInclude'><head><link rel=stylesheet href='{url}/c'>"
        f"<base href='{url}'><meta http-equiv=refresh content='0;url={url}'></head><body><article>"
        f"<p>{SENTENCE * 9} &file; {TAIL}</p>"
        f"<xi:include href='{secret.as_uri()}' parse='text'/><iframe src='{url}/i'></iframe><img src='{url}/p'>"
        f"<object data='{secret.as_uri()}'></object></article></body></html>"
    )
    found = one(Html(engine), batch_of, page)
    assert TAIL in found and "a secret" not in found
    with pytest.raises(TimeoutError):
        server.accept()


def test_both_engines_leave_other_documents_as_they_are(batch_of: BatchOf, engine: Engine) -> None:
    batch = batch_of("plain", "# a\n\n<p>b</p>", "")
    applied = Html(engine).apply(batch)
    assert applied.batch is batch and not applied.changed and not applied.failed
    nothing: Applied = Html(engine).apply(batch_of())
    assert nothing.batch.num_rows == 0


def test_settings_that_can_not_work_are_refused() -> None:
    for setting in ("max_depth", "max_attributes", "max_options", "max_nodes"):
        with pytest.raises(SettingError, match=f"^{setting}: 0"):
            Html(Resiliparse(), **{setting: 0})
    for setting in ("min_text_ratio", "max_unclosed_bytes"):
        with pytest.raises(SettingError, match=f"^{setting}: -1"):
            Html(Resiliparse(), **{setting: -1})


def test_limits_can_be_raised(batch_of: BatchOf) -> None:
    assert TAIL in one(Html(Resiliparse(), max_depth=400), batch_of, HOSTILE["nested_too_deep_by_one"])
    cut = f"<html><p>{TAIL}<!-- cut"
    assert one(Html(Resiliparse()), batch_of, cut) == "html_unclosed"
    assert one(Html(Resiliparse(), max_unclosed_bytes=8), batch_of, cut) == TAIL

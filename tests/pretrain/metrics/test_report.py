from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.report import write_run_report
from tests.browser import drive, find_browser

MakeLine = Callable[..., dict[str, Any]]
CONFIG = """
run_name: gpt_tiny
seed: 7
model: {_target_: pretrain.model.transformer.Transformer, num_layers: 4}
trainer: {_target_: pretrain.plan.TrainerSettings, seq_len: 128, max_steps: 500}
"""
HOSTILE = "</pre><script>alert(1)</script>\x1b[31m"


@pytest.fixture
def run_dir(tmp_path: Path, make_line: MakeLine) -> Path:
    """A finished run of 500 steps: two skipped, five evaluated, samples of hostile text."""
    folder = tmp_path / "gpt_tiny"
    file = MetricsFile(folder)
    for step in range(1, 501):
        line = make_line(step, loss=3 + 7 * math.exp(-step / 80) + 0.1 * math.sin(step))
        if step in (137, 301):
            line |= {"skipped": True, "loss": math.nan, "grad_norm": math.inf}
        if step % 100 == 0:
            line |= {"val_loss": 6.0 - step / 200, "val_bits_per_byte": 2.0 - step / 1000, "train_subset_loss": 3.5}
        file.append(line)
    file.close()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "status.json").write_text(json.dumps({"status": "finished", "reason": "all steps are done", "step": 500}))
    samples = [{"step": step, "prompt": "def f", "text": f"{step}{HOSTILE}"} for step in (100, 200)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples) + '{"step": 3')
    return folder


def test_the_page_says_what_the_files_say(run_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_run_report(run_dir))
    assert "Finished at step 500: all steps are done" in page.texts
    assert page.facts["Steps"] == "500"
    assert page.facts["Tokens seen"] == "512,000"
    assert page.facts["Epochs of web"] == "2"
    assert page.facts["Validation loss"] == "3.5"
    assert page.facts["Training subset loss"] == "3.5"
    assert page.facts["Tokens per second"] == "10,240"
    assert page.facts["Median step"] == "100 ms"
    assert page.facts["Steps skipped"] == "2"
    assert page.facts["seq_len"] == "128"
    epochs, evaluations, skips, config = page.tables
    assert [row[:2] + row[3:5] for row in epochs[1:]] == [
        ["1", "1 to 250", "5", "200"],
        ["2", "251 to 500", "3.5", "500"],
    ]
    assert [row[0] for row in evaluations[1:]] == ["100", "200", "300", "400", "500"]
    assert evaluations[0] == ["step", "val_loss", "val_bits_per_byte", "train_subset_loss"]
    assert skips[1:] == [["137", "136", "NaN", "∞"], ["301", "300", "NaN", "∞"]]
    assert ["model.num_layers", "4"] in config
    assert f"def f200{HOSTILE}".replace("\x1b", "␛") in page.texts
    assert len([tag for tag in page.of("path") if tag["class"] == "mark"]) == 4  # two skips on two charts


def test_the_best_evaluation_is_told_where_the_last_is_not_it(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any]
) -> None:
    file = MetricsFile(tmp_path)
    for step, val_loss in ((1, 4.5), (2, 3.25), (3, 3.75)):
        file.append(make_line(step, val_loss=val_loss))
    file.close()
    page = parse_page(write_run_report(tmp_path))
    assert (page.facts["Validation loss"], page.facts["Validation loss, best"]) == ("3.75", "3.25")


def test_the_loss_on_all_held_out_text_stands_by_itself(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any]
) -> None:
    file = MetricsFile(tmp_path)
    file.append(make_line(1, val_loss=4.5))
    file.append(make_line(2, val_loss=4.25, val_all_loss=4.75, val_all_bits_per_byte=1.5))
    file.close()
    page = parse_page(write_run_report(tmp_path))
    assert page.facts["Validation loss"] == "4.25" and "Validation loss, best" not in page.facts
    assert page.facts["Validation loss, all held-out text"] == "4.75"
    assert page.facts["Validation bits per byte, all held-out text"] == "1.5"


def test_what_was_skipped_is_not_in_the_mean(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any]
) -> None:
    file = MetricsFile(tmp_path)
    for step in range(1, 201):
        file.append(make_line(step, loss=900.0 if step > 198 else 2.5, skipped=step > 198))
    file.close()
    assert parse_page(write_run_report(tmp_path)).facts["Training loss, mean of the last 50 steps"] == "2.5"


@pytest.mark.parametrize("missing", ["metrics.jsonl", "config.yaml", "status.json", "samples.jsonl"])
def test_a_page_is_made_of_whatever_there_is(run_dir: Path, parse_page: Callable[[Path], Any], missing: str) -> None:
    (run_dir / missing).unlink()
    assert "gpt_tiny" in parse_page(write_run_report(run_dir)).texts


def test_a_run_that_was_killed_at_once(tmp_path: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_run_report(tmp_path / "new"))
    assert "No step was written yet." in page.texts
    assert "Not ended: still training, or killed." in page.texts


def test_a_run_whose_only_start_failed_says_why_and_what_it_cost(
    tmp_path: Path, parse_page: Callable[[Path], Any]
) -> None:
    events = [{"event": "start", "at_s": 1.0}, {"event": "end", "status": "failed", "at_s": 41.0}]
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    attempt = {"started": "2026-01-01 12:00:00", "status": "failed", "step": 0, "reason": "RuntimeError: no memory"}
    (tmp_path / "attempts.json").write_text(json.dumps({"attempts": [attempt]}))
    page = parse_page(write_run_report(tmp_path))
    assert (page.facts["Goodput"], page.facts["Starts that failed"]) == ("0.0%", "1")
    assert page.facts["start-up and compilation"] == "40s, 100.0%"
    assert page.tables[-1][1] == ["2026-01-01 12:00:00", "failed", "0", "RuntimeError: no memory"]


def test_a_run_of_one_step_and_one_without_a_finite_loss(tmp_path: Path, make_line: MakeLine, parse_page: Any) -> None:
    for name, line in (("one", make_line(1)), ("nan", make_line(1, loss=math.nan, skipped=True))):
        file = MetricsFile(tmp_path / name)
        file.append(line)
        file.close()
        parse_page(write_run_report(tmp_path / name))


@pytest.mark.slow
def test_a_browser_shows_the_curves(run_dir: Path, render: Callable[[Path, int, int], Any]) -> None:
    shown = render(write_run_report(run_dir), 1100, 2000)
    assert shown.dom.count('class="chart live"') == shown.dom.count('class="curves"') == 5
    assert len(shown.png) > 50_000


LOOK = """(() => {
    const [first, ...others] = document.querySelectorAll(".live"), plot = first.querySelector(".plot");
    const ends = () => [...first.querySelectorAll(".x")].map((each) => each.textContent);
    const points = () => [...document.querySelectorAll(".live path.line")].map((each) => each.getAttribute("d").length);
    const box = plot.getBoundingClientRect(), before = [ends(), points()];
    for (const [kind, share] of [["pointerdown", 0.4], ["pointermove", 0.6], ["pointerup", 0.6]])
        plot.dispatchEvent(new PointerEvent(kind, { button: 0, clientX: box.left + share * box.width }));
    const log = [...first.querySelectorAll(".switch")].find((each) => each.textContent === "log");
    log.click();
    const labels = [...first.querySelectorAll(".y")].map((each) => each.textContent);
    return [before, [ends(), points()], labels, document.querySelectorAll(".heat img").length];
})()"""


CHOOSE = """(() => {
    const select = document.querySelector(".heat select"), paths = document.querySelector(".scatter svg").children;
    const dots = () => [...paths].map((each) => each.matches(".dots") && each.getAttribute("d")).join("");
    const [slider, search] = ["range", "search"].map((each) => document.querySelector(`.scatter input[type=${each}]`));
    const last = dots();
    for (const [input, value, event] of [[select, "1", "change"], [slider, "0", "input"], [search, "D", "input"]]) {
        input.value = value;
        input.dispatchEvent(new Event(event));
    }
    return [[...select.options].map((each) => each.textContent), slider.max, last, dots()];
})()"""
POINT = """(() => {
    const at = (selector, x, y) => {
        const found = document.querySelector(selector), box = found.getBoundingClientRect();
        const event = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
        found.dispatchEvent(new PointerEvent("pointermove", event));
        return found;
    };
    const picture = at(".heat[data-heats] img", 0.9, 0.1), svg = at(".scatter svg", 0.02, 0.74);
    const said = [".heat[data-heats] output", ".scatter .told", ".scatter output"];
    const texts = said.map((each) => document.querySelector(each));
    return [picture.naturalWidth, picture.naturalHeight, ...texts.map((each) => each.textContent)];
})()"""


@pytest.mark.slow
def test_a_browser_runs_the_page_without_an_error_and_what_it_draws_answers(run_dir: Path, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    looks: list[dict[str, Any]] = [
        {"step": step, "layers": {"blocks.0": {"grad_norm": step / 7}}} for step in range(1, 501, 10)
    ]
    spread = [{"edges": [-2, -1, 1, 2], "counts": counts} for counts in ([1, 1, 2], [25, 50, 25])]
    places = {"tokens": ["def", " f", HOSTILE], "xy": [[0, 0], [1, 0], [1, 1]]}
    for look, xy in ((looks[0], [[0, 0], [2, 1], [1, 1]]), (looks[-1], [[0, 0], [1, 0], [1, 1]])):
        look["histograms"] = {"weights": {"a": spread[0]}, "logits": {HOSTILE: spread[1]}}
        look["projections"] = {"token_embeddings": places | {"xy": xy}}
    (run_dir / "watch.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
    values, errors = drive(browser, tmp_path / "home", write_run_report(run_dir), [LOOK, CHOOSE, POINT])
    assert errors == []
    (before, points), (after, fewer), labels, maps = values[0]
    assert before == ["100", "200", "300", "400", "500"] and maps == 2
    assert all(200 <= int(label) <= 300 for label in after) and len(after) > 2
    assert all(0 < now < then for now, then in zip(fewer[:1], points[:1], strict=True))
    assert labels and all(float(label) > 0 for label in labels)
    options, slider, last, first = values[1]
    assert options[0] == "Weights: a" and options[1].startswith("Final logits: </pre>") and slider == "1"
    assert last.count("M") == 3 and first.count("M") == 4 and first != last  # one of them sought, and drawn once more
    assert values[2] == [2, 3, "1 to 2, step 491: about 27%", "def", "step 1, 1 of 3 points"]


@pytest.mark.parametrize("known", [True, False])
def test_utilisation_is_shown_with_its_formula_and_its_peak_where_it_is_known(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any], known: bool
) -> None:
    file = MetricsFile(tmp_path)
    file.append(make_line(1, mfu=0.25) if known else make_line(1))
    file.close()
    page = parse_page(write_run_report(tmp_path))
    assert page.facts.get("Model FLOPs utilisation (MFU)") == ("25.0%" if known else None)
    assert any("6 N + 12 L D T" in text and "dense bfloat16" in text for text in page.texts) is known


def test_a_glance_shows_the_mean_of_the_last_steps_and_of_what_and_when(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any]
) -> None:
    file = MetricsFile(tmp_path)
    for step in range(1, 121):
        file.append(make_line(step, loss=float(step % 2) if step > 70 else 99.0))
    file.close()
    page = parse_page(write_run_report(tmp_path, {"Parameters": "10.8 M", "Device": "8 x NVIDIA H200"}))
    assert page.facts["Training loss, mean of the last 50 steps"] == "0.5"
    assert (page.facts["Parameters"], page.facts["Device"]) == ("10.8 M", "8 x NVIDIA H200")
    assert page.facts["Page written"].startswith(time.strftime("%Y-%m-%d"))
    short = tmp_path / "short"
    file = MetricsFile(short)
    file.append(make_line(1, loss=4.0))
    file.close()
    assert parse_page(write_run_report(short)).facts["Training loss, mean of the last step"] == "4"


def test_a_foreign_evaluator_s_fields_are_a_row_of_numbers(
    tmp_path: Path, make_line: MakeLine, parse_page: Callable[[Path], Any]
) -> None:
    file = MetricsFile(tmp_path)
    file.append(make_line(1, weight_norms=[1.0], probe=0.5))
    file.close()
    (evaluations, *_) = parse_page(write_run_report(tmp_path)).tables
    assert evaluations == [["step", "probe"], ["1", "0.5"]]

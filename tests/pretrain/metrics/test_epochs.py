from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pretrain.metrics.epochs import ALL, Epoch, Epochs

MakeLine = Callable[..., dict[str, Any]]


def of(lines: list[dict[str, Any]], following: Epochs | None = None) -> list[Epoch]:
    following = following or Epochs()
    return [epoch for line in lines for epoch in following.add(line, line["epochs"])]


def test_random_lines_give_what_slices_of_them_give(make_line: MakeLine) -> None:
    """Held against a list of all lines, cut where a source has been read once more."""
    draw, counts, lines = random.Random(7), {"books": 0.0, "web": 0.0}, []
    for step in range(1, 400):
        tokens = {name: draw.randrange(1, 50) for name in counts if draw.random() < 0.9}
        counts = {"books": counts["books"] + draw.random() / 20, "web": counts["web"] + draw.random() / 60}
        losses = {name: draw.uniform(1, 5) for name in tokens}
        seconds, total = draw.uniform(0.1, 2), sum(tokens.values())
        fields = {"source_losses": losses, "source_tokens": tokens, "skipped": draw.random() < 0.05}
        fields |= {"step_time_s": seconds, "tokens_per_s": total / seconds, "epochs": dict(counts)}
        loss = sum(losses[name] * tokens[name] for name in tokens) / total if total else 0.0
        lines.append(make_line(step, loss=loss, **fields))
    found, expected = of(lines), []
    for name in ("books", "web", ALL):
        first, passes = 0, 0
        for end, line in enumerate(lines, start=1):
            read = min(line["epochs"].values()) if name == ALL else line["epochs"][name]
            if int(read) == passes:
                continue
            part = lines[first:end]
            kept = [(each["source_losses"], each["source_tokens"]) for each in part if not each["skipped"]]
            pairs = [(a[key], b[key]) for a, b in kept for key in a if name in (ALL, key)]
            tokens, time_s = sum(count for _, count in pairs), sum(each["step_time_s"] for each in part)
            loss, skipped = sum(a * b for a, b in pairs) / tokens, sum(each["skipped"] for each in part)
            steps, number = (first + 1, end), int(read)
            expected.append(Epoch(name, number, number - passes, *steps, loss, tokens, time_s, skipped, True))
            first, passes = end, number
    assert len(expected) == 15
    key = lambda epoch: (epoch.source, epoch.number)  # noqa: E731
    for one, other in zip(sorted(found, key=key), sorted(expected, key=key), strict=True):
        assert (one.loss, one.time_s) == (pytest.approx(other.loss), pytest.approx(other.time_s))
        assert replace(one, loss=0.0, time_s=0.0) == replace(other, loss=0.0, time_s=0.0)


def test_a_small_source_may_be_read_several_times_in_a_step(make_line: MakeLine) -> None:
    (epoch,) = of([make_line(1, epochs={"web": 3.5})])
    assert (epoch.number, epoch.count, epoch.first_step, epoch.last_step) == (3, 3, 1, 1)


def test_one_source_is_the_whole_and_what_is_under_way_is_told(make_line: MakeLine) -> None:
    following = Epochs()
    (first,) = of([make_line(step, loss=float(step), epochs={"web": step / 4}) for step in range(1, 7)], following)
    assert (first.source, first.loss, first.tokens, first.skipped) == ("web", 2.5, 4 * 1024, 0)
    ((rest, share),) = following.under_way()
    assert (rest.number, rest.first_step, rest.last_step, rest.loss, share) == (2, 5, 6, 5.5, 0.5)


def test_a_loss_that_is_not_finite_spoils_its_own_epoch_alone(make_line: MakeLine) -> None:
    losses = [1.0, "NaN", 3.0, 5.0]
    one, other = of([make_line(n, loss=loss, epochs={"web": n / 2}) for n, loss in enumerate(losses, start=1)])
    assert math.isnan(one.loss) and other.loss == 4.0
    lines = [make_line(n, loss=loss, epochs={"web": n / 2}, skipped=n == 2) for n, loss in enumerate(losses, start=1)]
    one, other = of(lines)
    assert (one.loss, one.skipped, one.tokens) == (1.0, 1, 1024) and other.loss == 4.0


def test_a_source_that_joins_the_mixture_later_is_followed_from_there(make_line: MakeLine) -> None:
    two = {"source_losses": {"web": 1.0, "new": 3.0}, "source_tokens": {"web": 512, "new": 512}}
    lines = [make_line(step, loss=2.0, epochs={"web": step / 4}) for step in (1, 2)]
    lines += [make_line(n, loss=2.0, epochs={"web": n / 4, "new": (n - 2) / 4}, **two) for n in range(3, 8)]
    web, new, both = of(lines)
    assert (web.source, web.last_step, web.loss) == ("web", 4, pytest.approx((2 * 2 * 1024 + 2 * 512) / (3 * 1024)))
    assert (new.source, new.first_step, new.last_step, new.loss, new.whole) == ("new", 3, 6, 3.0, False)
    assert (both.source, both.first_step, both.last_step, both.tokens) == (ALL, 3, 6, 4 * 1024)


def test_where_the_beginning_was_not_seen_the_epoch_says_so(make_line: MakeLine) -> None:
    lines = [make_line(step, loss=2.0, epochs={"web": step / 4}) for step in range(3, 9)]
    first, second = of(lines)
    assert (first.number, first.first_step, first.whole) == (1, 3, False) and (second.number, second.whole) == (2, True)
    assert first.told() == "epoch 1 of web ended (loss 2.0000 from step 3 on)"
    assert second.told() == "epoch 2 of web ended (loss 2.0000 over 4,096 tokens)"
    (at_once,) = Epochs().add(lines[1], lines[1]["epochs"], before=lines[0]["epochs"])
    assert (at_once.number, at_once.first_step) == (1, 4) and Epochs().add(lines[1], lines[1]["epochs"]) == []

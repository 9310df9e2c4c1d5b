"""Posts to a server that takes them, and to ones that don't; no error repeats the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.errors import SettingError
from pretrain.metrics.alert_child import post
from pretrain.metrics.alert_child.__main__ import sending
from pretrain.metrics.alerts.desk import Desk
from pretrain.metrics.alerts.events import Event
from pretrain.metrics.alerts.messages import Sender
from pretrain.metrics.alerts.webhook import Webhook
from tests.pretrain.metrics.alerts.lines import (
    CANARY,
    Clock,
    sender,
    spike,
)
from tests.pretrain.metrics.alerts.receivers import Posts


def failing_desk(url: str, run_dir: Path, timeout_s: float = 5.0) -> tuple[Desk, list[str], Clock]:
    said, clock = list[str](), Clock()
    send = post.poster(url, "generic", timeout_s)
    return Desk(sender(run_dir), ["spike", "stop"], 0.0, send, post.explain, said.append, clock), said, clock


def test_an_answer_of_500_is_said_once_and_tried_again(
    posts: Posts, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posts.answers = [500, 503]
    it, said, clock = failing_desk(posts.address, run_dir)
    for second in range(30):
        clock.now_s = float(second)
        it.add(spike(second, run_dir))
        it.send_due()
    assert [len(posts.tries), len(posts.got)] == [2 + 27, 27]  # at 0 s and 1 s; from 3 s on each arrives
    assert posts.got[0]["count"] == 4
    why = "the receiver answers 500 Internal Server Error"
    assert said == [f"an alert can't be sent ({why}); it is tried again, and training goes on"]
    logged = capsys.readouterr().err.splitlines()
    assert [line[20:] for line in logged] == [
        f"not sent: {why}",
        "not sent: the receiver answers 503 Service Unavailable",
    ]


def test_a_receiver_that_hangs_is_left(posts: Posts, run_dir: Path) -> None:
    posts.hangs.set()
    it, said, _ = failing_desk(posts.address, run_dir, timeout_s=0.2)
    it.add(spike(1, run_dir))
    it.send_due()
    assert said == ["an alert can't be sent (no answer in time); it is tried again, and training goes on"]
    assert not it.is_empty


def test_a_redirect_is_no_delivery(posts: Posts, run_dir: Path) -> None:
    """Followed, a POST becomes a GET, which is answered with 200."""
    posts.answers = [302]
    it, said, _ = failing_desk(posts.address, run_dir)
    it.add(spike(1, run_dir))
    it.send_due()
    assert "302 Found; it leads elsewhere" in said[0] and not it.is_empty
    assert [method for method, _ in posts.tries] == ["POST"] and "elsewhere" not in posts.tries[0][1]


def test_a_message_that_is_refused_holds_no_other_up(
    posts: Posts, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posts.answers = [400, 429, 200, 410]
    it, said, clock = failing_desk(posts.address, run_dir)
    for clock.now_s in (0.0, 10.0, 20.0):
        it.add(spike(int(clock.now_s), run_dir))
        it.add(Event("stop", "failed", 3, "x", "y", ()))
        it.send_due()
    assert posts.kinds() == ["spike", "spike", "stop"] and it.is_empty
    logged = [line[20:] for line in capsys.readouterr().err.splitlines()]
    assert logged == [
        "dropped: the receiver answers 400 Bad Request",
        "not sent: the receiver answers 429 Too Many Requests",
        "dropped: the receiver answers 410 Gone",
    ]
    assert len(said) == 2 and said[0].startswith("an alert is refused (the receiver answers 400 Bad Request); such ")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/canary-of-the-path",
        "http://canary-of-the-host.invalid/",
        "http://canary-of-the-host:port/x",
        "https://127.0.0.1:9/canary-of-the-path?canary-of-the-query",
        "ftp://127.0.0.1/canary-of-the-path",
        "canary-of-the-text",
        "http://127.0.0.1:9/canary-of-the-path with\nblanks",
    ],
)
def test_no_error_repeats_the_address(url: str, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    it, said, _ = failing_desk(url, run_dir)
    it.add(spike(1, run_dir))
    it.send_due()
    assert len(said) == 1 and CANARY not in said[0] + capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "text", "shown"),
    [
        ("http://relay:9000/groundwork", "see /data/groundwork/x", "see /data/groundwork/x"),
        ("http://relay:9000/groundwork", "no route to http://relay:9000/groundwork", "no route to ***"),
        ("http://relay:9000/x?k=1", "step 1: GET /x?k=1", "step 1: GET /x***"),
        ("https://h/services/T0/canary-of-the-path", "POST /services/T0/canary-of-the-path: 500", "POST ***: 500"),
        ("https://h/?canary-of-the-query", "asked with canary-of-the-query", "asked with ***"),
    ],
)
def test_what_is_hidden_of_an_address_garbles_no_message(
    url: str, text: str, shown: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN_URL", url)
    _, _, hidden = sending({"kind": "webhook", "url_env": "HIDDEN_URL", "receiver": "generic"}, 1.0)
    message = Sender("night", "node7", run_dir, hidden).message([Event("stop", "failed", 3, text, "y", ())], 1)
    assert message.fields["what"] == shown


def test_slack_and_discord_get_their_own_bodies(run_dir: Path) -> None:
    text = "<!channel> & " + "x" * 3000
    message = sender(run_dir).message([Event("stop", "failed", 3, text, "it is down", ())], 1)
    slack, discord = (post.body_of(message, receiver) for receiver in ("slack", "discord"))
    assert list(slack) == ["text"] and "&lt;!channel&gt; &amp; xxx" in slack["text"]
    assert len(discord["content"]) == 2000 and discord["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url_env": "NOT_SET"}, "url_env: the environment variable NOT_SET is not set; export it"),
        ({"url_env": "https://h/canary-of-the-path"}, "url_env: is no name of an environment variable; give the name"),
        ({"url_env": "FILE"}, "url_env: FILE holds no address of http:// or https://"),
        ({"url_env": "PORT"}, "url_env: PORT holds no address of http:// or https://"),
        ({"url_env": "USER_OF"}, "url_env: the address in USER_OF has a user's name or password before its host"),
        ({"min_interval_s": -1.0}, "min_interval_s: -1.0 is not allowed; give 0 to hold nothing back"),
        ({"timeout_s": 0.0}, "timeout_s: 0.0 is not allowed; give a number above 0"),
        ({"close_timeout_s": -1.0}, "close_timeout_s: -1.0 is not allowed; give 0 not to wait"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_before_training(
    values: dict[str, Any], said: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDWORK_WEBHOOK", "https://host/canary-of-the-path")
    monkeypatch.setenv("FILE", "file:///canary-of-the-path")
    monkeypatch.setenv("PORT", "https://host:canary-of-the-port/x")
    monkeypatch.setenv("USER_OF", "https://me:canary-of-the-password@host/x")
    with pytest.raises(SettingError) as refused:
        Webhook(run_dir, **values)
    assert str(refused.value).startswith(said) and CANARY not in str(refused.value)

"""Mail to a server that takes it, and to ones that don't."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import SettingError
from pretrain.metrics.alert_child import smtp
from pretrain.metrics.alert_child.__main__ import sending
from pretrain.metrics.alerts.mail import Email
from pretrain.metrics.alerts.messages import Sender
from pretrain.run_folder import write_status
from pretrain.types import Status
from tests.pretrain.metrics.alerts.lines import (
    CANARY,
    sender,
    spike,
)
from tests.pretrain.metrics.alerts.receivers import Mails, wait_for


@pytest.mark.parametrize("security", ["starttls", "ssl", "none"])
def test_a_mail_server_takes_it(
    security: str, certificate: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SMTP_SECRET", "canary-of-the-password")
    with Mails(security, certificate, password=None if security == "none" else "canary-of-the-password") as server:
        told = {"kind": "mail", "host": "127.0.0.1", "port": server.port, "security": security, "sender": "a@run.org"}
        told |= {"to": ["b@x.org", "c@x.org"], "user": None if security == "none" else "me"}
        send, explain, hidden = sending(told | {"password_env": "SMTP_SECRET"}, 5.0)
        send(Sender("night\n", "node7", run_dir, hidden).message([spike(21, run_dir)], 1))
        server.shutdown()
    assert explain is smtp.explain and hidden == (() if security == "none" else ("canary-of-the-password",))
    (raw,) = server.got
    mail = email.message_from_string(raw, policy=email.policy.default)
    assert mail["Subject"] == "night␊ on node7: a step was skipped at step 21"
    assert (mail["From"], mail["To"], mail["Auto-Submitted"]) == ("a@run.org", "b@x.org, c@x.org", "auto-generated")
    body = mail.get_content()
    assert body.startswith("step 21 was skipped: loss not finite") and f"page: {run_dir}/report.html\n" in body
    if security == "starttls":  # nothing but the wish for it before
        assert [line.split()[0].upper() for line in server.in_clear] == ["EHLO", "STARTTLS"]


def test_a_password_that_stands_in_every_word_garbles_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"kind": "mail", "host": "127.0.0.1", "port": 25, "security": "ssl", "user": "me", "password_env": "SHORT"}
    monkeypatch.setenv("SHORT", "a")
    assert sending(told, 5.0)[2] == ()


@pytest.mark.slow
def test_a_run_is_told_of_by_mail(certificate: Path, run_dir: Path) -> None:
    with Mails("none", certificate) as server:
        logger = Email(run_dir, "127.0.0.1", "a@run.org", ["b@x.org"], port=server.port, security="none")
        logger.start(0)
        wait_for(lambda: len(server.got) == 1)
        logger.close("stopped")
        write_status(run_dir, Status.STOPPED, "step 9: 6 bad steps in a row", 9)
        wait_for(lambda: len(server.got) == 2)
        server.shutdown()
    assert "Subject: night on " in server.got[0] and "the run begins" in server.got[0]
    assert "stopped at step 9: step 9: 6 bad steps in a row" in server.got[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password_env": "WRONG"}, "SMTPAuthenticationError: 535 5.7.8 not with this password"),
        ({"to": ["nobody@x.org"]}, "the server takes it for nobody: 550 5.1.1 nobody of that name"),
        ({"security": "ssl"}, "SSLError"),
        ({"port": 9}, "ConnectionRefusedError: Connection refused"),
        (
            {"host": "localhost"},
            "the server's certificate: Hostname mismatch, certificate is not valid for 'localhost'",
        ),
    ],
)
def test_why_a_mail_does_not_go_out(
    change: dict[str, Any], said: str, certificate: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("RIGHT", "canary-of-the-password")
    monkeypatch.setenv("WRONG", "canary-of-the-wrong-one")
    with Mails("starttls", certificate, refuses=("nobody",), password="canary-of-the-password") as server:
        told = {"kind": "mail", "host": "127.0.0.1", "port": server.port, "security": "starttls", "user": "me"}
        told |= {"sender": "a@run.org", "to": ["b@x.org"], "password_env": "RIGHT"}
        send, explain, _ = sending(told | change, 5.0)
        with pytest.raises(Exception) as found:
            send(sender(run_dir).message([spike(21, run_dir)], 1))
        server.shutdown()
    assert explain(found.value).startswith(said) and CANARY not in explain(found.value)
    assert not server.got


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"to": []}, "to: [] is not allowed; give at least one address"),
        ({"to": ["b@x.org", "b"]}, "to: 'b' is not allowed; give an address such as me@example.org"),
        ({"sender": "a@x.org\nBcc: c@x.org"}, "sender: 'a@x.org\\nBcc: c@x.org' is"),
        ({"host": ""}, "host: '' is not allowed; give the name of a mail server"),
        ({"port": 0}, "port: 0 is not allowed; give a number from 1 to 65535"),
        ({"user": "me"}, "password_env: the environment variable GROUNDWORK_SMTP_PASSWORD is not set; export it"),
        ({"user": "me", "security": "none"}, "security: 'none' is not allowed; give starttls or ssl: a password"),
    ],
)
def test_a_mail_that_cannot_be_is_refused_before_training(values: dict[str, Any], said: str, run_dir: Path) -> None:
    given = {"host": "smtp.x.org", "sender": "a@x.org", "to": ["b@x.org"]} | values
    with pytest.raises(SettingError) as refused:
        Email(run_dir, **given)
    assert str(refused.value).startswith(said)

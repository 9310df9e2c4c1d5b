"""A message sent by e-mail."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from foundation.text import one_line
from pretrain.metrics.alerts.messages import Message
from pretrain.metrics.serving import say

MAX_ANSWER = 200  # characters of what a server says


def mail_of(message: Message, sender: str, to: list[str]) -> EmailMessage:
    """Return the e-mail."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = one_line(message.subject, MAX_ANSWER), sender, ", ".join(to)
    mail["Date"], mail["Message-ID"] = formatdate(localtime=True), make_msgid(domain=sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # no answer of somebody who is on holiday
    mail.set_content(message.body + "\n")
    return mail


def mailer(channel: dict[str, Any], password: str, timeout_s: float) -> Callable[[Message], None]:
    """Return what sends a message by the server of `channel`; it raises where the server takes it for none of `to`."""

    def send(message: Message) -> None:
        with _connected(channel, timeout_s) as server:
            if channel["user"] is not None:
                server.login(channel["user"], password)
            refused = server.send_message(mail_of(message, channel["sender"], channel["to"]))
        if refused:  # some of several: sent again, the others would have it twice
            say(f"the server does not take it for {', '.join(refused)}")

    return send


def _connected(channel: dict[str, Any], timeout_s: float) -> smtplib.SMTP:
    # with its short name: the full one is asked of a name server, which may take its time
    place: dict[str, Any] = {"host": channel["host"], "port": channel["port"], "timeout": timeout_s}
    place["local_hostname"] = socket.gethostname()
    if channel["security"] == "ssl":
        return smtplib.SMTP_SSL(**place, context=ssl.create_default_context())
    server = smtplib.SMTP(**place)
    try:
        if channel["security"] == "starttls":
            server.starttls(context=ssl.create_default_context())
    except BaseException:
        server.close()
        raise
    return server


def explain(error: Exception) -> str:
    """Return in words why it did not go out."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return f"the server takes it for nobody: {code} {_said(answer)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}: {error.smtp_code} {_said(error.smtp_error)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _said(answer: bytes | str) -> str:
    return one_line(answer.decode(errors="replace") if isinstance(answer, bytes) else answer, MAX_ANSWER)

"""Alerts by e-mail."""

from __future__ import annotations

from email.headerregistry import Address
from pathlib import Path
from typing import Any, Literal

from foundation.errors import SettingError, require
from foundation.secrets import require_variable
from pretrain.metrics.alerts.events import Kind
from pretrain.metrics.alerts.process import AlertProcess
from pretrain.seats import Logger

PORTS = {"starttls": 587, "ssl": 465, "none": 25}
PASSWORD = "the password of the mail server"


class Email(Logger):
    """Sends alerts by SMTP.

    Args:
        run_dir: of the run.
        host: of the mail server.
        sender: address that they come from.
        to: addresses that they go to.
        port: of the server; None for that of `security`: 587, 465 or 25.
        security: starttls encrypts after the greeting, ssl from the first byte; none is for a server on this machine.
        user: to log in as; None doesn't log in.
        password_env: name of the environment variable that holds the password; not looked at without a user.
        events: kinds that are sent; None for all but `finish`.
        min_interval_s: seconds between two messages of a kind; what happens meanwhile is told in the next one.
        timeout_s: for each answer of the server; it is tried again later.
        close_timeout_s: that the end of the process waits for the last message; the child goes on alone after.
    Raises:
        SettingError: an address that is none, a password that isn't set or would be sent in clear, a number that can't
            be.
    """

    def __init__(
        self,
        run_dir: Path,
        host: str,
        sender: str,
        to: list[str],
        port: int | None = None,
        security: Literal["starttls", "ssl", "none"] = "starttls",
        user: str | None = None,
        password_env: str = "GROUNDWORK_SMTP_PASSWORD",
        events: list[Kind] | None = None,
        min_interval_s: float = 300.0,
        timeout_s: float = 20.0,
        close_timeout_s: float = 10.0,
    ) -> None:
        require(bool(to), "to", to, "at least one address")
        for key, address in (("sender", sender), *(("to", each) for each in to)):
            _require_address(key, address)
        require(bool(host.strip()) and "/" not in host, "host", host, "the name of a mail server, smtp.example.org")
        require(port is None or 0 < port < 65536, "port", port, "a number from 1 to 65535, or null")
        require(
            user is None or security != "none", "security", security, "starttls or ssl: a password is not sent in clear"
        )
        if user is not None:
            require_variable("password_env", password_env, PASSWORD)
        told = {"kind": "mail", "host": host, "port": port or PORTS[security], "security": security}
        told |= {"sender": sender, "to": to, "user": user, "password_env": password_env}
        self._process = AlertProcess("email", run_dir, events, min_interval_s, timeout_s, close_timeout_s, told)

    def start(self, step: int) -> None:
        self._process.start(step)

    def log(self, line: dict[str, Any]) -> None:
        pass

    def close(self, status: str) -> None:
        self._process.leave(status)


def _require_address(key: str, text: str) -> None:
    try:
        address = Address(addr_spec=text)
        is_one = bool(address.username and address.domain) and text.isascii()
    except (ValueError, IndexError, LookupError):
        is_one = False
    except Exception as error:  # of email.errors, whose classes are no family
        raise SettingError(f"{key}: {text!r} is no address; give one such as me@example.org") from error
    require(is_one, key, text, "an address such as me@example.org")

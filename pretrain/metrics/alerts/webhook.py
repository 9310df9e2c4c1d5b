"""Alerts to an address that takes JSON: Slack, Mattermost, Discord, or a program of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from foundation.errors import SettingError
from foundation.secrets import require_variable
from pretrain.metrics.alerts.events import Kind
from pretrain.metrics.alerts.process import AlertProcess
from pretrain.seats import Logger

ADDRESS = "the address of a webhook, https://..."


class Webhook(Logger):
    """Posts alerts to a webhook.

    The address is a secret: whoever has it can post. It stands in the environment alone, and in no file or message.

    Args:
        run_dir: of the run.
        url_env: name of the environment variable that holds the address.
        receiver: what the body is for: generic has `text` and a field for each thing that is told.
        events: kinds that are sent; None for all but `finish`.
        min_interval_s: seconds between two messages of a kind; what happens meanwhile is told in the next one.
        timeout_s: for the receiver to answer; it is tried again later.
        close_timeout_s: that the end of the process waits for the last message; the child goes on alone after.
    Raises:
        SettingError: the variable isn't set or holds no such address; a number that can't be.
    """

    def __init__(
        self,
        run_dir: Path,
        url_env: str = "GROUNDWORK_WEBHOOK",
        receiver: Literal["generic", "slack", "discord"] = "generic",
        events: list[Kind] | None = None,
        min_interval_s: float = 300.0,
        timeout_s: float = 10.0,
        close_timeout_s: float = 10.0,
    ) -> None:
        _require_address(require_variable("url_env", url_env, ADDRESS), url_env)
        told = {"kind": "webhook", "url_env": url_env, "receiver": receiver}
        self._process = AlertProcess("webhook", run_dir, events, min_interval_s, timeout_s, close_timeout_s, told)

    def start(self, step: int) -> None:
        self._process.start(step)

    def log(self, line: dict[str, Any]) -> None:
        pass

    def close(self, status: str) -> None:
        self._process.leave(status)


def _require_address(value: str, variable: str) -> None:
    """Refuse what can't be posted to, without repeating it."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or not value.isascii() or not value.isprintable():
        raise SettingError(f"url_env: {variable} holds no address of http:// or https://; it is to hold {ADDRESS}")
    if "@" in parts.netloc:
        raise SettingError(
            f"url_env: the address in {variable} has a user's name or password before its host, which is not sent; "
            "leave it out, and let the address itself be the secret"
        )

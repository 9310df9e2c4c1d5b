"""A message posted to a webhook, in the body that its receiver takes."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import orjson

from pretrain.metrics.alerts.messages import Message, Refused

MAX_DISCORD = 2000  # characters of a message there
LATER = (408, 429)  # of the answers from 400 on, those that ask to try again


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent elsewhere: a redirected POST becomes a GET, which a server answers with 200."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def body_of(message: Message, receiver: str) -> dict[str, Any]:
    """Return what is posted, as JSON values."""
    if receiver == "slack":
        return {"text": escaped(message.text)}
    if receiver == "discord":
        cut = message.text if len(message.text) <= MAX_DISCORD else f"{message.text[: MAX_DISCORD - 1]}…"
        return {"content": cut, "allowed_mentions": {"parse": []}}
    return {"text": message.text, "subject": message.subject} | message.fields


def escaped(text: str) -> str:
    """Return a text whose `<...>` Slack takes for no link and no mention. Source: Slack, "Formatting text"."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def poster(url: str, receiver: str, timeout_s: float) -> Callable[[Message], None]:
    """Return what posts a message to an address; it raises unless the answer is one of 200 to 299.

    It raises `Refused` at 400 to 499, without LATER: the same message would be answered so again.
    """
    opener = urllib.request.build_opener(_NoRedirects)

    def post(message: Message) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "groundwork"}
        data = orjson.dumps(body_of(message, receiver))
        request = urllib.request.Request(url, data, headers, method="POST")
        try:
            with opener.open(request, timeout=timeout_s):
                pass  # its body may be anything, and is not read
        except urllib.error.HTTPError as error:
            if 400 <= error.code < 500 and error.code not in LATER:
                raise Refused(explain(error)) from None
            raise

    return post


def explain(error: Exception) -> str:
    """Return in words why it did not arrive. Texts of errors are left out: many repeat the address, a secret."""
    if isinstance(error, urllib.error.HTTPError):
        moved = "; it leads elsewhere: give the address that it leads to" if 300 <= error.code < 400 else ""
        return f"the receiver answers {error.code} {http.client.responses.get(error.code, '')}".rstrip() + moved
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{type(cause).__name__}: {cause.strerror}"
    return type(cause).__name__ if isinstance(cause, Exception) else type(error).__name__

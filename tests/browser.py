"""A headless browser that a test drives: by the DevTools protocol, over a socket of this machine."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60.0


def find_browser() -> str | None:
    """Return the command of a browser, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")


def drive(browser: str, home: Path, page: Path, expressions: list[str]) -> tuple[list[Any], list[str]]:
    """Open a page without network, evaluate JavaScript in it, return the values and all errors that the page had.

    Args:
        home: an empty folder for the browser.
        expressions: one after the other.
    """
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--proxy-server=127.0.0.1:9", "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"]
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(_talk(_port(home / "DevToolsActivePort", process), page, expressions))
    finally:
        process.kill()
        process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise RuntimeError("the browser does not answer")


async def _talk(port: int, page: Path, expressions: list[str]) -> tuple[list[Any], list[str]]:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(each for each in json.loads(await answer.text()) if each["type"] == "page")
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            return await _evaluate(socket, page, expressions)


async def _evaluate(
    socket: aiohttp.ClientWebSocketResponse, page: Path, expressions: list[str]
) -> tuple[list[Any], list[str]]:
    numbers, errors = itertools.count(1), list[str]()

    async def wait_for(wanted: dict[str, Any]) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads((await socket.receive()).data)
            if message.get("method") == "Runtime.exceptionThrown":
                errors.append(str(message["params"]["exceptionDetails"]))
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                errors.append(message["params"]["entry"]["text"])
            if wanted.items() <= message.items():
                return message

    async def ask(method: str, **params: Any) -> dict[str, Any]:
        number = next(numbers)
        await socket.send_json({"id": number, "method": method, "params": params})
        return (await wait_for({"id": number}))["result"]  # type: ignore[no-any-return]

    for room in ("Page", "Runtime", "Log"):
        await ask(f"{room}.enable")
    await ask("Page.navigate", url=page.absolute().as_uri())
    await wait_for({"method": "Page.loadEventFired"})
    found = [await ask("Runtime.evaluate", expression=each, returnByValue=True) for each in expressions]
    return [each["result"].get("value") for each in found], errors

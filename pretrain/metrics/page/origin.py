"""What a run came from, as its page shows it: config, data, environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.files import read_json
from foundation.page import Page
from foundation.progress import human

COLUMNS = ("split", "source", "weight", "budget", "documents", "tokens", "utf8_bytes", "shards", "hash")
HASH_CHARS = 16  # of a source's; those of the two files are whole


def read_about(path: Path) -> dict[str, Any]:
    """Return about.json; empty where it is missing or damaged: a page is made of what there is."""
    try:
        found = read_json(path) if path.is_file() else {}
    except InputError:
        return {}
    return found if isinstance(found, dict) else {}


def add_origin(page: Page, about: dict[str, Any], config: dict[str, Any]) -> None:
    """Add config, data and environment."""
    if config:
        page.section("Config")
        page.text(
            "config.yaml reruns this run: python launch/train.py --config-path <this folder> --config-name config"
        )
        page.folded_table("all keys", ["key", "value"], [[key, str(value)] for key, value in flat(config)])
    if data := about.get("data"):
        _data(page, data)
    if about.get("environment"):
        page.section("Environment")
        known = {**about["environment"], **about.get("hardware", {})}
        page.table(["", "of the newest start"], [[name, str(value)] for name, value in known.items()])
        packages = about.get("packages", {})
        page.folded_table(f"{len(packages)} installed packages", ["package", "version"], list(packages.items()))


def _data(page: Page, data: dict[str, Any]) -> None:
    page.section("Data")
    page.text(f"The shards of {data['path']}, as their manifest has them.")
    rows = [[*(_cell(name, row.get(name)) for name in COLUMNS)] for row in data["sources"]]
    page.table([*COLUMNS[:6], "text", *COLUMNS[7:]], rows)
    page.table(["file", "hash"], [[name, value] for name, value in data["hashes"].items()])


def _cell(name: str, value: Any) -> str | int | float | None:
    if name == "utf8_bytes":
        return human(value, "B")
    if name == "hash":
        return str(value)[:HASH_CHARS]
    if isinstance(value, dict):
        return ", ".join(f"{key} {amount:,}" for key, amount in value.items())
    return None if value is None else value if isinstance(value, int | float) else str(value)


def flat(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of a config by full key, in its order."""
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in flat(item, f"{key}.{name}" if key else str(name))]
    return [(key, value)]

"""How well rules do on labelled texts: python -m data_pipeline.clean labelled.jsonl clean=safety.

Each line of the file is a record with `text`, and with `reason` (for which it should go; null where it should stay) or
`expected` (what it should become), or both. Overrides are those of `python -m data_pipeline`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
from omegaconf import DictConfig

from data_pipeline.clean.labelled import judge_changes, judge_removals, out_of_reach
from data_pipeline.clean.rules import Rule
from data_pipeline.documents import from_texts
from foundation.command import guarded
from foundation.config import Node, build, check
from foundation.config.compose import CommandLine, plain, run_hydra
from foundation.errors import ConfigError, InputError
from foundation.reader import reader_may_leave

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"
_FORM = '{"text": "...", "reason": "toxic"} or {"text": "...", "expected": "..."}'


def main() -> None:
    """Read the command line, judge, print; exit with 0, 2 for what users can mend, 1 for a defect."""
    typed = sys.argv[1:]
    if not typed or typed[0] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if typed else 2)
    sys.exit(guarded(lambda: _judge(typed)))


def _judge(typed: list[str]) -> int:
    records = read_labelled(Path(typed[0]))
    configs: list[DictConfig] = []
    with tempfile.TemporaryDirectory() as scratch:
        command = CommandLine(typed[1:], CONF_DIR, "pipeline", Path(scratch))
        sys.argv = [sys.argv[0], *command.arguments]
        if command.multirun:
            raise ConfigError("-m: one config is judged at a time; leave it out, and give one value of each setting")
        run_hydra(command, "pipeline", configs.append)
    print("\n".join(judged(_rule_of(configs[0], command), records)))
    return 0


def read_labelled(path: Path) -> list[dict[str, Any]]:
    """Return the records of a labelled file.

    Raises:
        InputError: a record is not of the form that the module's docstring says; names its line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); give a file of labelled records") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not valid JSON ({error}); give {_FORM}") from error
        if not _is_labelled(record):
            raise InputError(f"{path}, line {number}: {line.decode()[:80]} is not labelled; give {_FORM}")
        records.append(record)
    return records


def _is_labelled(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return False
    if not record.keys() & {"reason", "expected"}:
        return False
    return isinstance(record.get("reason"), str | None) and isinstance(record.get("expected", ""), str)


def judged(rule: Rule, records: list[dict[str, Any]]) -> list[str]:
    """Return a line for each reason, and one for the changes, of the records that are labelled so."""
    with_reason = [record for record in records if "reason" in record]
    with_text = [record for record in records if "expected" in record]
    lines: list[str] = []
    if with_reason:
        batch = from_texts([record["text"] for record in with_reason])
        reasons = [record["reason"] for record in with_reason]
        lines += map(str, judge_removals(rule, batch, reasons))
        lines += out_of_reach(rule, reasons)
        lines = lines or [f"none of {len(with_reason)} should go, and none does"]
    if with_text:
        batch = from_texts([record["text"] for record in with_text])
        lines.append(str(judge_changes(rule, batch, [record["expected"] for record in with_text])))
    return lines


def _rule_of(config: DictConfig, command: CommandLine) -> Rule:
    """Build `clean` of a composed config."""
    rule: Rule = build(check({"clean": plain(config)["clean"]}, _schema, command.allowed)["clean"])
    return rule


def _schema(clean: Node[Rule]) -> None:
    """What is read of the config."""


if __name__ == "__main__":
    with reader_may_leave():
        main()

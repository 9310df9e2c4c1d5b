"""How a ladder is printed: a line a rung, its verdict first, coloured on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from foundation.text import number_of, one_line
from pretrain.debug.ladder import Climb
from pretrain.debug.rung import Finding, Verdict

STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.STOP: "bold red"}
VERDICT_WIDTH, NAME_WIDTH = 9, 16


def print_finding(finding: Finding) -> None:
    """Print a rung's line to stdout, and its details below it."""
    verdict, name = finding.verdict.word.ljust(VERDICT_WIDTH), finding.name.ljust(NAME_WIDTH)
    line = Text.assemble((verdict, STYLES[finding.verdict]), (name, "bold"), one_line(finding.figure))
    lines = [line, *(Text(" " * VERDICT_WIDTH + "  " + one_line(each)) for each in finding.details)]
    console = Console(highlight=False)
    for each in lines:
        console.print(each, soft_wrap=True)


def closing(made: Climb) -> str:
    """Return the last line: how many rungs held, and what was not looked at."""
    counts = {verdict: sum(each.verdict is verdict for each in made.findings) for verdict in Verdict}
    parts = [f"{number_of(counts[Verdict.OK], 'rung')} ok"]
    parts += [number_of(counts[Verdict.WARNING], "warning")] if counts[Verdict.WARNING] else []
    if stopped := [each.name for each in made.findings if each.verdict is Verdict.STOP]:
        parts.append(f"STOP at {stopped[0]}")
    parts += [f"not tried: {', '.join(made.not_tried)}"] if made.not_tried else []
    parts += [f"no time for: {', '.join(made.left_out)}"] if made.left_out else []
    return f"preflight: {', '.join(parts)}; {made.seconds:.1f} s"

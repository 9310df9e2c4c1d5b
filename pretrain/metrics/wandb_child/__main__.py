"""Reads a JSON message a line from stdin: a greeting, metrics lines, a closing; says on stdout what users should know.

Never imports torch. Ends when stdin does, so a killed trainer leaves a run that is marked as crashed, not as running.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Literal

import numpy as np

from foundation.config.compose import read_config
from foundation.files import write_atomic
from foundation.secrets import without_secrets
from pretrain.metrics.flat import POINT_COLUMNS, figures_of, histograms_of, numbers_of, rows_of
from pretrain.metrics.lines import SAMPLES
from pretrain.metrics.serving import Message, received, say, serve
from pretrain.metrics.wandb_child.alerts import Alerts
from pretrain.run_files import CONFIG, DATAPOINTS

Mode = Literal["online", "offline", "disabled"]
INIT_TIMEOUT_S = 60.0


def main() -> None:
    """Serve one run."""
    messages = received()
    if (greeting := next(messages, None)) is None:
        return
    run = start(greeting)
    alerts: list[Alerts] = []

    def take(message: Message) -> None:
        if "alerts" in message:
            alerts.append(Alerts(run, Path(greeting["run_dir"]), message))
        elif "show" in message:
            show(run, message["show"], message["line"])
        else:
            send(run, message["line"])

    status = serve(messages, take)
    for each in alerts:
        each.end(status)
    run.finish(exit_code=1 if status in ("failed", "killed") else 0)


def start(greeting: dict[str, Any]) -> Any:
    """Open the run, online or offline.

    Args:
        greeting: the constructor's values of `WandB`.
    Returns:
        wandb's run.
    """
    folder = Path(greeting["run_dir"])
    # wandb keeps logs and staged files in the home folder unless told where
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "wandb" / "cache"))
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb" / "data"))
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    mode: Mode = automatic_mode() if greeting["mode"] == "auto" else greeting["mode"]
    try:
        run = open_run(greeting, folder, mode)
    except Exception as error:
        if mode != "online":
            raise
        say(f"not reached ({type(error).__name__}: {str(error).splitlines()[0]}); the run is kept offline")
        mode = "offline"
        run = open_run(greeting, folder, mode)
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    say(place_of(run, mode, folder))
    return run


def place_of(run: Any, mode: Mode, folder: Path) -> str:
    """Return where the run can be seen, in words."""
    if mode == "disabled":
        return "disabled by WANDB_MODE: nothing is sent or kept"
    return str(run.url) if mode == "online" else f"offline; upload it with: wandb sync {folder / 'wandb'}/offline-run-*"


def automatic_mode() -> Mode:
    """Return what WANDB_MODE says, else online where wandb finds a key, else offline."""
    import wandb

    said = wandb.setup(wandb.Settings(silent=True)).settings.mode
    if said in ("offline", "disabled"):
        return said
    return "online" if wandb.login(prompt=False, verify=False) else "offline"


def open_run(greeting: dict[str, Any], folder: Path, mode: Mode) -> Any:
    """Call wandb.init.

    Online a resumed run goes on under its old id. Offline each start is a run of its own in one group: two folders of
    one id would overwrite each other's steps when they are uploaded. What wandb would collect by itself (command line,
    packages, git, console, code) stays here: any of it can hold a secret.
    """
    import wandb

    config = read_config(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    name = str(config.get("run_name") or folder.name)
    same = run_id(folder)
    settings = wandb.Settings(
        mode=mode,
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_meta=True,
        x_save_requirements=False,
        init_timeout=INIT_TIMEOUT_S,
    )
    return wandb.init(
        project=greeting["project"],
        entity=greeting["entity"],
        tags=greeting["tags"],
        name=name,
        group=name,
        id=same if mode == "online" else f"{same}-{secrets.token_hex(3)}",
        resume="allow" if mode == "online" else None,
        dir=str(folder),
        config={key: clean(config[key]) for key in greeting["config_keys"] if key in config},
        settings=settings,
    )


def run_id(folder: Path) -> str:
    """Return the id of the run in this folder, made at its first start."""
    path = folder / "wandb" / "run_id"
    if not path.exists():
        write_atomic(path, secrets.token_hex(5).encode())
    return path.read_text(encoding="ascii").strip()


def clean(value: Any) -> Any:
    """Return a config value without user names and passwords in addresses, and keys of services."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return without_secrets(value) if isinstance(value, str) else value


def send(run: Any, line: dict[str, Any]) -> None:
    """Log the numbers of one line, on the axis `step`, which may go back after a rewind; samples as a table.

    Numbers by source, such as `epochs`, go under `<name>/<source>`, as an evaluation names them.
    """
    fields: dict[str, Any] = numbers_of(line)
    if SAMPLES in line:
        fields[SAMPLES] = table(["prompt", "text"], [[item["prompt"], item["text"]] for item in line[SAMPLES]])
    run.log(fields)


def show(run: Any, name: str, line: dict[str, Any]) -> None:
    """Log what was looked at in a step: figures of layers, histograms, points and single tokens as tables."""
    import wandb

    fields: dict[str, Any] = {"step": line["step"]}
    if name == DATAPOINTS:
        fields[f"datapoints/{line['split']}/{line['sequence']}"] = table(list(POINT_COLUMNS), rows_of(line))
    fields |= figures_of(line)
    for tag, found in histograms_of(line).items():
        fields[tag] = wandb.Histogram(np_histogram=(np.array(found["counts"]), np.array(found["edges"])))
    for what, points in line.get("projections", {}).items():
        rows = [[token, *point] for token, point in zip(points["tokens"], points["xy"], strict=True)]
        fields[f"projections/{what}"] = table(["token", "x", "y"], rows)
    run.log(fields)


def table(columns: list[str], rows: list[list[Any]]) -> Any:
    """Return wandb's table."""
    import wandb

    return wandb.Table(columns=[*columns], data=rows)


if __name__ == "__main__":
    main()

"""What a run that the guard has stopped is told: lines that work when they are typed."""

from __future__ import annotations

import math
from pathlib import Path

from pretrain.run_files import CHECKPOINTS, JOURNAL
from pretrain.types import Record

POSSIBLE_RISE_NATS = 10.0  # the logarithm of a vocabulary: no text is worse for healthy weights than a guess


def advise(record: Record, rise_nats: float, run_dir: Path, last_update: int, goes_back: bool = True) -> str:
    """Return what to do about a stop.

    The weights are those of the last update. Where that one spoilt them, no learning rate and no setting of the guard
    mends them: the way on is a way back, which the same line takes where there is a checkpoint of before that update.

    Args:
        record: the step that was one too many.
        rise_nats: how far its loss is above the median of the accepted ones.
        run_dir: where checkpoints are looked for.
        last_update: the last step that touched the weights.
        goes_back: whether the guard passes over batches by itself, spike=rewind.
    """
    others = (
        "" if goes_back else "; where these batches are to blame, spike=rewind allow_change=[spike] passes over them"
    )
    earlier = checkpoint_before(run_dir, last_update)
    same_line = "goes on with new counts"
    if earlier:
        same_line = f"goes back to {earlier.name}, what was saved since the last update being labelled bad"
    begin = f"The same line {same_line}; {JOURNAL} names each step and its samples. If it stops again: "
    way_back = "begin anew with resume=never and a lower optim.lr"
    if earlier:
        way_back = f"go back and learn more slowly with resume={earlier} optim.lr=... allow_change=[optim.lr]"
    if not (math.isfinite(record.grad_norm) and rise_nats < POSSIBLE_RISE_NATS):
        if not earlier:  # the same weights would meet the same end
            names = f"{JOURNAL} names each step and its samples"
            return f"The weights are spoilt, or this machine is faulty: {way_back}; {names}"
        return f"{begin}the weights are spoilt, or this machine is faulty; {way_back}{others}"
    above = max(1, math.ceil(2 * rise_nats))
    return (
        f"{begin}where such losses are right (other text), "
        f"spike.min_rise_nats={above} allow_change=[spike.min_rise_nats] lets them through; "
        f"where they are not, the weights are spoilt; {way_back}{others}"
    )


def checkpoint_before(run_dir: Path, step: int) -> Path | None:
    """Return the newest checkpoint's folder with the weights of before `step`."""
    found = [path for path in (run_dir / CHECKPOINTS).glob("step_*") if path.name.removeprefix("step_").isdigit()]
    return max((path for path in found if int(path.name.removeprefix("step_")) < step), default=None)

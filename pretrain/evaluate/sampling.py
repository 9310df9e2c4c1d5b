"""Continuations: one token after the other, drawn from what the model predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from foundation.errors import require
from pretrain.seats import Model


@torch.no_grad()
def generate(
    model: Model,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    vocab_size: int,
    context_len: int,
    stop_id: int | None = None,
    on_token: Callable[[int], object] | None = None,
) -> list[int]:
    """Return the ids that follow `ids`; each is conditioned on the last `context_len` before it.

    The same seed gives the same draws on every device, as far as the logits are the same.

    Args:
        model: in evaluation mode.
        ids: the prompt, at least one.
        max_new_tokens: how many to append.
        temperature: divides the logits; 0 takes the likeliest token always.
        top_k: draw from the likeliest k; None from all.
        top_p: draw from the likeliest that together hold this probability, after top_k; None from all.
        seed: of the draws.
        vocab_size: the tokenizer's: ids from there on are padding of the head and never drawn.
        context_len: positions that the model was trained on; later ones never had a gradient.
        stop_id: an id after which to end, e.g. end-of-text; it is not returned.
        on_token: called with each id as soon as it is drawn.
    Raises:
        SettingError: a setting out of its range, or no prompt.
    Source: top-k, Fan et al., arXiv:1805.04833; top-p (nucleus), Holtzman et al., arXiv:1904.09751.
    """
    check_settings(max_new_tokens, temperature, top_k, top_p)
    require(bool(ids), "ids", list(ids), "at least one, end-of-text where there is no text")
    device = next(iter(model.parameters())).device
    generator = torch.Generator().manual_seed(seed)  # on the CPU: those of other devices draw other numbers
    past, cache = list(ids), model.new_cache()
    unread = past[-context_len:]
    # Lengths change at every token, which would have compiled blocks compiled anew each time.
    with torch.compiler.set_stance("force_eager"):
        for _ in range(max_new_tokens):
            if len(past) > context_len:  # positions are learned, so a full window moves only by reading it all again
                unread, cache = past[-context_len:], model.new_cache()
            logits_V = model(torch.tensor([unread], device=device), cache)[0, -1, :vocab_size]
            drawn = draw(logits_V, temperature, top_k, top_p, generator)
            if drawn == stop_id:
                break
            past.append(drawn)
            if on_token is not None:
                on_token(drawn)
            unread = [drawn]
    return past[len(ids) :]


def draw(
    logits_V: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """Return one id drawn from `logits_V`, (vocab_size,); the other arguments as in `generate`."""
    if temperature == 0:
        return int(logits_V.argmax())
    # One descending order serves both cuts; float64 on the CPU, so that devices differ by nothing more than the logits.
    sorted_V, ids_V = (logits_V.double().cpu() / temperature).sort(descending=True, stable=True)
    probs_K = sorted_V[:top_k].softmax(dim=0)
    if top_p is not None:
        before_K = probs_K.cumsum(dim=0) - probs_K
        probs_K = torch.where(before_K < top_p, probs_K, 0.0)  # the likeliest stays: nothing lies before it
    return int(ids_V[torch.multinomial(probs_K, 1, generator=generator)])


def check_settings(max_new_tokens: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Check what `generate` takes.

    Raises:
        SettingError: names the setting.
    """
    require(max_new_tokens >= 0, "max_new_tokens", max_new_tokens, "0, for the prompt alone, or more")
    is_finite = 0 <= temperature < float("inf")
    require(is_finite, "temperature", temperature, "0, for the likeliest token always, or more")
    require(top_k is None or top_k >= 1, "top_k", top_k, "1 or more, or null to draw from all tokens")
    allowed = "a number above 0 and up to 1, or null to draw from all tokens"
    require(top_p is None or 0 < top_p <= 1, "top_p", top_p, allowed)

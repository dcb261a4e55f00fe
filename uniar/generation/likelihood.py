"""How likely the model finds given continuations of a prompt: what an option of a multiple-choice question is ranked by.

The prompt is computed once, every continuation from its cache. Teacher forcing, so no draw and no parser is involved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uniar.language.cache import KVCache
from uniar.model import UniARForConditionalGeneration


class Likelihood(NamedTuple):
    """Of one continuation."""

    logprob: float
    """Natural logarithm of its probability, summed over its tokens."""
    tokens: int


@torch.inference_mode()
def likelihoods(
    model: UniARForConditionalGeneration, inputs: Mapping[str, Tensor], continuations: Sequence[Sequence[int]]
) -> list[Likelihood]:
    """Log-likelihood of continuations of one prompt.

    Args:
        model: in eval mode.
        inputs: `input_ids` (1, T) without padding and, with images, `pixel_values` and `image_grid_thw`, on the model's device.
        continuations: token ids of each, at least one token, no image placeholder.

    Returns:
        One a continuation, in order; the value of one does not depend on the others.
    """
    prompt = inputs["input_ids"]
    first, layers = prompt.shape[1], range(model.config.text_config.num_hidden_layers)
    cache = KVCache(layers=layers.stop, capacity=first + max(map(len, continuations)))
    grids = inputs.get("image_grid_thw")
    seen: dict[str, Any] = {key: inputs[key] for key in ("pixel_values", "image_grid_thw") if key in inputs}
    start = model(input_ids=prompt, cache=cache, logits_to_keep=1, **seen).logits
    found = []
    for ids in continuations:
        told = torch.tensor([list(ids)], device=prompt.device)
        logits = start
        if len(ids) > 1:
            places = model.positions(torch.cat([prompt, told[:, :-1]], 1), grids).to(prompt.device)
            rest = model(input_ids=told[:, :-1], position_ids=places[..., first:], cache=cache).logits
            cache.crop(first, layers)
            logits = torch.cat([start, rest], 1)
        logprobs = torch.log_softmax(logits[0].float(), -1).gather(-1, told[0, :, None])
        found.append(Likelihood(float(logprobs.double().sum()), len(ids)))
    return found

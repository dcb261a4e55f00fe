"""A rollout's step in fixed shapes, which a GPU replays as one CUDA graph.

Run plainly, a step of the released model launches some thousand small kernels, and launching them takes longer than running them. Here
every tensor keeps its address: a step reads where it stands from a counter on the device, writes its keys and values there, looks
at the whole cache through a mask, and leaves the features of the token that it drew where the next one begins. So the steps differ in
nothing but what the device holds, and after the first two the rest is replayed.

Attention sums over all of the cache, masked, and not over its filled part: in floating point a result may differ from the plain
step's within rounding. B samples, R rows (2B with guidance), T tokens, C capacity of the cache, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from uniar.language.cache import KVCache
from uniar.vision.tokenizer import VisualFeatures

EAGER = 2
"""Steps before the graph is recorded, so that what libraries do at their first call is done."""
ALIGNED = 16
"""The cache's capacity is a multiple of it, as attention kernels want their masks."""


def aligned(capacity: int) -> int:
    """Return the smallest capacity that holds so many positions.

    >>> aligned(1), aligned(32)
    (16, 32)
    """
    return -(-capacity // ALIGNED) * ALIGNED


class FixedSteps:
    """The tokens of a rollout after its first one.

    Args:
        model: `UniARForConditionalGeneration`.
        cache: holds the prompt's positions, C a multiple of `ALIGNED`.
        valid: bool (R, prompt), False at padding.
        position_ids: int (3, R, T), of the visual tokens.
        features: of the first visual token, one row a row.
        uniform: float32 (T - 1, B, levels, patches a token, bits): numbers that the other tokens are drawn from.
        guidance_scale: above 1 the second half of the rows is unconditional.
        temperature: see `generation.codes`.
    """

    def __init__(
        self, model: Any, *, cache: KVCache, valid: Tensor, position_ids: Tensor, features: VisualFeatures, uniform: Tensor,
        guidance_scale: float, temperature: float,
    ):  # fmt: skip
        self._model, self._cache = model, cache
        self._guidance_scale, self._temperature = guidance_scale, temperature
        self._main, self._deepstack = features.main.clone(), [level.clone() for level in features.deepstack]
        device = self._main.device
        self._token = torch.zeros(1, dtype=torch.int64, device=device)
        self._place = torch.full((1,), valid.shape[1], dtype=torch.int64, device=device)
        self._positions, self._uniform = position_ids.to(device), uniform
        self._codes = torch.zeros(uniform.shape, dtype=torch.uint8, device=device)
        later = valid.new_ones(len(valid), cache.capacity - valid.shape[1])
        self._valid = torch.cat([valid, later], 1).to(device)[:, None, None]
        self._places = torch.arange(cache.capacity, device=device)
        cache.fix(self._place)

    def run(self, told: Callable[[int], None] | None = None) -> Tensor:
        """Draw all tokens.

        Args:
            told: called with the number of tokens drawn so far, when they are.

        Returns:
            uint8 (T - 1, B, levels, patches a token, bits) on the model's device.
        """
        for done, _ in enumerate(self._tokens(), 1):
            if told is not None:
                # A replay returns at once; what is told must be true.
                if self._main.is_cuda:
                    torch.cuda.current_stream().synchronize()
                told(done)
        return self._codes

    def _tokens(self) -> Iterator[None]:
        """Draw one token after the other: each by a step, on a GPU the first few so and the others by replaying a recorded one."""
        count = len(self._uniform)
        if not self._main.is_cuda:
            for _ in range(count):
                self._step()
                yield
            return
        eager = min(EAGER, count)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(eager):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        yield from [None] * eager
        if eager == count:
            return
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        for _ in range(count - eager):
            graph.replay()
            yield

    def _step(self) -> None:
        """From the features of a token to those of the next; nothing in here may depend on a number that the host must read."""
        model, rows = self._model, len(self._main)
        seen = (self._places <= self._place) & self._valid
        # Added to the scores: a bool mask would be turned into this one in every layer.
        mask = torch.zeros(seen.shape, dtype=self._main.dtype, device=seen.device).masked_fill(~seen, float("-inf"))
        where = {"position_ids": self._positions.index_select(2, self._token), "mask": mask, "cache": self._cache}
        features = VisualFeatures(self._main, self._deepstack)
        states = model.states(inputs_embeds=self._main[:, None], visual=features, **where)
        codes = model.output_layer_vistok.draw(
            model.bit_hidden(states, **where)[:, -1],
            guidance_scale=self._guidance_scale,
            temperature=self._temperature,
            uniform=self._uniform.index_select(0, self._token)[0],
        )
        self._codes.index_copy_(0, self._token, codes[None])
        following = model.visual.embed(codes if len(codes) == rows else torch.cat([codes, codes]))
        self._main.copy_(following.main)
        for held, level in zip(self._deepstack, following.deepstack, strict=True):
            held.copy_(level)
        self._token += 1
        self._place += 1

"""Prompts -> codes -> images -> rewards, a group of images a prompt, and every failure typed.

Source: UniAR, GRPO section: no guidance in the rollout. The draws of an image come from (run seed, step, prompt key, member)
alone. An image that cannot be decoded is missing, with a reason; it is never a black one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from uniar.generation.codes import Prefix, generate_codes
from uniar.model import UniARForConditionalGeneration
from uniar.seeding import derive_seed
from uniar.training.entry_points import one_line
from uniar.training.grpo.records import Record
from uniar.training.grpo.rewards import OUTCOMES, Reward, RewardValue, values_of

if TYPE_CHECKING:
    from PIL import Image

Decode = Callable[[Tensor, Sequence[int]], "Sequence[Image.Image | None]"]
"""(codes uint8 (B, N, L, G, D), B seeds) -> B images, RGB, None where one cannot be made."""


class Decoded(NamedTuple):
    """Images in order, and why some are missing."""

    images: list[Image.Image | None]
    reasons: list[str | None]
    """None where there is an image."""


class Judged(NamedTuple):
    """Values of R rewards for B images."""

    values: Tensor
    """float64 (R, B), NaN where there is none."""
    outcomes: Tensor
    """int8 (R, B), index into `OUTCOMES`."""
    reasons: list[list[str]]
    """R lists of B."""


def seeds_of(seed: int, step: int, records: Sequence[Record], members: int) -> list[int]:
    """Seeds of P * members images, the images of a prompt one after another."""
    return [derive_seed(seed, step, record.key, member) for record in records for member in range(members)]


def sample(
    model: UniARForConditionalGeneration,
    prefixes: Sequence[Prefix],
    seeds: Sequence[int],
    *,
    rows: int,
    columns: int,
    temperature: float,
    batch: int,
    exact: bool = False,
    pad_token_id: int = 0,
    on_logits: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Codes of one image a prefix, without guidance, in shared batches.

    Args:
        model: the policy; left in the mode (train or eval) that it came in.
        prefixes: B prompts.
        seeds: B seeds.
        rows: visual tokens per column.
        columns: visual tokens per row.
        temperature: above 0.
        batch: samples that run together.
        exact: one sample after another; see `generate_codes`.
        pad_token_id: see `generate_codes`.
        on_logits: see `generate_codes`.

    Returns:
        uint8 (B, rows * columns, L, G, D) on the CPU.
    """
    training = model.training
    model.eval()
    try:
        parts = [
            generate_codes(
                model,
                prefixes[i : i + batch],
                rows=rows,
                columns=columns,
                seeds=seeds[i : i + batch],
                guidance_scale=1.0,
                temperature=temperature,
                exact=exact,
                pad_token_id=pad_token_id,
                on_logits=on_logits,
            )
            for i in range(0, len(prefixes), batch)
        ]
    finally:
        model.train(training)
        # Some releases of PyTorch would go on with the rollout's gradient-free casts of the weights in the same autocast region.
        torch.clear_autocast_cache()
    return torch.cat(parts)


def decode_all(decode: Decode, codes: Tensor, seeds: Sequence[int]) -> Decoded:
    """Images of all codes; when the batch fails each is tried alone, so that one bad image does not take the others with it.

    Args:
        decode: see `Decode`.
        codes: uint8 (B, N, L, G, D).
        seeds: B seeds.
    """
    try:
        made = list(decode(codes, seeds))
        if len(made) != len(seeds):
            raise ValueError(f"the decoder made {len(made)} images of {len(seeds)} codes")
    except Exception as error:
        if len(seeds) == 1:
            return Decoded([None], [one_line(error)])
        alone = [decode_all(decode, codes[i : i + 1], seeds[i : i + 1]) for i in range(len(seeds))]
        return Decoded([d.images[0] for d in alone], [d.reasons[0] for d in alone])
    return Decoded(made, [None if image is not None else "the decoder made no image" for image in made])


def judge(rewards: Mapping[str, Reward], decoded: Decoded, records: Sequence[Record]) -> Judged:
    """All rewards of all images.

    Args:
        rewards: R rewards by name.
        decoded: P * M images.
        records: P records; each was asked M times.
    """
    members = len(decoded.images) // len(records)
    rows = [record.row() for record in records for _ in range(members)]
    answers: list[list[RewardValue]] = [values_of(reward, decoded.images, rows) for reward in rewards.values()]
    values = torch.tensor([[float("nan") if a.value is None else a.value for a in own] for own in answers], dtype=torch.float64)
    outcomes = torch.tensor([[OUTCOMES.index(a.outcome) for a in own] for own in answers], dtype=torch.int8)
    return Judged(values, outcomes, [[a.reason for a in own] for own in answers])


class CheckpointDecode:
    """The frozen pixel decoder of a checkpoint as `Decode`.

    Args:
        checkpoint: a loaded `uniar.pipeline.UniAR`.
        height: pixels of the rollout.
        width: likewise.
        upscale: output size / rollout size.
        steps: Euler steps.
        guidance_scale: of the decoder; at or below 1 it is off.
        batch: images that run together.

    Raises:
        InputError: a size that this decoder cannot make.
    """

    def __init__(self, checkpoint: Any, *, height: int, width: int, upscale: float, steps: int, guidance_scale: float, batch: int):
        self._checkpoint, self._batch = checkpoint, batch
        self._height, self._width = round(upscale * height), round(upscale * width)
        checkpoint.decoder.latent_shape(self._height, self._width)
        patch = checkpoint.feature_encoder.config.patch_size
        self._grid = (height // patch, width // patch)
        self._settings = {"steps": steps, "guidance_scale": guidance_scale, "exact": False}

    def __call__(self, codes: Tensor, seeds: Sequence[int]) -> list[Image.Image | None]:
        """See `Decode`; an image with a pixel that is no number is None, since it would be written as black."""
        return [
            image for i in range(0, len(seeds), self._batch) for image in self._some(codes[i : i + self._batch], seeds[i : i + self._batch])
        ]

    @torch.inference_mode()
    def _some(self, codes: Tensor, seeds: Sequence[int]) -> list[Image.Image | None]:
        from PIL import Image

        features = self._checkpoint.feature_encoder.feature_map(codes, *self._grid)
        size = {"height": self._height, "width": self._width}
        pixels = self._checkpoint.decoder.decode(features, feature_grid=self._grid, seeds=seeds, **size, **self._settings).float()
        whole = pixels.isfinite().flatten(1).all(1).tolist()
        array = ((pixels.nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(a) if good else None for a, good in zip(array, whole, strict=True)]

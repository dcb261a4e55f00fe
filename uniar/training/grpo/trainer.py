"""The GRPO stage: sample a group of images a prompt, judge them, raise the bits of the better ones.

Source: UniAR, GRPO section. The policy is the AR model with its vision stack frozen; the reference is the model as training found
it: the same weights with the adapters off, or a frozen copy. The state holds what training changes and, while a rollout is used
more than once, that rollout; never the reference or the pixel decoder. Length, optimiser and saving are the loop's.

P prompts, M members of a group, N visual tokens, L levels, G patches a token, D bits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from uniar.errors import ConfigError
from uniar.generation.codes import Prefix
from uniar.model import UniARForConditionalGeneration
from uniar.training.grpo.adapters import adapt
from uniar.training.grpo.advantage import Advantages, advantages
from uniar.training.grpo.config import GrpoConfig
from uniar.training.grpo.logprobs import bit_logprobs
from uniar.training.grpo.loss import grpo_loss
from uniar.training.grpo.records import Record, Records
from uniar.training.grpo.rewards import FAILED, NOT_APPLICABLE, OK, OUTCOMES, Reward, load_reward, refuse_failures
from uniar.training.grpo.rollout import CheckpointDecode, Decode, decode_all, judge, sample, seeds_of


class GrpoStage(nn.Module):
    """Trains a policy; made for `training.loop.run_stage`.

    Args:
        model: the policy, as the reference stays; it is changed in place.
        config: see `GrpoConfig`.
        records: what is asked.
        prefix_of: record -> its tokenised prompt for a rollout of `config.height` x `config.width` pixels.
        decode: codes and seeds -> images; frozen.
        rewards: by name, those of `config.rewards`; None loads them by their entry points.
        pad_token_id: fills the left of shorter prompts; masked.

    Raises:
        ConfigError: sizes, adapters or rewards that cannot be used.
    """

    classifiers = ("policy.lm_head", "policy.output_layer_vistok")

    def __init__(
        self,
        model: UniARForConditionalGeneration,
        config: GrpoConfig,
        *,
        records: Records,
        prefix_of: Callable[[Record], Prefix],
        decode: Decode,
        rewards: Mapping[str, Reward] | None = None,
        pad_token_id: int = 0,
    ):
        super().__init__()
        self.config, self._pad = config, pad_token_id
        given = {use.name: load_reward(use.name, use.settings) for use in config.rewards} if rewards is None else rewards
        if given.keys() != {use.name for use in config.rewards}:
            raise ConfigError(
                f"rewards: got {', '.join(given)}; expected those of the config: {', '.join(u.name for u in config.rewards)}."
            )
        self._rewards = {use.name: given[use.name] for use in config.rewards}
        # In tuples modules are not registered: neither the optimiser nor the state sees frozen ones.
        self._world = (records, prefix_of, decode)
        self._grid = _grid(model, config)
        self._start = _fingerprint(model)
        model.requires_grad_(True)
        model.visual.requires_grad_(False)
        reference = _frozen_copy(model) if config.lora is None and config.beta > 0 else None
        adapted = adapt(model, config.lora, seed=config.seed) if config.lora is not None else None
        self._frozen = (reference, adapted)
        self.policy = model
        images, kept = config.prompts_per_step * config.group_size, config.inner_epochs > 1
        v = model.config.vision_config
        bits = (images, self._grid[0] * self._grid[1], v.num_levels, v.group_size, v.bsq_dim)
        # A rollout that serves several optimiser steps is part of the state: the weights that drew it are gone by the second.
        self.register_buffer("start", torch.tensor(self._start, dtype=torch.float64))
        self.register_buffer("codes", torch.zeros(bits, dtype=torch.uint8), persistent=kept)
        self.register_buffer("old", torch.zeros(bits if kept else 0), persistent=kept)
        self.register_buffer("values", torch.zeros(len(self._rewards), images, dtype=torch.float64), persistent=kept)
        self.register_buffer("outcomes", torch.zeros(len(self._rewards), images, dtype=torch.int8), persistent=kept)
        self.register_buffer("decoded", torch.zeros(images, dtype=torch.bool), persistent=kept)
        self._unsaved = {n for n, p in self.named_parameters() if not p.requires_grad} | {
            n for n, _ in self.named_buffers() if n.startswith("policy.")
        }
        self.register_state_dict_post_hook(_drop_unsaved)
        self.register_load_state_dict_post_hook(_allow_unsaved)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Any, config: GrpoConfig, *, records: Records, rewards: Mapping[str, Reward] | None = None
    ) -> GrpoStage:
        """A stage on a loaded `uniar.pipeline.UniAR`: its model, its tokenizer and its pixel decoder.

        Raises:
            ConfigError, InputError: see the class, and a size that the decoder cannot make.
        """
        rows, columns = _grid(checkpoint.model, config)
        tokenizer = checkpoint.processor.tokenizer
        return cls(
            checkpoint.model,
            config,
            records=records,
            prefix_of=lambda record: checkpoint.prefix(record.instruction, None, rows=rows, columns=columns, guided=False),
            decode=CheckpointDecode(
                checkpoint,
                height=config.height,
                width=config.width,
                upscale=config.upscale,
                steps=config.decoder_steps,
                guidance_scale=config.decoder_guidance_scale,
                batch=config.micro_batch,
            ),
            rewards=rewards,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        )

    def step(self, index: int, _stream: torch.Generator) -> Mapping[str, Tensor]:
        """One optimiser step; every `inner_epochs`-th makes a new rollout.

        Args:
            index: of the optimiser step, from 0; with the config's seed it decides all draws, so the loop's stream is not used.

        Returns:
            `loss` (differentiable); `kl` (when there is a reference), `clip_fraction`, `ratio`, `flat_share` and `sparse_share`
            (groups that teach nothing, 0 to 1), `images_missing`; for each reward `reward_NAME` (mean over its values, absent
            when it has none), `reward_NAME_n`, `reward_NAME_failed` and `reward_NAME_not_applicable` (counts).

        Raises:
            TrainingError: too many images or values failed.
        """
        c = self.config
        turn, epoch = divmod(index, c.inner_epochs)
        source, prefix_of, _ = self._world
        records = source.draw(c.seed, turn, c.prompts_per_step)
        prefixes = [prefix for record in records for prefix in [prefix_of(record)] * c.group_size]
        if epoch == 0:
            self._roll_out(turn, records, prefixes)
        worth = self._advantages()
        reference = self._reference(prefixes)
        new = self._logprobs(self.policy, prefixes)
        old = self.old.to(new.device) if c.inner_epochs > 1 else new.detach()
        present, values = worth.present.flatten(), worth.values.flatten()
        made = grpo_loss(new, old, reference, values, present=present, clip=c.clip, beta=c.beta)
        logged = {"loss": made.loss, "clip_fraction": made.clip_fraction, "ratio": made.ratio}
        return logged | ({} if made.kl is None else {"kl": made.kl}) | self._figures(worth)

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling."""
        return [*self.policy.model.language_model.layers, *self.policy.visual_decoder]

    def merged(self) -> UniARForConditionalGeneration:
        """The policy as a plain model, adapters folded into its weights; a copy, in eval mode."""
        adapted = self._frozen[1]
        plain = copy.deepcopy(self.policy) if adapted is None else copy.deepcopy(adapted).merge_and_unload()
        return plain.eval()

    # -- parts of a step -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _roll_out(self, turn: int, records: Sequence[Record], prefixes: Sequence[Prefix]) -> None:
        c = self.config
        rows, columns = self._grid
        seeds = seeds_of(c.seed, turn, records, c.group_size)
        shape = {"rows": rows, "columns": columns, "temperature": c.temperature, "pad_token_id": self._pad}
        codes = sample(self.policy, prefixes, seeds, batch=c.micro_batch, **shape)
        # What is judged is the image that a user would get, whatever precision the training computes in.
        with torch.autocast(self.policy.device.type, enabled=False):
            made = decode_all(self._world[2], codes, seeds)
            refuse_failures("decoder", made.reasons, limit=c.max_failed)
            judged = judge(self._rewards, made, records)
        self.codes.copy_(codes)
        self.values.copy_(judged.values)
        self.outcomes.copy_(judged.outcomes)
        self.decoded.copy_(torch.tensor([image is not None for image in made.images]))
        for name, outcomes, reasons in zip(self._rewards, judged.outcomes.tolist(), judged.reasons, strict=True):
            # Missing images are the decoder's failures, not this reward's.
            asked = [(OUTCOMES[o], r) for o, r, image in zip(outcomes, reasons, made.images, strict=True) if image is not None]
            failures = [reason if outcome == FAILED else None for outcome, reason in asked if outcome != NOT_APPLICABLE]
            refuse_failures(f"reward {name}", failures, limit=c.max_failed)
        if c.inner_epochs > 1:
            self.old.copy_(self._logprobs(self.policy, prefixes))
            torch.clear_autocast_cache()

    def _logprobs(self, model: UniARForConditionalGeneration, prefixes: Sequence[Prefix]) -> Tensor:
        c = self.config
        rows, columns = self._grid

        def part(i: int) -> Tensor:
            some = prefixes[i : i + c.micro_batch], self.codes[i : i + c.micro_batch]
            return bit_logprobs(model, *some, rows=rows, columns=columns, temperature=c.temperature, pad_token_id=self._pad)

        starts = range(0, len(prefixes), c.micro_batch)
        if len(starts) == 1 or not torch.is_grad_enabled():
            return torch.cat([part(i) for i in starts])
        return torch.cat([recomputed(part, i, use_reentrant=False, preserve_rng_state=False) for i in starts])

    @torch.no_grad()
    def _reference(self, prefixes: Sequence[Prefix]) -> Tensor | None:
        reference, adapted = self._frozen
        if self.config.beta == 0:
            return None
        if adapted is None:
            return self._logprobs(reference, prefixes)
        with adapted.disable_adapter():
            return self._logprobs(self.policy, prefixes)

    def _advantages(self) -> Advantages:
        c = self.config
        return advantages(self.values.unflatten(1, (c.prompts_per_step, c.group_size)), [use.weight for use in c.rewards])

    def _figures(self, worth: Advantages) -> dict[str, Tensor]:
        out = {
            "flat_share": worth.flat.float().mean(),
            "sparse_share": worth.sparse.float().mean(),
            "images_missing": (~self.decoded).sum(),
        }
        for name, values, outcomes in zip(self._rewards, self.values, self.outcomes, strict=True):
            good = outcomes == OUTCOMES.index(OK)
            if bool(good.any()):
                out[f"reward_{name}"] = values[good].mean()
            out[f"reward_{name}_n"] = good.sum()
            out[f"reward_{name}_failed"] = (outcomes == OUTCOMES.index(FAILED)).sum()
            out[f"reward_{name}_not_applicable"] = (outcomes == OUTCOMES.index(NOT_APPLICABLE)).sum()
        return out


def _grid(model: UniARForConditionalGeneration, config: GrpoConfig) -> tuple[int, int]:
    unit = model.config.vision_config.token_pixels
    if config.height % unit or config.width % unit:
        raise ConfigError(f"height, width: got {config.height} x {config.width}; expected multiples of {unit} pixels for this checkpoint.")
    return config.height // unit, config.width // unit


def _frozen_copy(model: UniARForConditionalGeneration) -> UniARForConditionalGeneration:
    reference = copy.deepcopy(model)
    # The vision stack is frozen in both, so one is enough.
    reference.model.visual = model.visual
    return reference.eval().requires_grad_(False)


@torch.no_grad()
def _fingerprint(model: nn.Module) -> list[float]:
    # Two sums tell the checkpoints of one architecture apart; the state does not hold the weights that training leaves alone.
    sums = [[p.sum(dtype=torch.float64), p.abs().sum(dtype=torch.float64)] for p in model.parameters()]
    return torch.tensor(sums, dtype=torch.float64).sum(0).tolist()


def _drop_unsaved(stage: GrpoStage, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in stage._unsaved:
        state.pop(prefix + name, None)


def _allow_unsaved(stage: GrpoStage, keys: Any) -> None:
    keys.missing_keys[:] = [key for key in keys.missing_keys if key not in stage._unsaved]
    # Sums in float64 agree to about 1e-13 of the total, however they are ordered.
    if any(abs(a - b) > 1e-11 * stage._start[1] for a, b in zip(stage.start.tolist(), stage._start, strict=True)):
        # The error that `load_state_dict` promises: the loop tells it with the state's file.
        raise RuntimeError(f"the run started from other weights: sums {stage.start.tolist()}, here {stage._start}")

"""The GRPO stage: sample a group of images a prompt, judge them, raise the bits of the better ones.

Source: UniAR, GRPO section. The policy is the AR model with its vision stack frozen; the reference is the model as training found
it: the same weights with the adapters off, or a frozen copy. The unit that processes share out is the prompt with its whole group.
The state holds what training changes, never the reference or the pixel decoder. Length, optimiser and saving are the engine's.

P prompts, M members of a group, B = P * M images, N visual tokens, L levels, G patches a token, D bits, R rewards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from uniar.errors import ConfigError, TrainingError
from uniar.generation.codes import Prefix
from uniar.model import UniARForConditionalGeneration
from uniar.training.adapters import adapt
from uniar.training.grpo.advantage import Advantages, advantages
from uniar.training.grpo.config import GrpoConfig
from uniar.training.grpo.logprobs import bit_logprobs
from uniar.training.grpo.loss import grpo_loss
from uniar.training.grpo.records import Record, Records
from uniar.training.grpo.rewards import FAILED, NOT_APPLICABLE, OK, OUTCOMES, Reward, load_reward, refuse_share
from uniar.training.grpo.rollout import CheckpointDecode, Decode, decode_all, judge, sample, seeds_of
from uniar.training.partial_state import fingerprint, keep_partial
from uniar.training.stage import Prepared, StageDefaults, StepOutput


class Rollout(NamedTuple):
    """What the policy made of some prompts, and what it is worth."""

    prefixes: list[Prefix]
    """B, the members of a prompt one after another."""
    codes: Tensor
    """uint8 (B, N, L, G, D)."""
    old: Tensor | None
    """float32 (B, N, L, G, D): log-probabilities under the weights that drew them; None where those are the current ones."""
    values: Tensor
    """float64 (R, B), NaN where there is none."""
    outcomes: Tensor
    """int8 (R, B), index into `OUTCOMES`."""
    decoded: Tensor
    """bool (B,): there is an image."""
    worth: Advantages
    """(P, M)."""


class GrpoBatch(NamedTuple):
    """A micro-batch: a rollout and the reference's view of it."""

    rollout: Rollout
    reference: Tensor | None
    """float32 (B, N, L, G, D), or None without a divergence."""


class GrpoStage(StageDefaults, nn.Module):
    """See `training.stage.Stage`; its samples are prompts, so the engine's `batch_size` is the prompts of a step.

    Args:
        model: the policy, as the reference stays; it is changed in place.
        config: see `GrpoConfig`.
        prompts: the engine's `batch_size`.
        records: what is asked.
        prefix_of: record -> its tokenised prompt for a rollout of `config.height` x `config.width` pixels.
        decode: codes and seeds -> images; frozen.
        rewards: by name, those of `config.rewards`; None loads them by their entry points.
        pad_token_id: fills the left of shorter prompts; masked.
        seed: of the records, the rollouts and fresh adapters.

    Raises:
        ConfigError: sizes, adapters or rewards that cannot be used.
    """

    name = "grpo"
    classifiers = ("policy.lm_head", "policy.output_layer_vistok")
    loss_weights = {"policy": 1.0}  # noqa: RUF012
    # A rollout needs the weights of its step.
    prefetch = False

    def __init__(
        self,
        model: UniARForConditionalGeneration,
        config: GrpoConfig,
        *,
        prompts: int,
        records: Records,
        prefix_of: Callable[[Record], Prefix],
        decode: Decode,
        rewards: Mapping[str, Reward] | None = None,
        pad_token_id: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.config, self._prompts, self._pad, self._seed = config, prompts, pad_token_id, seed
        self.steps_per_round = config.inner_epochs
        given = {use.name: load_reward(use.name, use.settings) for use in config.rewards} if rewards is None else rewards
        if given.keys() != {use.name for use in config.rewards}:
            raise ConfigError(
                f"rewards: got {', '.join(given)}; expected those of the config: {', '.join(u.name for u in config.rewards)}."
            )
        self._rewards = {use.name: given[use.name] for use in config.rewards}
        # In tuples modules are not registered: neither the optimiser nor the state sees frozen ones.
        self._world = (records, prefix_of, decode)
        self._grid = _grid(model, config)
        start = fingerprint(model)
        model.requires_grad_(True)
        model.visual.requires_grad_(False)
        reference = _frozen_copy(model) if config.lora is None and config.beta > 0 else None
        adapted = adapt(model, config.lora, seed=seed) if config.lora is not None else None
        self._frozen = (reference, adapted)
        self.policy = model
        self._rollouts: dict[tuple[int, ...], Rollout] = {}
        self._reasons: dict[str, str] = {}
        keep_partial(self, "policy", start)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Any,
        config: GrpoConfig,
        *,
        prompts: int,
        records: Records,
        rewards: Mapping[str, Reward] | None = None,
        seed: int = 0,
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
            prompts=prompts,
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
            seed=seed,
        )

    # -- training.stage.Stage --------------------------------------------------------------------------------------

    def repeated_blocks(self) -> list[nn.Module]:
        """Layers worth compiling or sharding one by one."""
        return [*self.policy.model.language_model.layers, *self.policy.visual_decoder]

    def checkpoint_activations(self) -> None:
        """Recompute the blocks' activations in the backward."""
        self.policy.gradient_checkpointing_enable()

    @torch.no_grad()
    def prepare(self, step: int, numbers: Sequence[int]) -> Prepared:
        """Roll the prompts out and judge the images; every `inner_epochs`-th step, the others go on with that rollout."""
        turn, epoch = divmod(step, self.config.inner_epochs)
        places = tuple(n - step * self._prompts for n in numbers)
        if epoch == 0:
            if any(known[0] == places[0] for known in self._rollouts):
                self._rollouts.clear()
            self._rollouts[places] = self._roll_out(turn, places)
        if places not in self._rollouts:
            raise TrainingError(
                f"step {step}: the rollout that it goes on with is not part of the state. Resume from a state at the end of a round "
                f"of {self.config.inner_epochs} steps."
            )
        made = self._rollouts[places]
        batch = GrpoBatch(made, self._reference(made))
        # Casts of the weights that were made without gradients must not serve the forward.
        torch.clear_autocast_cache()
        return Prepared(batch, {"policy": float(made.worth.present.sum())}, {"images": float(len(made.codes))})

    def forward(self, data: GrpoBatch) -> StepOutput:
        """A judged rollout -> minus the clipped surrogate plus beta times the divergence, summed over its images."""
        c, made = self.config, data.rollout
        new = self._logprobs(self.policy, made.prefixes, made.codes)
        old = new.detach() if made.old is None else made.old
        present, values = made.worth.present.flatten(), made.worth.values.flatten()
        loss = grpo_loss(new, old, data.reference, values, present=present, clip=c.clip, beta=c.beta)
        n = float(present.sum())
        logged = {"clip_fraction": (float(loss.clip_fraction) * n, n), "ratio": (float(loss.ratio) * n, n)}
        if loss.kl is not None:
            logged["kl"] = (float(loss.kl) * n, n)
        return StepOutput({"policy": loss.loss * n}, logged | self._figures(made))

    def refuse(self, values: Mapping[str, float]) -> None:
        """Stop when too large a share of the step's images or of a reward's values failed.

        Raises:
            TrainingError: names what failed, and a reason that this process met.
        """
        for what, key in (("decoder", "images_missing"), *((f"reward {n}", f"reward_{n}_failed") for n in self._rewards)):
            refuse_share(what, values.get(key, 0.0), limit=self.config.max_failed, reason=self._reasons.get(what))
        self._reasons.clear()

    def merged(self) -> UniARForConditionalGeneration:
        """The policy as a plain model, adapters folded into its weights; a copy, in eval mode."""
        adapted = self._frozen[1]
        plain = copy.deepcopy(self.policy) if adapted is None else copy.deepcopy(adapted).merge_and_unload()
        return plain.eval()

    # -- parts of a step -------------------------------------------------------------------------------------------

    def _roll_out(self, turn: int, places: Sequence[int]) -> Rollout:
        c = self.config
        source, prefix_of, decode = self._world
        records = [source.draw(self._seed, turn * self._prompts + place, 1)[0] for place in places]
        prefixes = [prefix for record in records for prefix in [prefix_of(record)] * c.group_size]
        rows, columns = self._grid
        seeds = seeds_of(self._seed, turn, records, c.group_size)
        shape = {"rows": rows, "columns": columns, "temperature": c.temperature, "pad_token_id": self._pad}
        codes = sample(self.policy, prefixes, seeds, batch=c.micro_batch, exact=c.exact, **shape)
        # What is judged is the image that a user would get, whatever precision the training computes in.
        with torch.autocast(self.policy.device.type, enabled=False):
            made = decode_all(decode, codes, seeds)
            judged = judge(self._rewards, made, records)
        self._note("decoder", made.reasons)
        for name, outcomes, reasons in zip(self._rewards, judged.outcomes.tolist(), judged.reasons, strict=True):
            asked = zip(outcomes, reasons, made.images, strict=True)
            # Missing images are the decoder's failures, not this reward's.
            self._note(f"reward {name}", [r for o, r, image in asked if OUTCOMES[o] == FAILED and image is not None])
        return Rollout(
            prefixes=prefixes,
            codes=codes,
            old=self._logprobs(self.policy, prefixes, codes) if c.inner_epochs > 1 else None,
            values=judged.values,
            outcomes=judged.outcomes,
            decoded=torch.tensor([image is not None for image in made.images]),
            worth=advantages(judged.values.unflatten(1, (len(records), c.group_size)), [use.weight for use in c.rewards]),
        )

    def _note(self, what: str, reasons: Sequence[str | None]) -> None:
        first = next((r for r in reasons if r is not None), None)
        if first is not None:
            self._reasons.setdefault(what, first)

    def _logprobs(self, model: UniARForConditionalGeneration, prefixes: Sequence[Prefix], codes: Tensor) -> Tensor:
        c = self.config
        rows, columns = self._grid

        def part(i: int) -> Tensor:
            some = prefixes[i : i + c.micro_batch], codes[i : i + c.micro_batch]
            return bit_logprobs(model, *some, rows=rows, columns=columns, temperature=c.temperature, pad_token_id=self._pad)

        starts = range(0, len(prefixes), c.micro_batch)
        if len(starts) == 1 or not torch.is_grad_enabled():
            return torch.cat([part(i) for i in starts])
        return torch.cat([recomputed(part, i, use_reentrant=False, preserve_rng_state=False) for i in starts])

    def _reference(self, made: Rollout) -> Tensor | None:
        reference, adapted = self._frozen
        if self.config.beta == 0:
            return None
        if adapted is None:
            return self._logprobs(reference.to(self.policy.device), made.prefixes, made.codes)
        with adapted.disable_adapter():
            return self._logprobs(self.policy, made.prefixes, made.codes)

    def _figures(self, made: Rollout) -> dict[str, tuple[float, float]]:
        worth, images = made.worth, made.decoded
        groups = float(len(worth.flat))
        out = {
            "flat_share": (float(worth.flat.sum()), groups),
            "sparse_share": (float(worth.sparse.sum()), groups),
            "images_missing": (float((~images).sum()), float(len(images))),
        }
        for name, values, outcomes in zip(self._rewards, made.values, made.outcomes, strict=True):
            good = outcomes == OUTCOMES.index(OK)
            failed = (outcomes == OUTCOMES.index(FAILED)) & images
            applies = outcomes != OUTCOMES.index(NOT_APPLICABLE)
            out[f"reward_{name}"] = (float(values[good].sum()), float(good.sum()))
            out[f"reward_{name}_failed"] = (float(failed.sum()), float((applies & images).sum()))
            out[f"reward_{name}_applies"] = (float(applies.sum()), float(len(images)))
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

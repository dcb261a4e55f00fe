"""Rewards: the socket, the typed value, loading by entry point, and what counts as too many failures.

A reward is a callable of the entry-point group `uniar.rewards`: name -> callable(**settings) -> `Reward`. A value is a number, or
does not apply, or failed; there is no number for the last two. The measurements themselves are elsewhere (our own are the
scorers of the evaluation framework, which this package does not know).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from uniar.errors import ConfigError, TrainingError
from uniar.training.entry_points import load_entry_point, one_line

if TYPE_CHECKING:
    from PIL import Image

GROUP = "uniar.rewards"
"""Entry-point group."""
OK, NOT_APPLICABLE, FAILED = "ok", "not_applicable", "failed"
OUTCOMES = (OK, NOT_APPLICABLE, FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardValue:
    """What one reward says of one image."""

    value: float | None
    """Finite when the outcome is `ok`, else None; any unit, since each reward is brought to its own scale."""
    outcome: str
    """`ok`, `not_applicable` (this reward does not ask that prompt) or `failed` (it does, and could not tell)."""
    reason: str = ""
    """Why there is no value; one line."""


class Reward(Protocol):
    """Images and what was asked for -> values. Any class with this method will do; so will values with `RewardValue`'s fields."""

    def rewards(self, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> Sequence[RewardValue]:
        """One value an image, in order.

        Args:
            images: RGB; None where decoding failed (its value is not used).
            records: `{instruction, number, task, metadata}` of each image, its own copy.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardUse:
    """A reward that a run uses."""

    name: str
    """Entry point in the group `uniar.rewards`."""
    weight: float = 1.0
    """Above 0; of the reward on its own scale."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the entry point."""

    def __post_init__(self) -> None:
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ConfigError(f"rewards.{self.name}.weight: got {self.weight}; expected above 0. Leave the reward out to not use it.")


def load_reward(name: str, settings: Mapping[str, Any]) -> Reward:
    """Build a reward by name.

    Args:
        name: entry point of the group `uniar.rewards`.
        settings: its keyword arguments.

    Raises:
        ConfigError: no such name (with the nearest one), a name found twice, or a reward that cannot be imported or built.
    """
    return load_entry_point(GROUP, name, settings, key="rewards")


def values_of(reward: Reward, images: Sequence[Image.Image | None], records: Sequence[Mapping[str, Any]]) -> list[RewardValue]:
    """Ask a reward; whatever it answers or raises, there is exactly one typed value an image.

    Args:
        reward: see `Reward`.
        images: B images, None where decoding failed: those have no value unless the reward does not apply.
        records: B records.
    """
    try:
        # Copies: a reward must not be able to change the data set.
        answers = list(reward.rewards(list(images), [copy.deepcopy(dict(r)) for r in records]))
    except Exception as error:
        return [RewardValue(value=None, outcome=FAILED, reason=one_line(error)) for _ in images]
    if len(answers) != len(images):
        told = f"got {len(answers)} values for {len(images)} images"
        return [RewardValue(value=None, outcome=FAILED, reason=told) for _ in images]
    return [_checked(answer, missing=image is None) for answer, image in zip(answers, images, strict=True)]


def _checked(answer: Any, *, missing: bool) -> RewardValue:
    value, outcome, reason = getattr(answer, "value", None), getattr(answer, "outcome", None), str(getattr(answer, "reason", ""))
    if outcome == NOT_APPLICABLE and value is None:
        return RewardValue(value=None, outcome=NOT_APPLICABLE, reason=reason)
    if missing:
        return RewardValue(value=None, outcome=FAILED, reason="there is no image")
    if outcome == FAILED and value is None:
        return RewardValue(value=None, outcome=FAILED, reason=reason)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if outcome == OK and number:
        return RewardValue(value=float(value), outcome=OK, reason=reason)
    told = f"the reward answered {value!r} with outcome {outcome!r}; expected a finite number with ok, or none"
    return RewardValue(value=None, outcome=FAILED, reason=told)


def refuse_share(what: str, share: float, *, limit: float, reason: str | None) -> None:
    """Stop the run when too large a share failed.

    Args:
        what: what failed, for the message.
        share: of what was asked for in a step, 0 to 1.
        limit: largest share that is borne, 0 to 1.
        reason: of one failure, where this process met one.

    Raises:
        TrainingError: more than that failed; the last saved state stays.
    """
    if share > limit:
        told = f"First: {reason.rstrip('.')}. " if reason else "Another process met it. "
        raise TrainingError(
            f"{what}: {share:.1%} failed in one step; expected at most {limit:.0%}. {told}Mend it and resume; the last saved state is kept."
        )

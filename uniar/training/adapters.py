"""Low-rank adapters through peft, put into a model in place; their first weights come from the run's seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from uniar.errors import ConfigError
from uniar.model import UniARForConditionalGeneration
from uniar.seeding import derive_seed


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """Low-rank adapters instead of full fine-tuning."""

    rank: int = 32
    """Rank of each adapter, 1 or more."""
    alpha: float = 64.0
    """The adapters' product is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Last names of the linear layers that get one: by default all of the language stack and of the visual head's stack."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ConfigError(f"lora.rank, lora.alpha: got {self.rank}, {self.alpha}; expected a rank of 1 or more and alpha above 0.")
        if not self.targets:
            raise ConfigError("lora.targets: got none; expected names of linear layers. Leave lora out for full fine-tuning.")


def adapt(model: UniARForConditionalGeneration, settings: LoraSettings, *, seed: int) -> Any:
    """Freeze the model and give its linear layers adapters that change nothing yet.

    Args:
        model: changed in place; afterwards only the adapters require gradients.
        settings: see `LoraSettings`.
        seed: of the adapters' first weights.

    Returns:
        peft's wrapper round the same modules, for switching the adapters off and for merging.

    Raises:
        ConfigError: peft is not installed, or the targets are no layers outside the vision stack.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise ConfigError(
            "lora: got settings, but peft is not installed. Install it (pip install 'uniar[peft]'), or leave lora out."
        ) from None
    # Dropout would make the policy that is trained another one than the policy that was sampled from.
    wanted = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0, target_modules=list(settings.targets))
    # peft draws from the global stream; it is forked so that the caller's is untouched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lora"))
        try:
            adapted = get_peft_model(model, wanted)
        except ValueError as error:
            raise ConfigError(f"lora.targets: got {', '.join(settings.targets)}; expected linear layers of the model ({error}).") from None
    if any(p.requires_grad for p in model.visual.parameters()):
        raise ConfigError(f"lora.targets: got {', '.join(settings.targets)}; expected no layer of the vision stack, which stays frozen.")
    return adapted

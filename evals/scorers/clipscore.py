"""CLIPScore in its published variants; the name of the value says which one it is.

Sources: Hessel et al. 2021 (`original`: 2.5 max(cos, 0), ViT-B/32, the caption behind "A photo depicts "); torchmetrics 1.9
(`torchmetrics`: 100 cos, ViT-L/14, clamped at 0 only after averaging: metric plugin `clamped_mean`); `cosine` (raw).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, PluginError
from evals.protocols import Roles
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

VARIANTS: dict[str, str] = {
    "torchmetrics": "openai/clip-vit-large-patch14",
    "original": "openai/clip-vit-base-patch32",
    "cosine": "openai/clip-vit-large-patch14",
}
"""Variant -> the model it is published with."""
PREFIX = "A photo depicts "


def rule(variant: str, cosine: float) -> float:
    """Score of a cosine in a variant.

    >>> rule("original", 0.3), rule("original", -0.1), rule("torchmetrics", -0.1)
    (0.75, 0.0, -10.0)
    """
    if variant == "original":
        return 2.5 * max(cosine, 0.0)
    return 100.0 * cosine if variant == "torchmetrics" else cosine


class ClipScoreScorer:
    """Fit of an image and its prompt.

    Values: `clipscore_<variant>`; `truncated`, 1 when the prompt is longer than the model's 77 tokens. torchmetrics cuts such a prompt
    without its end token, so that the text feature is read off an arbitrary word; `clipscore_torchmetrics_strict` keeps the token.
    """

    name = "clipscore"
    version = "1"
    source = "Hessel et al. 2021; torchmetrics 1.9, functional/multimodal/clip_score.py"

    def __init__(self, *, roles: Roles, variant: str = "torchmetrics", checkpoint: str | None = None, device: str = "auto") -> None:
        """Choose the variant.

        Args:
            roles: not used.
            variant: of `VARIANTS`.
            checkpoint: CLIP in the transformers layout; None takes the variant's own. Another one is another measurement: note it.
            device: torch device.

        Raises:
            PluginError: no such variant.
            ModelError: the checkpoint is not on this machine.
        """
        from evals.perception.clip_pair import ClipPair

        if variant not in VARIANTS:
            raise PluginError(f"scorer clipscore: variant: got {variant}; expected one of {', '.join(VARIANTS)}.")
        self.variant = variant
        self.clip = ClipPair(checkpoint or VARIANTS[variant], asked="scorer clipscore: checkpoint", device=device)

    def canary(self) -> None:
        """The three formulas on hand-worked cosines, then red against blue."""
        from evals.perception.clip_pair import prefers_red

        got = [rule("original", 0.3), rule("original", -0.1), rule("torchmetrics", -0.1), rule("cosine", 0.3)]
        if got != [0.75, 0.0, -10.0, 0.3]:
            raise CanaryError(f"scorer clipscore: canary: got {got}; expected [0.75, 0.0, -10.0, 0.3].")
        prefers_red(self.clip.cosine, asked="scorer clipscore")

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Score one image against its sample's prompt."""
        from evals.perception.clip_pair import cosine

        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        if not sample.prompt.strip():
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the sample has no prompt")
        text = self.clip.text_features((PREFIX if self.variant == "original" else "") + sample.prompt)
        seen = self.clip.image_features(image)
        name = f"clipscore_{self.variant}"
        cut, kept = cosine(seen, text.features), cosine(seen, text.kept)
        # Only torchmetrics loses the end token; CLIP's own tokenizer keeps it.
        found = cut if self.variant == "torchmetrics" else kept
        values = {name: rule(self.variant, found), "truncated": float(text.truncated)}
        if self.variant == "torchmetrics":
            values[f"{name}_strict"] = rule(self.variant, kept)
        told = f"{name} {values[name]:.4g} by {self.clip.checkpoint}{'; the prompt is cut' if text.truncated else ''}"
        return Score(**key, outcome=Outcome.OK, values=values, reason=told, evidence={"cosine": found, "model": self.clip.checkpoint})

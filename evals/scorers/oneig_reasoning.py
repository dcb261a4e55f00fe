"""OneIG-Bench reasoning: how near an image is to the answer that the prompt asks for, as a cosine of image and text features.

Source: OneIG-Benchmark 41b4983, `scripts/reasoning/reasoning_score.py`. There the features are LLM2CLIP's, whose models are code out of
their repositories; such code is not executed here. An embedder of another kind measures something else, and its value says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.protocols import Roles
from evals.scorers import oneig_tiles as tiles
from evals.store.pictures import through_jpeg
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

OFFICIAL = "llm2clip"
"""`name` of an embedder that is the benchmark's own (a plugin of the user's)."""


class OneIGReasoningScorer:
    """Cosine of an image and the prompt's answer.

    Value: `score` by an embedder named `llm2clip`; `substitute` by any other, which is never comparable with published numbers.
    """

    name = "oneig-reasoning"
    version = "1"
    source = "OneIG-Benchmark 41b4983, scripts/reasoning/reasoning_score.py"

    def __init__(self, *, roles: Roles, jpeg_quality: int | None = tiles.JPEG_QUALITY) -> None:
        """Bind the rule to an embedder.

        Args:
            roles: `embedder`.
            jpeg_quality: of the JPEG through which an image goes first; None leaves it.

        Raises:
            PluginError: no embedder, or a quality that cannot be.
        """
        if "embedder" not in roles:
            raise PluginError(
                "scorer oneig-reasoning: roles: got no embedder; expected one, as the benchmark's own LLM2CLIP is code of a model "
                "repository, which is not executed here. Add --role embedder=open-clip for a substitute, or a plugin named llm2clip."
            )
        self.embedder = roles["embedder"]
        self.value = "score" if self.embedder.name == OFFICIAL else "substitute"
        self.jpeg_quality = tiles.checked_quality(jpeg_quality, asked="scorer oneig-reasoning")

    def canary(self) -> None:
        """Red against blue: the one verdict that every trained embedder knows."""
        from PIL import Image

        picture = Image.new("RGB", (224, 224), (220, 20, 20))
        right, wrong = (self.embedder.similarity(picture, f"a plain {color} image") for color in ("red", "blue"))
        if not right > wrong:
            raise CanaryError(
                f"scorer oneig-reasoning: canary: got {right:.3f} for red and {wrong:.3f} for blue on a red picture; expected more for "
                f"red. The embedder {self.embedder.name} is not a trained one."
            )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Compare one image with `sample.metadata["answer"]`.

        Raises:
            DataError: a reasoning prompt without an answer, or an embedder that gives no number.
        """
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        answer = sample.metadata.get("answer")
        if answer is None and sample.metadata.get("category") not in (None, "Knowledge_Reasoning"):
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the benchmark has no answer for prompts of this class")
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(
                f"sample {sample.sample_id}: metadata: got answer {answer!r}; expected text. Use the dataset oneig with the dimension "
                "reasoning."
            )
        if tiles.is_black(image):
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason=tiles.BLACK)
        found = float(self.embedder.similarity(through_jpeg(image, self.jpeg_quality), answer))
        if not math.isfinite(found):
            raise DataError(f"sample {sample.sample_id}: embedder {self.embedder.name}: got {found}; expected a cosine. Check its weights.")
        told = "" if self.value == "score" else ", a substitute for LLM2CLIP"
        reason = f"cosine {found:.3f} with the answer, by {self.embedder.name}{told}"
        evidence = {"answer": answer, "embedder": self.embedder.name}
        return Score(**key, outcome=Outcome.OK, values={self.value: found}, reason=reason, evidence=evidence)

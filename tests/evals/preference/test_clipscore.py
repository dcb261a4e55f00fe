"""CLIPScore against torchmetrics on the same small CLIP, the variants' formulas, cut prompts, and what refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evals.errors import CanaryError, ModelError, PluginError
from evals.metrics.aggregate import Row
from evals.metrics.preference import clamped_mean
from evals.scorers.clipscore import ClipScoreScorer
from evals.types import Outcome


class _Features:
    """A CLIP whose features are tensors, as transformers 4 gave them and torchmetrics 1.9 expects."""

    def __init__(self, model) -> None:
        self._model, self.config = model, model.config

    def to(self, device):
        return self

    def get_image_features(self, *given):
        return self._model.get_image_features(*given).pooler_output

    def get_text_features(self, *given):
        return self._model.get_text_features(*given).pooler_output


def _torchmetrics(folder, image, text) -> float:
    from torchmetrics.functional.multimodal.clip_score import _clip_score_update
    from transformers import CLIPModel, CLIPProcessor

    model = _Features(CLIPModel.from_pretrained(folder).eval())
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    with torch.no_grad():
        # Before the mean and the clamp.
        return float(_clip_score_update(pixels, text, model, CLIPProcessor.from_pretrained(folder))[0])


@pytest.mark.parametrize("prompt", ["abc", "a red"])
def test_equals_torchmetrics(tiny_clip, asked, picture, prompt) -> None:
    scorer = ClipScoreScorer(roles={}, checkpoint=str(tiny_clip), device="cpu")
    values = scorer.score(*asked(prompt), picture).values
    assert values["clipscore_torchmetrics"] == pytest.approx(_torchmetrics(tiny_clip, picture, prompt), abs=1e-3)
    assert values["truncated"] == 0.0
    assert values["clipscore_torchmetrics_strict"] == values["clipscore_torchmetrics"]


def test_a_long_prompt_is_counted_and_cut_as_torchmetrics_cuts_it(tiny_clip, asked, picture) -> None:
    prompt = "a red star over a blue sea seen by nobody"
    values = ClipScoreScorer(roles={}, checkpoint=str(tiny_clip), device="cpu").score(*asked(prompt), picture).values
    with pytest.warns(UserWarning, match="longer than"):
        theirs = _torchmetrics(tiny_clip, picture, prompt)
    assert values["truncated"] == 1.0
    assert values["clipscore_torchmetrics"] == pytest.approx(theirs, abs=1e-3)
    assert values["clipscore_torchmetrics_strict"] != pytest.approx(values["clipscore_torchmetrics"], abs=1e-4)


def test_variants_share_the_cosine_and_name_themselves(tiny_clip, asked, picture) -> None:
    found = {
        v: ClipScoreScorer(roles={}, variant=v, checkpoint=str(tiny_clip), device="cpu") for v in ("cosine", "torchmetrics", "original")
    }
    raw = found["cosine"].score(*asked("red"), picture).values["clipscore_cosine"]
    assert found["torchmetrics"].score(*asked("red"), picture).values["clipscore_torchmetrics"] == pytest.approx(100 * raw)
    prefixed = found["cosine"].score(*asked("A photo depicts x"), picture)
    original = found["original"].score(*asked("x"), picture)
    assert original.values["clipscore_original"] == pytest.approx(2.5 * max(0.0, prefixed.values["clipscore_cosine"]))
    assert str(tiny_clip) in original.reason


def test_the_clamp_comes_after_the_mean() -> None:
    table = [Row(str(k), "t", (), Outcome.OK, v) for k, v in enumerate([-30.0, 20.0, 4.0])]
    found = clamped_mean(table, value="v", task="*", kind="headline", seed=0)
    assert (found.value, found.low) == (0.0, 0.0) and found.high is not None and found.high > 0
    assert clamped_mean(table[1:], value="v", task="*", kind="headline", seed=0).value == 12.0


def test_what_cannot_be_judged(tiny_clip, asked, picture) -> None:
    scorer = ClipScoreScorer(roles={}, checkpoint=str(tiny_clip), device="cpu")
    assert scorer.score(*asked(" "), picture).outcome is Outcome.NOT_APPLICABLE
    assert scorer.score(*asked(), None).outcome is Outcome.MISSING
    scorer.canary()
    # The same weights seen upside down prefer blue: no trained model.
    scorer.clip.cosine = lambda image, text, own=scorer.clip.cosine: -own(image, text)
    with pytest.raises(CanaryError, match="expected more for red"):
        scorer.canary()


def test_what_refuses(tmp_path) -> None:
    with pytest.raises(PluginError, match="variant: got hessel"):
        ClipScoreScorer(roles={}, variant="hessel")
    with pytest.raises(ModelError, match=r"neither a folder with config\.json"):
        ClipScoreScorer(roles={}, checkpoint=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="does not load"):
        ClipScoreScorer(roles={}, checkpoint=str(tmp_path), device="cpu").canary()

"""The aesthetic head on CLIP features worked by hand, its scale as a canary, and what refuses."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from evals.errors import CanaryError, ModelError
from evals.perception import reward_head
from evals.perception.clip_pair import ClipPair
from evals.scorers.aesthetic import AestheticScorer
from evals.types import Outcome


@pytest.fixture
def head(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "head.safetensors"
    save_file(reward_head.build(16).state_dict(), path)
    return path


def test_five_linear_layers_without_activations(head, tiny_clip, asked, picture) -> None:
    score = AestheticScorer(roles={}, checkpoint=str(head), clip=str(tiny_clip), device="cpu").score(*asked(""), picture)
    state = load_file(head)
    assert sorted({name.rsplit(".", 1)[0] for name in state}) == list(reward_head.NAMES)
    features = ClipPair(str(tiny_clip), asked="test", device="cpu").image_features(picture)
    x = features / features.norm()
    for name in reward_head.NAMES:
        x = state[f"{name}.weight"] @ x + state[f"{name}.bias"]
    assert score.values == {"aesthetic": pytest.approx(float(x), abs=1e-6)}


def test_weights_off_the_scale_are_noticed(head, tiny_clip) -> None:
    good = AestheticScorer(roles={}, checkpoint=str(head), clip=str(tiny_clip), device="cpu")
    good.canary()
    state = load_file(head)
    state["layers.7.bias"] += 100
    save_file(state, head)
    with pytest.raises(CanaryError, match="expected a score of about 1 to 10"):
        AestheticScorer(roles={}, checkpoint=str(head), clip=str(tiny_clip), device="cpu").canary()


def test_what_refuses(head, tiny_clip, tmp_path, monkeypatch, asked, picture) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "none"))
    with pytest.raises(ModelError, match=r"linearMSE\.pth .*uniar-eval convert-weights"):
        AestheticScorer(roles={})
    with pytest.raises(ModelError, match="scorer aesthetic: clip"):
        AestheticScorer(roles={}, checkpoint=str(head), clip=str(tmp_path))
    save_file(reward_head.build(768).state_dict(), head)
    scorer = AestheticScorer(roles={}, checkpoint=str(head), clip=str(tiny_clip), device="cpu")
    with pytest.raises(ModelError, match=r"got \(1024, 768\) where the aesthetic predictor's head has \(1024, 16\)"):
        scorer.canary()
    assert scorer.score(*asked(), None).outcome is Outcome.MISSING

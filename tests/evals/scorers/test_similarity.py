"""PSNR and SSIM by hand and by torchmetrics, LPIPS over a converted backbone, framing, and what has no value."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.errors import CanaryError, ModelError, PluginError
from evals.framing import fitted
from evals.scorers.similarity import SimilarityScorer
from evals.types import Outcome, Output, Sample

SAMPLE = Sample(sample_id="s", task="t", prompt="", image="s.png")
OUTPUT = Output(sample_id="s", task="t", repeat=0, seed=0, outcome=Outcome.OK, image="x")


def _noise(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def _plain(**settings) -> SimilarityScorer:
    return SimilarityScorer(roles={}, metrics=["psnr", "ssim"], device="cpu", **settings)


def test_psnr_by_hand_and_ssim_by_torchmetrics() -> None:
    a, b = _noise(0), _noise(1)
    values = _plain().score(SAMPLE, OUTPUT, a, source=b).values
    mse = ((np.asarray(a, float) - np.asarray(b, float)) ** 2).mean()
    assert values["psnr"] == pytest.approx(10 * math.log10(255**2 / mse))
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    x, y = (torch.from_numpy(np.array(i)).permute(2, 0, 1)[None].double() / 255 for i in (a, b))
    assert values["ssim"] == pytest.approx(float(StructuralSimilarityIndexMeasure(data_range=1.0)(x, y)))


def test_an_equal_image_has_no_psnr_but_an_ssim_of_one() -> None:
    score = _plain().score(SAMPLE, OUTPUT, _noise(0), source=_noise(0))
    assert score.values == {"ssim": pytest.approx(1.0)}
    assert score.evidence["outcomes"] == {"psnr": "off_scale"} and "infinite" in score.reason
    alone = SimilarityScorer(roles={}, metrics=["psnr"]).score(SAMPLE, OUTPUT, _noise(0), source=_noise(0))
    assert (alone.outcome, alone.values) == (Outcome.OFF_SCALE, {})


def test_the_source_is_brought_to_the_outputs_frame() -> None:
    source = _noise(2, (90, 60))
    cropped = fitted(source, 30, 30)
    # 90 x 60 scaled to 45 x 30; the middle begins at column 7.
    assert cropped.tobytes() == source.resize((45, 30), Image.Resampling.BICUBIC).crop((7, 0, 37, 30)).tobytes()
    assert "infinite" in _plain().score(SAMPLE, OUTPUT, cropped, source=source).reason
    assert _plain(fit="stretch").score(SAMPLE, OUTPUT, cropped, source=source).values["psnr"] < 40
    assert fitted(source, 90, 60).tobytes() == source.tobytes()
    assert fitted(_noise(0, (101, 33)), 32, 32).size == (32, 32)
    with pytest.raises(ValueError, match="fit: got pad"):
        fitted(source, 1, 1, "pad")


def test_small_and_absent_images_are_typed() -> None:
    small = _plain().score(SAMPLE, OUTPUT, _noise(0, (8, 8)), source=_noise(1, (8, 8)))
    assert set(small.values) == {"psnr"} and small.evidence["outcomes"] == {"ssim": "not_applicable"}
    assert _plain().score(SAMPLE, OUTPUT, None, source=_noise(1)).outcome is Outcome.MISSING
    assert _plain().score(SAMPLE, OUTPUT, _noise(1), source=None).outcome is Outcome.NOT_APPLICABLE


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lpips") / "squeeze.safetensors"
    save_file(squeezenet1_1(weights=None).state_dict(), path)
    return path


def test_lpips_equals_the_published_sum_over_layers(backbone: Path) -> None:
    from safetensors.torch import load_file
    from torchmetrics.functional.image import lpips as theirs
    from torchvision.models import squeezenet1_1

    scorer = SimilarityScorer(roles={}, metrics=["lpips"], lpips_net="squeeze", lpips_checkpoint=str(backbone), device="cpu")
    scorer.canary()
    a, b = _noise(0, (64, 64)), _noise(1, (64, 64))
    got = scorer.score(SAMPLE, OUTPUT, a, source=b).values["lpips"]
    network = squeezenet1_1(weights=None)
    network.load_state_dict(load_file(backbone))
    linear = theirs._LPIPS(net="squeeze", pnet_rand=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def maps(image: Image.Image) -> list[torch.Tensor]:
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
        x, kept = (x - shift[:, None, None]) / scale[:, None, None], []
        for k, layer in enumerate(network.eval().features):
            x = layer(x)
            if k in (1, 4, 7, 9, 10, 11, 12):
                kept.append(x / x.norm(dim=1, keepdim=True).clamp(min=1e-10))
        return kept

    with torch.no_grad():
        wanted = sum(float(lin.model[-1]((x - y) ** 2).mean()) for x, y, lin in zip(maps(a), maps(b), linear.lins, strict=True))
    assert got == pytest.approx(wanted, rel=1e-4) and got > 0
    assert scorer.score(SAMPLE, OUTPUT, _noise(0, (16, 16)), source=_noise(1, (16, 16))).outcome is Outcome.NOT_APPLICABLE


def test_a_broken_metric_is_noticed_before_anything_is_scored(backbone: Path) -> None:
    _plain().canary()
    scorer = _plain()
    scorer._value = lambda name, image, source: 0.5
    with pytest.raises(CanaryError, match="two flat greys"):
        scorer.canary()


def test_what_refuses(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(ModelError, match=r"alexnet-owt-7be5be79\.pth .*uniar-eval convert-weights"):
        SimilarityScorer(roles={})
    with pytest.raises(PluginError, match="metrics: got mse"):
        SimilarityScorer(roles={}, metrics=["mse"])
    with pytest.raises(ModelError, match="expected the weights of LPIPS' backbone alex"):
        SimilarityScorer(roles={}, metrics=["lpips"], lpips_checkpoint=str(backbone), device="cpu").canary()

"""FID, KID and Inception Score: closed formulas, torchmetrics' own numbers, and what has no value or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.errors import DataError, ModelError, PluginError
from evals.perception.inception import Seen
from evals.scorers import distribution_rules as rules
from evals.scorers.distribution import DistributionScorer
from evals.types import Outcome, Output, Sample

RNG = np.random.default_rng(0)


# -- rules -------------------------------------------------------------------------------------------------------------


def test_frechet_of_diagonal_gaussians_is_the_closed_formula() -> None:
    a = rules.Gaussian(np.array([0.0, 1.0]), np.diag([4.0, 9.0]))
    b = rules.Gaussian(np.array([3.0, 1.0]), np.diag([1.0, 16.0]))
    # 3^2 + (2 - 1)^2 + (3 - 4)^2
    assert rules.frechet(a, b) == pytest.approx(11.0)
    assert rules.frechet(a, a) == pytest.approx(0.0, abs=1e-12)


def test_frechet_equals_scipy_and_torchmetrics_on_correlated_features() -> None:
    from scipy.linalg import sqrtm
    from torchmetrics.image.fid import _compute_fid

    mix = RNG.normal(size=(6, 6))
    x, y = RNG.normal(size=(60, 6)) @ mix, RNG.normal(size=(80, 6)) + 0.3
    a, b = rules.gaussian(x), rules.gaussian(y)
    assert np.allclose(a.covariance, np.cov(x.T))
    root = sqrtm(a.covariance @ b.covariance).real
    scipy = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    theirs = _compute_fid(*(torch.from_numpy(part) for part in (a.mean, a.covariance, b.mean, b.covariance)))
    assert rules.frechet(a, b) == pytest.approx(scipy, rel=1e-9) == pytest.approx(float(theirs), rel=1e-6)


def test_mmd_equals_torchmetrics_and_is_unbiased() -> None:
    from torchmetrics.image.kid import poly_mmd

    x, y = RNG.normal(size=(50, 4)), RNG.normal(size=(50, 4)) * 1.5 + 0.2
    assert rules.squared_mmd(x, y) == pytest.approx(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-9)
    # Equal distributions: the mean over independent draws is 0 within three standard errors, and single ones fall below.
    draws = np.array([rules.squared_mmd(RNG.normal(size=(12, 3)), RNG.normal(size=(12, 3))) for _ in range(400)])
    assert abs(draws.mean()) < 3 * draws.std() / 20 and (draws < 0).any()


def test_inception_score_equals_torchmetrics_and_its_bounds() -> None:
    from torchmetrics.image.inception import InceptionScore

    logits = RNG.normal(size=(40, 7)) * 2
    mine = rules.inception_scores(logits, splits=1, rng=np.random.default_rng(0))[0]

    class Given(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(logits)

    with pytest.warns(UserWarning, match="buffer"):
        theirs = InceptionScore(feature=Given(), splits=1)
    theirs.update(torch.zeros(40, 3, 4, 4))
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert mine == pytest.approx(float(theirs.compute()[0]), rel=1e-6)
    sure = np.eye(5)[np.arange(20) % 5] * 1e4
    assert rules.inception_scores(sure, splits=1, rng=np.random.default_rng(0))[0] == pytest.approx(5.0)
    # Without every class in every part a part knows fewer: the split changes the number.
    assert np.mean(rules.inception_scores(sure, splits=10, rng=np.random.default_rng(0))) < 2.5


# -- scorer ------------------------------------------------------------------------------------------------------------


class Plain:
    """Mean colour and brightness spread of an image: four features, four classes."""

    name, dimension, classifies = "plain", 4, True

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def look(self, images: list[Image.Image]) -> Seen:
        self.sizes += [image.size for image in images]
        arrays = [np.asarray(image, dtype=np.float64) / 255 for image in images]
        features = np.array([[*a.mean(axis=(0, 1)), a.std()] for a in arrays])
        return Seen(features, features * 20)


def _image(shift: float, k: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    rng = np.random.default_rng(k)
    level = rng.uniform(60, 140, size=3) + shift
    noise = rng.normal(0, rng.uniform(5, 30), size=(size[1], size[0], 3))
    return Image.fromarray((level + noise).clip(0, 255).astype(np.uint8))


def _items(n: int, shift: float = 0.0, repeats: int = 1, source: bool = True) -> Iterator[tuple]:
    for k in range(n):
        for repeat in range(repeats):
            output = Output(sample_id=f"s{k}", task="t", repeat=repeat, seed=0, outcome=Outcome.OK, image="x")
            yield (
                Sample(sample_id=f"s{k}", task="t", prompt=""),
                output,
                _image(shift, k + 7 * repeat),
                _image(0, k, (32, 16)) if source else None,
            )


def _scorer(**settings) -> DistributionScorer:
    scorer = DistributionScorer(roles={}, features="mini", **settings)
    scorer.extractor = Plain()
    return scorer


def test_distances_carry_the_extractors_name_and_grow_with_the_difference() -> None:
    near, far = ({m.name: m for m in _scorer().measure(_items(40, shift), seed=0)} for shift in (0.0, 60.0))
    assert list(near) == ["fid_plain", "kid_plain"]
    assert far["fid_plain"].value > near["fid_plain"].value and far["kid_plain"].value > near["kid_plain"].value
    assert far["kid_plain"].low < far["kid_plain"].value < far["kid_plain"].high
    assert (near["fid_plain"].low, near["fid_plain"].n, near["fid_plain"].n_samples) == (None, 40, 40)


def test_a_source_counts_once_and_is_cropped_to_the_outputs_size() -> None:
    scorer = _scorer(metrics=["fid"])
    found = scorer.measure(_items(20, repeats=2), seed=0)[0]
    assert (found.n, found.n_samples) == (40, 20)
    assert len(scorer.extractor.sizes) == 60 and set(scorer.extractor.sizes) == {(16, 16)}


def test_the_seed_fixes_the_subsets() -> None:
    first, again, other = (_scorer(metrics=["kid"], subsets=5).measure(_items(20, 20.0), seed=seed)[0].value for seed in (1, 1, 2))
    assert first == again != other


def test_too_few_images_give_no_value_and_say_how_many_are_needed() -> None:
    few = _scorer(metrics=["fid", "kid"]).measure(_items(4), seed=0)
    none = few[0]
    assert (none.name, none.value, none.n, none.n_expected) == ("fid_plain (needs 5 images)", None, 0, 4)
    assert none.outcomes == {"not_applicable": 4}
    assert few[1].value is not None
    assert _scorer(metrics=["fid"]).measure(_items(5), seed=0)[0].value is not None
    assert _scorer(metrics=["fid"], min_images=2).measure(_items(3), seed=0)[0].value is not None
    assert _scorer(metrics=["kid"]).measure(_items(3), seed=0)[0].name == "kid_plain (needs 4 images)"
    assert _scorer().measure(iter(()), seed=0) == []


def test_inception_score_needs_no_reference() -> None:
    scorer = DistributionScorer(roles={}, features="mini", metrics=["fid"], reference="source")
    scorer.extractor, scorer.metrics, scorer.needs_source = Plain(), ("inception_score",), False
    found = scorer.measure(_items(30, source=False), seed=0)[0]
    assert found.name == "inception_score" and 1.0 <= found.low <= found.value <= found.high <= 4.0
    with pytest.raises(PluginError, match="no classes"):
        DistributionScorer(roles={}, features="mini", metrics=["inception_score"])


def test_a_folder_is_a_reference(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for k in range(30):
        _image(0, k, (48, 24)).save(tmp_path / "sub" / f"{k:02d}.png")
    scorer = _scorer(metrics=["fid"], reference=str(tmp_path))
    assert scorer.needs_source is False
    from_folder = scorer.measure(_items(30, 40.0, source=False), seed=0)[0]
    assert from_folder.value > 0 and set(scorer.extractor.sizes) == {(16, 16)}
    (tmp_path / "sub" / "00.png").write_text("no picture")
    with pytest.raises(DataError, match=r"00\.png"):
        _scorer(metrics=["fid"], reference=str(tmp_path)).measure(_items(30, source=False), seed=0)


def test_what_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(ModelError, match=r"weights-inception-2015-12-05-6726825d\.pth .*uniar-eval convert-weights"):
        DistributionScorer(roles={})
    with pytest.raises(DataError, match="holds no image"):
        _scorer(reference=str(tmp_path))
    with pytest.raises(DataError, match="got no source image"):
        _scorer().measure(_items(3, source=False), seed=0)
    for settings, told in (
        ({"metrics": ["fjd"]}, "metrics: got fjd"),
        ({"features": "vgg"}, "features: got vgg"),
        ({"fit": "pad"}, "fit: got pad"),
    ):
        with pytest.raises(PluginError, match=told):
            DistributionScorer(**{"roles": {}, "features": "mini", **settings})


def test_one_output_has_no_value_and_the_canary_passes() -> None:
    scorer = _scorer()
    scorer.canary()
    sample, output, image, _ = next(_items(1))
    score = scorer.score(sample, output, image, source=image)
    assert (score.outcome, score.values) == (Outcome.NOT_APPLICABLE, {})

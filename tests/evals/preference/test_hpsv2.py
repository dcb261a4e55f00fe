"""HPSv2: its own pixels worked by hand, the cosine, the benchmark's sums, the reward, and what refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.errors import CanaryError, ModelError
from evals.metrics.aggregate import Row
from evals.metrics.preference import hpsv2_overall, hpsv2_styles
from evals.perception.hps import MEAN, STD, pixels
from evals.rewards_preference import hpsv2
from evals.scorers.hpsv2 import HpsScorer
from evals.store.pictures import through_jpeg
from evals.types import Outcome


def _unnormalised(x: torch.Tensor) -> torch.Tensor:
    return x * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


@pytest.mark.parametrize("antialias", [True, False])
def test_pixels_scale_the_longest_side_and_pad_black_around_the_centre(antialias: bool) -> None:
    # 101 x 50 -> scale 224/101: 224 x round(110.89) = 111; 113 rows of padding, 56 above and 57 below.
    white = Image.new("RGB", (101, 50), (255, 255, 255))
    x = _unnormalised(pixels(white, antialias=antialias))
    assert x.shape == (3, 224, 224)
    assert torch.allclose(x[:, 56:167], torch.ones(3, 111, 224), atol=1e-5)
    assert float(x[:, :56].abs().max()) < 1e-6 and float(x[:, 167:].abs().max()) < 1e-6


def test_pixels_are_bicubic_of_the_tensor_and_overshoot(picture) -> None:
    import torch.nn.functional as F

    tall = picture.resize((300, 448), Image.Resampling.NEAREST)
    given = torch.from_numpy(np.array(tall)).permute(2, 0, 1).float()[None] / 255
    for antialias in (True, False):
        wanted = F.interpolate(given, (224, 150), mode="bicubic", align_corners=False, antialias=antialias)[0]
        got = _unnormalised(pixels(tall, antialias=antialias))[:, :, 37:187]
        assert torch.allclose(got, wanted, atol=1e-5)
    assert not torch.allclose(pixels(tall, antialias=True), pixels(tall, antialias=False), atol=1e-2)
    # A uint8 path would clip to 0..1.
    assert float(_unnormalised(pixels(tall, antialias=False)).max()) > 1.01


def test_transparency_is_dropped_and_an_equal_size_is_not_resampled(picture) -> None:
    square = picture.resize((224, 224))
    masked = square.copy()
    masked.putalpha(7)
    assert torch.equal(pixels(masked), pixels(square))
    exact = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
    assert torch.allclose(_unnormalised(pixels(square)), exact, atol=1e-6)


def test_value_is_the_raw_cosine_of_normalised_features(tiny_hps, asked, picture) -> None:
    import open_clip
    from safetensors.torch import load_file

    name, path = tiny_hps
    score = HpsScorer(roles={}, checkpoint=str(path), model=name, device="cpu").score(*asked("a red star"), picture)
    network = open_clip.create_model(name)
    network.load_state_dict(load_file(path))
    with torch.no_grad():
        seen = network.eval().encode_image(pixels(picture, 32)[None])[0]
        read = network.encode_text(open_clip.get_tokenizer(name)(["a red star"]))[0]
    wanted = float(seen @ read / seen.norm() / read.norm())
    assert score.values == {"hps_v2.1": pytest.approx(wanted, abs=1e-6), "truncated": 0.0}
    old = HpsScorer(roles={}, weights="v2.0", checkpoint=str(path), model=name, device="cpu").score(*asked("star " * 80), picture)
    assert set(old.values) == {"hps_v2.0", "truncated"} and old.values["truncated"] == 1.0


def _rows(style: str, values: list[float | None]) -> list[Row]:
    return [Row(f"{style}{k}", style, (), Outcome.OK if v is not None else Outcome.MISSING, v) for k, v in enumerate(values)]


def test_benchmark_sums_groups_of_eighty() -> None:
    # 80 of 0.2 and 40 of 0.35: the mean of the two means is 27.5 points, their deviation 7.5; all 130 images weigh in the overall.
    table = [*_rows("anime", [0.2] * 80 + [0.35] * 40), *_rows("photo", [0.1] * 10)]
    anime, deviation, photo, none = hpsv2_styles(table, value="v", task="*", kind="more", seed=0)
    assert (anime.task, anime.value) == ("anime", pytest.approx(27.5)) and deviation.value == pytest.approx(7.5)
    assert (photo.task, photo.value, none.value) == ("photo", pytest.approx(10.0), 0.0)
    overall = hpsv2_overall(table, value="v", task="*", kind="headline", seed=0)
    assert overall.value == pytest.approx(100 * (16 + 14 + 1) / 130)


def test_a_missing_image_does_not_move_the_groups() -> None:
    whole = [0.1] * 80 + [0.3] * 80
    lost = [*whole]
    lost[0] = None
    first = hpsv2_styles(_rows("anime", lost), value="v", task="*", kind="more", seed=0)[0]
    assert first.value == pytest.approx(20.0) and first.outcomes == {"ok": 159, "missing": 1}
    gone = hpsv2_styles(_rows("anime", [0.1] * 80 + [None] * 3), value="v", task="*", kind="more", seed=0)[0]
    assert gone.value is None


def test_reward_is_the_scorers_number_for_every_sample(tiny_hps, asked, picture) -> None:
    name, path = tiny_hps
    settings = {"checkpoint": str(path), "model": name, "device": "cpu"}
    records = [{"task": task, "instruction": "a red star"} for task in ("geneval", "ocr", "other")] + [{"task": "other"}]
    plain, none, also, broken = hpsv2(**settings).rewards([picture, None, picture, picture], records)
    wanted = HpsScorer(roles={}, **settings).score(*asked(), picture).values["hps_v2.1"]
    assert (plain.value, plain.outcome) == (wanted, "ok") and also.value == wanted
    assert (none.value, none.outcome) == (None, "failed") and (broken.value, broken.outcome) == (None, "failed")
    jpeg = hpsv2(**settings, jpeg_quality=75).rewards([picture], records[:1])[0]
    assert jpeg.value == HpsScorer(roles={}, **settings).score(*asked(), through_jpeg(picture, 75)).values["hps_v2.1"] != wanted


def test_the_reward_is_an_entry_point() -> None:
    import tomllib
    from pathlib import Path

    points = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]["uniar.rewards"]
    assert points["hpsv2"] == "evals.rewards_preference:hpsv2"


def test_what_refuses(tiny_hps, tmp_path, monkeypatch) -> None:
    name, path = tiny_hps
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    with pytest.raises(ModelError, match=r"HPS_v2\.1_compressed\.pt .*uniar-eval convert-weights"):
        HpsScorer(roles={})
    with pytest.raises(ModelError, match=r"HPS_v2_compressed\.pt"):
        hpsv2(weights="v2.0")
    with pytest.raises(ModelError, match=r"weights: got v3"):
        HpsScorer(roles={}, weights="v3")
    (tmp_path / "raw.pt").write_bytes(b"")
    with pytest.raises(ModelError, match="which is no safetensors file"):
        HpsScorer(roles={}, checkpoint=str(tmp_path / "raw.pt"))
    save_file({"text_projection": torch.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match="got nothing; expected the weights of open_clip's hps-tiny"):
        HpsScorer(roles={}, checkpoint=str(tmp_path / "odd.safetensors"), model=name).canary()
    swapped = HpsScorer(roles={}, checkpoint=str(path), model=name, device="cpu")
    own = swapped.model.fit
    swapped.model.fit = lambda image, text: own(image, text)._replace(cosine=-own(image, text).cosine)
    with pytest.raises(CanaryError, match="hpsv2: canary"):
        swapped.canary()

"""The reconstruction suite from the command line to the numbers, its datasets, and what refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evals.datasets.reconstruction import ImageFolderDataset, ShapesReconstructionDataset
from evals.errors import DataError


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_mini_world_images_follow_from_the_settings_and_mend_themselves(data: Path) -> None:
    from uniar.data.shapes import Scene, is_held_out

    first = list(ShapesReconstructionDataset(images=6).load())
    assert [s.sample_id for s in first] == ["seen-0000", "seen-0001", "seen-0002", "unseen-0000", "unseen-0001", "unseen-0002"]
    root = ShapesReconstructionDataset(images=6).root
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    (root / "seen-0001.png").write_bytes(b"changed")
    assert list(ShapesReconstructionDataset(images=6).load()) == first
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before and len(set(before.values())) == 6
    assert [is_held_out(Scene.from_json(s.metadata["scene"])) for s in first] == [False] * 3 + [True] * 3
    other = ShapesReconstructionDataset(images=2, seed=1)
    assert next(other.load()).metadata != first[0].metadata and other.root != root
    with pytest.raises(DataError, match="even number"):
        ShapesReconstructionDataset(images=3)


def test_a_folder_in_the_order_of_its_paths_and_an_even_part_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    for k in range(10):
        (folder / f"n{k // 5}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / f"n{k // 5}" / f"{k}.JPEG")
    (folder / "list.txt").write_text("not an image")
    everything = list(ImageFolderDataset(folder=str(folder)).load())
    assert [s.image for s in everything] == [f"n{k // 5}/{k}.JPEG" for k in range(10)]
    part = list(ImageFolderDataset(folder=str(folder), images=4).load())
    assert [(s.sample_id, s.image) for s in part] == [
        ("000000", "n0/0.JPEG"),
        ("000002", "n0/2.JPEG"),
        ("000005", "n1/5.JPEG"),
        ("000007", "n1/7.JPEG"),
    ]
    assert len(list(ImageFolderDataset(folder=str(folder), images=99).load())) == 10


def test_a_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"which is no folder; .*--set data\.folder=FOLDER"):
        ImageFolderDataset()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        list(ImageFolderDataset(folder=str(tmp_path / "empty")).load())


def test_mini_from_the_command_line(cli, tmp_path: Path) -> None:
    done = cli(
        "run", "reconstruction", "--set", "data.images=6", "--set", "score.1.min_images=2", "--set", "generate.decoder_steps=2",
        "--out", "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    values = {(m["name"], m["task"]): m for m in found["metrics"]}
    assert found["status"] == "complete" and found["title"].startswith("Reconstruction-mini")
    assert 25 < found["headline"]["value"] < 60
    assert 0.8 < values[("ssim", "*")]["value"] <= 1
    assert values[("fid_mini_features", "*")]["value"] >= 0 and values[("kid_mini_features", "*")]["n"] == 6
    for level in ("level0", "level1"):
        assert 0 < values[("bit_entropy", level)]["value"] <= 1
        assert 0 < values[("distinct_codes", level)]["value"] <= 1
    # The numbers are of what is stored: the codes of the first output, read back.
    from evals.store.codes import unpack

    codes = unpack(tmp_path / "run" / "codes" / "seen-0000" / "00000.safetensors")
    assert codes.shape == (16, 2, 4, 32)


def test_reconstructions_made_elsewhere_are_measured_without_codes(cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources, images = tmp_path / "val", tmp_path / "made" / "images"
    sources.mkdir()
    for k in range(4):
        picture = Image.fromarray(rng.integers(0, 256, (80, 64, 3), dtype=np.uint8))
        picture.save(sources / f"{k}.png")
        (images / f"{k:06d}").mkdir(parents=True)
        dimmed = picture.crop((0, 8, 64, 72)).point(lambda value: max(0, value - 5))
        dimmed.save(images / f"{k:06d}" / "00000.png")
    done = cli(
        "run", "reconstruction", "--profile", "official", "--model", f"images:{tmp_path / 'made'}", "--set",
        f"data.folder={sources}", "--set", "score.0.metrics=[psnr, ssim]", "--set", "score.1.features=mini", "--set", "generate.height=64",
        "--set", "generate.width=64", "--out", "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    values = {m["name"]: m for m in found["metrics"]}
    # A fall by 5 of 255, less where black was met.
    assert found["headline"]["value"] == pytest.approx(34.2, abs=0.3)
    assert values["fid_mini_features (needs 129 images)"]["value"] is None
    assert values["bit_entropy (no codes)"]["n"] == 0


def test_official_weights_that_are_not_there_stop_before_the_first_image(cli, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "val" / "0.png")
    done = cli(
        "run",
        "reconstruction",
        "--profile",
        "official",
        "--model",
        "uniar-mini",
        "--set",
        f"data.folder={tmp_path / 'val'}",
        "--out",
        "run",
    )
    assert done.exit_code == 2 and "alexnet-owt-7be5be79.pth" in done.stderr and not (tmp_path / "run").exists()

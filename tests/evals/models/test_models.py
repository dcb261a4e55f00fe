"""Which model `--model` names, images made elsewhere, and the UniAR adapter against a stand-in checkpoint object."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from evals.errors import ModelError, PluginError
from evals.models import build, split
from evals.models.folder import ImageFolderModel
from evals.registry import Registry
from evals.types import Outcome, Sample, WorkItem


def item(sample_id: str, repeat: int = 0) -> WorkItem:
    return WorkItem(sample=Sample(sample_id=sample_id, task="t", prompt="p"), repeat=repeat, seed=1)


def test_names_sources_and_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry = Registry()
    assert split(None, registry) == ("uniar", "uniar-mini")
    assert split("images:some/dir", registry) == ("images", "some/dir")
    assert split("org/checkpoint", registry) == ("uniar", "org/checkpoint")
    assert split("uniar-mini", registry) == ("uniar", "uniar-mini")
    (tmp_path / "images").mkdir()
    assert split("images", registry) == ("uniar", "images")
    with pytest.raises(ModelError, match="no such folder"):
        build("images:nowhere", registry, device="cpu")


def test_images_needs_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="needs a source"):
        build("images", Registry(), device="cpu")


@pytest.mark.parametrize("layout", ["geneval", "ours"])
def test_folder_reads_both_layouts(tmp_path, layout):
    name = "00007/samples/0001.png" if layout == "geneval" else "images/00007/00001.png"
    (tmp_path / name).parent.mkdir(parents=True)
    Image.new("RGBA", (3, 2), (9, 8, 7, 255)).save(tmp_path / name)
    model = ImageFolderModel(source=str(tmp_path))
    there, absent = model.run([item("00007", 1), item("00007", 0)])
    assert there.image.mode == "RGB" and there.image.getpixel((0, 0)) == (9, 8, 7) and there.error is None
    assert absent.outcome is Outcome.MISSING and "00007" in absent.error
    first = model.fingerprint()["sha256"]
    Image.new("RGB", (3, 2)).save(tmp_path / name)
    assert ImageFolderModel(source=str(tmp_path)).fingerprint()["sha256"] != first


def test_folder_with_nothing_is_refused(tmp_path):
    with pytest.raises(ModelError, match="got no image"):
        ImageFolderModel(source=str(tmp_path))


def test_damaged_image_is_an_error_not_missing(tmp_path):
    (tmp_path / "00000/samples").mkdir(parents=True)
    (tmp_path / "00000/samples/00000.png").write_bytes(b"no image")
    found = ImageFolderModel(source=str(tmp_path)).run([item("00000")])[0]
    assert found.outcome is Outcome.GENERATION_ERROR and "cannot be read" in found.error


def test_a_run_is_scored_again_from_its_own_folder(toy, cli):
    cli("run", "toy.yaml", "--model", "toy", "--out", "first", "--no-report")
    (toy.parent / "first/images/c-003/00001.png").unlink()
    result = cli("run", "toy.yaml", "--model", "images:first", "--out", "again", "--no-report", "--profile", "official")
    assert result.exit_code == 3
    again, first = (json.loads((toy.parent / n / "results.json").read_text()) for n in ("again", "first"))
    assert again["outcomes"] == {"ok": 35, "missing": 1}
    assert again["metrics"][:2] == first["metrics"][:2]


def test_absent_checkpoint_is_one_sentence(toy, cli):
    result = cli("run", "toy.yaml", "--model", "no/such/checkpoint", "--out", "out", "--no-report")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "no/such/checkpoint" in result.stderr

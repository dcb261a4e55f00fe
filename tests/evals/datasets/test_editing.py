"""Editing data in their official layouts: read, confined, and refused with a sentence that names the row."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.datasets.gedit import GEditDataset
from evals.datasets.imgedit import ImgEditDataset, ImgEditMultiTurnDataset, ImgEditUgeDataset, read_turns
from evals.datasets.shapes_edit import ShapesEditDataset
from evals.errors import DataError

BASIC = {
    "1082": {"id": "animal/1.jpg", "prompt": "Smooth the shell.", "edit_type": "adjust"},
    "22": {"id": "style/2.jpg", "prompt": "Make it ukiyo-e.", "edit_type": "style"},
}


def imgedit(folder: Path, rows: dict[str, Any] = BASIC, *, place: str = "Benchmark/Basic", images: str = "original_images") -> Path:
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "basic_edit.json").write_text(json.dumps(rows))
    for row in rows.values():
        file = folder / images / str(row.get("id", "none.jpg"))
        if file.resolve().is_relative_to(folder.resolve()):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(file)
    return folder


def test_the_basic_suite_keeps_keys_order_and_places(tmp_path: Path) -> None:
    data = ImgEditDataset(folder=str(imgedit(tmp_path)))
    samples = list(data.load())
    assert [(s.sample_id, s.task, s.image) for s in samples] == [("1082", "adjust", "animal/1.jpg"), ("22", "style", "style/2.jpg")]
    assert samples[0].metadata == {"key": "1082", **BASIC["1082"]} and samples[0].prompt == "Smooth the shell."
    assert (data.root / "animal/1.jpg").is_file() and data.root == tmp_path / "original_images"


def test_the_data_root_and_a_named_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    imgedit(tmp_path / "imgedit", place=".", images="elsewhere")
    with pytest.raises(DataError, match=r"images: got no animal/1\.jpg in any usual place under .*--set data\.images=DIR"):
        list(ImgEditDataset().load())
    assert len(list(ImgEditDataset(images="elsewhere").load())) == 2
    (tmp_path / "imgedit/elsewhere/style/2.jpg").unlink()
    with pytest.raises(DataError, match=r"got no style/2\.jpg in .* \(1 of 2 absent\)"):
        list(ImgEditDataset(images="elsewhere").load())


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "a.jpg", "prompt": "x", "edit_type": "swap"}, "7: edit_type: got swap; expected one of add"),
        ({"id": "a.jpg", "edit_type": "add"}, "7: prompt: got no text"),
        ({"id": "../a.jpg", "prompt": "x", "edit_type": "add"}, "7: id: got '../a.jpg'; expected a path inside"),
        ({"id": "/etc/passwd", "prompt": "x", "edit_type": "add"}, "7: id: got '/etc/passwd'"),
    ],
)
def test_a_bad_item_is_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as raised:
        list(ImgEditDataset(folder=str(imgedit(tmp_path, {"7": row}))).load())
    assert told in str(raised.value)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"imgedit: got no basic_edit\.json in"):
        list(ImgEditDataset(folder=str(tmp_path)).load())
    (tmp_path / "basic_edit.json").write_text("{")
    with pytest.raises(DataError, match="got no readable JSON"):
        list(ImgEditDataset(folder=str(tmp_path)).load())


def test_uge_has_one_task(tmp_path: Path) -> None:
    (tmp_path / "UGE_edit.json").write_text(json.dumps({"1": {"id": "9.jpg", "prompt": "Remove the lemon."}}))
    Image.new("RGB", (4, 4)).save(tmp_path / "9.jpg")
    (sample,) = ImgEditUgeDataset(folder=str(tmp_path)).load()
    assert (sample.sample_id, sample.task, sample.image) == ("1", "uge", "9.jpg") and "edit_type" not in sample.metadata


def test_multi_turn_is_read_and_refused(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    file.write_text(
        json.dumps({"1": {"id": "6.jpg", "turn1": "a", "turn2": "b", "turn3": "c"}, "2": {"id": "7.jpg", "turn1": "a", "turn2": "b"}})
    )
    assert read_turns(file) == {"1": ("6.jpg", ("a", "b", "c")), "2": ("7.jpg", ("a", "b"))}
    with pytest.raises(DataError, match=r"got 2 conversations .* Officially people judge this suite"):
        list(ImgEditMultiTurnDataset(file="memory.json", folder=str(tmp_path)).load())
    file.write_text(json.dumps({"1": {"id": "6.jpg", "turn1": "a"}}))
    with pytest.raises(DataError, match="1: got no id with two or three turns"):
        read_turns(file)


def row(key: str = "k1", **changes: Any) -> dict[str, Any]:
    base = {"task_type": "color_alter", "key": key, "instruction": "Make it red.", "instruction_language": "en", "input_image": "a.png"}
    return {**base, "Intersection_exist": True, **changes}


def gedit(folder: Path, *rows: dict[str, Any]) -> str:
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(folder)


def test_one_language_of_gedit(tmp_path: Path) -> None:
    folder = gedit(tmp_path, row(), row("k2", instruction_language="cn", instruction="变红"), row("k3", Intersection_exist=False))
    english = GEditDataset(folder=folder)
    assert [s.sample_id for s in english.load()] == ["k1", "k3"] and english.root == tmp_path
    (chinese,) = GEditDataset(language="cn", folder=folder).load()
    assert chinese.prompt == "变红" and chinese.task == "color_alter" and chinese.image == "a.png"
    assert chinese.metadata["Intersection_exist"] is True and chinese.metadata["n_types"] == 11


def test_zh_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match=r"language: got zh; expected en or cn\. The official command line offers zh, which finds no row"):
        GEditDataset(language="zh")


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (row("k2", task_type="colour"), "row 2: task_type: got colour"),
        (row("k2", instruction=""), "row 2: instruction: got no text"),
        (row("k2", instruction_language="zh"), "row 2: instruction_language: got zh"),
        (row("../k2"), "row 2: key: got '../k2'"),
        (row("k2", input_image="b.png"), "row 2: input_image: got no file b.png"),
        (row("k2", input_image="../a.png"), "row 2: input_image: got '../a.png'"),
        (row("k2", input_image=None), "row 2: input_image: got none"),
    ],
)
def test_a_bad_row_is_told_with_its_number(tmp_path: Path, bad: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as raised:
        list(GEditDataset(folder=gedit(tmp_path, row(), bad)).load())
    assert told in str(raised.value)


def test_no_data_broken_lines_and_no_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"gedit: got no data/\*\.parquet and no metadata\.jsonl"):
        list(GEditDataset(folder=str(tmp_path)).load())
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"got no pyarrow on this machine; .*`pip install pyarrow`"):
        list(GEditDataset(folder=str(tmp_path)).load())
    (tmp_path / "metadata.jsonl").write_text("\n{\n")
    with pytest.raises(DataError, match="row 2: got no JSON"):
        list(GEditDataset(folder=str(tmp_path)).load())


def test_parquet_rows_stream_and_their_pictures_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    stream = io.BytesIO()
    Image.new("RGB", (5, 3), "red").save(stream, "PNG")
    good = {"bytes": stream.getvalue(), "path": "x.png"}
    folder = tmp_path / "data/gedit/data"
    folder.mkdir(parents=True)

    def write(*rows: dict[str, Any]) -> None:
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), folder / "train-0.parquet")

    write(*(row(f"k{i}", input_image=good) for i in range(40)), row("c1", instruction_language="cn", input_image=good))
    data = GEditDataset()
    samples = list(data.load())
    assert len(samples) == 40 and samples[3].image == "color_alter/en/k3.png"
    with Image.open(data.root / samples[3].image) as image:
        assert (image.size, image.getpixel((0, 0))) == ((5, 3), (255, 0, 0))
    assert not (data.root / "color_alter/cn").exists()
    write(row(input_image=good), row("k2", input_image={"bytes": stream.getvalue()[:40], "path": "x.png"}))
    with pytest.raises(DataError, match="row 2: input_image: got a picture that cannot be read"):
        list(GEditDataset().load())


@pytest.mark.parametrize("benchmark", ["imgedit", "gedit"])
def test_edits_of_the_mini_world_are_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: str) -> None:
    def drawn(seed: int = 0) -> tuple[list[Any], list[bytes]]:
        data = ShapesEditDataset(benchmark=benchmark, seed=seed, samples_per_type=3, unseen_per_type=1)
        samples = list(data.load())
        return samples, [(data.root / str(sample.image)).read_bytes() for sample in samples]

    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "a/data"))
    samples, first = drawn()
    assert len(samples) == 15 and len({s.task for s in samples}) == 5 and len(set(first)) > 10
    assert sum(s.tags == ("unseen",) for s in samples) == 5
    # A damaged picture of an earlier run is drawn again.
    (next((tmp_path / "a/mini").iterdir()) / "00004.png").write_bytes(b"no picture")
    assert drawn() == (samples, first)
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "b/data"))
    assert drawn() == (samples, first) and drawn(seed=1)[1] != first


def test_mini_settings_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="benchmark: got dpg; expected imgedit or gedit"):
        ShapesEditDataset(benchmark="dpg")
    with pytest.raises(DataError, match="unseen_per_type: got 4 of 2"):
        ShapesEditDataset(samples_per_type=2)

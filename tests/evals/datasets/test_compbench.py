"""T2I-CompBench's files, and its mini suite end to end over drawn pictures, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals.datasets.compbench import CompBenchDataset, official_name
from evals.datasets.shapes_compbench import ShapesCompBenchDataset
from evals.errors import DataError
from evals.types import Sample


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("inside", ["", "examples/dataset"])
def test_prompts_in_order(tmp_path: Path, inside: str) -> None:
    write(tmp_path / inside, color_val="a red cup\n\na blue cat \n", shape_val="a round box")
    samples = list(CompBenchDataset(categories=["color", "shape"], folder=str(tmp_path)).load())
    assert [(s.sample_id, s.task, s.prompt) for s in samples] == [
        ("color-00000", "color", "a red cup"),
        ("color-00001", "color", "a blue cat"),
        ("shape-00000", "shape", "a round box"),
    ]
    assert samples[1].metadata == {"category": "color", "prompt_index": 1}
    assert official_name("a blue cat", 1, 3) == "a blue cat_000013.png"


def test_numeracy_rows_know_what_is_asked(tmp_path: Path) -> None:
    objects = "Dog - dogs\nknife - knives\nfish - fish\nman - men\n"
    write(tmp_path, numeracy_val="three dogs, a knife and two men\ntwo burgers\n", new_objects=objects)
    samples = list(CompBenchDataset(categories=["numeracy"], folder=str(tmp_path)).load())
    assert [s.metadata["wanted"] for s in samples] == [[["dog", 3], ["knife", 1], ["man", 2]], []]


def test_complex_rows_know_their_kind(tmp_path: Path) -> None:
    write(
        tmp_path,
        complex_val="The Cat is near the mat.\nA dog runs.\nBoth.\n",
        complex_val_spatial="The cat is near the mat.\n",
        complex_val_action="A dog runs\n",
    )
    samples = list(CompBenchDataset(categories=["complex"], folder=str(tmp_path)).load())
    assert [s.metadata["kind"] for s in samples] == ["spatial", "action", "both"]


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uniar-eval data fetch compbench"):
        list(CompBenchDataset(categories=["color"], folder=str(tmp_path)).load())
    with pytest.raises(DataError, match="got taste; expected some of color"):
        CompBenchDataset(categories=["taste"])
    with pytest.raises(DataError, match="got none"):
        CompBenchDataset(categories=[])
    write(tmp_path, color_val="\n", numeracy_val="one dog", new_objects="dog - dogs\ncat\n")
    with pytest.raises(DataError, match=r"color_val\.txt: got no line"):
        list(CompBenchDataset(categories=["color"], folder=str(tmp_path)).load())
    with pytest.raises(DataError, match=r'new_objects\.txt:2: got "cat"'):
        list(CompBenchDataset(categories=["numeracy"], folder=str(tmp_path)).load())


def scene(sample: Sample, *, wrong: bool) -> Image.Image:
    """What the prompt asks for, or another colour, shape, place or number."""
    from uniar.data.shapes import Object, Scene, render

    words = [word.rstrip("s") if word not in ("cross", "crosses") else "cross" for word in sample.prompt.split()]
    shapes = [word for word in words if word in ("circle", "square", "triangle", "diamond", "star", "cross", "heart", "ring")]
    colors = [word for word in words if word in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")]
    # The swap gives each shape the other's colour.
    colors = (colors[::-1] if wrong else colors) or ["red", "blue"]
    slots: Sequence[tuple[int, int]] = [(1, 0), (1, 2)]
    if sample.task == "shape" and wrong:
        shapes = [shapes[0], shapes[0]]
    if sample.task == "spatial":
        relation = next(word for word in words if word in ("left", "right", "above", "below"))
        slots = {"left": [(1, 0), (1, 2)], "right": [(1, 2), (1, 0)], "above": [(0, 1), (2, 1)], "below": [(2, 1), (0, 1)]}[relation]
        slots = slots[::-1] if wrong else slots
    if sample.task == "numeracy":
        (count,) = (pair[1] for pair in sample.metadata["wanted"])
        count = count - 1 if wrong else count
        shapes, colors, slots = shapes * count, ["red"] * count, [(0, 0), (0, 2), (2, 0), (2, 2)][:count]
    objects = [Object(shape, color, "large", *slot) for shape, color, slot in zip(shapes, colors, slots, strict=True)]
    return Image.fromarray(render(Scene(tuple(objects), "gray")))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (False, {"color": 1.0, "shape": 1.0, "spatial": 1.0, "numeracy": 1.0}),
        (True, {"color": 0.0, "shape": 0.0, "spatial": 0.25, "numeracy": 0.5}),
    ],
)
def test_mini_suite_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], wrong: bool, expected: dict[str, float]
) -> None:
    monkeypatch.chdir(tmp_path)
    for sample in ShapesCompBenchDataset(prompts_per_category=6).load():
        folder = tmp_path / "made/images" / sample.sample_id
        folder.mkdir(parents=True)
        scene(sample, wrong=wrong).save(folder / "00000.png")
    settings = ("--set", "data.prompts_per_category=6", "--set", "generate.repeats=1")
    result = cli("run", "compbench", "--profile", "mini", "--model", "images:made", "--out", "run", *settings)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run/results.json").read_text())
    got: dict[str, Any] = {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task" and m["name"] == "score"}
    # The wrong place keeps both confidences, 0.25 each, a little below one half or just on it: then it is 0.
    assert got["spatial"] == pytest.approx(expected["spatial"], abs=0.26 if wrong else 1e-2)
    del got["spatial"]
    assert got == pytest.approx({task: value for task, value in expected.items() if task != "spatial"})


def test_mini_draw_is_checked() -> None:
    samples = list(ShapesCompBenchDataset(prompts_per_category=24).load())
    assert len({s.sample_id for s in samples}) == 96
    placed = next(s for s in samples if s.task == "spatial")
    assert placed.prompt.split()[-1] == placed.metadata["objects"][1]
    with pytest.raises(DataError, match="got 25; expected 1 to 24"):
        ShapesCompBenchDataset(prompts_per_category=25)

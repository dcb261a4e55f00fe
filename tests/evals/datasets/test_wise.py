"""WISE's files, read in both versions and refused when they are not right; the mini suite end to end over drawn pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals.datasets.shapes_wise import CATEGORIES, ShapesWiseDataset
from evals.datasets.wise import PARTS, WiseDataset
from evals.errors import DataError


def row(number: int, **changes: Any) -> dict[str, Any]:
    more = {"Prompt": f"prompt {number}", "Explanation": "why", "Category": "x", "Subcategory": "y", "prompt_id": number}
    return {**more, **changes}


def write(folder: Path, *groups: list[dict[str, Any]], pattern: str = "WISE_legacy/data/{}.json") -> Path:
    for part, group in zip(PARTS, groups, strict=True):
        path = folder / pattern.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(group))
    return folder


@pytest.mark.parametrize("pattern", ["WISE_legacy/data/{}.json", "data/{}.json", "{}.json"])
def test_legacy_rows(tmp_path: Path, pattern: str) -> None:
    folder = write(tmp_path, [row(1), row(400)], [row(567), row(401)], [row(1000)], pattern=pattern)
    samples = list(WiseDataset(folder=str(folder)).load())
    assert [s.sample_id for s in samples] == ["0001", "0400", "0401", "0567", "1000"]
    assert [s.task for s in samples] == ["CULTURE", "CULTURE", "TIME", "TIME", "CHEMISTRY"]
    assert samples[2].prompt == "prompt 401" and samples[2].metadata["category_weight"] == 0.167


def test_verified_rows_have_other_categories(tmp_path: Path) -> None:
    folder = write(tmp_path, [row(1)], [row(567)], [row(641)], pattern="data_verified/{}_verified.json")
    samples = list(WiseDataset(version="verified", folder=str(folder)).load())
    assert [(s.task, s.metadata["category_weight"]) for s in samples] == [("CULTURE", 0.4), ("SPACE", 0.12), ("BIOLOGY", 0.12)]


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (([row(1), row(1)], [], []), "got 1 twice"),
        (([row(0)], [], []), "got 0; expected 1 to 1000"),
        (([{"Prompt": "x", "prompt_id": 1}], [], []), "row 0: got no Explanation"),
        (([row("1")], [], []), "another kind of prompt_id"),
        (({"a": 1}, [], []), "got dict; expected a list"),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, groups: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(WiseDataset(folder=str(write(tmp_path, *groups))).load())


def test_missing_files_and_versions_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uniar-eval data fetch wise"):
        list(WiseDataset(folder=str(tmp_path)).load())
    with pytest.raises(DataError, match="got latest; expected legacy or verified"):
        WiseDataset(version="latest")
    write(tmp_path, [], [], [])
    (tmp_path / "WISE_legacy/data/natural_science.json").write_text("{")
    with pytest.raises(DataError, match="got no readable JSON"):
        list(WiseDataset(folder=str(tmp_path)).load())


def test_mini_asks_for_habits_that_training_showed() -> None:
    from uniar.data.shapes import USUAL_COLOR, held_out_pairs

    samples = list(ShapesWiseDataset().load())
    assert [s.task for s in samples] == [name for name in CATEGORIES for _ in range(8)]
    assert sum({s.task: s.metadata["category_weight"] for s in samples}.values()) == pytest.approx(1)
    assert len({s.sample_id for s in samples}) == 40
    for sample in samples:
        assert not any(f"{color} {shape}" in sample.prompt for shape, color in held_out_pairs())
    color = next(s for s in samples if s.prompt == "a photo of a star")
    assert color.metadata["Explanation"] == f"one {USUAL_COLOR['star']} star"
    with pytest.raises(DataError, match="got 9; expected 1 to 8"):
        ShapesWiseDataset(prompts_per_category=9)


def draw(expected: str, *, wrong: bool = False) -> Image.Image:
    """The picture that an explanation asks for, or one whose shapes are right and habit is not."""
    from uniar.data.shapes import USUAL_COLOR, Object, Scene, render

    found = re.findall(r"one (?:large )?(?:(\w+) )?(circle|square|triangle|diamond|star|cross|heart|ring)", expected)
    colors = [color or USUAL_COLOR[shape] for color, shape in found]
    shapes = [shape for _, shape in found]
    slots = [(1, 1)] if len(found) == 1 else [(1, 0), (1, 2)]
    size, ground = "large", "gray"
    if wrong:
        colors = ["white" if color != "white" else "black" for color in colors]
        slots = [(0, 0)] if len(found) == 1 else slots[::-1]
        size, ground = "small", "dusk"
    objects = [Object(shape, color, size, *slot) for shape, color, slot in zip(shapes, colors, slots, strict=True)]
    return Image.fromarray(render(Scene(tuple(objects), ground)))


@pytest.mark.parametrize(("wrong", "wiscore"), [(False, 1.0), (True, 0.65)])
def test_mini_suite_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], wrong: bool, wiscore: float
) -> None:
    monkeypatch.chdir(tmp_path)
    for sample in ShapesWiseDataset().load():
        folder = tmp_path / "made/images" / sample.sample_id
        folder.mkdir(parents=True)
        for repeat in range(2):
            draw(sample.metadata["Explanation"], wrong=wrong).save(folder / f"{repeat:05d}.png")
    result = cli("run", "wise", "--profile", "mini", "--model", "images:made", "--out", "run")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run/results.json").read_text())
    # Right shapes without the habit: consistency 1, the other marks full, (0.7 + 0.4 + 0.2) / 2.
    assert found["headline"]["value"] == pytest.approx(wiscore)
    assert {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task"} == pytest.approx(dict.fromkeys(CATEGORIES, wiscore))

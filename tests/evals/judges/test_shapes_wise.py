"""The mini judge's marks for pictures whose every property is known, and questions that are not its own."""

from __future__ import annotations

import pytest
from PIL import Image

from evals.errors import PluginError
from evals.judges.shapes import ShapesJudge
from evals.judges.shapes_wise import answer
from evals.scorers.wise import MINI


def picture(*objects: tuple, ground: str = "gray") -> Image.Image:
    from uniar.data.shapes import Object, Scene, render

    return Image.fromarray(render(Scene(tuple(Object(*one) for one in objects), ground)))


def asked(expected: str, image: Image.Image, mode: str = "legacy") -> str:
    question = MINI[mode].question({"Prompt": "a photo", "Explanation": expected})
    return str(ShapesJudge().ask(question, [image]).text)


STAR = ("star", "yellow", "large", 1, 1)


@pytest.mark.parametrize(
    ("expected", "objects", "ground", "mark"),
    [
        ("one yellow star", [STAR], "gray", 2),
        ("one yellow star", [("star", "red", "large", 1, 1)], "gray", 1),
        ("one yellow star", [("ring", "yellow", "large", 1, 1)], "gray", 0),
        ("one yellow star", [("star", "yellow", "large", 1, 0), ("ring", "black", "large", 1, 2)], "gray", 0),
        ("one large yellow star", [STAR], "gray", 2),
        ("one large yellow star", [("star", "yellow", "small", 1, 1)], "gray", 1),
        ("one yellow star in the center", [("star", "yellow", "small", 1, 1, 2, -2)], "gray", 2),
        ("one yellow star in the center", [("star", "yellow", "large", 0, 1)], "gray", 1),
        ("one star and one ring on a gray background", [("star", "red", "large", 1, 0), ("ring", "black", "large", 1, 2)], "gray", 2),
        ("one star and one ring on a gray background", [("star", "red", "large", 1, 0), ("ring", "black", "large", 1, 2)], "slate", 1),
        ("one star and one ring, the star left of the ring", [("star", "red", "large", 1, 0), ("ring", "black", "large", 1, 2)], "sky", 2),
        ("one star and one ring, the star left of the ring", [("star", "red", "large", 1, 2), ("ring", "black", "large", 1, 0)], "sky", 1),
    ],
)
def test_consistency(expected: str, objects: list[tuple], ground: str, mark: int) -> None:
    image = picture(*objects, ground=ground)
    lines = asked(expected, image).splitlines()
    assert lines == [f"Consistency: {mark}", "Realism: 2", "Aesthetic Quality: 2"]
    assert asked(expected, image, "verified") == f"Score: {int(mark == 2)}"


def test_a_blank_picture_has_nothing() -> None:
    assert asked("one yellow star", picture()) == "Consistency: 0\nRealism: 0\nAesthetic Quality: 0"


def test_a_cut_off_shape_is_less_pleasing() -> None:
    whole = picture(STAR)
    cut = Image.new("RGB", whole.size, (158, 160, 163))
    cut.paste(whole, (0, 20))
    assert "Aesthetic Quality: 1" in asked("one yellow star", cut)


def test_questions_of_others_are_left_alone() -> None:
    assert answer("What is it?", [picture()]) is None
    with pytest.raises(PluginError, match="What is it"):
        ShapesJudge().ask("What is it?", [picture()])

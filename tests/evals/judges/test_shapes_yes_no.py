"""The mini judge's yes and no about pictures whose every property is known, in every form, and questions that are not its own."""

from __future__ import annotations

import pytest
from PIL import Image

from evals.errors import PluginError
from evals.judges.shapes import ShapesJudge
from evals.judges.shapes_yes_no import answer


def picture(*objects: tuple, ground: str = "gray", size: int = 64) -> Image.Image:
    from uniar.data.shapes import Object, Scene, render

    return Image.fromarray(render(Scene(tuple(Object(*one) for one in objects), ground), size))


SCENE = picture(
    ("star", "red", "small", 1, 0), ("circle", "blue", "large", 1, 2), ("ring", "black", "small", 0, 1), ("ring", "pink", "small", 2, 1)
)
QUESTIONS = (
    ("is there a star?", True),
    ("is there a red star?", True),
    ("is there a blue star?", False),
    ("is there any heart?", False),
    ("is there an orange star?", False),
    ("are there two rings?", True),
    ("are there exactly 2 rings?", True),
    ("are there three rings?", False),
    ("are there two circles?", False),
    ("are there two pink rings?", False),
    ("is the star red?", True),
    ("is the star blue?", False),
    ("is the heart red?", False),
    ("are the rings black?", False),
    ("are the stars red?", True),
    ("are the hearts red?", False),
    ("is the star small?", True),
    ("is the red star large?", False),
    ("is the circle large?", True),
    ("is the heart small?", False),
    ("is the star at the left?", True),
    ("is the star in the center?", False),
    ("is the pink ring at the bottom?", True),
    ("is the pink ring at the bottom left?", False),
    ("is the heart at the left?", False),
    ("is the red star left of the blue circle?", True),
    ("is the star left of the circle?", True),
    ("is the circle left of the star?", False),
    ("is the red star left of the red circle?", False),
    ("is the black ring above the pink ring?", True),
    ("is the black ring below the pink ring?", False),
    ("is the star left of the star?", False),
    ("is the background gray?", True),
    ("is the background mint?", False),
)


@pytest.mark.parametrize(("question", "holds"), QUESTIONS)
def test_each_form(question: str, holds: bool) -> None:
    said = ("no", "yes")[holds]
    for image in (SCENE, SCENE.resize((256, 256), Image.Resampling.BICUBIC)):
        assert answer(question, [image]) == said
    assert answer(question.title().replace("Of The", "of the"), [SCENE]) == said


@pytest.mark.parametrize(
    ("form", "yes", "no"),
    [
        ("", "yes", "no"),
        (" Answer yes or no.", "yes", "no"),
        (" Answer 'no' or 'yes'.", "yes", "no"),
        (". Please answer 'Yes' or 'No' only.", "Yes", "No"),
        (" Please answer 'Yes' or 'No' only.", "Yes", "No"),
        ("\nPlease answer only Yes or No", "Yes", "No"),
    ],
)
def test_the_answer_is_written_as_asked(form: str, yes: str, no: str) -> None:
    for question, said in (("is there a star?", yes), ("Is there a heart?", no)):
        assert ShapesJudge().ask(f"{question}{form}", [SCENE]).text == said


def test_every_background_and_size_is_told() -> None:
    from uniar.data.shapes import BACKGROUNDS, SHAPES

    for ground in BACKGROUNDS:
        image = picture(("star", "red", "large", 1, 1), ground=ground)
        assert [g for g in BACKGROUNDS if answer(f"is the background {g}?", [image]) == "yes"] == [ground]
    for shape in SHAPES:
        for size in ("small", "large"):
            image = picture((shape, "red", size, 0, 2, 2, -2), size=128)
            assert [s for s in ("small", "large") if answer(f"is the {shape} {s}?", [image]) == "yes"] == [size]
            assert answer(f"is the red {shape} at the top right?", [image]) == "yes"


def test_a_blank_picture_holds_nothing() -> None:
    blank = picture()
    assert [q for q, _ in QUESTIONS if answer(q, [blank]) == "yes"] == ["is the background gray?"]


@pytest.mark.parametrize(
    "question",
    [
        "What is it?",
        "is there a dog?",
        "is there a mauve star?",
        "is there a star",
        "is there a star? Describe it.",
        "is there a star? Is it red? Answer yes or no.",
        "are there two star?",
        "are there many stars?",
        "is the star left of it?",
    ],
)
def test_questions_of_others_are_left_alone(question: str) -> None:
    assert answer(question, [SCENE]) is None
    with pytest.raises(PluginError, match=r"expected one of a mini suite"):
        ShapesJudge().ask(question, [SCENE])


def test_it_looks_at_one_picture() -> None:
    assert answer("is there a star?", []) is None
    assert answer("is there a star?", [SCENE, SCENE]) is None

"""The mini world's judge of edits: the true target is right, the untouched source is not, and harm is seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from evals.judges.shapes import ShapesJudge
from evals.scorers import edit_rubrics, gedit_rules, imgedit_rules
from uniar.data.shapes import Object, Scene, render, sample_edit

KINDS = ("add", "remove", "replace", "recolor", "background", "move")
RED, BLUE = Object("star", "red", "large", 0, 0), Object("ring", "blue", "large", 2, 2)
SOURCE = Scene((RED, BLUE), "sand")


def picture(scene: Scene, size: int = 64) -> Image.Image:
    return Image.fromarray(render(scene, size))


def ask(source: Image.Image, edited: Image.Image, instruction: str) -> tuple[tuple[float, ...], list[int], list[int]]:
    """ImgEdit's three scores, GEdit's SC and PQ pairs, each as its scorer reads them."""
    judge = ShapesJudge()
    rubric = edit_rubrics.MINI_IMGEDIT["replace"].replace("<edit_prompt>", instruction)
    read = imgedit_rules.strict(str(judge.ask(rubric, [source, edited]).text), imgedit_rules.NAMES["replace"])
    sc = json.loads(str(judge.ask(edit_rubrics.MINI_GEDIT.sc.replace("<instruction>", instruction), [source, edited]).text))
    pq = json.loads(str(judge.ask(edit_rubrics.MINI_GEDIT.pq, [edited]).text))
    assert not read.capped, "the judge keeps the rubric's limit itself"
    return read.scores, sc["score"], pq["score"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(4))
def test_the_target_is_right_and_the_source_is_not(kind: str, number: int) -> None:
    made = sample_edit(np.random.default_rng([5, number]), split="held_out" if number == 0 else "train", kind=kind)
    source = picture(made.source)
    assert ask(source, picture(made.target), made.instruction) == ((5.0, 5.0, 5.0), [10, 10], [10, 10])
    scores, sc, _ = ask(source, source, made.instruction)
    assert scores == (1.0, 1.0, 1.0) and sc == [0, 10]


@pytest.mark.parametrize(
    ("instruction", "edited", "success", "kept"),
    [
        # All is as asked, but the other object is gone, or a third one came, or the ground changed.
        ("make the star green", Scene((Object("star", "green", "large", 0, 0),), "sand"), 10, 5),
        (
            "make the star green",
            Scene((Object("star", "green", "large", 0, 0), BLUE, Object("heart", "pink", "small", 0, 2)), "sand"),
            10,
            7,
        ),
        ("make the star green", Scene((Object("star", "green", "large", 0, 0), BLUE), "slate"), 10, 5),
        # The wrong object was changed; the right one into the wrong colour; the right shape at the wrong place.
        ("make the star green", Scene((RED, Object("ring", "green", "large", 2, 2)), "sand"), 0, 5),
        ("make the star green", Scene((Object("star", "pink", "large", 0, 0), BLUE), "sand"), 0, 10),
        ("add a pink heart at the top right", Scene((RED, BLUE, Object("heart", "pink", "large", 2, 0)), "sand"), 5, 8),
        # Moved, but left behind as well.
        ("move the star to the top right", Scene((RED, BLUE, Object("star", "red", "large", 0, 2)), "sand"), 5, 10),
        ("change the background to mint", Scene((RED,), "mint"), 10, 5),
        ("change the background to mint", Scene((RED, BLUE), "sky"), 0, 10),
        ("remove the star", Scene((Object("star", "pink", "large", 0, 0), BLUE), "sand"), 0, 10),
    ],
)
def test_half_done_and_overdone(instruction: str, edited: Scene, success: int, kept: int) -> None:
    _, sc, _ = ask(picture(SOURCE), picture(edited), instruction)
    assert sc[0] == success and sc[1] == kept


def test_spoiling_all_else_costs_compliance_in_imgedit() -> None:
    scores, _, _ = ask(picture(SOURCE), picture(Scene((), "slate")), "remove the star")
    assert scores[0] == 3.0 and scores[2] == 1.0


def test_a_larger_picture_is_read_alike_and_a_blurred_one_is_not_clean() -> None:
    edited = Scene((Object("star", "green", "large", 0, 0), BLUE), "sand")
    assert ask(picture(SOURCE), picture(edited, 128), "make the star green") == ((5.0, 5.0, 5.0), [10, 10], [10, 10])
    noise = np.random.default_rng(0).normal(0, 60, (64, 64, 3))
    noisy = Image.fromarray(np.clip(render(edited) + noise, 0, 255).astype(np.uint8))
    assert min(ask(picture(SOURCE), noisy, "make the star green")[2]) < 10


@pytest.mark.parametrize("instruction", ["make the heart green", "turn it all green", "add a pink heart at the top middle"])
def test_an_instruction_that_does_not_fit_gets_no_score(instruction: str) -> None:
    judge, pictures = ShapesJudge(), [picture(SOURCE), picture(SOURCE)]
    for rubric in (edit_rubrics.MINI_IMGEDIT["add"], edit_rubrics.MINI_GEDIT.sc):
        reply = str(judge.ask(rubric.replace("<edit_prompt>", instruction).replace("<instruction>", instruction), pictures).text)
        assert imgedit_rules.official(reply).value is None and gedit_rules.parse(reply) is False

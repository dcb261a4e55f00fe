"""The engine on its own: batches, what an answer may be, and when the model is given up."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from evals.errors import ModelError
from evals.execute.engine import GIVE_UP, answer, batches, execute, keep, png
from evals.protocols import Generation
from evals.store.journal import read_outputs
from evals.store.layout import Layout
from evals.types import Outcome, Sample, WorkItem


def items(count: int, **settings) -> list[WorkItem]:
    return [
        WorkItem(sample=Sample(sample_id=f"s{i}", task="t", prompt="p"), repeat=0, seed=i, settings=settings)
        for i in range(count)
    ]


class Fixed:
    """Answers every item alike."""

    name = "fixed"
    verbs = frozenset({"generate"})

    def __init__(self, answer: Generation) -> None:
        self.answer = answer
        self.asked: list[int] = []

    def fingerprint(self):
        return {"id": "fixed"}

    def run(self, batch):
        self.asked.append(len(batch))
        return [self.answer for _ in batch]


def test_batches_never_mix_settings():
    plan = items(3, height=1) + items(2, height=2)
    assert [[len(b), b[0].settings["height"]] for b in batches(plan, 2)] == [[2, 1], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        (Generation(), "neither an image nor a text"),
        (Generation(image=Image.new("RGB", (2, 2)), codes=np.full((1, 1, 1, 1), 7, np.uint8)), "cannot be stored"),
        (Generation(image="a picture"), "cannot be stored"),
        (Generation(error="no"), "no"),
    ],
)
def test_answers_that_are_none(tmp_path, generation, message):
    output = keep(items(1)[0], generation, Layout(tmp_path), seconds=1.0)
    assert output.outcome is Outcome.GENERATION_ERROR and message in output.error
    assert list(tmp_path.iterdir()) == []


def test_text_answers_are_outputs(tmp_path):
    output = keep(items(1)[0], Generation(text=""), Layout(tmp_path), seconds=1.0)
    assert output.outcome is Outcome.OK and output.text == "" and output.image is None


def test_png_holds_pixels_only():
    first = Image.new("RGB", (4, 4), (1, 2, 3))
    second = first.convert("RGBA")
    second.info["icc_profile"] = b"made on Tuesday"
    assert png(first) == png(second)


def test_wrong_count_is_asked_again_one_by_one():
    class Greedy(Fixed):
        def run(self, batch):
            super().run(batch)
            return [self.answer] * (len(batch) + 1)

    model = Greedy(Generation(text="x"))
    found = answer(model, items(3))
    assert model.asked == [3, 1, 1, 1]
    assert [g.error for g in found] == ["the model returned 2 answers for 1 items"] * 3


def test_broken_model_is_given_up_early(tmp_path):
    model = Fixed(Generation(error="no processor files"))
    with pytest.raises(ModelError, match=f"the first {GIVE_UP} outputs all failed: no processor files"):
        execute(items(500), model, Layout(tmp_path), batch_size=8)
    assert sum(model.asked) == GIVE_UP == len(read_outputs(Layout(tmp_path).journal))


def test_missing_images_never_stop_a_run(tmp_path):
    model = Fixed(Generation(error="absent", outcome=Outcome.MISSING))
    execute(items(40), model, Layout(tmp_path), batch_size=8)
    assert {o.outcome for o in read_outputs(Layout(tmp_path).journal).values()} == {Outcome.MISSING}

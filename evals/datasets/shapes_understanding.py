"""Questions about scenes of the mini world, in the rows of the understanding benchmarks.

The questions are those of `uniar.data.shapes.sample_question`, on which the bundled checkpoint was trained; half of the scenes show a
combination that training never showed. Judging is left to the benchmarks' own rules. `blind` asks the same of a blank canvas: what can be
guessed without seeing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.datasets import mini_pictures
from evals.errors import DataError
from evals.types import Sample

if TYPE_CHECKING:
    import numpy as np

FAMILIES: dict[str, tuple[str, ...]] = {
    "choice": ("choice",),
    "yes-no": ("yes_no",),
    "count": ("count",),
    "words": ("what", "color", "where"),
}
"""Family -> kinds of the world's questions; `yes-no` asks two a scene, one of each answer."""
_SIDE = 64
_TRIES = 500


class ShapesUnderstandingDataset:
    """Questions of one family; the task is the kind of question, the tag whether the scene is of the training's kind."""

    def __init__(self, *, family: str, questions: int = 60, seed: int = 0, blind: bool = False) -> None:
        """Fix the draw.

        Args:
            family: one of `FAMILIES`.
            questions: in all; even for `yes-no`.
            seed: of scenes and questions.
            blind: show a blank canvas instead of the scene.

        Raises:
            DataError: an unknown family, or a number that does not fit.
        """
        if family not in FAMILIES:
            raise DataError(f"shapes-understanding: family: got {family}; expected one of {', '.join(FAMILIES)}. Change the suite.")
        if questions < 1 or (family == "yes-no" and questions % 2):
            raise DataError(
                f"shapes-understanding: questions: got {questions}; expected at least 1, and an even number for yes-no. Change it."
            )
        self.family, self.count, self.seed, self.blind = family, questions, seed, blind

    @cached_property
    def root(self) -> Path:
        """The folder of the images; made by `load`."""
        return mini_pictures.folder_of("shapes-understanding", _SIDE, self.family, self.count, self.seed, self.blind)

    def load(self) -> Iterator[Sample]:
        """Yield samples and draw their images; ids are five digits.

        Raises:
            DataError: the folder cannot be written.
        """
        import numpy as np

        from uniar.data.shapes import render, sample_scene

        each = 2 if self.family == "yes-no" else 1
        for number in range(self.count // each):
            split = "held_out" if number % 2 else "train"
            draw = np.random.default_rng([self.seed, list(FAMILIES).index(self.family), number])
            scene = sample_scene(draw, split=split)
            image = f"{number:05d}.png"
            mini_pictures.keep(self.root / image, np.full((_SIDE, _SIDE, 3), 160, np.uint8) if self.blind else render(scene, _SIDE))
            for place, question in enumerate(self._questions(draw, scene, number)):
                options = dict(zip("ABCD", question.options, strict=True)) if question.options else None
                metadata: dict[str, Any] = {
                    "benchmark": f"shapes-{self.family}",
                    "index": str(number * each + place),
                    "question_id": image,
                    "question": question.text,
                    "options": options,
                    # What the world's own answers are.
                    "candidates": ["yes", "no"] if question.kind == "yes_no" else None,
                    "answer": question.answer,
                    "answers": [question.answer] * 10,
                    "images": [image],
                    "category": question.kind,
                    # As MathVista tells its rules what an answer looks like.
                    "question_type": "multi_choice" if options else "free_form",
                    "answer_type": "integer" if question.kind == "count" else "text",
                    "choices": list(question.options) if question.options else None,
                    "precision": None,
                }
                yield Sample(
                    sample_id=f"{number * each + place:05d}",
                    task=question.kind,
                    prompt=question.text,
                    metadata=metadata,
                    image=image,
                    target=question.answer,
                    tags=("unseen" if split == "held_out" else "seen",),
                )

    def _questions(self, draw: np.random.Generator, scene: Any, number: int) -> list[Any]:
        from uniar.data.shapes import sample_question

        kinds = FAMILIES[self.family]
        if self.family != "yes-no":
            # The kinds take turns; one that the scene cannot carry is drawn as another by the world, and is then named so.
            return [sample_question(draw, scene, kinds[number % len(kinds)])]
        found: dict[str, Any] = {}
        for _ in range(_TRIES):
            question = sample_question(draw, scene, "yes_no")
            found.setdefault(question.answer, question)
            if len(found) == 2:
                return [found["yes"], found["no"]]
        raise DataError(f"shapes-understanding: scene {number}: got no pair of a yes and a no question; expected one. Change the seed.")

"""OneIG-Bench alignment as a scorer: every question about one image is put to the judge, and exact Yeses are counted.

Source: OneIG-Benchmark 41b4983, `scripts/alignment/alignment_score.py`. The rules are in `oneig_alignment_rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.judges.reading import evidence, unusable
from evals.protocols import Roles
from evals.scorers import oneig_alignment_rules as rules
from evals.scorers import oneig_tiles as tiles
from evals.store.pictures import through_jpeg
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

OTHERS = ("Text_Rendering", "Knowledge_Reasoning")
"""Categories of the benchmark's table without questions."""


class OneIGAlignmentScorer:
    """Share of an image's questions that are met, by the official rule (`score`) and by a strict one (`strict`)."""

    name = "oneig-alignment"
    version = "2"
    source = "OneIG-Benchmark 41b4983, scripts/alignment/alignment_score.py"

    def __init__(
        self,
        *,
        roles: Roles,
        instruction: str = ". Please answer 'Yes' or 'No' only.",
        max_tokens: int = 128,
        jpeg_quality: int | None = tiles.JPEG_QUALITY,
    ) -> None:
        """Bind the rules to a judge.

        Args:
            roles: `judge`.
            instruction: what follows each question without a space, its full stop included.
            max_tokens: longest reply.
            jpeg_quality: of the JPEG through which an image goes before it is judged, as in the official code; None leaves it.

        Raises:
            PluginError: no judge, or a setting that cannot be.
        """
        if "judge" not in roles:
            raise PluginError("scorer oneig-alignment: roles: got no judge; expected one. Add `judge:` under `roles:`.")
        if max_tokens < 1:
            raise PluginError(f"scorer oneig-alignment: max_tokens: got {max_tokens}; expected at least 1. Raise it.")
        self.judge, self.instruction, self.max_tokens = roles["judge"], instruction, max_tokens
        self.jpeg_quality = tiles.checked_quality(jpeg_quality, asked="scorer oneig-alignment")

    def canary(self) -> None:
        """Judge hand-worked answers.

        Raises:
            CanaryError: one comes out otherwise.
        """
        chain = {"1": [0], "2": [1], "3": [2]}
        cases: tuple[tuple[list[str], dict[str, list[int]], float], ...] = (
            # The second question said Yes itself, so it takes nothing from the third.
            (["No", "Yes", "Yes"], chain, 1 / 3),
            (["Yes", "Yes", "Yes"], chain, 1.0),
            (["Yes.", "Yes"], {"1": [0], "2": [1]}, 0.0),
        )
        for answers, dependencies, wanted in cases:
            got = rules.image_score({str(i): rules.read_exact(a) for i, a in enumerate(answers, 1)}, dependencies)
            if abs(got - wanted) > 1e-12:
                raise CanaryError(
                    f"scorer oneig-alignment: canary: got {got}; expected {wanted} for {answers}. The rules are not OneIG-Bench's."
                )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Ask all questions of the sample about one image; a prompt of a class without questions is not applicable.

        Raises:
            DataError: the sample should hold questions and does not.
        """
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        if sample.metadata.get("category") in OTHERS and "questions" not in sample.metadata:
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the benchmark asks no questions about prompts of this class")
        questions, dependencies = self._questions(sample)
        if tiles.is_black(image):
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason=tiles.BLACK)
        shown = through_jpeg(image, self.jpeg_quality)
        told: list[dict[str, Any]] = []
        answers: dict[str, str] = {}
        for number, question in questions.items():
            reply = self.judge.ask(f"{question}{self.instruction}", [shown], max_tokens=self.max_tokens, images_first=True)
            told.append({"id": number, "question": question, **evidence(reply)})
            failed = unusable(reply)
            if failed is not None:
                return Score(**key, outcome=failed[0], reason=failed[1], evidence={"answers": told})
            answers[number] = str(reply.text)
        words = {number: rules.read_word(answer) for number, answer in answers.items()}
        values = {"score": rules.image_score({n: rules.read_exact(a) for n, a in answers.items()}, dependencies)}
        if None not in words.values():
            values["strict"] = rules.image_score({n: bool(word) for n, word in words.items()}, dependencies)
        found: dict[str, Any] = {"answers": told}
        if "strict" not in values:
            found["outcomes"] = {"strict": Outcome.JUDGE_UNPARSED.value}
        no = [questions[n] for n, answer in answers.items() if not rules.read_exact(answer)]
        reason = f"{len(answers) - len(no)} of {len(answers)} answers are Yes{f'; not: {no[0]}' if no else ''}"
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence=found)

    def _questions(self, sample: Sample) -> tuple[dict[str, str], dict[str, list[int]]]:
        questions, dependencies = sample.metadata.get("questions"), sample.metadata.get("dependencies")
        if not isinstance(questions, dict) or not isinstance(dependencies, dict) or not questions:
            raise DataError(f"sample {sample.sample_id}: metadata: got no questions; expected those of OneIG-Bench. Use its dataset.")
        return questions, dependencies

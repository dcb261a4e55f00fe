"""OCRBench: right when any reference is contained in the prediction. 1,000 questions; the score is the number right.

Sources: lmms-eval 75571cf `ocrbench/utils.py`, which folds full-width ASCII first; VLMEvalKit e8e78f0 `utils/ocrbench.py`, which does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evals.errors import DataError

FORMULA = "Handwritten Mathematical Expression Recognition"
GROUPS: dict[str, tuple[str, ...]] = {
    "Text Recognition": (
        "Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition", "Handwriting Recognition",
        "Digit String Recognition", "Non-Semantic Text Recognition",
    ),
    "Scene Text-centric VQA": ("Scene Text-centric VQA",),
    "Doc-oriented VQA": ("Doc-oriented VQA",),
    "Key Information Extraction": ("Key Information Extraction",),
    FORMULA: (FORMULA,),
}  # fmt: skip
"""Published groups and their categories."""
_FOLD = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def contains(prediction: str, answers: Sequence[str] | str, *, formula: bool = False, fold_width: bool = True) -> bool:
    """Return whether a prediction is right.

    Args:
        prediction: the model's words.
        answers: references; a lone text is one.
        formula: HME100k: blanks are deleted and case counts.
        fold_width: read full-width ASCII as ASCII, in the prediction and in the references (lmms-eval); VLMEvalKit does not.

    >>> contains("The text is CENTRE.", ["centre"]), contains("a+b", ["a + b"]), contains("a+b", ["a + b"], formula=True)
    (True, False, True)
    """
    given = [answers] if isinstance(answers, str) else list(answers)

    def plain(text: str) -> str:
        folded = str(text).translate(_FOLD) if fold_width else str(text)
        return folded.strip().replace("\n", " ").replace(" ", "") if formula else folded.lower().strip().replace("\n", " ")

    return any(plain(answer) in plain(prediction) for answer in given)


def score(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the number right of each group and, as `Final Score`, of all: VLMEvalKit's norm is a tenth of it, lmms-eval's a thousandth.

    Args:
        rows: (question type, 1 right or 0 wrong).

    >>> score([("Handwriting Recognition", 1), ("Doc-oriented VQA", 1), ("Doc-oriented VQA", 0)])["Final Score"]
    2.0

    Raises:
        DataError: a question type of no group.
    """
    group_of = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
    counts = dict.fromkeys(GROUPS, 0.0)
    for kind, right in rows:
        if kind not in group_of:
            raise DataError(f"ocrbench: question type: got {kind}; expected one of {', '.join(group_of)}. Fetch the data again.")
        counts[group_of[kind]] += right
    return {**counts, "Final Score": sum(counts.values())}

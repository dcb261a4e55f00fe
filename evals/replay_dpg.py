"""Golden cases of DPG-Bench, replayed through the scorer and the sums that the suite calls, with a judge that says what was recorded.

`evals.parity` compares what is returned here with a case's `expected`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.metrics import dpg as metrics
from evals.metrics.aggregate import rows as planned
from evals.protocols import Reply
from evals.scorers import dpg_rules as rules
from evals.scorers.dpg import DpgScorer
from evals.types import Outcome, Output, Sample

if TYPE_CHECKING:
    from PIL import Image

Case = dict[str, Any]


class _Recorded:
    """A judge that answers from a case's recording of one picture."""

    name = "recorded"
    concurrency = 1

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers

    def identity(self) -> dict[str, Any]:
        return {"judge": self.name}

    def ask(self, question: str, images: Sequence[Image.Image] = (), **settings: Any) -> Reply:
        # The official loader never asks about the row that it drops, so no answer is recorded.
        return Reply(text=self.answers.get(question, ""))


def dpg_bench(inputs: Case) -> Case:
    """Item scores (null: left out), DPG, and both levels of categories."""
    from PIL import Image

    table, blank = rules.items(inputs["csv_rows"]), Image.new("RGB", (1, 1))
    samples, scores = [], []
    for item, crops in inputs["answers"].items():
        questions = [q.to_json() for q in table.get(item, [])]
        sample = Sample(sample_id=item, task="dpg", prompt=item, metadata={"item_id": item, "questions": questions})
        samples.append(sample)
        for repeat, answers in enumerate(crops[: inputs["pic_num"]]):
            output = Output(sample_id=item, task="dpg", repeat=repeat, seed=0, outcome=Outcome.OK)
            scores.append(DpgScorer(roles={"judge": _Recorded(answers)}, instruction="").score(sample, output, blank))
    judged = planned(samples, inputs["pic_num"], scores, "score", scale=(0.0, 100.0))
    items = metrics.item_scores(judged)
    said = [one for row in metrics.policy_rows(judged, "official") for one in metrics.answers_of(row, "official")]
    l2, l1 = rules.category_means(said)
    return {"per_item": items, "dpg_score": rules.overall(items.values()), "l2": l2, "l1": l1}

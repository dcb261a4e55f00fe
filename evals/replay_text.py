"""Golden cases of the text benchmarks, replayed through the scorers and metrics that the suites call.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares. The OCR engine is a stand-in
that answers with what the case says was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.metrics import aggregate, text
from evals.protocols import TextLine
from evals.scorers import longtext_rules, oneig_text_rules
from evals.scorers.longtext import LongTextScorer
from evals.scorers.oneig_text import OneIGTextScorer
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

Case = dict[str, Any]


class _Read:
    """OCR engine that gives recorded texts, in order, and keeps the reply limits it was asked with."""

    name = "recorded"
    takes_max_tokens = True

    def __init__(self, texts: list[str]) -> None:
        self._texts = list(texts)
        self.limits: list[int | None] = []

    def read(self, image: Image.Image, *, max_tokens: int | None = None) -> list[TextLine]:
        self.limits.append(max_tokens)
        # Split as the VLM's plugin splits: joined again by newlines this is the recorded text.
        return [TextLine(line) for line in self._texts.pop(0).split("\n")]


def _output(sample: Sample, repeat: int = 0) -> Output:
    return Output(sample_id=sample.sample_id, task=sample.task, repeat=repeat, seed=0, outcome=Outcome.OK)


def _picture(black: bool = False) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (8, 8), "black" if black else "white")


def longtext_score(inputs: Case) -> Case:
    """Rows with what was compared and counted, the score, and the line that the official script writes."""
    language, rows = inputs["mode"], inputs["rows"]
    samples = [
        Sample(sample_id=str(i), task="text", prompt=str(i), metadata={"text": row["ocr_gt"], "language": language})
        for i, row in enumerate(rows)
    ]
    scorer = LongTextScorer(roles={"ocr": _Read([row["raw_model_output"] for row in rows])})
    scores = [scorer.score(sample, _output(sample), _picture()) for sample in samples]
    table = aggregate.rows(samples, 1, scores, "accuracy")
    total = text.longtext_score(table, value="accuracy", task="*", kind="headline", seed=0).value
    return {
        "rows": [_longtext_row(score) for score in scores],
        "score": total,
        "scores_txt": longtext_rules.score_line(float("nan") if total is None else total),
    }


def _longtext_row(score: Score) -> Case:
    seen, values = score.evidence, score.values
    return {
        "cleaned_output": seen["cleaned"],
        "ocr_normalized": seen["compared"],
        "gt_normalized": seen["wanted"],
        "match_word_count": int(values["matched"]),
        "gt_word_count": int(values["total"]),
        "text_accuracy": values["accuracy"],
    }


def oneig_text(inputs: Case) -> Case:
    """Edit distance, complete rate, word accuracy and text score of a model; means a prompt; reply limits of the OCR model.

    A prompt whose readings are an empty list has black tiles only, one whose readings are null has no image.
    """
    language, prompts = "en" if inputs["mode"].upper() == "EN" else "zh", inputs["prompts"]
    repeats = max([len(prompt["ocr_outputs"] or []) for prompt in prompts] + [1])
    samples, scores, limits, per_prompt = [], [], [], {}
    last: list[str] = []
    for index, prompt in enumerate(prompts):
        metadata = {"id": prompt["id"], "text_content": prompt["text_content"], "language": language}
        sample = Sample(sample_id=str(index), task="text", prompt=str(index), metadata=metadata)
        samples.append(sample)
        per_prompt[prompt["id"]] = None
        if prompt["ocr_outputs"] is None:
            continue
        read = _Read(prompt["ocr_outputs"])
        scorer = OneIGTextScorer(roles={"ocr": read})
        black = not prompt["ocr_outputs"]
        own = [scorer.score(sample, _output(sample, k), _picture(black)) for k in range(len(prompt["ocr_outputs"]) or repeats)]
        scores += own
        limits += read.limits[:1]
        # The official script goes on with the readings of the prompt before.
        if black:
            wanted = oneig_text_rules.normalize(prompt["text_content"])
            found = [oneig_text_rules.compare(before, wanted) for before in last]
            rows = [(float(m.distance), float(m.exact), m.accuracy) for m in found]
        else:
            last = [score.evidence["compared"] for score in own]
            rows = [tuple(score.values[name] for name in ("distance", "exact", "accuracy")) for score in own]
        if rows:
            per_prompt[prompt["id"]] = [sum(column) / len(column) for column in zip(*rows, strict=True)]
    table = aggregate.rows(samples, repeats, scores, "accuracy")
    settings: dict[str, Any] = {"value": "accuracy", "task": "*", "kind": "headline", "seed": 0}
    parts = {part.name: part.value for part in text.oneig_text_parts(table, **settings)}
    return {
        "ED": parts["edit_distance"],
        "CR": parts["complete_rate"],
        "WAC": parts["word_accuracy"],
        "text_score": text.oneig_text_score(table, **settings).value,
        "per_prompt": per_prompt,
        "max_new_tokens": limits,
    }


def oneig_text_units(inputs: Case) -> Case:
    """Cleaning, normalisation and comparison of one text; the recorded comparison is of the text that is not cleaned."""
    rules = oneig_text_rules
    found = rules.compare(rules.normalize(inputs["ocr"]), rules.normalize(inputs["gt"]))
    return {
        "gt_norm": found.wanted,
        "ocr_norm": found.read,
        "edit_distance": found.distance,
        "match_count": found.matched,
        "ratio": found.accuracy,
        "gt_count": found.total,
        "cleaned": rules.clean(inputs["ocr"]),
    }

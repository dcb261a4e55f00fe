"""Golden cases of the multiple-choice benchmarks, replayed through the functions that the understanding suites call.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares. Yes/no and free text stand in
`evals.replay_answers`.
"""

from __future__ import annotations

from typing import Any

from evals.understanding import choice, mmbench, mmstar
from evals.understanding import mmmu as mmmu_rules

Case = dict[str, Any]


def mcq_inference(inputs: Case) -> Case:
    """Both inferences of VLMEvalKit and both of lmms-eval; undecided is recorded as false there, as an empty text by the extractor."""
    text, options = inputs["prediction"], inputs["choices"]
    return {
        "vlmevalkit_can_infer": choice.infer(text, options) or False,
        "vlmevalkit_can_infer_option": choice.infer_option(text, options) or False,
        "lmms_extract_mcq_answer": choice.extract_letter(text, list(options)) or "",
        "lmms_mmbench_can_infer": mmbench.infer_lmms(text, options) or False,
    }


def choice_scorers(inputs: Case) -> Case:
    """The letter rules of four benchmarks; RealWorldQA has keys A to D only."""
    text, gold = inputs["prediction"], choice.letters(len(inputs["choices"]))[inputs["answer_index"]]
    return {
        "scienceqa": float(choice.scienceqa_right(text, gold)),
        "seedbench": float(choice.seed_right(text, gold)),
        "ai2d_filtered": choice.ai2d_filtered(text),
        "ai2d": float(choice.ai2d_right(text, gold)),
        "realworldqa_mcq": float(choice.realworldqa_right(text, gold)) if gold in "ABCD" else None,
    }


def realworldqa(inputs: Case) -> float:
    """Credit of a response."""
    return float(choice.realworldqa_right(inputs["prediction"], inputs["answer"]))


def mmbench_circular(inputs: Case) -> Case:
    """Circular verdicts of both harnesses without a judge, and their tables."""
    rows = inputs["rows"]
    hits = {base: found.exact for base, found in mmbench.circular(rows).items()}
    static = {base: found.exact for base, found in mmbench.circular_lmms_static(rows).items()}
    categories = {int(row["index"]): row["category"] for row in rows}
    return {
        "vlmevalkit_hits": {str(base): int(hit) for base, hit in hits.items()},
        "vlmevalkit_acc": mmbench.accuracy(rows, hits),
        "lmms_static_overall": choice.mean(static.values()),
        "lmms_static_category": {
            name: choice.mean(hit for base, hit in static.items() if categories[base] == name)
            for name in sorted({categories[base] for base in static})
        },
    }


def mmmu_choice(inputs: Case) -> Case:
    """The option by both published forms."""
    text, options = inputs["response"], inputs["options"]
    return {
        "current": mmmu_rules.parse_choice(text, options),
        "original_2023": mmmu_rules.parse_choice(text, options, form="2023"),
    }


def mmmu_open(inputs: Case) -> Case:
    """What an open answer may mean, numbers first, each kind in the order of its text; the keys; the verdict."""
    parsed, gold = mmmu_rules.parse_open(inputs["response"]), inputs["gold"]
    return {
        "parsed": sorted(parsed, key=lambda value: (isinstance(value, str), str(value))),
        "normalized_gold": mmmu_rules.open_gold(gold),
        "correct": mmmu_rules.open_right(gold, parsed),
    }


def mmmu_aggregate(inputs: Case) -> float:
    """Accuracy over questions as lmms-eval prints it; a question is right if one of its answers is."""
    credits = {row["id"]: float(any(mmmu_rules.choice_right(row["answer"], x) for x in row["parsed_pred"])) for row in inputs["rows"]}
    return round(mmmu_rules.accuracy(credits).overall, 5)


def mmstar_rows(inputs: Case) -> Case:
    """Credits, and means over second-level categories."""
    scored = [(row, float(mmstar.right(row["prediction"], row["answer"]))) for row in inputs["rows"]]
    return {"scores": [credit for _, credit in scored], "metrics": mmstar.summary(scored)}

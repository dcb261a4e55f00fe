"""Golden cases of the yes/no and free-text benchmarks, replayed through the functions that the understanding suites call."""

from __future__ import annotations

from typing import Any

from evals.understanding import anls as anls_rules
from evals.understanding import chartqa, hallusion, mathvista, mme, ocrbench, pope, textvqa, yes_no

Case = dict[str, Any]


def anls(inputs: Case) -> Case:
    """ANLS under the shared threshold, and the distance to each answer."""
    score = anls_rules.anls(inputs["prediction"], inputs["answers"])
    distances = [anls_rules.normalized_distance(inputs["prediction"], answer) for answer in inputs["answers"]]
    return {"anls": score, "vlmevalkit": score, "normalized_distances": distances}


def chartqa_relaxed(inputs: Case) -> Case:
    """Both harnesses' function, and VLMEvalKit's line."""
    prediction, target = inputs["prediction"], inputs["target"]
    right = chartqa.relaxed_correctness(prediction, target)
    return {"lmms_eval": right, "vlmevalkit_function": right, "vlmevalkit_line": chartqa.relaxed_line(prediction, target)}


def yes_no_parse(inputs: Case) -> Case:
    """All four readings."""
    text = inputs["text"]
    return {
        "vlmevalkit": yes_no.vlmevalkit(text),
        "lmms_mme": yes_no.lmms_mme(text),
        "mme_official_calculation": yes_no.mme_official(text),
        "pope_official": yes_no.pope_official(text),
    }


def ocrbench_case(inputs: Case) -> Case:
    """With and without folding of full-width characters."""
    formula = inputs["category"] == ocrbench.FORMULA
    given = (inputs["prediction"], inputs["answers"])
    return {
        "lmms_eval": int(ocrbench.contains(*given, formula=formula)),
        "vlmevalkit": int(ocrbench.contains(*given, formula=formula, fold_width=False)),
    }


def textvqa_accuracy(inputs: Case) -> Case:
    """Both normalisers."""
    return {
        flavour: {
            "pred_norm": textvqa.normalize(inputs["prediction"], flavour=flavour),
            "gt_norm": [textvqa.normalize(answer, flavour=flavour) for answer in inputs["answers"]],
            "score": textvqa.vqa_accuracy(inputs["prediction"], inputs["answers"], flavour=flavour),
        }
        for flavour in ("vlmevalkit", "evalai")
    }


def pope_aggregate(inputs: Case) -> Case:
    """All three evaluations."""
    rows = inputs["rows"]
    return {"vlmevalkit": pope.vlmevalkit(rows), "lmms_eval": pope.lmms(rows), "official": pope.official(rows)}


def mme_aggregate(inputs: Case) -> Case:
    """Subtasks and sums, each harness with its own reading."""
    kit = mme.subtask_scores(inputs["rows"], read=yes_no.vlmevalkit)
    sums, ours = mme.totals(kit), mme.totals(mme.subtask_scores(inputs["rows"]))
    return {
        "vlmevalkit": {"perception": sums["perception"], "reasoning": sums["cognition"], **kit},
        "lmms_perception": ours["perception"],
        "lmms_cognition": ours["cognition"],
    }


def hallusion_aggregate(inputs: Case) -> Case:
    """The official rule, rounded as it prints, and VLMEvalKit's."""
    rounded = {name: round(value, 4) for name, value in hallusion.official(inputs["rows"]).items()}
    return {"lmms": rounded, "vlmevalkit_overall": hallusion.vlmevalkit(inputs["rows"])}


def mathvista_case(inputs: Case) -> Case:
    """Extraction, normal form and verdict; the text itself taken as the extraction; VLMEvalKit's check."""
    text = inputs["text"]
    extracted = mathvista.quick_extraction(text, inputs)
    out: Case = {"lmms_extraction": "<JUDGE>" if extracted is None else extracted}
    if extracted is not None:
        normal = mathvista.normalize(extracted, inputs)
        out |= {"lmms_normalized": normal, "lmms_correct": mathvista.is_correct(normal, inputs["answer"], strip=True)}
    official = mathvista.normalize(text, inputs)
    return out | {
        "official_normalized": official,
        "official_correct": mathvista.is_correct(official, inputs["answer"]),
        "vlmevalkit_prefetch": mathvista.vlmevalkit_check(inputs, text, prefetch=True),
        "vlmevalkit_hit_if_res_is_this": mathvista.vlmevalkit_check(inputs, text, prefetch=False),
    }

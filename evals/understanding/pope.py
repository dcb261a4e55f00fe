"""POPE: accuracy, precision, recall and F1 of "yes", over the three splits.

Three evaluations are in use; they read replies differently (see `yes_no`) and differ in what an unreadable one is:
`official` (read in TorchUMM 083395e) reads everything as yes or no; `vlmevalkit` (e8e78f0) counts it as a wrong "not yes" and
spreads a row over the splits that it names; `lmms` (lmms-eval 75571cf) counts it as wrong and in no ratio. lmms-eval's yes ratio
is that of the ground truth, a bug; ours is that of the predictions, as the official one. A ratio without a case is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evals.understanding import yes_no

Row = Mapping[str, Any]
"""`answer` (Yes or No), `prediction`, `category` (a split, or several joined by commas)."""


def official(rows: Sequence[Row]) -> dict[str, float]:
    """Return the official figures, fractions, under their published names."""
    pairs = [(row["answer"].lower() == "yes", yes_no.pope_official(row["prediction"]) == "yes") for row in rows]
    precision, recall, f1 = _ratios(pairs)
    return {
        "Accuracy": _share(true == pred for true, pred in pairs),
        "Precision": precision,
        "Recall": recall,
        "F1 score": f1,
        "Yes ratio": _share(pred for _, pred in pairs),
    }


def official_by_split(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return `official` of each split, in order of appearance; a row counts in every split that it names."""
    splits = dict.fromkeys(part for row in rows for part in row["category"].split(","))
    return {split: official([row for row in rows if split in row["category"].split(",")]) for split in splits}


def mean_f1(rows: Sequence[Row]) -> float:
    """Return the mean over the splits of their official F1, the figure that papers report, as a fraction."""
    scores = [own["F1 score"] for own in official_by_split(rows).values()]
    return sum(scores) / len(scores) if scores else 0.0


def lmms(rows: Sequence[Row]) -> dict[str, float]:
    """Return lmms-eval's figures, fractions; `yes_ratio` is of the ground truth, as there."""
    read = [(row["answer"].lower().strip(), row["prediction"].lower().strip()) for row in rows]
    pairs = [(true == "yes", pred == "yes") for true, pred in read if pred in ("yes", "no")]
    precision, recall, f1 = _ratios(pairs)
    return {
        "accuracy": _share(true == pred for true, pred in read),
        "precision": precision,
        "recall": recall,
        "f1_score": f1,
        "yes_ratio": _share(true == "yes" for true, _ in read),
    }


def vlmevalkit(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return VLMEvalKit's figures, percent, for `Overall` (all rows, each once a split) and for every split."""
    spread = [(part, row) for row in rows for part in row["category"].split(",")]
    groups = {"Overall": [row for _, row in spread]}
    for part, row in spread:
        groups.setdefault(part, []).append(row)
    out = {}
    for name, own in groups.items():
        read = [(row["answer"], yes_no.vlmevalkit(row["prediction"])) for row in own]
        precision, recall, f1 = _ratios([(true == "Yes", pred == "Yes") for true, pred in read])
        out[name] = {
            "Overall": 100 * f1,
            "acc": 100 * _share(true == pred for true, pred in read),
            "precision": 100 * precision,
            "recall": 100 * recall,
        }
    return out


def _ratios(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float, float]:
    hits = sum(true and pred for true, pred in pairs)
    said, meant = sum(pred for _, pred in pairs), sum(true for true, _ in pairs)
    precision = hits / said if said else 0.0
    recall = hits / meant if meant else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


def _share(values: Iterable[bool]) -> float:
    own = list(values)
    return sum(own) / len(own) if own else 0.0

"""Golden cases of WISE's official reading of replies and of its sums, replayed through the functions that the suite calls.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares.
"""

from __future__ import annotations

import math
from typing import Any

from evals.scorers import wise_rules as rules

Case = dict[str, Any]


def parse(inputs: Case) -> Case:
    """A judge's reply read by both versions, and the WiScore of the legacy marks (null unless all three are there)."""
    text = inputs["judge_text"] or ""
    marks = rules.parse_legacy(text)
    return {"legacy": marks, "legacy_wiscore": rules.wiscore(marks), "verified": rules.parse_verified(text)}


def aggregate(inputs: Case) -> Case:
    """Category means and the overall number, also as the official script prints them."""
    version = inputs["version"]
    # Whatever is no number is a prompt without a mark.
    digits = [float(x) if x in "0123456789" else math.nan for x in inputs["scores_string"]]
    if version == "legacy":
        rows = [dict(zip(rules.MARKS, digits[i : i + 3], strict=True)) for i in range(0, len(digits), 3)]
        values = {number: score for number, row in enumerate(rows, 1) if (score := rules.wiscore(row)) is not None and score == score}
    else:
        # The verified script passes over marks that are neither 0 nor 1.
        values = {number: mark for number, mark in enumerate(digits, 1) if mark in (0, 1)}
    means = rules.category_means(values, version)
    overall = rules.weighted_overall(means, {one.name: one.weight for one in rules.CATEGORIES[version]})
    if overall is None:
        raise ValueError(f"a category of {version} has no prompt")
    first, *others = (f"{mean:.2f}" for mean in means.values())
    return {
        "category_avg": means,
        "overall_printed_2dp": float(f"{overall:.2f}"),
        "final_line": "\t\t".join((first, "\t".join(others), f"{overall:.2f}")),
    }

"""Golden cases of WISE's official reading of replies and of its sums, replayed through the functions that the suite calls.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares.
"""

from __future__ import annotations

from typing import Any

from evals.scorers import wise_rules as rules

Case = dict[str, Any]


def parse(inputs: Case) -> Case:
    """A judge's reply read by both versions, and the WiScore of the legacy marks (null unless all three are there)."""
    marks = rules.parse_legacy(inputs["judge_text"])
    return {"legacy": marks, "legacy_wiscore": rules.wiscore(marks), "verified": rules.parse_verified(inputs["judge_text"])}


def aggregate(inputs: Case) -> Case:
    """Category means and the overall number, also as the official script prints them."""
    version, digits = inputs["version"], [float(x) for x in inputs["scores_string"]]
    if version == "legacy":
        rows = [dict(zip(rules.MARKS, digits[i : i + 3], strict=True)) for i in range(0, len(digits), 3)]
        values = {number: score for number, row in enumerate(rows, 1) if (score := rules.wiscore(row)) is not None}
    else:
        values = dict(enumerate(digits, 1))
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

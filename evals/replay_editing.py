"""Golden cases of ImgEdit-Bench and GEdit-Bench, replayed through the functions that the suites call.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares.
"""

from __future__ import annotations

import math
from typing import Any

from evals.scorers import gedit_rules as gedit
from evals.scorers import imgedit_rules as imgedit

Case = dict[str, Any]


def imgedit_scores(inputs: Case) -> Case:
    """Item, type and UGE averages of a set of replies."""
    return imgedit.summary_json(imgedit.official_summary(inputs["responses"], inputs.get("edit_types") or {}))


def gedit_parse(inputs: Case) -> Case:
    """What is read of a reply, and its smallest score."""
    parsed = gedit.parse(inputs["output"] or "")
    return {"result": parsed, "error": None, "min_score": gedit.lowest(parsed)}


def gedit_statistics(inputs: Case) -> Case:
    """The tables of one language; a score that is absent is NaN, as an empty cell of the official file is."""
    names = ("sementics_score", "quality_score")
    rows = [{**row, **{name: math.nan for name in names if row.get(name) is None}} for row in inputs["rows"]]
    return gedit.statistics(rows, inputs["language"])

"""Golden cases of T2I-CompBench's rules, replayed through the functions that its scorers call.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares.
"""

from __future__ import annotations

import re
from typing import Any

from evals.scorers import compbench_rules as rules

Case = dict[str, Any]

_SIDES = ("x_min", "y_min", "x_max", "y_max")
_IMAGES = 10
"""Images a prompt there."""


def _boxes(inputs: Case) -> list[list[float]]:
    return [[inputs[key][side] for side in _SIDES] for key in ("box1", "box2")]


def position_2d(inputs: Case) -> float:
    """Where two boxes lie in the plane."""
    return rules.position_2d(inputs["locality"], *_boxes(inputs))


def position_3d(inputs: Case) -> float:
    """Where two boxes lie in depth; the map is the plane that the case tells."""
    import numpy as np

    plane = inputs["depth_plane"]
    size = re.search(r"(\d+)\s*x\s*(\d+)", plane["formula"])
    if size is None:
        raise ValueError(f"no size in {plane['formula']}")
    g0, g1, g2 = plane["g"]
    i, j = np.indices((int(size[1]), int(size[2])), dtype=np.float64)
    return rules.position_3d(inputs["locality"], *_boxes(inputs), g0 * i + g1 * j + g2)


def numeracy_duplicate(inputs: Case) -> int:
    """Whether two boxes are one thing, as 0 or 1."""
    return int(rules.is_duplicate(inputs["a"], inputs["b"]))


def three_in_one(inputs: Case) -> Case:
    """Scores of complex prompts, image by image, and their mean."""
    each = inputs.get("images_per_prompt", _IMAGES)
    kinds = [kind for kind in inputs["kinds"] for _ in range(each)]
    scores = [
        rules.three_in_one(kind, attribute=attribute, spatial=spatial, clip=clip)
        for kind, attribute, spatial, clip in zip(kinds, inputs["blip_vqa"], inputs["spatial"], inputs["clip"], strict=True)
    ]
    return {"per_image": scores, "avg": sum(scores) / len(scores)}

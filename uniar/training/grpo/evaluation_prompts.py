"""The prompts of GenEval-mini, which reinforcement learning must not ask: training on the test is not learning.

A copy, since this package does not know the evaluation framework; a test holds it equal to what the suite
`suites/geneval.yaml` asks in its profile `mini`.
"""

from __future__ import annotations

EVALUATION_PROMPTS: frozenset[str] = frozenset((
    # single_object
    "a photo of a circle", "a photo of a cross", "a photo of a diamond", "a photo of a heart", "a photo of a ring", "a photo of a square",
    "a photo of a star", "a photo of a triangle",
    # two_object
    "a photo of a circle and a cross", "a photo of a circle and a diamond", "a photo of a circle and a star",
    "a photo of a cross and a ring", "a photo of a cross and a triangle", "a photo of a diamond and a square",
    "a photo of a diamond and a star", "a photo of a diamond and a triangle", "a photo of a heart and a star",
    "a photo of a ring and a circle", "a photo of a ring and a diamond", "a photo of a ring and a heart",
    "a photo of a ring and a triangle", "a photo of a square and a circle", "a photo of a square and a diamond",
    "a photo of a star and a circle", "a photo of a star and a cross", "a photo of a star and a diamond", "a photo of a star and a ring",
    "a photo of a triangle and a square",
    # counting
    "a photo of four crosses", "a photo of four diamonds", "a photo of four hearts", "a photo of four rings", "a photo of four squares",
    "a photo of four triangles", "a photo of three circles", "a photo of three crosses", "a photo of three diamonds",
    "a photo of three hearts", "a photo of three rings", "a photo of three squares", "a photo of three stars",
    "a photo of three triangles", "a photo of two crosses", "a photo of two diamonds", "a photo of two hearts", "a photo of two rings",
    "a photo of two stars", "a photo of two triangles",
    # colors
    "a photo of a black circle", "a photo of a black heart", "a photo of a black square", "a photo of a blue diamond",
    "a photo of a blue ring", "a photo of a brown circle", "a photo of a green heart", "a photo of a pink circle",
    "a photo of a purple circle", "a photo of a purple ring", "a photo of a purple star", "a photo of a red circle",
    "a photo of a red star", "a photo of a white diamond", "a photo of a white triangle", "a photo of a yellow diamond",
    "a photo of a yellow heart", "a photo of a yellow ring", "a photo of an orange circle", "a photo of an orange triangle",
    # position
    "a photo of a circle above a star", "a photo of a circle above a triangle", "a photo of a circle below a heart",
    "a photo of a cross above a square", "a photo of a cross right of a circle", "a photo of a diamond above a star",
    "a photo of a diamond left of a circle", "a photo of a diamond left of a heart", "a photo of a heart above a ring",
    "a photo of a heart right of a cross", "a photo of a heart right of a diamond", "a photo of a ring left of a circle",
    "a photo of a ring left of a cross", "a photo of a ring right of a circle", "a photo of a square above a cross",
    "a photo of a square below a diamond", "a photo of a square right of a ring", "a photo of a star left of a ring",
    "a photo of a star right of a ring", "a photo of a triangle right of a cross",
    # color_attr
    "a photo of a black diamond and a white star", "a photo of a black square and a yellow triangle",
    "a photo of a black triangle and a green square", "a photo of a blue circle and a purple star",
    "a photo of a blue star and a yellow square", "a photo of a brown diamond and a black star",
    "a photo of a brown heart and an orange star", "a photo of a brown square and a black heart",
    "a photo of a green diamond and a purple circle", "a photo of a green heart and a brown cross",
    "a photo of a pink circle and a white diamond", "a photo of a red circle and a pink cross",
    "a photo of a red cross and a green heart", "a photo of a red square and a green circle", "a photo of a red star and a green square",
    "a photo of a red triangle and a green ring", "a photo of a white ring and a green triangle",
    "a photo of a white triangle and a purple cross", "a photo of an orange heart and a purple cross",
    "a photo of an orange heart and a red ring",
))  # fmt: skip
"""Every prompt once."""

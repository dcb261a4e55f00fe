"""The synthetic world of shapes: scenes, pixels, captions, questions, edits, and what training never shows.

numpy and Pillow only. Coordinates are pixels on a 64 px canvas unless said otherwise.
"""

from __future__ import annotations

from uniar.data.shapes.captions import TASKS, Captioned, all_text, describe, sample_captioned
from uniar.data.shapes.edits import Edit, edit_of, sample_edit
from uniar.data.shapes.outlines import shape_mask, tight_box
from uniar.data.shapes.questions import Question, sample_question
from uniar.data.shapes.render import label_maps, render, render_masks
from uniar.data.shapes.scene import Object, Scene, is_held_out, relations, sample_scene
from uniar.data.shapes.splits import held_out_pairs, held_out_relations, is_held_out_pair, is_held_out_relation
from uniar.data.shapes.vocabulary import BACKGROUNDS, COLORS, RELATIONS, RGB, SHAPES, SIZES, USUAL_COLOR

__all__ = [
    "BACKGROUNDS",
    "COLORS",
    "RELATIONS",
    "RGB",
    "SHAPES",
    "SIZES",
    "TASKS",
    "USUAL_COLOR",
    "Captioned",
    "Edit",
    "Object",
    "Question",
    "Scene",
    "all_text",
    "describe",
    "edit_of",
    "held_out_pairs",
    "held_out_relations",
    "is_held_out",
    "is_held_out_pair",
    "is_held_out_relation",
    "label_maps",
    "relations",
    "render",
    "render_masks",
    "sample_captioned",
    "sample_edit",
    "sample_question",
    "sample_scene",
    "shape_mask",
    "tight_box",
]

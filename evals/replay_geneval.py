"""Golden cases of GenEval and its detector, replayed through the functions that the suite calls.

Each function takes a case's `inputs` and returns what its `expected` holds; `evals.parity` compares. The verdict goes
through `GenEvalScorer` with stand-in roles that answer what the case says the detector and the classifier saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.protocols import Detection
from evals.types import Outcome, Output, Sample

if TYPE_CHECKING:
    from PIL import Image

Case = dict[str, Any]


class _Recorded:
    """Detector and colour classifier that answer from a recording."""

    name = "recorded"

    def __init__(self, found: list[Detection]) -> None:
        self.found = found

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        return self.found

    def classify(self, image: Image.Image, detections: Sequence[Detection], object_class: str) -> list[str]:
        return [str(d.color) for d in detections]


def evaluate_image(inputs: Case) -> Case:
    """Select and judge one image's detections."""
    from PIL import Image

    from evals.scorers.geneval import GenEvalScorer

    metadata = inputs["metadata"]
    clauses = [*metadata.get("include", []), *metadata.get("exclude", [])]
    classes = sorted({*inputs["detections"], *(clause["class"] for clause in clauses)})
    recorded = _Recorded(
        [
            Detection(label=classes.index(name), score=d["score"], box=tuple(d["box"]), color=d["color"])
            for name, group in inputs["detections"].items()
            for d in group
        ]
    )
    settings = ("threshold", "counting_threshold", "max_objects", "max_overlap", "position_threshold")
    scorer = GenEvalScorer(
        roles={"detector": recorded, "color": recorded}, classes=classes, **{key: inputs[key] for key in settings}
    )
    sample = Sample(sample_id="0", task=metadata["tag"], prompt=metadata["prompt"], metadata=metadata)
    output = Output(sample_id="0", task=metadata["tag"], repeat=0, seed=0, outcome=Outcome.OK)
    score = scorer.score(sample, output, Image.new("RGB", (1, 1)))
    details: dict[str, list[list[float]]] = {}
    for d in score.evidence["detections"]:
        details.setdefault(d["class"], []).append([*d["box"], d["score"]])
    return {"correct": bool(score.values["correct"]), "reason": score.reason, "details": details}


def relative_position(inputs: Case) -> list[str]:
    """Relations of box A to box B."""
    from evals.scorers import geneval_rules

    return geneval_rules.relative_position(
        inputs["box_a"], inputs["box_b"], position_threshold=inputs["position_threshold"]
    )


def iou(inputs: Case) -> float:
    """Overlap of two boxes."""
    from evals.scorers import geneval_rules

    return geneval_rules.iou(inputs["a"], inputs["b"])


def summary(inputs: Case) -> Case:
    """The numbers over judged rows, and the official text."""
    from evals.scorers import geneval_rules

    result = geneval_rules.summary(inputs["rows"])
    return {
        "total_images": result.total_images,
        "total_prompts": result.total_prompts,
        "image_acc": result.image_accuracy,
        "prompt_any_acc": result.prompt_accuracy,
        "task_order": list(result.tasks),
        "task_scores": [task.score for task in result.tasks.values()],
        "overall": result.overall,
        "stdout": result.text(),
    }


def prompts(inputs: Case) -> Case:
    """Hashes and a few rows of the generated prompt files."""
    from evals.datasets.geneval import GenEvalDataset, metadata_text, prompts_text

    dataset = GenEvalDataset(seed=inputs["seed"], prompts_per_task=inputs["num_prompts"])
    rows = [sample.metadata for sample in dataset.load()]

    def sha256(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    return {
        "rows": len(rows),
        "metadata_sha256": sha256(metadata_text(rows)),
        "prompts_sha256": sha256(prompts_text(rows)),
        "first": rows[0],
        "row_80": rows[80],
        "last": rows[-1],
    }


def color_crop(inputs: Case) -> Case:
    """An object over grey."""
    import numpy as np
    from PIL import Image

    from evals.perception import clip_color

    image = Image.fromarray(np.array(inputs["image"], dtype=np.uint8))
    mask = None if inputs["mask"] is None else np.array(inputs["mask"], dtype=bool)
    crop = clip_color.color_crop(image, mask, inputs["box"])
    return {"size_hw": [crop.height, crop.width], "pixels": np.asarray(crop).tolist()}


def color_classifier(inputs: Case) -> Case:
    """Logits and colours from recorded embeddings."""
    import torch

    from evals.perception import clip_color

    texts = inputs["text_embeddings"]
    # The class is told by the texts: "a photo of a red dog".
    name = next(iter(texts)).removeprefix(f"a photo of a {clip_color.COLORS[0]} ")
    weights = clip_color.color_weights(lambda wanted: torch.tensor([texts[text] for text in wanted]), name)
    logits = clip_color.color_logits(torch.tensor(inputs["image_embeddings"]), weights)
    return {"logits": logits.tolist(), "colors": clip_color.best_colors(logits)}


def instance_postprocess(inputs: Case) -> list[Case]:
    """Instances from raw logits, sorted by label and falling score."""
    import torch

    from evals.perception.mask2former_postprocess import instances

    found = instances(
        torch.tensor(inputs["class_logits"]),
        torch.tensor(inputs["mask_logits"]),
        padded_size=tuple(inputs["batch_input_shape"]),
        resized_size=tuple(inputs["img_shape"]),
        original_size=tuple(inputs["ori_shape"]),
        max_per_image=inputs["max_per_image"],
    )
    areas = found.masks.flatten(1).sum(1)[found.mask_index]
    columns = (found.labels.tolist(), found.boxes.tolist(), found.scores.tolist(), areas.tolist())
    keys = ("label", "box", "score", "mask_area")
    rows = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    return sorted(rows, key=lambda row: (row["label"], -row["score"], row["box"]))


def borderline_masks(inputs: Case, got: list[Case], expected: list[Case]) -> bool:
    """Whether two lists of instances differ only by pixels whose logit is within 1e-5 of zero.

    Such a pixel falls on either side by the last bit of the resize, which depends on the processor. Every row must have
    its partner: same label, box within a pixel, area within the number of such pixels, score within what they move.
    """
    import torch

    from evals.perception.mask2former_postprocess import resize_to_image, upsample_to_input

    sizes = (tuple(inputs[key]) for key in ("batch_input_shape", "img_shape", "ori_shape"))
    padded, resized, original = sizes
    logits = resize_to_image(upsample_to_input(torch.tensor(inputs["mask_logits"]), padded, resized), original)
    slack = int((logits.abs() < 1e-5).flatten(1).sum(1).max())
    left = list(got)
    for want in expected:
        for row in left:
            area = max(row["mask_area"], want["mask_area"], 1)
            near_box = all(abs(a - b) <= 1 for a, b in zip(row["box"], want["box"], strict=True))
            near_area = abs(row["mask_area"] - want["mask_area"]) <= slack
            near_score = abs(row["score"] - want["score"]) <= 1e-5 + slack / area
            if row["label"] == want["label"] and near_box and near_area and near_score:
                left.remove(row)
                break
        else:
            return False
    return slack > 0 and not left


def resize(inputs: Case) -> Any:
    """OpenCV's 8-bit bilinear resize."""
    import numpy as np

    from evals.perception.mask2former_preprocess import resize_bilinear

    image = np.array(inputs["image"], dtype=np.uint8)
    return resize_bilinear(image, inputs["height"], inputs["width"]).tolist()

"""Write a synthetic run folder by hand: plain JSON and PNG files, as the run-folder contract says.

It knows nothing of the store's code, so the reader and the page are tested against the format itself.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
COLORS = {"red": "#d1342f", "blue": "#2f5fd1", "green": "#2f9e52", "yellow": "#e5b91f", "purple": "#7d3fb5"}
SHAPES = ("circle", "square", "triangle", "star")
NOTICE = (
    "Mini profile: a synthetic world of shapes, scored by a programmatic detector. "
    "Not comparable with published GenEval numbers."
)
HOSTILE = {
    "script": "<script>window.pwned=1</script><img src=x onerror='window.pwned=2'></script><!-- a photo of a cat",
    "bidi": "a red \u202eelcric\u202c beside \u2066a square\u2069 \u05d0\u05d1\u05d2",
    "long": "w" * 3_000 + " " + "very long prompt " * 412,
    "emoji": "\U0001f469\u200d\U0001f680 " * 30 + "\ud800 and \x00 in one prompt",
}


def build_run(
    folder: Path,
    *,
    prompts_per_task: int = 4,
    repeats: int = 2,
    side: int = 64,
    hostile: bool = False,
    troubles: bool = True,
    profile: str = "mini",
    noise: bool = False,
    shared_images: int = 0,
) -> Path:
    """Write the folder and return it.

    Args:
        folder: made when absent.
        prompts_per_task: six tasks.
        repeats: images a prompt.
        side: of the square images, pixels.
        hostile: add one sample for each prompt of `HOSTILE`.
        troubles: one generation error, one scorer error, one output never made, one damaged and one absent image.
        profile: `mini` or `official`.
        noise: texture in the pictures, so that they compress like photographs.
        shared_images: this many picture files serve all outputs (0: each has its own).
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(7)
    samples = []
    for task in TASKS:
        for at in range(prompts_per_task):
            color, shape = draw.choice(list(COLORS)), draw.choice(SHAPES)
            samples.append(
                {
                    "sample_id": f"{task}-{at:05d}",
                    "task": task,
                    "prompt": f"a photo of a {color} {shape}",
                    "metadata": {"tag": task, "include": [{"class": shape, "count": 1, "color": color}]},
                    "image": None,
                    "target": None,
                    "tags": ["unseen" if at % 4 == 0 else "seen"],
                }
            )
    if hostile:
        common = {"task": "<b>hostile</b>", "metadata": {}, "tags": ["seen"]}
        samples += [
            {"sample_id": f"hostile-{name}", "prompt": prompt} | common
            for name, prompt in HOSTILE.items()
        ]
    journal, scores = [], []
    expected = len(samples) * repeats
    for number, (sample, repeat) in enumerate((s, r) for s in samples for r in range(repeats)):
        output, score = _one(folder, sample, repeat, number, draw, side, noise, shared_images)
        trouble = number if troubles else -1
        if trouble == 5:
            continue
        if trouble == 1:
            output |= {"outcome": "generation_error", "image": None, "image_sha256": None}
            output["error"] = "The model ran out of <b>memory</b> at step 12."
            score = None
        if trouble == 2:
            score |= {"outcome": "scorer_error", "values": {}, "reason": "The detector gave no boxes.", "evidence": {}}
        if trouble == 3:
            (folder / output["image"]).write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
        if trouble == 4:
            (folder / output["image"]).unlink()
        journal.append(output)
        if score:
            scores.append(score)
    _write_records(folder, samples, journal, scores)
    _write_summaries(folder, samples, journal, scores, expected, profile)
    return folder


def _one(folder, sample, repeat, number, draw, side, noise, shared):
    color = sample["prompt"].split()[-2] if "photo" in sample["prompt"] else "red"
    shape = sample["prompt"].split()[-1] if "photo" in sample["prompt"] else "circle"
    seen = color if draw.random() < 0.8 else "purple"
    relative = f"images/{sample['sample_id']}/{repeat:05d}.png"
    if shared:
        relative = f"images/shared/{number % shared:05d}.png"
    path = folder / relative
    left, top, width = draw.uniform(0.05, 0.4), draw.uniform(0.02, 0.4), draw.uniform(0.3, 0.5)
    box = [left * side, top * side, (left + width) * side, (top + width) * side]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(box, seen, shape, side, number if noise else None).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    key = {"sample_id": sample["sample_id"], "task": sample["task"], "repeat": repeat}
    correct = seen == color
    output = key | {
        "seed": 9_000_000_000_000_000_000 + number,
        "outcome": "ok",
        "image": relative,
        "image_sha256": digest,
        "codes": None,
        "codes_sha256": None,
        "text": None,
        "seconds": 0.21,
        "error": None,
    }
    detections = [
        {"class": shape, "score": 0.981, "box": box, "color": seen},
        {"class": "square", "score": 0.412, "box": [2, side * 0.7, side * 0.3, side - 2], "color": None},
    ]
    reason = "" if correct else f"expected {color} {shape}>=1, found {seen} {shape}"
    score = key | {
        "scorer": "geneval",
        "outcome": "ok",
        "values": {"correct": float(correct)},
        "reason": reason or "all present",
        "evidence": {"detections": detections, "threshold": 0.3},
    }
    return output, score


def _picture(box, color, shape, side, noise):
    image = Image.new("RGB", (side, side), "#e9e4d8")
    if noise is not None:
        grain = Image.effect_noise((max(8, side // 12),) * 2, 60).resize((side, side), Image.Resampling.BICUBIC)
        image = Image.merge("RGB", [grain, grain.rotate(90), grain.rotate(180)])
    pen = ImageDraw.Draw(image)
    fill = COLORS.get(color, "#555555")
    if shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) / 2, box[1])], fill=fill)
    else:
        pen.ellipse(box, fill=fill)
    return image


def _write_records(folder, samples, journal, scores):
    def lines(name, rows):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    lines("samples.jsonl", samples)
    lines("journal.jsonl", journal)
    lines("scores/geneval.jsonl", scores)


def _metric(name, task, kind, samples, journal, scores, expected):
    ok = [score["values"]["correct"] for score in scores if score["outcome"] == "ok"]
    value = sum(ok) / len(ok) if ok else None
    outcomes = {"ok": len(ok), "scorer_error": sum(score["outcome"] == "scorer_error" for score in scores)}
    outcomes["generation_error"] = sum(output["outcome"] == "generation_error" for output in journal)
    outcomes["missing"] = expected - sum(outcomes.values())
    return {
        "name": name,
        "task": task,
        "value": value,
        "low": None if value is None else max(0.0, value - 0.11),
        "high": None if value is None else min(1.0, value + 0.09),
        "n": len(ok),
        "n_samples": len(samples),
        "n_expected": expected,
        "outcomes": outcomes,
        "unit": "fraction",
        "kind": kind,
        "coverage": len(ok) / max(1, expected),
    }


def _write_summaries(folder, samples, journal, scores, expected, profile):
    repeats = expected // len(samples)

    def group(name, task, kind, chosen):
        ids = {sample["sample_id"] for sample in chosen}
        part = [[row for row in rows if row["sample_id"] in ids] for rows in (journal, scores)]
        return _metric(name, task, kind, chosen, *part, len(chosen) * repeats)

    tasks = list(dict.fromkeys(sample["task"] for sample in samples))
    metrics = [group("correct", task, "task", [s for s in samples if s["task"] == task]) for task in tasks]
    metrics += [group("correct", tag, "slice", [s for s in samples if tag in s["tags"]]) for tag in ("seen", "unseen")]
    mini = profile == "mini"
    shared = {
        "schema_version": 1,
        "suite": "geneval",
        "profile": profile,
        "title": "GenEval-mini (bundled checkpoint uniar-mini)" if mini else "GenEval",
        "protocol": {"name": "geneval-mini" if mini else "geneval-short-prompts", "source": "Ghosh et al. 2023"},
        "bundled_model": mini,
        "notice": NOTICE if mini else "",
        "seed": 0,
    }
    model = {"id": "uniar-mini", "sha256": "ab" * 32, "num_parameters": 5_400_000, "bundled": mini}
    manifest = shared | {
        "model": model,
        "resolved_suite": {
            "suite": "geneval",
            "generate": {"repeats": repeats},
            "score": [{"scorer": "geneval"}],
            "report": {"value": "correct"},
        },
        "limit": None,
        "n_samples": len(samples),
        "n_expected": expected,
        "versions": {"python": "3.11.2", "torch": "2.15.0", "uniar": "0.1.0"},
        "git": {"commit": "f161b90c" * 5, "dirty": False},
        "hardware": {"machine": "x86_64", "cores": 2, "memory_gib": 7.6},
        "created": "2026-01-01T12:00:00+00:00",
        "fingerprint": "cd" * 32,
    }
    headline = group("overall", "*", "headline", samples)
    complete = len(journal) == expected
    results = shared | {
        "model": model,
        "status": "complete" if complete else "incomplete",
        "headline": headline,
        "metrics": metrics,
        "outcomes": headline["outcomes"],
        "seconds": {"generate": 48.2, "score": 3.1},
        "next": "uniar-eval report runs/geneval-mini-uniar-mini-0a1b2c3d",
    }
    for name, data in (("manifest.json", manifest), ("results.json", results)):
        (folder / name).write_text(json.dumps(data, indent=1), "utf-8")

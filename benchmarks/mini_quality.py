"""What the bundled checkpoint can do beside GenEval-mini: reconstruction, questions, edits; each beside its controls.

    python benchmarks/mini_quality.py [--checkpoint uniar-mini] [--n 200] [--scenes 1000] [--seed 1] [--out FILE.json]

* reconstruction: a scene is encoded, its codes are decoded, and the detector must read every object's class and colour, and
  nothing else. Control: the codes of another scene.
* questions: exact answer. Controls: a blank image in place of the scene; an untrained checkpoint of the same shape.
* edits: the detector must read the target scene's (class, colour, slot) set in the edited image. Control: the unedited input.
Shares with 95% Wilson intervals; train-split and held-out scenes apart.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from evals.perception.shapes import ShapesDetector
from uniar.data.shapes import SHAPES, Scene, render, sample_edit, sample_question, sample_scene

SETTINGS = {"height": 64, "width": 64, "guidance_scale": 2.0, "temperature": 0.1, "decoder_steps": 8, "decoder_guidance_scale": 1.5}


def wilson(good: int, n: int) -> tuple[float, float, float]:
    """Share with its 95% Wilson interval."""
    z, p = 1.959964, good / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return p, max(0.0, center - half), min(1.0, center + half)


def read(detector: ShapesDetector, image: Image.Image, *, slots: bool) -> list[tuple]:
    """Sorted (class, colour[, row, column]) of what the detector sees above 0.3."""
    out = []
    for d in detector.detect(image, SHAPES):
        if d.score > 0.3:
            x, y = (d.box[0] + d.box[2]) / 2, (d.box[1] + d.box[3]) / 2
            out.append((SHAPES[d.label], d.color, *((round(y / 16) - 1, round(x / 16) - 1) if slots else ())))
    return sorted(out)


def truth(scene: Scene, *, slots: bool) -> list[tuple]:
    """The same of a scene."""
    return sorted((o.shape, o.color, *((o.row, o.col) if slots else ())) for o in scene.objects)


def reconstruction(model: Any, rng: np.random.Generator, n: int, split: str) -> dict[str, int]:
    """Count scenes read right after encode and decode."""
    import torch

    detector, scenes = ShapesDetector(), [sample_scene(rng, split=split) for _ in range(n)]
    codes = torch.stack([c for c, _ in model.encode([Image.fromarray(render(s)) for s in scenes])])
    images = model.decode(codes, height=64, width=64, seeds=list(range(n)), decoder_steps=8, decoder_guidance_scale=1.5)
    seen = [read(detector, image, slots=False) for image in images]
    wanted = [truth(s, slots=False) for s in scenes]
    shifted = wanted[1:] + wanted[:1]
    return {"right": sum(map(list.__eq__, seen, wanted)), "control_other_scene": sum(map(list.__eq__, seen, shifted)), "n": n}


def questions(model: Any, rng: np.random.Generator, n: int, split: str) -> dict[str, Any]:
    """Count exact answers, with the image and with a blank one."""
    scenes = [sample_scene(rng, split=split) for _ in range(n)]
    asked = [sample_question(rng, s) for s in scenes]
    blank = Image.fromarray(np.full((64, 64, 3), 160, np.uint8))
    out: dict[str, Any] = {"n": n}
    for name, images in (("right", [Image.fromarray(render(s)) for s in scenes]), ("control_blank_image", [blank] * n)):
        answers = model.understand([q.text for q in asked], images, max_new_tokens=8)
        hits = [a == q.answer for a, q in zip(answers, asked, strict=True)]
        out[name] = sum(hits)
        if name == "right":
            out["by_kind"] = {k: [sum(h for h, q in zip(hits, asked, strict=True) if q.kind == k), sum(q.kind == k for q in asked)] for k in sorted({q.kind for q in asked})}
    return out


def edits(model: Any, rng: np.random.Generator, n: int, split: str) -> dict[str, Any]:
    """Count edited images that read as the target; control: the input image as it is."""
    detector, made = ShapesDetector(), [sample_edit(rng, split=split) for _ in range(n)]
    # A changed background is not an object: those edits are judged by their objects staying, and by the background's colour.
    sources = [Image.fromarray(render(e.source)) for e in made]
    results = model.edit([e.instruction for e in made], sources, seeds=list(range(n)), **SETTINGS)
    hits, control = [], []
    for e, source, result in zip(made, sources, results, strict=True):
        for image, into in ((result.image, hits), (source, control)):
            objects = read(detector, image, slots=True) == truth(e.target, slots=True)
            want = np.asarray(render(Scene((), e.target.background)), np.float32)[:, 0]
            got = np.asarray(image, np.float32)[:, 0]
            into.append(objects and float(np.abs(want - got).mean()) < 12)
    kinds = sorted({e.kind for e in made})
    by_kind = {k: [sum(h for h, e in zip(hits, made, strict=True) if e.kind == k), sum(e.kind == k for e in made)] for k in kinds}
    return {"right": sum(hits), "control_unedited": sum(control), "n": n, "by_kind": by_kind}


@click.command()
@click.option("--checkpoint", default="uniar-mini", show_default=True)
@click.option("--n", default=200, show_default=True, help="Questions and edits of each split.")
@click.option("--scenes", default=1000, show_default=True, help="Reconstructed scenes of each split.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Also write the figures as JSON.")
def main(checkpoint: str, n: int, scenes: int, seed: int, out: Path | None) -> None:
    """Print one line a figure."""
    import uniar

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in (("trained", uniar.load(checkpoint)), ("untrained", untrained(checkpoint, Path(folder)))):
            for split in ("train", "held_out") if name == "trained" else ("train",):
                # The untrained checkpoint keeps tokenizer and decoder, so its reconstruction would tell nothing new.
                parts = (("reconstruction", reconstruction), ("questions", questions), ("edits", edits))[name == "untrained" :]
                for what, measure in parts:
                    count = scenes if what == "reconstruction" else n
                    got = measure(model, np.random.default_rng([seed, count]), count, split)
                    figures[f"{name}/{split}/{what}"] = got
                    for key in (k for k in got if k == "right" or k.startswith("control")):
                        p, low, high = wilson(got[key], count)
                        click.echo(f"{name:<10} {split:<9} {what:<15} {key:<20} {p:.3f} [{low:.3f}, {high:.3f}] n={count}")
                    if "by_kind" in got:
                        click.echo("    " + ", ".join(f"{k} {a}/{b}" for k, (a, b) in got["by_kind"].items()))
    if out is not None:
        out.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", "utf-8")


def untrained(checkpoint: str, folder: Path) -> Any:
    """The same architecture with fresh AR weights; tokenizer and decoder are kept, so that only learning is missing."""
    import shutil

    import torch

    import uniar
    from uniar.checkpoint.layout import resolve

    target = folder / "untrained"
    shutil.copytree(resolve(checkpoint), target)
    config = uniar.UniARConfig.from_pretrained(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = uniar.UniARForConditionalGeneration(config)
    fresh.visual.load_state_dict(uniar.UniARForConditionalGeneration.from_pretrained(target, dtype=torch.float32).visual.state_dict())
    fresh.save_pretrained(target)
    return uniar.load(target)


if __name__ == "__main__":
    main()

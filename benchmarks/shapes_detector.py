"""How often the mini world's detector is right: class, colour, count and box on rendered scenes; and what it sees in nothing.

    python benchmarks/shapes_detector.py [N]

A scene is right when every object is found once with its class, its colour, a score above 0.9 and a box within 1.5 px,
and nothing else is found above 0.3.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from PIL import Image, ImageFilter

from evals.perception.shapes import ShapesDetector
from uniar.data.shapes import SHAPES, render, render_masks, sample_scene


def right(detector: ShapesDetector, scene, image: Image.Image) -> bool:
    """Whether the detector reads the whole scene right."""
    found = [d for d in detector.detect(image, SHAPES) if d.score > 0.3]
    if len(found) != len(scene.objects):
        return False
    left = list(found)
    for o, mask in zip(scene.objects, render_masks(scene), strict=True):
        ys, xs = np.nonzero(mask > 0.5)
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        hit = [d for d in left if SHAPES[d.label] == o.shape and d.color == o.color and d.score > 0.9 and np.abs(np.array(d.box) - box).max() <= 1.5]
        if not hit:
            return False
        left.remove(hit[0])
    return True


def main() -> None:
    """Print one line a condition."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    detector, rng = ShapesDetector(), np.random.default_rng(1)
    for name, count in (("clean", n), ("blur 0.7 px", n // 10), ("noise 6/255", n // 10)):
        good, seconds = 0, 0.0
        for _ in range(count):
            scene = sample_scene(rng, split="all")
            array = render(scene)
            if name.startswith("noise"):
                array = np.clip(array + rng.normal(0, 6, array.shape), 0, 255).astype(np.uint8)
            image = Image.fromarray(array)
            if name.startswith("blur"):
                image = image.filter(ImageFilter.GaussianBlur(0.7))
            began = time.perf_counter()
            good += right(detector, scene, image)
            seconds += time.perf_counter() - began
        print(f"{name}: {good} of {count} scenes right ({100 * good / count:.2f}%), {1000 * seconds / count:.2f} ms an image")
    seen = 0
    for i in range(n // 10):
        array = (rng.integers(0, 256, (64, 64, 3)), np.full((64, 64, 3), rng.integers(0, 256, 3)), np.clip(rng.normal(128, 40, (64, 64, 3)), 0, 255))[i % 3]
        seen += len(detector.detect(Image.fromarray(array.astype(np.uint8)), SHAPES))
    print(f"noise and blank images: {seen} detections in {n // 10} images")


if __name__ == "__main__":
    main()

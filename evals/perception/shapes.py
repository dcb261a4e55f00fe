"""The mini world's detector and colour classifier: what a picture of shapes shows, from its pixels alone.

Each region that differs from the background (`shapes_segment`) is compared with the eight outlines, drawn at its own
area and centre of mass to a fraction of a pixel; overlap, the lead over the next outline and evenness of colour make
the score. Leaves GenEval's thresholds and rules to the scorer. The outlines and colours are `uniar.data.shapes`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from evals.errors import CanaryError
from evals.protocols import Detection

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from evals.perception.shapes_segment import Region

_MASTER = 208
"""Side of the outlines that templates are resampled from: eight times the larger size."""
_STEEPNESS = 2.0
"""Contrast of both masks round one half before they are compared, so that blur and noise weigh less."""
_OVERLAP = ((0.0, 0.0), (0.70, 0.02), (0.80, 0.12), (0.85, 0.30), (0.88, 0.65), (0.905, 0.93), (0.95, 1.0), (1.0, 1.0))
"""Overlap with the best outline -> score; fitted on degraded scenes and on blobs (benchmarks/shapes_detector.py)."""
_MARGIN = ((0.0, 0.3), (0.02, 0.7), (0.05, 1.0), (1.0, 1.0))
"""Lead over the second best outline -> factor."""
_UNIFORM = ((0.0, 0.1), (0.6, 0.25), (0.9, 1.0), (1.0, 1.0))
"""Share of pixels in the object's own colour -> factor."""
_SHARP = ((0.0, 0.01), (0.4, 0.05), (0.75, 1.0), (1.0, 1.0))
"""Sharpness of the outline (`Region.sharp`) -> factor."""
_STRANGE_COLOR = ((0.0, 1.0), (70.0, 1.0), (130.0, 0.4), (442.0, 0.2))
"""RGB distance from the nearest of the ten colours -> factor."""
_EXTENT = ((0.0, 0.0), (11.0, 0.1), (14.5, 1.0), (30.0, 1.0), (36.0, 0.1), (64.0, 0.0))
"""Extent in pixels of a 64 px canvas -> factor; the world's are 18 and 26."""
_SILENT = 0.05
"""Lower scores are not reported."""


class ShapesDetector:
    """Finds the eight shapes on canvases whose shorter side is a multiple of 64, objects scaled with it."""

    name = "shapes"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names it knows."""
        from uniar.data.shapes import SHAPES

        return tuple(SHAPES)

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        """All candidates of the given classes, colour and mask filled in.

        Args:
            image: RGB.
            classes: names; only those of the eight shapes can be found.

        Returns:
            Detections, largest first; `label` indexes `classes`. Nothing on noise, blank images and gradients.
        """
        import numpy as np

        from evals.perception.shapes_segment import regions

        reduced, factor = _reduced(image)
        found = []
        for region in regions(np.asarray(reduced, np.float32), _unit(reduced)):
            match = _match(region, _unit(reduced))
            if match.score < _SILENT or match.shape not in classes:
                continue
            color, distance = nearest_color(region.color)
            score = match.score * float(np.interp(distance, *zip(*_STRANGE_COLOR, strict=True)))
            found.append(
                Detection(
                    label=list(classes).index(match.shape),
                    score=score,
                    box=tuple(float(x * factor) for x in match.box),
                    mask=_full_size(region.mask, factor, image.size),
                    color=color,
                )
            )
        return [d for d in found if d.score >= _SILENT]

    def canary(self) -> None:
        """Find the objects of two drawn scenes, and nothing on a blank canvas.

        Raises:
            CanaryError: it did not.
        """
        import numpy as np
        from PIL import Image

        from uniar.data.shapes import Object, Scene, render

        scenes = (
            Scene((Object("star", "yellow", "small", 1, 0), Object("ring", "black", "large", 1, 2, 1, -1)), "dusk"),
            Scene((Object("heart", "pink", "large", 0, 1), Object("cross", "brown", "small", 2, 1)), "sand"),
            Scene((), "gray"),
        )
        for scene in scenes:
            found = self.detect(Image.fromarray(np.asarray(render(scene))), self.classes)
            got = sorted((self.classes[d.label], str(d.color)) for d in found if d.score > 0.9)
            expected = sorted((o.shape, o.color) for o in scene.objects)
            if got != expected or len(found) != len(expected):
                raise CanaryError(
                    f"detector shapes: canary: got {got}; expected {expected} on {scene.background}. "
                    "uniar.data.shapes draws what evals/perception/shapes.py no longer recognises."
                )


class ShapesColor:
    """The nearest of the ten colours by the usual pixel of each instance."""

    name = "shapes"

    def classify(self, image: Image.Image, detections: Sequence[Detection], object_class: str) -> list[str]:
        """The colour of each detection, in order.

        Args:
            image: RGB.
            detections: with a mask, or with a box whose centre half is looked at.
            object_class: not needed here.
        """
        import numpy as np

        from evals.perception.shapes_segment import erode

        pixels = np.asarray(image.convert("RGB"), np.float32)
        names = []
        for d in detections:
            mask = d.mask
            if mask is None:
                mask = np.zeros(pixels.shape[:2], bool)
                x1, y1, x2, y2 = d.box
                left, right = int(0.75 * x1 + 0.25 * x2), int(0.25 * x1 + 0.75 * x2)
                top, bottom = int(0.75 * y1 + 0.25 * y2), int(0.25 * y1 + 0.75 * y2)
                mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
            inside = erode(mask)
            names.append(nearest_color(np.median(pixels[inside if inside.sum() >= 8 else mask], 0))[0])
        return names


def nearest_color(rgb: np.ndarray) -> tuple[str, float]:
    """The nearest of the ten colours.

    Args:
        rgb: (3,), 0..255.

    Returns:
        Its name and its distance in RGB units.
    """
    import numpy as np

    from uniar.data.shapes import COLORS, RGB

    distances = np.sqrt(((np.array([RGB[c] for c in COLORS], np.float32) - rgb) ** 2).sum(-1))
    best = int(np.argmin(distances))
    return COLORS[best], float(distances[best])


class _Match(NamedTuple):
    shape: str
    score: float
    box: tuple[float, float, float, float]
    overlap: float
    lead: float


class _Templates(NamedTuple):
    sums: np.ndarray
    """float32 (shapes, MASTER + 1, MASTER + 1): cumulative coverage; differences resample it to any pixel grid."""
    area: np.ndarray
    """Share of the extent's square that is covered."""
    center: np.ndarray
    """(shapes, 2): centre of mass x, y in 0..1 of the extent."""
    box: np.ndarray
    """(shapes, 4): tight box in 0..1 of the extent."""


@cache
def _templates() -> _Templates:
    import numpy as np

    from evals.perception.shapes_segment import bounds
    from uniar.data.shapes import SHAPES, shape_mask

    masks = np.stack([shape_mask(s, _MASTER) for s in SHAPES])
    sums = np.zeros((len(SHAPES), _MASTER + 1, _MASTER + 1), np.float32)
    sums[:, 1:, 1:] = masks.astype(np.float64).cumsum(1).cumsum(2)
    at = (np.arange(_MASTER) + 0.5) / _MASTER
    mass = masks.sum((1, 2))
    center = np.stack([(masks.sum(1) * at).sum(1) / mass, (masks.sum(2) * at).sum(1) / mass], -1)
    box = np.array([bounds(m > 0.5) for m in masks]) / _MASTER
    return _Templates(sums, mass / _MASTER**2, center, box)


def _match(region: Region, unit: float) -> _Match:
    import numpy as np

    from uniar.data.shapes import SHAPES

    templates = _templates()
    alpha = _steep(region.alpha)
    h, w = alpha.shape
    x0, y0 = region.window[:2]
    total = float(alpha.sum())
    if total <= 0:
        return _Match(SHAPES[0], 0.0, (0.0, 0.0, 0.0, 0.0), 0.0, 0.0)
    cx = float((alpha.sum(0) * (np.arange(w) + 0.5)).sum()) / total
    cy = float((alpha.sum(1) * (np.arange(h) + 0.5)).sum()) / total
    extent = np.sqrt(total / templates.area)
    left, top = cx - templates.center[:, 0] * extent, cy - templates.center[:, 1] * extent
    drawn = _steep(_draw(templates.sums, left, top, extent, h, w))
    overlap = np.minimum(drawn, alpha).sum((1, 2)) / np.maximum(drawn, alpha).sum((1, 2))
    order = np.argsort(-overlap)
    k = int(order[0])
    best, lead = float(overlap[k]), float(overlap[k] - overlap[order[1]])
    score = 1.0
    for value, table in (
        (best, _OVERLAP),
        (lead, _MARGIN),
        (region.uniform, _UNIFORM),
        (region.sharp, _SHARP),
        (extent[k] / unit, _EXTENT),
    ):
        score *= float(np.interp(value, *zip(*table, strict=True)))
    # Blur eats the tips of a star; the fitted outline still knows where they were.
    b, e = templates.box[k], float(extent[k])
    box = (x0 + left[k] + b[0] * e, y0 + top[k] + b[1] * e, x0 + left[k] + b[2] * e, y0 + top[k] + b[3] * e)
    return _Match(SHAPES[k], score, tuple(float(x) for x in box), best, lead)


def _draw(sums: np.ndarray, left: np.ndarray, top: np.ndarray, extent: np.ndarray, h: int, w: int) -> np.ndarray:
    # Coverage of each pixel of the window by each outline: (shapes, h, w).
    import numpy as np

    scale = (_MASTER / extent)[:, None]
    x = np.clip((np.arange(w + 1) - left[:, None]) * scale, 0, _MASTER - 1e-3)
    y = np.clip((np.arange(h + 1) - top[:, None]) * scale, 0, _MASTER - 1e-3)
    ix, iy = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - ix)[:, None, :].astype(np.float32), (y - iy)[:, :, None].astype(np.float32)
    k = np.arange(len(sums))[:, None]
    rows = sums[k, iy] * (1 - fy) + sums[k, iy + 1] * fy
    kk, jj = np.arange(len(sums))[:, None, None], np.arange(h + 1)[None, :, None]
    table = rows[kk, jj, ix[:, None, :]] * (1 - fx) + rows[kk, jj, ix[:, None, :] + 1] * fx
    return np.diff(np.diff(table, axis=1), axis=2) / (scale**2)[:, :, None].astype(np.float32)


def _steep(mask: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.clip((mask - 0.5) * _STEEPNESS + 0.5, 0, 1)


def _unit(image: Image.Image) -> float:
    return min(image.size) / 64


def _reduced(image: Image.Image) -> tuple[Image.Image, int]:
    # 128 px hold all there is to see; larger canvases are averaged down by a whole factor.
    image = image.convert("RGB")
    factor = max(1, min(image.size) // 128)
    return (image.reduce(factor) if factor > 1 else image), factor


def _full_size(mask: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    import numpy as np

    return np.repeat(np.repeat(mask, factor, 0), factor, 1)[: size[1], : size[0]] if factor > 1 else mask

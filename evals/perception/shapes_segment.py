"""Pixels -> regions that differ from the background: background plane, noise level, connected regions, soft masks.

Our own method; it knows that the world's backgrounds are flat or a linear gradient and that an object fits a square of
26 px on a 64 px canvas, two objects never do. Leaves naming shapes and colours to `shapes`.
`unit` everywhere: pixels of this canvas for one pixel of a 64 px canvas.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_FLOOR = 28.0
"""Least distance from the background, in RGB units, that counts; the world's weakest contrast is three times that."""
_MAX_SIGMA = 26.0
"""Noise (8-bit steps) above which nothing can be told apart."""
_MIN_BACKGROUND = 0.25
"""Share of the canvas that must be background; the world leaves 45%."""
_ONE_OBJECT = 31.0
"""Side of a square, in units, that may hold one object but never two (their far edges are 46 or more apart)."""
_MIN_AREA = 30.0
"""Least area of a region in square units; the smallest shape has 105."""


class Region(NamedTuple):
    """One candidate object."""

    mask: np.ndarray
    """bool (h, w), the whole canvas."""
    alpha: np.ndarray
    """float32, share of the object's colour in each pixel of the window, 0..1."""
    window: tuple[int, int, int, int]
    """x1, y1, x2, y2 of `alpha` in the canvas, x2 and y2 exclusive."""
    color: np.ndarray
    """float32 (3,), the usual RGB of its inside."""
    contrast: float
    """RGB distance of that colour from the background."""
    uniform: float
    """Share of its pixels that are a mixture of this colour and the background, 0..1."""
    sharp: float
    """Share of the pixels well inside that have this colour in full, times share of those just outside that have none
    of it, 0..1; a hill of brightness has few of either."""


def regions(image: np.ndarray, unit: float) -> list[Region]:
    """Find candidate objects, largest first; none on noise, blank canvases and gradients.

    Args:
        image: float32 (h, w, 3), 0..255.
        unit: canvas pixels for one pixel of a 64 px canvas.
    """
    fitted = _background(image)
    if fitted is None:
        return []
    ground, sigma = fitted
    # Under strong noise distances are taken on a smoothed copy, which leaves 0.38 of it.
    seen = _smooth(image) if sigma > 4 else image
    distance = np.sqrt(((seen - ground) ** 2).sum(-1))
    floor = max(_FLOOR, 4.5 * sigma * (0.4 if sigma > 4 else 1.0))
    # Half of the local contrast: the outline of each object where blur has put half of its colour.
    near = _max_filter(distance, max(1, round(2 * unit)))
    labels, count = label(distance > np.maximum(floor, 0.5 * near))
    if count == 0 or count > 400:
        return []
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = [i for i in np.argsort(-areas[1:], kind="stable") + 1 if areas[i] >= 6 * unit * unit]
    if len(keep) > 40:
        return []
    groups = _grouped(labels, keep, unit)
    whole: list[np.ndarray] = []
    for mask in groups:
        whole.extend(_split(mask, unit))
    whole = [m for m in whole if m.sum() >= _MIN_AREA * unit * unit]
    owner = np.zeros(labels.shape, np.int32)
    for i, mask in enumerate(whole):
        owner[mask] = i + 1
    # Noise from neighbours' differences: unlike `sigma` it does not grow on a curved background.
    grain = float(np.median(np.abs(np.diff(image, axis=1)))) / 0.954
    found = [_region(image, ground, owner, i + 1, unit, grain) for i in range(len(whole))]
    return [r for r in found if r is not None]


def _background(image: np.ndarray) -> tuple[np.ndarray, float] | None:
    # A plane a channel, fitted to the border by least absolute deviations, then to all that lies near it.
    h, w = image.shape[:2]
    ys, xs = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    basis = np.stack([np.ones_like(xs), xs, ys], -1).astype(np.float32)
    border = np.zeros((h, w), bool)
    border[0] = border[-1] = border[:, 0] = border[:, -1] = True
    a, b = basis[border], image[border]
    plane = np.stack([np.median(b, 0), np.zeros(3, np.float32), np.zeros(3, np.float32)]).astype(np.float32)
    for _ in range(8):
        weight = 1 / np.maximum(np.sqrt(((b - a @ plane) ** 2).sum(-1)), 2.0)
        plane = _least_squares(a, b, weight[:, None])
    sigma = float(np.median(np.sqrt(((b - a @ plane) ** 2).sum(-1)))) / 1.54
    for _ in range(2):
        ground = basis @ plane
        distance = np.sqrt(((image - ground) ** 2).sum(-1))
        close = distance < max(_FLOOR, 4.5 * sigma)
        if sigma > _MAX_SIGMA or close.mean() < _MIN_BACKGROUND:
            return None
        # 1.54 sigma is the median length of a Gaussian vector of three channels.
        sigma = float(np.median(distance[close])) / 1.54
        a, b = basis[close], image[close]
        plane = _least_squares(a, b, np.float32(1))
    return basis @ plane, sigma


def _least_squares(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    # The ridge keeps a canvas of one row or column solvable.
    weighted = a * weight
    return np.linalg.solve(weighted.T @ a + 1e-3 * np.eye(3, dtype=np.float32), weighted.T @ b).astype(np.float32)


def _smooth(image: np.ndarray) -> np.ndarray:
    p = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    p = (p[:-2] + 2 * p[1:-1] + p[2:]) / 4
    return (p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]) / 4


def _max_filter(values: np.ndarray, radius: int) -> np.ndarray:
    out = values
    for axis in (0, 1):
        p = np.pad(out, [(radius, radius) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
        size = values.shape[axis]
        parts = [p.take(range(k, k + size), axis) if axis else p[k : k + size] for k in range(2 * radius + 1)]
        out = np.maximum.reduce(parts)
    return out


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected regions, diagonal neighbours included.

    Args:
        mask: bool (h, w).

    Returns:
        int32 (h, w), 0 outside, regions from 1 in reading order; and how many there are.

    >>> label(np.array([[1, 0, 1], [1, 0, 0]], bool))[1]
    2
    """
    h, w = mask.shape
    padded = np.zeros((h, w + 2), np.int8)
    padded[:, 1:-1] = mask
    edge = np.diff(padded, axis=1)
    rows, starts = np.nonzero(edge == 1)
    stops = np.nonzero(edge == -1)[1]
    n = len(rows)
    out = np.zeros((h, w), np.int32)
    if n == 0 or n > h * w // 8:
        return out, n
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    # Runs of a row are joined to the runs of the row above that they touch; two pointers, left to right.
    y, x1, x2 = rows.tolist(), starts.tolist(), stops.tolist()
    first = np.searchsorted(rows, np.arange(h + 1)).tolist()
    for row in range(1, h):
        i, j = first[row - 1], first[row]
        while i < first[row] and j < first[row + 1]:
            if x1[i] <= x2[j] and x1[j] <= x2[i]:
                parent[max(root(i), root(j))] = min(root(i), root(j))
            if x2[i] < x2[j]:
                i += 1
            else:
                j += 1
    number: dict[int, int] = {}
    for i in range(n):
        out[y[i], x1[i] : x2[i]] = number.setdefault(root(i), len(number) + 1)
    return out, len(number)


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of the true pixels, x2 and y2 exclusive; the mask must have one."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _grouped(labels: np.ndarray, keep: list[int], unit: float) -> list[np.ndarray]:
    # Pieces that fit one object's square together belong to one object: two objects never do.
    groups: list[tuple[np.ndarray, tuple[int, int, int, int]]] = []
    side = _ONE_OBJECT * unit
    for i in keep:
        mask = labels == i
        box = bounds(mask)
        for k, (other, b) in enumerate(groups):
            union = min(box[0], b[0]), min(box[1], b[1]), max(box[2], b[2]), max(box[3], b[3])
            if union[2] - union[0] <= side and union[3] - union[1] <= side:
                groups[k] = (other | mask, union)
                break
        else:
            groups.append((mask, box))
    return [mask for mask, _ in groups]


def _split(mask: np.ndarray, unit: float) -> list[np.ndarray]:
    # A region larger than any object is two that touch: cut where it is thinnest, give each pixel to the nearest core.
    x1, y1, x2, y2 = bounds(mask)
    if max(x2 - x1, y2 - y1) <= (_ONE_OBJECT + 1) * unit:
        return [mask]
    core = mask
    for _ in range(max(1, round(3 * unit))):
        core = erode(core)
        labels, count = label(core)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        cores = [i for i in range(1, count + 1) if sizes[i] >= 12 * unit * unit]
        if len(cores) > 1:
            ys, xs = np.nonzero(mask)
            reach = []
            for i in cores:
                cy, cx = np.nonzero(labels == i)
                reach.append(((ys[:, None] - cy) ** 2 + (xs[:, None] - cx) ** 2).min(1))
            nearest = np.argmin(reach, 0)
            parts = []
            for k in range(len(cores)):
                part = np.zeros_like(mask)
                part[ys[nearest == k], xs[nearest == k]] = True
                parts.append(part)
            return parts
    return [mask]


def erode(mask: np.ndarray) -> np.ndarray:
    """The pixels whose four neighbours are all set."""
    p = np.pad(mask, 1)
    return mask & p[:-2, 1:-1] & p[2:, 1:-1] & p[1:-1, :-2] & p[1:-1, 2:]


def _dilate(mask: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        p = np.pad(mask, 1)
        mask = mask | p[:-2, 1:-1] | p[2:, 1:-1] | p[1:-1, :-2] | p[1:-1, 2:]
    return mask


def _region(
    image: np.ndarray, ground: np.ndarray, owner: np.ndarray, index: int, unit: float, grain: float
) -> Region | None:
    h, w = owner.shape
    margin = max(2, round(3 * unit))
    x1, y1, x2, y2 = bounds(owner == index)
    x1, y1, x2, y2 = max(x1 - margin, 0), max(y1 - margin, 0), min(x2 + margin, w), min(y2 + margin, h)
    own = owner[y1:y2, x1:x2] == index
    others = (owner[y1:y2, x1:x2] > 0) & ~own
    pixels, behind = image[y1:y2, x1:x2], ground[y1:y2, x1:x2]
    inside = erode(own)
    if inside.sum() < 8:
        inside = own
    color = np.median(pixels[inside], 0)
    axis = color - behind
    length = (axis**2).sum(-1)
    contrast = float(np.sqrt(np.median(length[inside])))
    if contrast < _FLOOR:
        return None
    share = ((pixels - behind) * axis).sum(-1) / np.maximum(length, 1.0)
    close = _dilate(own, max(2, round(2 * unit)))
    near = close & ~(_dilate(others, 1) & ~own)
    alpha = np.where(near, np.clip(share, 0, 1), 0).astype(np.float32)
    # What no mixture of this colour and the background explains is foreign: another colour, shading, texture.
    misfit = np.sqrt(((pixels - behind - np.clip(share, 0, 1)[..., None] * axis) ** 2).sum(-1))
    uniform = 1 - float((misfit[own] > max(40.0, 0.3 * contrast)).mean())
    slack = 0.25 + 2 * grain / contrast
    beside = _dilate(close, max(1, round(unit))) & ~close & ~_dilate(others, max(2, round(2 * unit)))
    sharp = float((np.abs(share[inside] - 1) < slack).mean())
    if beside.any():
        sharp *= float((np.abs(share[beside]) < slack).mean())
    solid = alpha > 0.5
    if not solid.any():
        return None
    mask = np.zeros((h, w), bool)
    mask[y1:y2, x1:x2] = solid
    return Region(mask, alpha, (x1, y1, x2, y2), color.astype(np.float32), contrast, uniform, sharp)

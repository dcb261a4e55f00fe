"""Mask2Former's raw output -> scored instances, as mmdet 2.28 does it and transformers does not.

Source: mmdet 2.28.2 `MaskFormerHead.simple_test`, `MaskFormerFusionHead.instance_postprocess`, `mask2bbox`.
transformers' own `post_process_instance_segmentation` is not a substitute: it thresholds at 384x384 and rounds scores.
Legend: Q queries, C classes, K kept, U queries among the kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

CHUNK = 16
"""Queries scored at once: bounds memory at 1024 px to about 64 MB an intermediate. It moves no more than
the last bit of a score."""


class Instances(NamedTuple):
    """Instances of one image, by falling class probability."""

    labels: torch.Tensor
    """int64 (K,)."""
    scores: torch.Tensor
    """float32 (K,): class probability times mask score."""
    boxes: torch.Tensor
    """float32 (K, 4): x1, y1, x2, y2 in pixels, the last two exclusive; zeros for an empty mask."""
    masks: torch.Tensor
    """bool (U, h, w): a query picked under several classes is stored once."""
    mask_index: torch.Tensor
    """int64 (K,): row of `masks` of each instance."""


def instances(
    class_logits: torch.Tensor,
    mask_logits: torch.Tensor,
    *,
    padded_size: tuple[int, int],
    resized_size: tuple[int, int],
    original_size: tuple[int, int],
    max_per_image: int = 100,
) -> Instances:
    """Take the best (query, class) pairs and score them by class and mask.

    Args:
        class_logits: float (Q, C + 1), the last column is no-object.
        mask_logits: float (Q, h, w) at the network's stride.
        padded_size: (h, w) of the network input.
        resized_size: (h, w) of the image inside it, at the top left.
        original_size: (h, w) of the image as given.
        max_per_image: pairs kept; a query may be among them under several classes.
    """
    import torch

    classes = class_logits.shape[-1] - 1
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1].flatten()
    picked, flat = probabilities.topk(min(max_per_image, probabilities.numel()))
    queries, mask_index = torch.unique(flat // classes, return_inverse=True)
    masks, mask_scores = [], []
    for part in upsample_to_input(mask_logits, padded_size, resized_size)[queries].split(CHUNK):
        logits = resize_to_image(part, original_size)
        binary = logits > 0
        area = binary.flatten(1).float().sum(1)
        mask_scores.append((logits.sigmoid() * binary).flatten(1).sum(1) / (area + 1e-6))
        masks.append(binary)
    binary = torch.cat(masks)
    return Instances(
        labels=flat % classes,
        scores=picked * torch.cat(mask_scores)[mask_index],
        boxes=_tight_boxes(binary)[mask_index],
        masks=binary,
        mask_index=mask_index,
    )


def upsample_to_input(mask_logits: torch.Tensor, padded: tuple[int, int], resized: tuple[int, int]) -> torch.Tensor:
    """Mask logits (Q, h, w) at the size of the image inside the network input: float32 (Q, *resized)."""
    from torch.nn.functional import interpolate

    # All queries in one call with the queries as channels, as there: torch rounds the last bit by the shape of the
    # call, and that is enough to flip a pixel whose logit is almost zero.
    full = interpolate(mask_logits[None].float(), size=padded, mode="bilinear", align_corners=False)[0]
    return full[:, : resized[0], : resized[1]]


def resize_to_image(logits: torch.Tensor, original: tuple[int, int]) -> torch.Tensor:
    """The second resize, (U, h, w) to (U, *original): one resize instead of two would give other edges."""
    from torch.nn.functional import interpolate

    return interpolate(logits[:, None], size=original, mode="bilinear", align_corners=False)[:, 0]


def _tight_boxes(masks: torch.Tensor) -> torch.Tensor:
    # bool (U, h, w) -> float32 (U, 4).
    import torch

    def ends(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = line.int().argmax(dim=1)
        return first, line.shape[1] - line.flip(1).int().argmax(dim=1)

    columns, rows = masks.any(dim=1), masks.any(dim=2)
    (x1, x2), (y1, y2) = ends(columns), ends(rows)
    boxes = torch.stack([x1, y1, x2, y2], dim=1).float()
    return boxes * columns.any(dim=1, keepdim=True)

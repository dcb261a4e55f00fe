"""Text of an image by PP-OCR through the package `rapidocr`, whose wheel carries the weights: offline, on the CPU, English and Chinese.

Detection, orientation (0 or 180 degrees) and recognition are the package's (PP-OCRv6 small; Apache-2.0); the reading order is ours.
With one thread, equal pixels give equal text.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError, PluginError
from evals.perception.ocr_canary import check_reading
from evals.protocols import TextLine

if TYPE_CHECKING:
    from PIL import Image

_FILES = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
"""Stage -> file inside the wheel."""
_REMEDY = "Install it with `pip install rapidocr onnxruntime`, or name another engine under `roles.ocr`."


class RapidOcr:
    """PP-OCR on the CPU.

    Args:
        threads: of one reading; more are quicker. Capped at the number of processors.
        min_score: confidence below which a line is taken for no text, the package's own 0.5.
        min_side: smaller images are enlarged until their shorter side has so many pixels, before text is looked for.

    Raises:
        PluginError: a setting out of range.
        ModelError: the package or its weights are not installed.
    """

    name = "rapidocr"

    def __init__(self, *, threads: int = 1, min_score: float = 0.5, min_side: int = 736) -> None:
        for setting, value, low, high in (
            ("threads", threads, 1, 64),
            ("min_score", min_score, 0, 1),
            ("min_side", min_side, 32, 2000),
        ):
            if not low <= value <= high:
                raise PluginError(f"ocr rapidocr: {setting}: got {value}; expected {low} to {high}.")
        self.threads, self.min_score, self.min_side = threads, min_score, min_side
        # The package keeps the settings of the call on the engine: two readings at once would share them.
        self._lock = threading.Lock()
        self._engine = self._load()

    def _load(self) -> Any:
        import os
        from pathlib import Path

        try:
            import onnxruntime  # noqa: F401  (the engine imports it later, where its absence is a traceback)
            import rapidocr
        except ImportError as error:
            raise ModelError(f"ocr rapidocr: got {error}; expected the packages rapidocr and onnxruntime. {_REMEDY}") from error
        folder = Path(rapidocr.__file__).parent / "models"
        absent = [name for name in _FILES.values() if not (folder / name).is_file()]
        if absent:
            # Without its path the package would try to fetch the file.
            raise ModelError(f"ocr rapidocr: got no {absent[0]} in {folder}; expected the weights of rapidocr 3.10. {_REMEDY}")
        threads = min(self.threads, os.cpu_count() or 1)
        return rapidocr.RapidOCR(
            params={
                **{f"{stage}.model_path": str(folder / name) for stage, name in _FILES.items()},
                "Global.log_level": "critical",
                "Global.text_score": float(self.min_score),
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.limit_side_len": self.min_side,
            }
        )

    def read(self, image: Image.Image) -> list[TextLine]:
        """Lines in reading order.

        Args:
            image: any mode; any size (the longer side is reduced to 2000 pixels).
        """
        import numpy as np

        # The package takes arrays as OpenCV has them: blue first.
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        with self._lock:
            found = self._engine(pixels)
        if found.txts is None:
            return []
        lines = []
        for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True):
            low, high = corners.min(axis=0), corners.max(axis=0)
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            lines.append(TextLine(str(text), float(score), box))
        return in_reading_order(lines)

    def canary(self) -> None:
        """Read a word drawn in code.

        Raises:
            CanaryError: it reads something else.
        """
        check_reading(self)


def in_reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Order lines top to bottom and, where they stand beside each other, left to right.

    A line stands beside another when the middle of its box lies within the other's height. Lines without a box keep their place at
    the end.
    """
    placed = sorted((line for line in lines if line.box is not None), key=lambda line: (line.box[1] + line.box[3], line.box[0]))
    rows: list[list[TextLine]] = []
    for line in placed:
        top, bottom = rows[-1][0].box[1::2] if rows else (0.0, 0.0)
        if rows and top <= (line.box[1] + line.box[3]) / 2 < bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered = [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]
    return ordered + [line for line in lines if line.box is None]

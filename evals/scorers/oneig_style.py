"""OneIG-Bench style: how near an image comes to reference images of the style that its prompt names, seen by two encoders.

Source: OneIG-Benchmark 41b4983, `scripts/style/style_score.py`. By each encoder the largest cosine with any reference of the style, at
least 0; the image's value is their mean. The encoders are in `evals.perception.style_encoders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.datasets.local import data_root
from evals.errors import CanaryError, DataError, ModelError
from evals.protocols import Roles
from evals.scorers import oneig_tiles as tiles
from evals.store.pictures import through_jpeg
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    import torch
    from PIL import Image

EMBEDDED = {"csd": "CSD_embed.safetensors", "se": "SE_embed.safetensors"}
"""Encoder -> file of the benchmark's own reference features (`.pt` there), style -> (references, E)."""
IMAGES = "reference_image"
"""Folder of reference images, one folder a style."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def tile_score(csd: Sequence[float], se: Sequence[float]) -> float:
    """Value of one image from its cosines with the references by either encoder.

    >>> tile_score([0.2, 0.5], [-0.3, -0.1])
    0.25
    """
    return (max(max(csd), 0.0) + max(max(se), 0.0)) / 2


class OneIGStyleScorer:
    """Values: `score`; `csd` and `se`, its two halves."""

    name = "oneig-style"
    version = "1"
    source = "OneIG-Benchmark 41b4983, scripts/style/style_score.py"

    def __init__(
        self,
        *,
        roles: Roles,
        references: str | None = None,
        csd: str | None = None,
        se: str = "xingpng/OneIG-StyleEncoder",
        se_dtype: str = "bfloat16",
        jpeg_quality: int | None = tiles.JPEG_QUALITY,
        device: str = "auto",
    ) -> None:
        """Find references and encoders.

        Args:
            roles: not used.
            references: folder with the two files of `EMBEDDED`, or with one folder of images a style (perhaps inside `reference_image`);
                None is `scripts/style` of the benchmark's data.
            csd: safetensors of CSD's ViT-L, see `CsdEncoder`.
            se: OneIG-StyleEncoder, folder or Hub name in the local cache.
            se_dtype: of that one.
            jpeg_quality: of the JPEG through which an image goes first; None leaves it.
            device: torch device.

        Raises:
            DataError: no references.
            ModelError: an encoder is not on this machine.
            PluginError: a quality that cannot be.
        """
        from evals.perception.style_encoders import CsdEncoder, StyleEncoder

        self.jpeg_quality = tiles.checked_quality(jpeg_quality, asked="scorer oneig-style")
        self.references = _References(data_root() / "oneig" / "scripts" / "style" if references is None else Path(references))
        self.encoders = {
            "csd": CsdEncoder(checkpoint=csd, device=device, asked="scorer oneig-style: csd"),
            "se": StyleEncoder(checkpoint=se, dtype=se_dtype, device=device, asked="scorer oneig-style: se"),
        }

    def canary(self) -> None:
        """Hand-worked cosines, and features of length 1 by both encoders."""
        from PIL import Image

        got = [tile_score([0.2, 0.5], [-0.3, -0.1]), tile_score([-1.0], [-0.5]), tile_score([0.9], [0.3, 0.7])]
        if any(abs(one - other) > 1e-12 for one, other in zip(got, (0.25, 0.0, 0.8), strict=True)):
            raise CanaryError(f"scorer oneig-style: canary: got {got}; expected 0.25, 0 and 0.8. The rule is not OneIG-Bench's.")
        for name, encoder in self.encoders.items():
            length = float(encoder.embed(Image.new("RGB", (64, 48), (90, 140, 40))).float().norm())
            if not abs(length - 1.0) < 0.02:
                raise CanaryError(f"scorer oneig-style: canary: {name}: got features of length {length}; expected 1. Check its weights.")

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Compare one image with the references of `sample.metadata["style"]`.

        Raises:
            DataError: a style without references.
            ModelError: references that are not this encoder's.
        """
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to judge")
        style = sample.metadata.get("style")
        if style is None:
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the prompt names no style (dataset oneig, dimension style)")
        if tiles.is_black(image):
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason=tiles.BLACK)
        shown = through_jpeg(image, self.jpeg_quality)
        cosines = {name: self._cosines(name, str(style), shown) for name in self.encoders}
        value = tile_score(cosines["csd"], cosines["se"])
        values = {"score": value, **{name: max(max(found), 0.0) for name, found in cosines.items()}}
        told = ", ".join(f"{name} {values[name]:.3f}" for name in cosines)
        evidence = {"style": style, "references": {name: len(found) for name, found in cosines.items()}}
        return Score(**key, outcome=Outcome.OK, values=values, reason=f"{style}: {value:.3f} ({told})", evidence=evidence)

    def _cosines(self, name: str, style: str, image: Image.Image) -> list[float]:
        seen = self.encoders[name].embed(image)
        wanted = self.references.of(name, style, self.encoders[name]).to(seen)
        if wanted.dim() != 2 or wanted.shape[1] != len(seen):
            raise ModelError(
                f"{self.references.folder}: {style}: got reference features of shape {tuple(wanted.shape)}; expected (references, "
                f"{len(seen)}) for {name}. Use the references that belong to these weights."
            )
        return [float(value) for value in seen @ wanted.T]


class _References:
    """Features of each style's references: the benchmark's own, else those of images, seen by the same encoder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: folder / file for name, file in EMBEDDED.items()}
        self._images: Path | None = None
        self._known: dict[tuple[str, str], torch.Tensor] = {}
        if not all(path.is_file() for path in self._files.values()):
            homes = (folder / IMAGES, folder)
            self._images = next((home for home in homes if any(_pictures(style) for style in _folders(home))), None)
            if self._images is None:
                raise DataError(
                    f"scorer oneig-style: references: got {folder}, which has neither {' and '.join(EMBEDDED.values())} nor a folder of "
                    "images a style; expected OneIG-Bench's references. Convert the benchmark's CSD_embed.pt and SE_embed.pt with "
                    "`uniar-eval convert-weights FILE.pt FILE.safetensors`, or give a folder of reference images."
                )

    def of(self, name: str, style: str, encoder: Any) -> torch.Tensor:
        """(references, E) of a style by an encoder.

        Raises:
            DataError: no reference of that style, or an image that cannot be read.
        """
        import torch

        from evals.store.pictures import open_image

        if (name, style) not in self._known:
            if self._images is None:
                self._read(name)
            else:
                # A style out of a data file is no path.
                home = next((path for path in _folders(self._images) if path.name == style), None)
                files = [] if home is None else _pictures(home)
                if files:
                    self._known[name, style] = torch.stack([encoder.embed(open_image(path)) for path in files])
        if (name, style) not in self._known:
            raise DataError(f"{self._images or self._files[name]}: {style}: got no reference; expected some of every style. Add them.")
        return self._known[name, style]

    def _read(self, name: str) -> None:
        from evals.perception import weight_file

        self._known.update({(name, style): found for style, found in weight_file.read(self._files[name]).items()})


def _folders(home: Path) -> list[Path]:
    return sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)

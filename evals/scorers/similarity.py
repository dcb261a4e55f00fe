"""PSNR, SSIM and LPIPS of an output against its source image, per image, by torchmetrics.

For reconstruction, and for what an edit leaves alone. The source is first brought to the output's size (`evals.framing`): the very
pixels that a reconstruction was asked of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, PluginError
from evals.framing import FITS, fitted
from evals.protocols import Roles
from evals.types import Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

METRICS = ("psnr", "ssim", "lpips")


class SimilarityScorer:
    """`psnr` in dB (higher is nearer), `ssim` (1 is equal), `lpips` (0 is equal), on pixels in [0, 1]."""

    name = "similarity"
    version = "1"
    source = "torchmetrics 1.9: peak_signal_noise_ratio, structural_similarity_index_measure (Wang et al. 2004), LPIPS (Zhang et al. 2018)"
    needs_source = True

    def __init__(
        self,
        *,
        roles: Roles,
        metrics: Sequence[str] = METRICS,
        fit: str = "crop",
        lpips_net: str = "alex",
        lpips_checkpoint: str | None = None,
        device: str = "auto",
    ) -> None:
        """Choose metrics.

        Args:
            roles: not used.
            metrics: of `METRICS`.
            fit: how the source comes to the output's size, see `evals.framing`.
            lpips_net: `alex`, `vgg` or `squeeze`.
            lpips_checkpoint: safetensors of torchvision's backbone, see `evals.perception.lpips`.
            device: torch device of LPIPS.

        Raises:
            PluginError: a setting that does not exist.
            ModelError: LPIPS is asked for and its weights are not there.
        """
        from evals.perception.lpips import NETS, Lpips

        for given, known, key in ((metrics, METRICS, "metrics"), ([fit], FITS, "fit"), ([lpips_net], NETS, "lpips_net")):
            odd = [one for one in given if one not in known]
            if odd or not given:
                raise PluginError(f"scorer similarity: {key}: got {odd[0] if odd else 'none'}; expected some of {', '.join(known)}.")
        self.metrics, self.fit = tuple(metrics), fit
        self._lpips = Lpips(net=lpips_net, checkpoint=lpips_checkpoint, device=device) if "lpips" in metrics else None

    def canary(self) -> None:
        """Grey 100 against 110 by hand: squared error (10/255)^2, so 20 log10 25.5 dB; SSIM of flat images is its first factor."""
        import math

        from PIL import Image

        one, other = (Image.new("RGB", (16, 16), (grey,) * 3) for grey in (100, 110))
        a, b = 100 / 255, 110 / 255
        wanted = {"psnr": 20 * math.log10(25.5), "ssim": (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)}
        for name in self.metrics:
            if name == "lpips":
                # Its network may be on a GPU: equal images are the one verdict known without weights.
                assert self._lpips is not None
                got, value = self._lpips.distance(one.resize((64, 64)), one.resize((64, 64))), 0.0
            else:
                got, value = self._value(name, one, other), wanted[name]
            if got is None or abs(got - value) > 1e-4:
                raise CanaryError(f"scorer similarity: canary: {name}: got {got}; expected {value} for two flat greys.")

    def score(self, sample: Sample, output: Output, image: Image.Image | None, source: Image.Image | None = None) -> Score:
        """Compare one output with its source."""
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        if image is None:
            return Score(**key, outcome=Outcome.MISSING, reason="no image to compare")
        if source is None:
            return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="the sample has no source image")
        image = image.convert("RGB")
        wanted = fitted(source, *image.size, self.fit)
        found = {name: self._value(name, image, wanted) for name in self.metrics}
        values = {name: value for name, value in found.items() if value is not None}
        evidence: dict[str, Any] = {"size": list(image.size), "source_size": list(source.size)}
        odd = {name: reason for name, reason in ((name, self._why(name, image)) for name in found if name not in values)}
        if odd:
            evidence["outcomes"] = {name: outcome.value for name, (outcome, _) in odd.items()}
        reason = "; ".join([", ".join(f"{name} {value:.4g}" for name, value in values.items()), *(why for _, why in odd.values())]).strip(
            "; "
        )
        if not values:
            return Score(**key, outcome=next(iter(odd.values()))[0], reason=reason, evidence={"size": evidence["size"]})
        return Score(**key, outcome=Outcome.OK, values=values, reason=reason, evidence=evidence)

    def _value(self, name: str, image: Image.Image, source: Image.Image) -> float | None:
        from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

        from evals.perception.lpips import pixels

        if name == "lpips":
            assert self._lpips is not None
            # AlexNet's and VGG's last maps vanish below this side.
            return self._lpips.distance(image, source) if min(image.size) >= 32 else None
        a, b = pixels(image).double(), pixels(source).double()
        if name == "psnr":
            return None if bool((a == b).all()) else float(peak_signal_noise_ratio(a, b, data_range=1.0))
        # torchmetrics pads by the 11 x 11 window's radius by reflection, so a smaller side has no SSIM.
        return float(structural_similarity_index_measure(a, b, data_range=1.0)) if min(image.size) > 10 else None

    def _why(self, name: str, image: Image.Image) -> tuple[Outcome, str]:
        if name == "psnr":
            return Outcome.OFF_SCALE, "psnr is infinite: the output equals the source"
        return Outcome.NOT_APPLICABLE, f"{name}: {image.width} x {image.height} pixels are too small"

"""Vector quantisers for ablations behind one interface (`build`); knows vectors and codes, and nothing of images or stages."""

from __future__ import annotations

from typing import Any

from uniar.kinds import construct, whole
from uniar.quantizers.base import Quantized, Quantizer, Usage
from uniar.quantizers.bsq import BinarySphericalQuantizer
from uniar.quantizers.continuous import Continuous
from uniar.quantizers.fsq import FiniteScalarQuantizer
from uniar.quantizers.lfq import LookupFreeQuantizer
from uniar.quantizers.residual import ResidualQuantizer
from uniar.quantizers.vq import VectorQuantizer

__all__ = ["KINDS", "Quantized", "Quantizer", "Usage", "build"]

KINDS: dict[str, type[Quantizer]] = {
    "bsq": BinarySphericalQuantizer,
    "continuous": Continuous,
    "fsq": FiniteScalarQuantizer,
    "lfq": LookupFreeQuantizer,
    "residual": ResidualQuantizer,
    "vq": VectorQuantizer,
}
"""Kind -> class; the keyword arguments of a class are the settings of its kind."""


def build(kind: str, *, dim: int, **settings: Any) -> Quantizer:
    """One quantiser of a kind.

    Args:
        kind: key of `KINDS`.
        dim: width of the vectors, 1 or more.
        settings: keyword arguments of the kind's class.

    Raises:
        ConfigError: an unknown kind (with the nearest one), or a setting that is unknown, missing or out of range.

    >>> build("fsq", dim=4, levels=(8, 5, 5, 5)).bits == build("residual", dim=4, depth=1, inner="fsq", levels=(8, 5, 5, 5)).bits
    True
    """
    return construct(KINDS, kind, whole("dim", dim, least=1), settings=settings, where="quantizer")

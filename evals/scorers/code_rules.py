"""How well a binary tokenizer uses its bits: counts over codes, level by level. numpy, no images.

For one level, over all patches of all images: bit entropy (mean over the D bits of the entropy of each, 1.0 bit when both values come
equally often); dead bits (never change); pair information (mean over pairs of bits of their mutual information, 0 for independent bits:
what marginal entropies cannot see); distinct share (different D-bit codes over all codes); perplexity (2 to the entropy of the codes'
empirical distribution: how many codes are used as if evenly). Distinct share and perplexity are bounded by the number of codes seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MERGE = 1 << 20
"""Codes that wait before they are merged into the table of distinct ones."""


def entropy(share: np.ndarray) -> np.ndarray:
    """Entropy in bits of a bit that is 1 in a share (any shape) of cases; 0 log 0 is 0."""
    import numpy as np

    share = np.asarray(share, dtype=np.float64)
    safe = np.clip(share, 1e-300, 1.0)
    other = np.clip(1.0 - share, 1e-300, 1.0)
    return -(share * np.log2(safe) + (1.0 - share) * np.log2(other))


def mean_bit_entropy(sums: np.ndarray) -> np.ndarray:
    """Totals (..., D + 1), ones of each bit and then the number of codes -> mean entropy over the bits (...)."""
    return entropy(sums[..., :-1] / sums[..., -1:]).mean(axis=-1)


def pair_information(ones: np.ndarray, both: np.ndarray, n: int) -> float:
    """Mean mutual information in bits over the pairs of different bits.

    Args:
        ones: (D,) cases in which each bit is 1.
        both: (D, D) cases in which both are 1.
        n: cases.

    Returns:
        0.0 with a single bit.
    """
    import numpy as np

    d = len(ones)
    if d < 2:
        return 0.0
    p, joint = ones / n, both / n
    total = np.zeros((d, d))
    rows, columns = p[:, None], p[None, :]
    for cell, expected in (
        (joint, rows * columns),
        (rows - joint, rows * (1 - columns)),
        (columns - joint, (1 - rows) * columns),
        (1 - rows - columns + joint, (1 - rows) * (1 - columns)),
    ):
        seen = cell > 1e-15
        total[seen] += cell[seen] * np.log2(cell[seen] / expected[seen])
    return float(total[np.triu_indices(d, 1)].mean())


@dataclass(slots=True)
class Level:
    """Counts of one level."""

    images: list[Any] = field(default_factory=list)
    """One (D + 1,) an image: ones of each bit, then the number of codes."""
    both: Any = 0
    """(D, D): codes in which both bits are 1."""
    _waiting: list[Any] = field(default_factory=list)
    _table: tuple[Any, Any] | None = None

    def add(self, codes: np.ndarray) -> None:
        """Count the codes of one image, uint8 (n, D) in {0, 1}."""
        import numpy as np

        wide = codes.astype(np.float64)
        self.images.append(np.append(wide.sum(axis=0), len(wide)))
        self.both = self.both + wide.T @ wide
        self._waiting.append(_keys(codes))
        if sum(map(len, self._waiting)) >= MERGE:
            self._merge()

    def _merge(self) -> None:
        import numpy as np

        if not self._waiting:
            return
        keys, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        self._waiting = []
        if self._table is not None:
            old, seen = self._table
            keys, place = np.unique(np.concatenate([old, keys]), return_inverse=True)
            counts = np.bincount(place, weights=np.concatenate([seen, counts]))
        self._table = (keys, counts)

    @property
    def counts(self) -> np.ndarray:
        """How often each distinct code comes, float64."""
        self._merge()
        assert self._table is not None
        return self._table[1].astype("float64")

    def figures(self) -> dict[str, float]:
        """The numbers of this level that are not means over bits: see the top of this file."""
        import numpy as np

        totals = np.sum(self.images, axis=0)
        ones, n = totals[:-1], int(totals[-1])
        share = self.counts / n
        return {
            "dead_bits": float(((ones == 0) | (ones == n)).sum()),
            "pair_information": pair_information(ones, self.both, n),
            "distinct_codes": len(share) / n,
            "perplexity": float(2.0 ** -(share * np.log2(share)).sum()),
        }


def _keys(codes: np.ndarray) -> np.ndarray:
    """One comparable value a code: uint64 up to 64 bits, raw bytes beyond."""
    import numpy as np

    packed = np.packbits(codes, axis=1)
    if packed.shape[1] > 8:
        packed = np.ascontiguousarray(packed)
        return packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
    wide = np.zeros((len(packed), 8), dtype=np.uint8)
    wide[:, : packed.shape[1]] = packed
    return wide.view(np.uint64)[:, 0]

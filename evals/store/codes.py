"""Codes of an image on disk: bits packed eight to a byte in a safetensors file, the shape in its metadata.

One metadata key only: with several, the order in the file (and so its sha256) is not fixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import StoreError

if TYPE_CHECKING:
    import numpy as np


def pack(codes: np.ndarray) -> bytes:
    """Return the safetensors bytes of codes.

    Args:
        codes: uint8 (N, L, G, D) in {0, 1}; N visual tokens, L levels, G patches a token, D bits.

    Raises:
        ValueError: another type, another number of axes, or values beside 0 and 1.
    """
    import numpy as np
    from safetensors.numpy import save

    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 4:
        raise ValueError(f"codes: got {codes.dtype} with shape {codes.shape}; expected uint8 (N, L, G, D)")
    if codes.size and int(codes.max()) > 1:
        raise ValueError(f"codes: got the value {int(codes.max())}; expected only 0 and 1")
    shape = ",".join(str(side) for side in codes.shape)
    return save({"codes": np.packbits(codes.reshape(-1))}, metadata={"shape": shape})


def unpack(path: Path) -> np.ndarray:
    """Read codes back: uint8 (N, L, G, D) in {0, 1}.

    Raises:
        StoreError: the file is missing, damaged, or its shape does not fit its bits.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            shape = tuple(int(side) for side in (file.metadata() or {})["shape"].split(","))
            bits = np.unpackbits(file.get_tensor("codes"))
        count = int(np.prod(shape))
        if not count <= bits.size < count + 8:
            raise ValueError(f"{bits.size} bits for the shape {shape}")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise StoreError(f"{path}: got unreadable codes ({error}); expected a codes file of a run.") from error
    return bits[:count].reshape(shape)

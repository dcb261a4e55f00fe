"""safetensors in and out, strict: a tensor that is missing, unexpected or mis-shaped is named, nothing is re-initialised."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uniar.errors import CheckpointError


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The safetensors files of `stem` in a folder: one file, or the shards of its index.

    Raises:
        CheckpointError: no such file.
    """
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        files = [folder / Path(n).name for n in names]
        missing = [f.name for f in files if not f.is_file()]
        if missing or not files:
            raise CheckpointError(f"{index}: names shards that are not there ({', '.join(missing)}). Fetch them.")
        return files
    if single.is_file():
        return [single]
    raise CheckpointError(f"{single}: not found; expected {stem}.safetensors or its shards with an index. Fetch the checkpoint.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: missing, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found. Is the folder a UniAR checkpoint?") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: got a {type(data).__name__}; expected a JSON object.")
    return data


def read_tensors(folder: Path, stem: str) -> dict[str, Tensor]:
    """All tensors of `stem`, on the CPU."""
    out: dict[str, Tensor] = {}
    for file in weight_files(folder, stem):
        try:
            out.update(load_file(file))
        except SafetensorError as error:
            raise CheckpointError(f"{file}: not a readable safetensors file ({error}). Fetch it again.") from None
    return out


def load_strict(module: nn.Module, tensors: dict[str, Tensor], *, where: str, dtype: torch.dtype | None = None) -> None:
    """Copy tensors into a module whose names and shapes must match exactly.

    Raises:
        CheckpointError: the lists of missing, unexpected and mis-shaped names.
    """
    own = module.state_dict()
    missing, unexpected = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    shaped = [
        f"{n}: got {tuple(tensors[n].shape)}; config.json says {tuple(own[n].shape)}"
        for n in sorted(set(own) & set(tensors))
        if own[n].shape != tensors[n].shape
    ]
    if missing or unexpected or shaped:
        lists = (("missing", missing), ("unexpected", unexpected), ("mis-shaped", shaped))
        told = "; ".join(f"{len(names)} {title}: {', '.join(names)}" for title, names in lists if names)
        raise CheckpointError(f"{where}: the tensors do not fit config.json ({told}). Use weights and config that belong together.")
    module.load_state_dict(tensors, strict=True)
    if dtype is not None and any(p.dtype != dtype for p in module.parameters()):
        module.to(dtype)


def write_tensors(path: Path, tensors: dict[str, Tensor], dtype: torch.dtype | None = None) -> None:
    """Write one safetensors file; floating tensors are cast to `dtype` when given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cast = {
        k: (v.to(dtype) if dtype is not None and v.is_floating_point() else v).detach().cpu().contiguous().clone()
        for k, v in tensors.items()
    }
    save_file(cast, path, metadata={"format": "pt"})


def fingerprint(files: list[Path], root: Path) -> str:
    """sha256 over the names and contents of the files, in order of name."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest() if file.stat().st_size < 1 << 26 else _stream(file))
    return digest.hexdigest()


def _stream(file: Path) -> bytes:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()

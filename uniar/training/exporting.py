"""Writing a checkpoint that differs from another in some of its files; whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from uniar.checkpoint.weights import weight_files, write_tensors
from uniar.training.distributed import Processes

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
"""Files that may hold a processor's settings, by version of transformers."""


@contextmanager
def copied_checkpoint(base: Path, target: Path, *, without: Callable[[Path], bool]) -> Iterator[Path]:
    """A folder beside the target with copies of the base's files; it becomes the target when the block ends well.

    Args:
        base: checkpoint in the released layout.
        target: folder to write; an older checkpoint there is replaced once the new one is whole.
        without: path below the base -> whether it is left out.
    """
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)

    def left_out(where: str, names: list[str]) -> set[str]:
        return {name for name in names if without((Path(where) / name).relative_to(base))}

    shutil.copytree(base, fresh, ignore=left_out)
    yield fresh
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, under what is left of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def stored_dtype(folder: Path, stem: str = "model") -> torch.dtype:
    """Floating-point type of the weights in a folder; one tensor tells, reading them all would hold the whole model again."""
    with safe_open(weight_files(folder, stem)[0], framework="pt") as file:
        return next(t.dtype for t in map(file.get_tensor, file.keys()) if t.is_floating_point())


def export_language(processes: Processes, model: Any, base: Path, target: Path, weights: Mapping[str, Tensor] | None = None) -> Path:
    """Write a checkpoint in the released layout: the AR model is `model`, everything else as in `base`.

    Every process must call it; the main one writes. A checkpoint that is there is replaced once the new one is whole.

    Args:
        processes: of the run.
        model: the AR model; only the main process needs it.
        base: checkpoint that the run started from.
        target: folder to write.
        weights: full weights, where the model's own are sharded or not what is to be written; default: its own.
    """
    if processes.main:
        own = model.state_dict() if weights is None else weights
        dtype = stored_dtype(base)
        with copied_checkpoint(base, target, without=of_the_model) as fresh:
            save_model(model, fresh, own, dtype)
    processes.wait()
    return target


def export_with_encoder(processes: Processes, model: Any, base: Path, target: Path, weights: Mapping[str, Tensor]) -> Path:
    """As `export_language`, and `bsq_encoder/` is the model's own vision stack; the processor is told how it groups patches."""
    if processes.main:
        dtype, vision = stored_dtype(base), model.config.vision_config
        own = {"bsq_dim": vision.bsq_dim, "deepstack_visual_indexes": list(vision.deepstack_visual_indexes)}
        own |= {"spatial_merge_size": vision.spatial_merge_size}
        own |= {"quantizer": vision.quantizer} if hasattr(vision, "quantizer") else {}
        with copied_checkpoint(base, target, without=lambda path: of_the_model(path) or of_the_encoder(path)) as fresh:
            save_model(model, fresh, weights, dtype)
            write_tensors(fresh / "bsq_encoder" / "model.safetensors", below("model.visual.", weights), dtype)
            _tell(fresh / "bsq_encoder" / "config.json", own)
            for name in PROCESSOR_FILES:
                _tell(fresh / name, {"merge_size": vision.spatial_merge_size}, known=True)
    processes.wait()
    return target


def _tell(file: Path, wanted: Mapping[str, Any], *, known: bool = False) -> None:
    """Set keys of a JSON file; with `known` only where it has them, also in its tables. Where nothing changes the file stays."""
    if not file.is_file():
        return
    data = json.loads(file.read_text("utf-8"))
    places = [d for d in (data, *data.values()) if isinstance(d, dict) and wanted.keys() <= d.keys()] if known else [data]
    if any(place.get(key) != value for place in places for key, value in wanted.items()):
        for place in places:
            place.update(wanted)
        file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", "utf-8")


def save_model(model: Any, folder: Path, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """`save_pretrained` with the given full weights, floating-point ones in `dtype`."""
    model.save_pretrained(folder, state_dict={k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()})
    # transformers notes the dtype that the model computes in, here that of the training; readers go by that of the file.
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8"))
    config["dtype"] = str(dtype).removeprefix("torch.")
    for part in ("text_config", "vision_config"):
        config[part]["dtype"] = None
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def of_the_model(path: Path) -> bool:
    """Whether a file, told from the checkpoint's folder, holds AR weights, or golden records, which other weights would not reproduce."""
    name = path.name
    return path.parent == Path() and (name.startswith("golden") or (name.startswith("model") and ".safetensors" in name))


def of_the_encoder(path: Path) -> bool:
    """Whether a file, told from the checkpoint's folder, holds the tokenizer's own weights."""
    return path.parent == Path("bsq_encoder") and path.name.startswith("model") and ".safetensors" in path.name

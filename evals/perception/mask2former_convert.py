"""mmdet's Mask2Former checkpoint -> a folder that transformers loads: GenEval's own detector weights in this environment.

Source of the names: `mask2former_names`. A `.pth` file is a pickle, so it is opened only here, only through torch's
restricted reader (`weights_only=True`: tensors and plain containers, no code), and leaves as safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import ModelError
from evals.perception.mask2former_names import COMPUTED, UNUSED, Dims, apply, dims_of, links
from evals.store import atomic

if TYPE_CHECKING:
    import torch

OFFICIAL = "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth"
"""The checkpoint GenEval's results are defined with; mmdet names a file by the first eight digits of its sha256."""
OFFICIAL_DIGEST = "743b7d99"
RECORD = "conversion.json"
COCO = 80


class Converted(NamedTuple):
    """What was written."""

    folder: Path
    tensors: int
    """Tensors of the mmdet file, index tables included."""
    sha256: str
    official: bool
    """Whether the file's sha256 begins as the published file's name says."""


def convert_file(source: Path, folder: Path) -> Converted:
    """Convert a checkpoint file into a folder with `config.json`, `model.safetensors` and `conversion.json`.

    Args:
        source: `.pth` (restricted reader) or `.safetensors`, with mmdet's names.
        folder: new or empty.

    Raises:
        ModelError: the file cannot be read safely, or is no complete Mask2Former with a Swin backbone.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: got something that is there already; expected a new or empty folder. Give another OUT.")
    state = read_state(source)
    try:
        model = convert_state(state)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    digest = atomic.sha256(source)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    official = digest.startswith(OFFICIAL_DIGEST)
    facts = {"source": source.name, "sha256": digest, "official_file": OFFICIAL, "is_official": official, "tensors": len(state)}
    # Last, so that a folder with this file is a whole one.
    atomic.write_json(folder / RECORD, facts)
    return Converted(folder, len(state), digest, official)


def read_state(source: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint.

    Raises:
        ModelError: absent, of another format, damaged, or a pickle that holds more than tensors and plain values.
    """
    import torch

    if not source.is_file():
        raise ModelError(f"{source}: got no such file; expected mmdet's {OFFICIAL}. Download it from the mmdetection model zoo.")
    if source.suffix not in (".pth", ".pt", ".safetensors"):
        raise ModelError(f'{source}: got "{source.suffix}"; expected a .pth or .safetensors file with mmdet\'s names.')
    found: Any
    try:
        if source.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(source)
        else:
            found = torch.load(source, map_location="cpu", weights_only=True)
    # A damaged or hostile file may make either reader raise anything; none of its code has run.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(
            f"{source}: got a file that cannot be read as plain tensors ({reason}); expected mmdet's {OFFICIAL}. "
            "Download it again, or save its state_dict as .safetensors in an environment you trust."
        ) from error
    # CSD's authors call it otherwise.
    state = found.get("state_dict", found.get("model_state_dict", found)) if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise ModelError(f"{source}: got {type(found).__name__} without a state_dict; expected tensors by name.")
    odd = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise ModelError(f"{source}: {odd[0]}: got {type(state[odd[0]]).__name__}; expected a tensor.")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def convert_state(state: Mapping[str, torch.Tensor]) -> Any:
    """Build the transformers detector from mmdet's tensors.

    Returns:
        `Mask2FormerForUniversalSegmentation`, float32, on the CPU.

    Raises:
        ModelError: names or shapes that do not fit, the first of them named.
    """
    import torch
    from transformers import Mask2FormerForUniversalSegmentation

    dims = dims_of({name: tuple(tensor.shape) for name, tensor in state.items()})
    table = {link.theirs: link for link in links(dims)}
    learned = [name for name in state if not name.endswith(COMPUTED)]
    _none("without", sorted(set(table) - set(learned)))
    _none("with unknown", sorted(set(learned) - set(table)))
    ours: dict[str, torch.Tensor] = {}
    origin: dict[str, str] = {}
    for name in learned:
        for new, tensor in apply(table[name], state[name].to(torch.float32)).items():
            ours[new], origin[new] = tensor, name
    model = Mask2FormerForUniversalSegmentation(detector_config(dims))
    wanted = dict(model.named_parameters())
    for new, tensor in ours.items():
        if new not in wanted:
            raise ModelError(f"{origin[new]}: got no place for it in transformers ({new}); expected one. Use transformers 5.23 or later.")
        if tensor.shape != wanted[new].shape:
            raise ModelError(f"{origin[new]}: got {tuple(tensor.shape)} for {new}; expected {tuple(wanted[new].shape)}.")
    unfilled = [name for name in wanted if name not in ours and not name.startswith(UNUSED)]
    if unfilled:
        raise ModelError(
            f"got nothing for {len(unfilled)} parameters of transformers, {unfilled[0]} first. Use transformers 5.23 or later."
        )
    _check_index(state, dict(model.named_buffers()))
    with torch.no_grad():
        for name, parameter in wanted.items():
            if name in ours:
                parameter.copy_(ours[name])
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return model.eval()


def detector_config(dims: Dims) -> Any:
    """Return the transformers configuration of a detector of these sizes."""
    from transformers import Mask2FormerConfig, SwinConfig

    backbone = SwinConfig(
        embed_dim=dims.embed,
        depths=list(dims.depths),
        num_heads=list(dims.heads),
        window_size=dims.window,
        qkv_bias=True,
        hidden_act="gelu",
        out_features=[f"stage{i + 1}" for i in range(len(dims.depths))],
    )
    return Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=dims.hidden,
        mask_feature_size=dims.hidden,
        hidden_dim=dims.hidden,
        encoder_feedforward_dim=dims.encoder_ffn,
        encoder_layers=dims.encoder_layers,
        # transformers counts the prediction before the first layer as a layer.
        decoder_layers=dims.decoder_layers + 1,
        num_attention_heads=dims.attention_heads,
        dim_feedforward=dims.decoder_ffn,
        num_queries=dims.queries,
        dropout=0.0,
        pre_norm=False,
        feature_strides=[4, 8, 16, 32],
        common_stride=4,
        num_labels=dims.classes,
        **_labels(dims.classes),
    )


def _labels(classes: int) -> dict[str, Any]:
    from evals.vocabulary import GENEVAL_CLASSES

    # COCO's order; GenEval renames three of its words and everyone counts by index.
    if classes != COCO:
        return {}
    return {"id2label": dict(enumerate(GENEVAL_CLASSES)), "label2id": {name: i for i, name in enumerate(GENEVAL_CLASSES)}}


def _none(what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ModelError(
            f"got a state dict {what} {', '.join(names[:3])}{more}; expected the names of mmdet's Mask2Former with a Swin backbone."
        )


def _check_index(state: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]) -> None:
    import torch

    ours = next((table for name, table in buffers.items() if name.endswith(COMPUTED)), None)
    for name, table in state.items():
        if name.endswith(COMPUTED) and (ours is None or not torch.equal(table.reshape(-1), ours.reshape(-1))):
            raise ModelError(f"{name}: got another order of window positions; expected that of transformers' Swin.")

"""A CLIP of open_clip's on this machine: where its safetensors lie, and how it is read. The network is never asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from evals.errors import ModelError
from evals.perception.device import device_of

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")


class OpenClip(NamedTuple):
    """A model in eval mode with what goes with it."""

    model: Any
    transform: Any
    """RGB image -> float (3, side, side): OpenAI's own preprocessing."""
    tokenize: Any
    device: str


def find(checkpoint: str | None, cache_dir: str | None, *, model: str, pretrained: str, role: str, usual: tuple[str, str]) -> Path:
    """Return the safetensors file.

    Args:
        checkpoint: file, or folder with one; wins over the tag.
        cache_dir: Hub cache; None is the usual one.
        model: open_clip architecture.
        pretrained: open_clip's tag of the weights, looked up in the Hub cache.
        role: that needs them, for messages (`color`).
        usual: architecture and Hub repository to advise.

    Raises:
        ModelError: they are not on this machine; the sentence tells what to fetch.
    """
    if checkpoint is not None:
        path = Path(checkpoint)
        for candidate in (path, *(path / name for name in WEIGHT_FILES)):
            if candidate.is_file() and candidate.suffix == ".safetensors":
                return candidate
        got, repository = checkpoint, usual[1]
    else:
        from huggingface_hub import try_to_load_from_cache
        from open_clip.pretrained import get_pretrained_cfg

        repository = str(get_pretrained_cfg(model, pretrained).get("hf_hub", "")).rstrip("/")
        if not repository:
            raise ModelError(
                f"{role} open-clip: pretrained: got {model} with {pretrained}; expected a tag that open_clip knows on the Hub. "
                f"Use {usual[0]} with openai, or set checkpoint."
            )
        for name in WEIGHT_FILES:
            found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
            if isinstance(found, str):
                return Path(found)
        got = f"no {repository} in the local cache"
    raise ModelError(
        f"{role} open-clip: checkpoint: got {got}; expected the safetensors weights of {model}. Run `hf download {repository} "
        f"{WEIGHT_FILES[0]}`, or copy that file to this machine and add --set roles.{role}.checkpoint=FILE."
    )


def load(path: Path, *, model: str, pretrained: str, device: str, role: str) -> OpenClip:
    """Read the weights.

    Args:
        path: of `find`.
        model, pretrained, role: as there.
        device: torch device, or `auto`.

    Raises:
        ModelError: they do not fit the architecture.
    """
    import open_clip

    device = device_of(device)
    try:
        # open_clip 3 only warns when OpenAI's weights meet plain GELU.
        network = open_clip.create_model(model, pretrained=str(path), device=device, force_quick_gelu=pretrained == "openai")
    except (RuntimeError, ValueError, OSError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{role} open-clip: checkpoint: got {path}, which does not load as {model} ({reason}); expected its weights. "
            "Check `model` and `checkpoint`."
        ) from error
    transform = open_clip.image_transform(
        network.visual.image_size, is_train=False, mean=MEAN, std=STD, interpolation="bicubic", resize_mode="shortest"
    )
    return OpenClip(network.eval(), transform, open_clip.get_tokenizer(model), device)

"""Which file lies where in a checkpoint, and how a name becomes a folder.

config.json, model*.safetensors, tokenizer and processor files     the AR model
bsq_encoder/                                                        the tokenizer alone
sd3_transformer/                                                    the DiT
sd3_pipeline/{vae,scheduler,…}, sd3_pipeline/prompt_embeds.safetensors
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from uniar.errors import CheckpointError

BUNDLED = ("uniar-mini",)


def resolve(checkpoint: str | Path) -> Path:
    """Folder of a checkpoint: a path, the name of a bundled one, or a hub id that is already in the local cache.

    Raises:
        CheckpointError: nothing there, with what to do.
    """
    path = Path(checkpoint)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{path}: no config.json in this folder. Give the folder that holds the AR model's config.json.")
        return path
    if str(checkpoint) in BUNDLED:
        folder = Path(str(resources.files("uniar"))) / "checkpoints" / str(checkpoint)
        if (folder / "config.json").is_file():
            return folder
        raise CheckpointError(f"{checkpoint}: the bundled checkpoint is missing from this installation. Reinstall the package.")
    if not is_hub_id(checkpoint):
        raise CheckpointError(
            f"{checkpoint}: no such checkpoint folder. Give a folder in the released layout, a hub id, or one of: {', '.join(BUNDLED)}."
        )
    return _from_hub(str(checkpoint))


def is_hub_id(checkpoint: str | Path) -> bool:
    """Whether a name can only be one of the hub's: `owner/name`, and nothing here is called so."""
    name = str(checkpoint)
    return not Path(checkpoint).exists() and name.count("/") == 1 and not name.startswith((".", "/", "~"))


def cached_hub_folder(repo: str) -> Path | None:
    """Folder of a hub id in the local cache, or None; nothing is fetched."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _from_hub(repo: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repo, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]))
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{repo}: not in the local cache and it could not be fetched ({type(error).__name__}). "
            f"Run `hf download {repo} --local-dir DIR` where there is a network, then give DIR."
        ) from None


def weight_paths(folder: Path) -> list[Path]:
    """Every safetensors file that decides what the model computes (golden records left out)."""
    return [f for f in sorted(folder.rglob("*.safetensors")) if not f.name.startswith("golden")]

"""`uniar info CHECKPOINT`: sizes, fingerprint, parameters by part."""

from __future__ import annotations

from typing import Any

import click

from uniar.cli.options import DEVICE


@click.command()
@click.argument("checkpoint", default="uniar-mini")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(checkpoint: str, device: str, as_json: bool) -> None:
    """Describe CHECKPOINT: a folder, a hub id, or the bundled uniar-mini (the default)."""
    import json

    from uniar.cli.options import open_checkpoint

    model = open_checkpoint(checkpoint, device)
    told = {**model.fingerprint(), "folder": str(model.folder), "config": _summary(model.model.config), "parameters": _parts(model)}
    told["parameters"]["total"] = sum(told["parameters"].values())
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for key in ("id", "folder", "sha256", "bundled"):
        click.echo(f"{key:<28} {told[key]}")
    for key, value in told["config"].items():
        click.echo(f"{key:<28} {value}")
    for key, value in told["parameters"].items():
        click.echo(f"{'parameters, ' + key:<28} {value:,}")


def _summary(config: Any) -> dict[str, Any]:
    text, vision = config.text_config, config.vision_config
    return {
        "vocabulary": text.vocab_size,
        "language layers x width": f"{text.num_hidden_layers} x {text.hidden_size}",
        "visual head": config.visual_head_kind,
        "visual head layers": config.visual_depth,
        "vision layers x width": f"{vision.depth} x {vision.hidden_size}",
        "patch, token (pixels)": f"{vision.patch_size}, {vision.token_pixels}",
        "levels x bits": f"{vision.num_levels} x {vision.bsq_dim}",
    }


def _parts(model: Any) -> dict[str, int]:
    def count(*modules: Any) -> int:
        return sum(p.numel() for m in modules for p in m.parameters())

    ar, decoder = model.model, model.decoder
    return {
        "vision": count(ar.visual),
        **({"vision that reads": count(ar.reader)} if ar.config.dual else {}),
        "language": count(ar.model.language_model),
        # A tied text classifier would be counted with the embedding; the release does not tie.
        "text head": count(ar.lm_head),
        "visual head": count(ar.visual_decoder, ar.output_layer_vistok),
        "pixel decoder (DiT)": count(decoder.transformer),
        "pixel decoder (VAE)": count(decoder.vae),
    }

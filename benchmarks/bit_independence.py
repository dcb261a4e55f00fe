"""Are the bits of a token independent, as drawing them all at once assumes? And where does drawing them break?

    python benchmarks/bit_independence.py [--scenes 2000] [--sampled 96] [--checkpoint uniar-mini] [--guidance-scale 2.5] [--out FILE.json]

1. Without the prefix: joint entropy of groups of 8 bits of one patch and level against the sum of the 8 marginal entropies, over codes of
   scenes (plug-in estimates; 256 cells, so the bias is about 255 / (2 N ln 2) bits, which is taken off: Miller 1955).
2. Given the prefix: the model's probability of every bit by teacher forcing on held-out captions and images. If the bits are independent
   given the prefix, the standardised residuals (b - p) / sqrt(p (1 - p)) of two bits are uncorrelated. Told: mean absolute correlation of
   pairs of bits of one patch, of two patches of a token, and of the same pairs with the samples shuffled, which is what chance leaves.
   Only residuals with p in 0.05 to 0.95 are used: outside, next to nothing is left to be dependent.
3. Sampling: codes of patches drawn at several temperatures, and the smallest number of bits by which each differs from a code of a real
   scene; beside it that number for codes of other real scenes. Real codes lie on a thin set: how far off it do draws fall?

Part 2 needs the released head; a checkpoint with another one (`uniar/heads/`) is told parts 1 and 3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np


def entropy(counts: np.ndarray) -> float:
    """Bits, with Miller's correction for the empty and the lucky cells."""
    counts = counts[counts > 0]
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum()) + (len(counts) - 1) / (2 * counts.sum() * np.log(2))


def groups(codes: np.ndarray, size: int = 8) -> tuple[float, float, float]:
    """Mean joint entropy of groups of bits, mean sum of marginals, and mean entropy of a bit; codes (scenes, N, L, G, D)."""
    joint, marginal, bit = [], [], []
    powers = 1 << np.arange(size)
    for place in np.ndindex(codes.shape[1:4]):
        own = codes[(slice(None), *place)]
        for first in range(0, codes.shape[-1] - size + 1, size):
            part = own[:, first : first + size]
            joint.append(entropy(np.bincount(part @ powers, minlength=2**size)))
            singles = [entropy(np.bincount(column, minlength=2)) for column in part.T]
            marginal.append(sum(singles))
            bit += singles
    return float(np.mean(joint)), float(np.mean(marginal)), float(np.mean(bit))


def correlation(a: np.ndarray, b: np.ndarray, least: int = 200) -> float | None:
    """Correlation of two residuals where both are there."""
    both = np.isfinite(a) & np.isfinite(b)
    return None if both.sum() < least else float(np.corrcoef(a[both], b[both])[0, 1])


def pairs(residuals: np.ndarray, rng: np.random.Generator, count: int = 4000) -> dict[str, tuple[float, int]]:
    """Mean absolute correlation of random pairs; residuals (scenes, N, L, G, D), nan where p is extreme."""
    found: dict[str, list[float]] = {"one patch": [], "two patches": [], "shuffled": []}
    _, tokens, levels, patches, bits = residuals.shape
    for _ in range(count):
        n, level, g = rng.integers(tokens), rng.integers(levels), rng.integers(patches)
        i, j = rng.choice(bits, 2, replace=False)
        other = (g + rng.integers(1, patches)) % patches
        a = residuals[:, n, level, g, i]
        for name, b in (("one patch", residuals[:, n, level, g, j]), ("two patches", residuals[:, n, level, other, j])):
            if (value := correlation(a, b)) is not None:
                found[name].append(abs(value))
        if (value := correlation(a, rng.permutation(residuals[:, n, level, g, j]))) is not None:
            found["shuffled"].append(abs(value))
    return {name: (float(np.mean(values)) if values else float("nan"), len(values)) for name, values in found.items()}


def nearest(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Smallest Hamming distance of each row of bits to the known rows."""
    signs, own = 2 * known.astype(np.float32) - 1, 2 * codes.astype(np.float32) - 1
    return np.concatenate([(codes.shape[-1] - part @ signs.T).min(1) / 2 for part in np.array_split(own, max(1, len(own) // 2000))])


def residual_correlations(model: Any, drawn: Sequence[Any], codes: Any) -> dict[str, object]:
    """Part 2: loss, share of open bits, and correlations of residuals given caption and earlier tokens."""
    import torch

    from uniar.training.grpo.logprobs import bit_logprobs

    bits = codes.numpy()
    side, parts = round(bits.shape[1] ** 0.5), []
    with torch.inference_mode():
        for start in range(0, len(drawn), 32):
            prefixes = [model.prefix(d.caption, None, rows=side, columns=side, guided=False) for d in drawn[start : start + 32]]
            parts.append(bit_logprobs(model.model, prefixes, codes[start : start + 32], rows=side, columns=side).numpy())
    given = np.exp(np.concatenate(parts))
    p = np.where(bits == 1, given, 1 - given)
    loss = float(-np.log2(np.clip(given, 1e-12, 1)).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        residuals = np.where((p > 0.05) & (p < 0.95), (bits - p) / np.sqrt(p * (1 - p)), np.nan)
    open_share = float(np.isfinite(residuals).mean())
    found = pairs(residuals, np.random.default_rng(0))
    click.echo(f"given caption and earlier tokens: {loss:.3f} bits a bit; {open_share:.1%} of the bits are open (p in 0.05 to 0.95)")
    for name, (value, count) in found.items():
        click.echo(f"  mean |correlation| of residuals, {name}: {value:.3f} ({count} pairs)")
    return {"loss": loss, "open": open_share, "correlations": found}


@click.command()
@click.option("--scenes", default=2000, show_default=True, help="Captioned scenes, half of them kept as what is known.")
@click.option("--sampled", default=96, show_default=True, help="Images drawn at each temperature.")
@click.option("--checkpoint", default="uniar-mini", show_default=True)
@click.option("--guidance-scale", default=2.5, show_default=True, help="Of the draws; 1 is off.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Also write the figures as JSON.")
def main(scenes: int, sampled: int, checkpoint: str, guidance_scale: float, out: Path | None) -> None:
    """Print the three parts."""
    import torch
    from PIL import Image

    import uniar
    from uniar.data.shapes import render, sample_captioned

    torch.set_num_threads(1)
    model = uniar.load(checkpoint)
    drawn = [sample_captioned(np.random.default_rng([5, i]), split="train") for i in range(scenes)]
    codes = torch.stack([model.encode([Image.fromarray(render(d.scene, 64))])[0][0] for d in drawn])
    bits = codes.numpy()
    joint, marginal, bit = groups(bits)
    told: dict[str, object] = {"scenes": scenes, "shape": list(bits.shape[1:]), "joint": joint, "marginal": marginal, "bit": bit}
    click.echo(f"{scenes} scenes, codes {tuple(bits.shape[1:])}; entropy of a bit {bit:.3f} bits")
    click.echo(f"8 bits of a patch: joint entropy {joint:.3f}, sum of marginals {marginal:.3f}, shared {marginal - joint:.3f} bits")

    kind = model.model.config.visual_head_kind
    if kind == "parallel":
        told |= residual_correlations(model, drawn, codes)
    else:
        click.echo(f"the head is {kind}: bits have no probabilities of their own")

    half = scenes // 2
    table = {}
    for level in range(bits.shape[2]):
        known = np.unique(bits[:half, :, level].reshape(-1, bits.shape[-1]), axis=0)
        real = nearest(bits[half:, :, level].reshape(-1, bits.shape[-1])[:8000], known)
        table[level] = {"known": len(known), "real": (float(real.mean()), float((real == 0).mean()))}
    words = [d.caption for d in drawn[:sampled]]
    for temperature in (0.1, 0.5, 1.0, 1.5, 2.0):
        made = model.generate(
            words, height=64, width=64, seeds=list(range(len(words))), guidance_scale=guidance_scale, temperature=temperature, decode=False
        )
        stacked = np.stack([one.codes for one in made])
        for level, row in table.items():
            known = np.unique(bits[:half, :, level].reshape(-1, bits.shape[-1]), axis=0)
            off = nearest(stacked[:, :, level].reshape(-1, bits.shape[-1]), known)
            row[str(temperature)] = (float(off.mean()), float((off == 0).mean()))
    told["nearest"] = table
    for level, row in table.items():
        click.echo(f"level {level}: bits to the nearest of {row['known']} real codes of a patch (share that is one)")
        click.echo("  " + ", ".join(f"{name} {mean:.2f} ({share:.0%})" for name, (mean, share) in ((k, v) for k, v in row.items() if k != "known")))
    if out is not None:
        out.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Attention forward and backward in bfloat16 on the CPU: PyTorch's fused kernel against plain products.

    python benchmarks/attention_backward.py [--seconds 2]

The training loop chooses the plain one (`uniar/training/loop.py`, `computing`); the ratio here is why.
"""

from __future__ import annotations

import time

import click

SHAPES = ((18, 4, 160, 64), (64, 4, 64, 32))
"""(rows, heads, positions, head width) of the language model and of the tokenizer of uniar-mini."""


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="Time of each side and shape.")
def main(seconds: float) -> None:
    """Print milliseconds of both sides and their ratio."""
    import torch
    from torch.nn import functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from uniar.training.loop import computing

    def once(shape: tuple[int, ...]) -> None:
        q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
        F.scaled_dot_product_attention(q, k, v).float().sum().backward()

    def fused(shape: tuple[int, ...]) -> None:
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            once(shape)

    def plain(shape: tuple[int, ...]) -> None:
        with computing("bfloat16"):
            once(shape)

    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for shape in SHAPES:
        spent = {fused: 0.0, plain: 0.0}
        rounds = 0
        for side in spent:
            side(shape)
        # In turn, so that a machine that slows down slows both.
        while sum(spent.values()) < 2 * seconds:
            for side in spent:
                start = time.perf_counter()
                side(shape)
                spent[side] += time.perf_counter() - start
            rounds += 1
        a, b = (1000 * spent[side] / rounds for side in (fused, plain))
        click.echo(f"{shape}: fused {a:.1f} ms, plain {b:.1f} ms, ratio {a / b:.2f}")


if __name__ == "__main__":
    main()

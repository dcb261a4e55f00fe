"""Milliseconds of a visual token on a GPU, with steps as plain calls and as one replayed CUDA graph, in one process.

    python benchmarks/rollout_steps.py [--checkpoint uniar-mini] [--batch-size 1 --batch-size 8] [--rows 8 --columns 16]

`--released` takes the sizes of the released checkpoint with random weights instead (19 GB in bfloat16). The prompt's own step and the
recording of the graph are part of what is timed, as in use. Sides take turns; the first turn of each warms up and is not counted.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click


def random_release() -> Any:
    """The released sizes in bfloat16 on the GPU, small random weights."""
    import torch

    from uniar.training.dry_stages import Blank

    model = Blank.of("ShareLab-SII/UniAR-SFT").model().to(torch.bfloat16).to_empty(device="cuda")
    generator = torch.Generator(device="cuda").manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.02, generator=generator)
            else:
                weight.fill_(float("norm" in name))
    return model.eval()


@click.command()
@click.option("--checkpoint", default="uniar-mini", show_default=True)
@click.option("--released", is_flag=True, help="The released sizes with random weights.")
@click.option("--batch-size", "batches", multiple=True, type=int, default=(1, 8), show_default=True, help="Images at once, with guidance.")
@click.option("--rows", default=8, show_default=True, help="Visual tokens of an image, down.")
@click.option("--columns", default=16, show_default=True, help="And across.")
@click.option("--turns", default=2, show_default=True, help="Counted turns of each side.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Also write the figures as JSON.")
def main(checkpoint: str, released: bool, batches: tuple[int, ...], rows: int, columns: int, turns: int, out: Path | None) -> None:
    """Print both sides and their ratio for each batch size."""
    import torch

    import uniar
    from uniar.generation.codes import Prefix, generate_codes

    if not torch.cuda.is_available():
        raise click.ClickException("device: got no GPU that torch sees; expected one, since graphs are a GPU's. Run it there.")
    model = random_release() if released else uniar.load(checkpoint, device="cuda").model
    words, found = model.config.text_config.vocab_size, []

    def prompt(length: int, seed: int) -> torch.Tensor:
        return torch.randint(0, min(words, 1000), (length,), generator=torch.Generator().manual_seed(seed))

    for batch in batches:
        prefixes = [Prefix(input_ids=prompt(40 + 3 * i, i), unconditional_ids=prompt(20, 99)) for i in range(batch)]
        took: dict[bool, list[float]] = {False: [], True: []}
        codes = {}
        for turn in range(turns + 1):
            for fixed in (False, True):
                torch.cuda.synchronize()
                began = time.perf_counter()
                size = {"rows": rows, "columns": columns, "seeds": range(batch)}
                codes[fixed] = generate_codes(model, prefixes, guidance_scale=2.0, temperature=1.0, exact=False, fixed=fixed, **size)
                torch.cuda.synchronize()
                if turn:
                    took[fixed].append(1000 * (time.perf_counter() - began) / (rows * columns))
        plain, graph = (sorted(times)[len(times) // 2] for times in (took[False], took[True]))
        same = float((codes[False] == codes[True]).float().mean())
        figures = {"batch_size": batch, "plain_ms": plain, "graph_ms": graph, "ratio": plain / graph, "equal_bits": same}
        found.append(figures)
        click.echo(f"batch {batch}: plain {plain:.2f} ms a token, graph {graph:.2f} ms, ratio {plain / graph:.2f}; equal bits {same:.4f}")
    if out is not None:
        told = {"device": torch.cuda.get_device_name(), "checkpoint": "released sizes, random weights" if released else checkpoint}
        out.write_text(json.dumps(told | {"tokens": rows * columns, "torch": torch.__version__, "sides": found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Draw the loss curves of a training run from its `log.jsonl` files (needs matplotlib).

    python benchmarks/training_curves.py RUN_FOLDER OUT.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "uniar"
from matplotlib import pyplot as plt  # noqa: E402

BASE = ("tokenizer", "vae", "decoder", "autoregressive", "tokenizer-lm")
LEFT_OUT = ("step", "lr", "grad_norm", "loading", "flat_share", "sparse_share", "images_missing", "ratio", "clip_fraction", "upscaled")


def curves(row: dict[str, float]) -> list[str]:
    """Keys of a log line that are worth a line: the losses and the metrics."""
    told = [k for k in row if k not in LEFT_OUT and "[" not in k]
    return [k for k in told if not k.startswith(("n_", "in_step_")) and not k.endswith(("_per_s", "_applies", "_failed"))]


def main() -> None:
    """One panel a stage, one line a named loss."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    # The stages of the base, then those of `then`, whose folders begin with their number.
    names = [*BASE, *sorted({p.stem if p.suffix == ".jsonl" else p.name for p in folder.glob("[0-9]-*")})]
    logs = [p for name in names for p in (folder / f"{name}.jsonl", folder / name / "log.jsonl") if p.is_file()]
    rows_of = (len(logs) + 3) // 4
    figure, axes = plt.subplots(rows_of, min(4, len(logs)), figsize=(4 * min(4, len(logs)), 3 * rows_of), squeeze=False)
    for axis, path in zip(axes.flat, logs, strict=False):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for key in curves(rows[-1]):
            seen = [(r["step"], r[key]) for r in rows if r.get(key)]
            axis.plot([s for s, _ in seen], [v for _, v in seen], label=key, linewidth=1)
        axis.set_title(path.parent.name if path.name == "log.jsonl" else path.stem)
        axis.set_xlabel("step")
        axis.set_yscale("log")
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()

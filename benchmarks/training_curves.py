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


def main() -> None:
    """One panel a stage, one line a named loss."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    logs = [p for name in ("tokenizer", "vae", "decoder", "autoregressive") for p in sorted(folder.glob(f"{name}*.jsonl")) + sorted(folder.glob(f"{name}/log.jsonl"))]
    figure, axes = plt.subplots(1, len(logs), figsize=(4 * len(logs), 3), squeeze=False)
    for axis, path in zip(axes[0], logs, strict=True):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for key in (k for k in rows[0] if k not in ("step", "lr", "grad_norm")):
            axis.plot([r["step"] for r in rows], [r[key] for r in rows], label=key, linewidth=1)
        axis.set_title(path.parent.name if path.name == "log.jsonl" else path.stem)
        axis.set_xlabel("step")
        axis.set_yscale("log")
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Fine-tune the golden checkpoint over two processes with sharded weights and export it; started by torchrun.

    torchrun --nproc-per-node 2 export_run.py GOLDEN OUT LR

With a learning rate of 0 the whole machinery runs (gather, backward, optimiser, gather again) and the weights must be what they were.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uniar.checkpoint.load import load_model
from uniar.data.samples import Picture, Text, TrainingSample
from uniar.generation.prompt import IMAGE_PAD
from uniar.seeding import derive_seed
from uniar.training.distributed import leave
from uniar.training.engine import Engine
from uniar.training.exporting import export_language
from uniar.training.language import LanguageConfig, LanguageStage
from uniar.training.optim import EngineConfig


class Letters:
    """The golden checkpoint has no text tokenizer; any function of the text will do."""

    pad_token_id = 0

    def __init__(self, image_token_id: int):
        self._image = image_token_id

    def convert_tokens_to_ids(self, token: str) -> int:
        """The placeholder's id."""
        assert token == IMAGE_PAD
        return self._image

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[1 + ord(c) % 20 for c in text] for text in texts]}


def main(golden: Path, out: Path, lr: float, sharding: str) -> None:
    """Two steps, then the export."""
    torch.set_num_threads(1)
    model = load_model(golden, device="cpu", dtype=torch.float32)
    v = model.config.vision_config

    def draw(number: int) -> TrainingSample:
        rng = np.random.default_rng(derive_seed(1, "draw", number))
        codes = rng.integers(0, 2, (4, v.num_levels, v.group_size, v.bsq_dim)).astype(np.uint8)
        picture = Picture(rows=2, columns=2, written=number % 2 == 0, codes=codes)
        return TrainingSample(key=str(number), source="s", parts=(Text(text="draw"), picture, Text(text="done", learned=True)))

    stage = LanguageStage(
        model,
        tokenizer=Letters(model.config.image_token_id),
        draw=draw,
        encode_pictures=lambda _: [],
        config=LanguageConfig(packed_length=32),
        seed=0,
    )
    config = EngineConfig(steps=2, batch_size=4, lr=lr, warmup=1, weight_decay=0.0, sharding=sharding, log_every=1)
    engine = Engine(stage, config, folder=out / "run", seed=0, say=print)
    split = any("DTensor" in type(p).__name__ or hasattr(p, "ds_id") for p in stage.parameters())
    assert engine.processes.world == 2 and split == (sharding in ("fsdp2", "zero3"))
    engine.run()
    weights = {name.removeprefix("model."): t for name, t in engine.weights().items() if name.startswith("model.")}
    export_language(engine.processes, engine.stage.model, golden, out / "checkpoint", weights)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4])

"""A small fine-tuning run for the engine's tests; started alone or by torchrun / accelerate launch.

    python engine_run.py OUT STEPS [accumulate=N] [ema=X] [sharding=fsdp2] ...
    python engine_run.py OUT STEPS kills=20      kill the run that many times at random moments, then let it end
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uniar.data.samples import Picture, Text, TrainingSample
from uniar.generation.prompt import generation_text
from uniar.seeding import derive_seed
from uniar.training.distributed import leave
from uniar.training.engine import Engine
from uniar.training.language import LanguageConfig, LanguageStage
from uniar.training.mini.build import build_processor, fresh_model
from uniar.training.mini.recipe import MiniRecipe
from uniar.training.optim import EngineConfig, LoopConfig

WORDS = ("star", "ring", "red", "blue", "two", "left")


def recipe() -> MiniRecipe:
    """Sizes that train in milliseconds."""
    from uniar.training.mini.recipe import LanguageSize, VisionSize

    none = LoopConfig(steps=1, batch_size=1, lr=0.001)
    return MiniRecipe(
        tokenizer=none, vae=none, decoder=none, autoregressive=none,
        vision=VisionSize(hidden=16, depth=2, heads=2, mlp=24, levels=(0,), bits=6, projection=16),
        language=LanguageSize(hidden=32, layers=2, heads=2, kv_heads=1, mlp=48, visual_depth=1, vocabulary=300),
    )  # fmt: skip


def draw(number: int) -> TrainingSample:
    """Sample of a global number: a caption with codes that its words decide, or a question about such codes."""
    rng = np.random.default_rng(derive_seed(5, "draw", number))
    word = int(rng.integers(len(WORDS)))
    codes = (np.arange(2 * 2 * 4 * 6).reshape(2, 2, 4, 6) // (1 + word) % 2).astype(np.uint8)
    kind = number % 3
    if kind == 0:
        picture = Picture(rows=1, columns=2, written=True, codes=codes)
        parts = tuple(
            (Text(text=generation_text(w, rows=1, columns=2)), picture, Text(text="<|vision_end|><|im_end|>", learned=True))
            for w in (WORDS[word], "")
        )
        return TrainingSample(key=str(number), source="captions", parts=parts[0], unconditional=parts[1])
    if kind == 1:
        picture = Picture(rows=1, columns=2, codes=codes)
        start, end = Text(text="<|im_start|>user\n<|vision_start|>"), Text(text="<|vision_end|>what?<|im_end|>\n<|im_start|>assistant\n")
        answer = Text(text=f"{WORDS[word]}<|im_end|>", learned=True)
        return TrainingSample(key=str(number), source="questions", parts=(start, picture, end, answer))
    return TrainingSample(key=str(number), source="text", parts=(Text(text=f"{WORDS[word]} is {WORDS[word]}", learned=True),))


def stage(folder: Path, **settings: Any) -> LanguageStage:
    """A fresh stage; the same weights each time."""
    tokenizer = build_processor(recipe(), folder / "processor").tokenizer
    config = LanguageConfig(
        packed_length=64, input_flip_rate=0.1, condition_dropout=0.3, source_weights={"questions": 2.0}, **settings
    )

    def no_pictures(pictures: Sequence[Picture]) -> list[torch.Tensor]:
        raise AssertionError("every picture has its codes")

    return LanguageStage(
        fresh_model(recipe(), tokenizer), tokenizer=tokenizer, draw=draw, encode_pictures=no_pictures, config=config, seed=3
    )


def train(out: Path, steps: int, options: dict[str, str]) -> None:
    """Train, resuming what is there."""
    settings = {k: {"ema": float, "accumulate": int, "save_every": int}.get(k, str)(v) for k, v in options.items()}
    config = EngineConfig(**{"steps": steps, "batch_size": 12, "lr": 0.01, "warmup": 3, "save_every": 4, "log_every": 1, **settings})
    engine = Engine(stage(out.parent), config, folder=out, seed=3, say=print, describe={"batch_size": 12})
    engine.resume()
    engine.run()


def killed(out: Path, steps: int, options: dict[str, str], kills: int) -> None:
    """Train in children that are killed after a random time; the last one may end."""
    rng = random.Random(1)
    for number in range(kills + 1):
        child = os.fork()
        if child == 0:
            train(out, steps, options)
            os._exit(0)
        if number < kills:
            time.sleep(rng.uniform(0.05, 1.2))
            os.kill(child, signal.SIGKILL)
        print("child ended with", os.waitpid(child, 0)[1], flush=True)


def main(out: Path, steps: int, options: dict[str, str]) -> None:
    """One run, or one that is killed again and again."""
    # One thread, so that the children of a fork have no thread pool to miss.
    torch.set_num_threads(1)
    kills = int(options.pop("kills", 0))
    if kills:
        killed(out, steps, options, kills)
    else:
        train(out, steps, options)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), dict(a.split("=", 1) for a in sys.argv[3:]))

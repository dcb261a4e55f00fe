"""The synthetic world as a source without end: the sample of a number is a function of (seed, number) alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
from PIL import Image

from uniar.data import chat, shapes
from uniar.data.mix_file import SEQUENCES, Dataset
from uniar.data.samples import Picture, TrainingSample
from uniar.data.sizing import Grid, Sizing
from uniar.errors import ConfigError
from uniar.seeding import derive_seed


class ShapesWorld:
    """The synthetic world as a source without end: the sample of a number is a function of (seed, number) alone.

    Args:
        dataset: split, shares of the sequences, canvas and turns.
        sizing: of the checkpoint's processor.
        seed: of the run.

    Raises:
        ConfigError: the canvas is not what the processor leaves as it is.
    """

    def __init__(self, dataset: Dataset, *, sizing: Sizing, seed: int):
        self.name, self._d, self._sizing, self._seed = dataset.name, dataset, sizing, seed
        grid = Grid(dataset.canvas // sizing.unit, dataset.canvas // sizing.unit)
        if dataset.canvas % sizing.unit or not sizing.keeps(grid):
            told = f"a multiple of {sizing.unit} with {sizing.min_pixels} to {sizing.max_pixels} pixels an image"
            raise ConfigError(f"{dataset.where}.canvas: got {dataset.canvas}; expected {told}.")

    def sample(self, number: int) -> TrainingSample:
        """The sample of a number."""
        d, rng = self._d, np.random.default_rng(derive_seed(self._seed, "shapes", number))
        # The order of the mix file must not matter.
        shares = np.array([d.sequences.get(name, 0.0) for name in SEQUENCES])
        parts, unconditional = self._draw(SEQUENCES[rng.choice(len(shares), p=shares / shares.sum())], rng)
        return TrainingSample(key=f"{self.name}:{number}", source=self.name, parts=parts, unconditional=unconditional)

    def _draw(self, sequence: str, rng: np.random.Generator) -> chat.ChatParts:
        split = self._d.split
        if sequence == "edit":
            made = shapes.sample_edit(rng, split=split)
            return chat.edit(made.instruction, self._picture(made.source), self._picture(made.target))
        if sequence == "understand":
            scene = shapes.sample_scene(rng, split=split, habits=bool(rng.random() < 0.5))
            return chat.understanding([self._picture(scene)], self._questions(rng, scene))
        captioned = shapes.sample_captioned(rng, split=split)
        if sequence == "generate":
            return chat.generation(captioned.caption, self._picture(captioned.scene))
        said = [captioned.caption, self._picture(captioned.scene), *chain(*self._questions(rng, captioned.scene))]
        changed = shapes.edit_of(rng, captioned.scene, split=split) if sequence == "rounds" else None
        if changed is not None:
            # Sometimes the change follows at once, sometimes after questions.
            said = said[: 2 * int(rng.integers(1, 2 + self._d.turns))]
            said += [changed.instruction, self._picture(changed.target), *chain(*self._questions(rng, changed.target))]
        return chat.conversation([chat.Turn(role=("user", "assistant")[i % 2], content=(words,)) for i, words in enumerate(said)])

    def _questions(self, rng: np.random.Generator, scene: shapes.Scene) -> list[tuple[str, str]]:
        return [(q.text, q.answer) for q in (shapes.sample_question(rng, scene, shares=self._d.questions) for _ in range(self._d.turns))]

    def _picture(self, scene: shapes.Scene) -> Picture:
        picture = self._sizing.picture(Image.fromarray(shapes.render(scene, self._d.canvas)))
        if not self._sizing.keep_original:
            return picture
        # The decoder learns up to twice the size, and the world can be drawn that large.
        return replace(picture, original=Image.fromarray(shapes.render(scene, 2 * self._d.canvas)))

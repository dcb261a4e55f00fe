"""Images to be reconstructed: a folder of the user's (ImageNet-val, COCO val), and images of the mini world.

A sample has an image and no prompt. Cropping to the suite's size is not done here: model and scorers share `evals.framing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.datasets import mini_pictures
from evals.datasets.local import data_root
from evals.errors import DataError
from evals.types import Sample

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class ImageFolderDataset:
    """Every image of a folder and its subfolders, by path.

    Args:
        folder: None means `images` below the data root.
        images: keep this many, spread evenly over the list; None keeps all. (A sorted list begins with a few classes.)
        task: of all samples.

    Raises:
        DataError: no such folder, or no image in it.
    """

    def __init__(self, *, folder: str | None = None, images: int | None = None, task: str = "reconstruction") -> None:
        self.root = data_root() / "images" if folder is None else Path(folder)
        self.task = task
        self._images = images
        if images is not None and images < 1:
            raise DataError(f"image-folder: images: got {images}; expected at least 1, or none for all.")
        if not self.root.is_dir():
            raise DataError(
                f"image-folder: folder: got {self.root}, which is no folder; expected one with images (ImageNet's validation set, "
                "COCO's val2017). Add --set data.folder=FOLDER."
            )

    def load(self) -> Iterator[Sample]:
        """Yield samples in the order of their paths; the id is the place in the whole list, six digits."""
        files = sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"image-folder: folder: got {self.root}, which holds no image; expected {', '.join(SUFFIXES)} files.")
        count = len(files) if self._images is None else min(self._images, len(files))
        for k in range(count):
            index = k * len(files) // count
            yield Sample(sample_id=f"{index:06d}", task=self.task, prompt="", metadata={"file": files[index]}, image=files[index])


class ShapesReconstructionDataset:
    """Scenes of the mini world, half of each split: what training showed combinations of, and what it held out.

    The images are drawn once into a folder below the data root; they follow from the settings alone.

    Args:
        images: number of scenes, even.
        size: side in pixels.
        seed: of the scenes.

    Raises:
        DataError: an odd or too small number.
    """

    def __init__(self, *, images: int = 144, size: int = 64, seed: int = 0) -> None:
        if images < 2 or images % 2 or size < 64 or size % 64:
            raise DataError(
                f"shapes-reconstruction: images, size: got {images}, {size}; expected an even number of images and a multiple of 64 pixels."
            )
        self._images, self._size, self._seed = images, size, seed
        self.root = mini_pictures.folder_of("shapes-reconstruction", size, seed)

    def load(self) -> Iterator[Sample]:
        """Draw what is lacking and yield samples, `seen` before `unseen`; ids tell the split and the number."""
        import numpy as np

        from uniar.data.shapes import render, sample_captioned

        for number, (tag, split) in enumerate((("seen", "train"), ("unseen", "held_out"))):
            for k in range(self._images // 2):
                captioned = sample_captioned(np.random.default_rng([self._seed, number, k]), split=split)
                path = self.root / f"{tag}-{k:04d}.png"
                mini_pictures.keep(path, render(captioned.scene, self._size))
                yield Sample(
                    sample_id=path.stem, task="reconstruction", prompt="", metadata={"scene": captioned.scene.to_json()}, image=path.name,
                    tags=(tag,),
                )  # fmt: skip

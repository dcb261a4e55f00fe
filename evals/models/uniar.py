"""A UniAR checkpoint as a thing under test: the one file of this room that knows the package `uniar`, imported lazily.

Every error that `uniar` words for users becomes a `ModelError` with the same sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import DataError, ModelError
from evals.framing import fitted
from evals.models.choosing import choose, continuations, likeliest
from evals.models.conversing import converse
from evals.protocols import Generation
from evals.store.pictures import open_image
from evals.types import WorkItem

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

WRITING = ("height", "width", "guidance_scale", "temperature")
"""Settings that decide the codes, with the sample and the seed."""
SHOWING = ("height", "width", "upscale", "decoder_steps", "decoder_guidance_scale", "drop_levels")
"""Settings that decide what pixels are made of codes."""


class UniARModel:
    """Adapter of `uniar.load(checkpoint)`.

    Args:
        source: bundled name, hub id or folder of a checkpoint.
        device: `cpu`, `cuda` or `auto` (CUDA where there is one).

    Raises:
        ModelError: no such checkpoint, or one that does not fit.
    """

    verbs = frozenset({"generate", "edit", "understand", "reconstruct", "converse"})
    ranks_options = True

    def __init__(self, *, source: str = "uniar-mini", device: str = "auto") -> None:
        with _told():
            import uniar

            self.device = _device(device)
            self._source = source
            self._formats: dict[str, Any] = {"auto": uniar.load(source, device=self.device)}
            self._fingerprint: dict[str, Any] = dict(self._formats["auto"].fingerprint())
        self.name = Path(str(self._fingerprint.get("id") or source)).name

    def fingerprint(self) -> dict[str, Any]:
        """Return the checkpoint's id, sha256, parameter count and whether it is the bundled one."""
        return dict(self._fingerprint)

    def run(self, items: Sequence[WorkItem]) -> list[Generation]:
        """Answer a batch of items with equal settings.

        Raises:
            ModelError: `uniar` refuses a prompt, an image or a setting.
            DataError: an input image is missing.
        """
        settings = items[0].settings
        verb = settings["verb"]
        if verb in ("understand", "converse"):
            with _told():
                return self._answer(items) if verb == "understand" else [converse(self._loaded(settings), item) for item in items]
        return self.show(items, self.write(items))

    def write(self, items: Sequence[WorkItem]) -> list[np.ndarray]:
        """Return the codes of items with equal settings that ask for images, uint8 (N, L, G, D) each: the autoregressive half.

        Raises:
            As `run`.
        """
        settings = items[0].settings
        model, verb, height, width = self._loaded(settings), settings["verb"], settings["height"], settings["width"]
        with _told():
            model.check_size(height=height, width=width, upscale=settings["upscale"])
            if verb == "reconstruct":
                # The scorers bring the source to the same frame.
                images = [fitted(_image(item), width, height) for item in items]
                return list(model.tokenize(images, height=height, width=width).numpy())
            told: dict[str, Any] = {name: settings[name] for name in WRITING} | {"seeds": [item.seed for item in items], "decode": False}
            prompts = [item.sample.prompt for item in items]
            made = model.edit(prompts, [_image(i) for i in items], **told) if verb == "edit" else model.generate(prompts, **told)
        return [one.codes for one in made]

    def show(self, items: Sequence[WorkItem], codes: Sequence[np.ndarray]) -> list[Generation]:
        """Return the images of codes that `write` made of the same items: the pixel half, with the flips that the settings ask for.

        Raises:
            As `run`.
        """
        import numpy as np
        import torch

        settings, seeds = items[0].settings, [item.seed for item in items]
        model = self._loaded(settings)
        with _told():
            stacked = torch.from_numpy(np.stack(codes))
            if settings.get("flip_rate"):
                stacked = model.flip(stacked, settings["flip_rate"], seeds=seeds)
            told = {name: settings[name] for name in SHOWING if name in settings}
            images = model.decode(stacked, seeds=seeds, **told)
        return [Generation(image=image, codes=own.numpy()) for image, own in zip(images, stacked, strict=True)]

    def _loaded(self, settings: Mapping[str, Any]) -> Any:
        """The checkpoint in the number format that the settings ask for."""
        name = settings.get("dtype", "auto")
        if name not in self._formats:
            with _told():
                import torch

                import uniar

                self._formats[name] = uniar.load(self._source, device=self.device, dtype=getattr(torch, name))
        return self._formats[name]

    def _answer(self, items: Sequence[WorkItem]) -> list[Generation]:
        settings = items[0].settings
        model = self._loaded(settings)
        answer_by = settings.get("answer_by", "words")
        found: list[Generation | None] = [None] * len(items)
        chosen = [i for i, item in enumerate(items) if answer_by != "words" and continuations(item.sample, answer_by)]
        tables = choose(model, ((items[i].sample, _images(items[i])) for i in chosen), answer_by)
        for i, table in zip(chosen, tables, strict=True):
            found[i] = Generation(text=likeliest(table) or "", likelihoods=table)
        written = [i for i, generation in enumerate(found) if generation is None]
        texts = model.understand(
            [items[i].sample.prompt for i in written],
            [_images(items[i]) for i in written],
            max_new_tokens=settings["max_new_tokens"],
            temperature=settings["temperature"],
            seeds=[items[i].seed for i in written],
        )
        for i, text in zip(written, texts, strict=True):
            found[i] = Generation(text=text)
        return [generation for generation in found if generation is not None]


@contextmanager
def _told() -> Iterator[None]:
    from uniar.errors import UniARError

    try:
        yield
    except UniARError as error:
        raise ModelError(str(error)) from error


def _device(name: str) -> str:
    if name == "cpu":
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda" if name == "auto" else name
    if name != "auto":
        raise ModelError(f'--device: got "{name}"; this machine has no usable CUDA device. Use --device cpu.')
    return "cpu"


def _images(item: WorkItem) -> list[Image.Image] | None:
    """All images of a question in order; a dataset that lists none asks without one, and one that has no list shows its image."""
    names = item.sample.metadata.get("images")
    if names is None:
        return [_image(item)]
    # Without any image `<image 1>` is a word like others: a blind control asks what the question asks.
    return [_opened(item, name) for name in names] or None


def _image(item: WorkItem) -> Image.Image:
    if item.sample.image is None:
        raise DataError(f"{item.sample.sample_id}: got a sample without an image; this verb needs one.")
    return _opened(item, item.sample.image)


def _opened(item: WorkItem, name: str) -> Image.Image:
    path = Path(item.settings.get("data_root", ".")) / name
    return open_image(path, shown=f"{path} of {item.sample.sample_id}")

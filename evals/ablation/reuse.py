"""Codes and images that are made once: a model whose two halves are looked up by content before they are computed.

Codes belong to (weights, verb, prompt, input image, seed, settings of the autoregressive half); images to (weights, codes, seed,
settings of the pixel half). So a cell that changes only the decoder's steps runs no autoregressive step, and a killed grid finds what
it has made. Beside each entry lies what it cost when it was made, so that a cell's price does not depend on what it found.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.models.uniar import SHOWING, WRITING
from evals.protocols import Generation
from evals.store import atomic, codes
from evals.store.reader import RunReader
from evals.suite.lock import digest
from evals.suite.schema import Generate
from evals.types import WorkItem

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

DRAWING = frozenset({"generate", "edit", "reconstruct"})
"""Verbs whose outputs have two halves; the answers of others are not kept."""
_WRITTEN = {"generate": (*WRITING, "dtype"), "edit": (*WRITING, "dtype"), "reconstruct": ("height", "width", "dtype")}
_SHOWN = (*SHOWING, "flip_rate", "dtype")


class ReusingModel:
    """A model that writes no codes and shows no image twice.

    Args:
        model: one with the halves `write` and `show` (`evals.models.uniar`).
        folder: of the kept entries; shared by any number of processes and cells.
        clock: seconds, monotonic.
    """

    def __init__(self, model: Any, folder: Path, *, clock: Callable[[], float] = time.perf_counter):
        self.name, self.verbs = model.name, model.verbs
        self.ranks_options = getattr(model, "ranks_options", False)
        self.made: Counter[str] = Counter()
        """How many codes and images were `written`, `shown`, and found (`codes found`, `images found`)."""
        self._model, self._folder, self._clock = model, folder, clock
        self._weights = str(model.fingerprint().get("sha256"))

    def fingerprint(self) -> dict[str, Any]:
        """Return the wrapped model's."""
        return dict(self._model.fingerprint())

    def run(self, items: Sequence[WorkItem]) -> list[Generation]:
        """Answer a batch, from what is kept where it is kept."""
        if items[0].settings["verb"] not in DRAWING:
            return list(self._model.run(items))
        keys = [self.codes_key(item) for item in items]
        found = [self._codes(key) for key in keys]
        todo = [i for i, own in enumerate(found) if own is None]
        if todo:
            began = self._clock()
            made = self._model.write([items[i] for i in todo])
            each = (self._clock() - began) / len(todo)
            for i, own in zip(todo, made, strict=True):
                self._keep("codes", keys[i], codes.pack(own), each, tokens=int(own.shape[0]))
                found[i] = own
        self.made.update({"written": len(todo), "codes found": len(items) - len(todo)})
        return self._shown(items, keys, [own for own in found if own is not None])

    def _shown(self, items: Sequence[WorkItem], keys: Sequence[str], written: Sequence[np.ndarray]) -> list[Generation]:
        names = [self.image_key(item, key) for item, key in zip(items, keys, strict=True)]
        answers = [self._image(name) for name in names]
        todo = [i for i, answer in enumerate(answers) if answer is None]
        if todo:
            began = self._clock()
            made = self._model.show([items[i] for i in todo], [written[i] for i in todo])
            each = (self._clock() - began) / len(todo)
            for i, generation in zip(todo, made, strict=True):
                self._keep("images", names[i], _png(generation.image), each)
                self._keep("shown", names[i], codes.pack(generation.codes), 0.0)
                answers[i] = generation
        self.made.update({"shown": len(todo), "images found": len(items) - len(todo)})
        return [answer for answer in answers if answer is not None]

    # -- keys ------------------------------------------------------------------------------------------------------

    def codes_key(self, item: WorkItem) -> str:
        """Content of a sample's codes, sha256."""
        settings, verb = item.settings, item.settings["verb"]
        image = None
        if verb != "generate" and item.sample.image is not None:
            image = atomic.sha256(Path(settings.get("source_file") or Path(settings.get("data_root", ".")) / item.sample.image))
        return digest(
            {
                "weights": self._weights,
                "verb": verb,
                "prompt": item.sample.prompt if verb != "reconstruct" else "",
                "image": image,
                # What the encoder makes of an image is no draw.
                "seed": item.seed if verb != "reconstruct" else None,
                "settings": _chosen(settings, _WRITTEN[verb]),
            }
        )

    def image_key(self, item: WorkItem, codes_key: str) -> str:
        """Content of a sample's image, sha256."""
        return digest({"weights": self._weights, "codes": codes_key, "seed": item.seed, "settings": _chosen(item.settings, _SHOWN)})

    # -- entries ---------------------------------------------------------------------------------------------------

    def cost_of_run(self, folder: Path) -> dict[str, float]:
        """Return `cost` of a finished run's outputs, and the parameters of the model."""
        run = RunReader(folder)
        resolved = run.manifest["resolved_suite"]
        # A run leaves later settings out at their default.
        settings = {**json.loads(json.dumps(asdict(Generate()))), **resolved["generate"], "verb": resolved.get("verb", "generate")}
        samples = {sample.sample_id: sample for sample in run.samples()}
        items = []
        for output in run.outputs():
            sample = samples[output.sample_id]
            source = run.source_path(sample) if sample.image is not None else None
            told = settings if source is None else {**settings, "source_file": str(source)}
            items.append(WorkItem(sample=sample, repeat=output.repeat, seed=output.seed, settings=told))
        parameters = self._model.fingerprint().get("num_parameters")
        return self.cost(items) | ({} if parameters is None else {"parameters": float(parameters)})

    def cost(self, items: Sequence[WorkItem]) -> dict[str, float]:
        """Return the mean seconds an output took in each half when it was made, and the mean number of visual tokens."""
        told: dict[str, list[float]] = {"write_s": [], "show_s": [], "tokens": []}
        for item in items:
            if item.settings["verb"] not in DRAWING:
                continue
            key = self.codes_key(item)
            for name, kind, place in (("write_s", "codes", key), ("show_s", "images", self.image_key(item, key))):
                facts = self._facts(kind, place)
                if facts is not None:
                    told[name].append(facts["seconds"])
                    told["tokens"] += [facts["tokens"]] if "tokens" in facts else []
        return {name: sum(values) / len(values) for name, values in told.items() if values}

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / kind / key[:2] / key

    def _keep(self, kind: str, key: str, data: bytes, seconds: float, **more: int) -> None:
        path = self._path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The facts come first: an entry that is there has its price, and both are whole.
        facts = {"sha256": hashlib.sha256(data).hexdigest(), "seconds": round(seconds, 6), **more}
        atomic.write_bytes(path.with_suffix(".json"), json.dumps(facts).encode("ascii"))
        atomic.write_bytes(path, data)

    def _facts(self, kind: str, key: str) -> Mapping[str, Any] | None:
        try:
            return dict(json.loads(self._path(kind, key).with_suffix(".json").read_text("ascii")))
        except (OSError, ValueError):
            return None

    def _read(self, kind: str, key: str) -> bytes | None:
        """The bytes of an entry, None when it is not there or not what was kept."""
        facts = self._facts(kind, key)
        try:
            data = self._path(kind, key).read_bytes()
        except OSError:
            return None
        return data if facts is not None and hashlib.sha256(data).hexdigest() == facts.get("sha256") else None

    def _codes(self, key: str) -> np.ndarray | None:
        return None if self._read("codes", key) is None else codes.unpack(self._path("codes", key))

    def _image(self, key: str) -> Generation | None:
        from PIL import Image

        pixels = self._read("images", key)
        if pixels is None or self._read("shown", key) is None:
            return None
        with Image.open(io.BytesIO(pixels)) as image:
            return Generation(image=image.convert("RGB"), codes=codes.unpack(self._path("shown", key)))


def _chosen(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    chosen = {name: settings[name] for name in names if name in settings}
    return json.loads(json.dumps(chosen))


def _png(image: Image.Image | None) -> bytes:
    from evals.execute.engine import png

    assert image is not None
    return png(image)

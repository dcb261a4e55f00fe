"""FID, KID and Inception Score of a whole set of outputs, against the sources of the suite or a folder of images.

Formulas: `distribution_rules`. What looks at the images is the setting `features`; with any other than FID's own Inception the numbers
carry that extractor's name (`fid_mini_features`) and are no FID. Too few images give no value, never a biased one under the plain name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.framing import FITS, fitted
from evals.metrics.bootstrap import generator
from evals.protocols import Roles
from evals.scorers import distribution_rules as rules
from evals.types import Metric, Outcome, Output, Sample, Score

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

EXTRACTORS = {
    "inception": "evals.perception.inception:InceptionFeatures",
    "mini": "evals.perception.tokenizer_features:TokenizerFeatures",
}
"""Setting `features` -> class with `name`, `dimension`, `classifies` and `look(images)`."""
METRICS = ("fid", "kid", "inception_score")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
BATCH = 16


class DistributionScorer:
    """Set-level metrics; a single output has no value."""

    name = "distribution"
    version = "1"
    source = "Heusel et al. 2017 (FID); Binkowski et al. 2018 (KID); Salimans et al. 2016 (IS); torchmetrics 1.9, torch-fidelity 0.4.0"
    set_only = True
    """Nothing to say of one output."""

    def __init__(
        self,
        *,
        roles: Roles,
        metrics: Sequence[str] = ("fid", "kid"),
        features: str = "inception",
        checkpoint: str | None = None,
        reference: str = "source",
        fit: str = "crop",
        min_images: int | None = None,
        subsets: int = 100,
        subset_size: int = 1000,
        splits: int = 10,
        device: str = "auto",
    ) -> None:
        """Choose metrics, extractor and reference.

        Args:
            roles: not used.
            metrics: of `METRICS`.
            features: of `EXTRACTORS`.
            checkpoint: weights of the extractor, see there.
            reference: `source` (the input images of the suite, each once) or a folder of images, subfolders included.
            fit: how reference images come to the outputs' size, see `evals.framing`; `as_is` leaves them.
            min_images: fewest images in each of both sets for FID; None is the features' dimension + 1, below which a covariance has no
                full rank.
            subsets: subsets of KID.
            subset_size: images a subset; at most half of the smaller set is taken, which an unbiased estimate allows.
            splits: parts of the Inception Score.
            device: torch device.

        Raises:
            PluginError: a setting that does not exist.
            ModelError: weights that are not there.
            DataError: no image in the reference folder.
        """
        for given, known, key in ((metrics, METRICS, "metrics"), ([features], EXTRACTORS, "features"), ([fit], (*FITS, "as_is"), "fit")):
            odd = [one for one in given if one not in known]
            if odd or not given:
                raise PluginError(f"scorer distribution: {key}: got {odd[0] if odd else 'none'}; expected some of {', '.join(known)}.")
        if min(subsets, splits) < 1 or subset_size < 2:
            raise PluginError(
                f"scorer distribution: subsets, splits, subset_size: got {subsets}, {splits}, {subset_size}; expected 1, 1, 2 or more."
            )
        if checkpoint is not None and features != "inception":
            raise PluginError(
                f"scorer distribution: checkpoint: got {checkpoint} with features {features}; only inception reads one. Remove it."
            )
        module, _, attribute = EXTRACTORS[features].partition(":")
        settings = {"device": device} | ({} if checkpoint is None else {"checkpoint": checkpoint})
        self.extractor = getattr(importlib.import_module(module), attribute)(**settings)
        if "inception_score" in metrics and not self.extractor.classifies:
            raise PluginError(
                f"scorer distribution: metrics: got inception_score with features {features}, which has no classes; use inception."
            )
        self.metrics, self.fit, self.min_images = tuple(metrics), fit, min_images
        self.subsets, self.subset_size, self.splits = subsets, subset_size, splits
        self.needs_source = reference == "source" and self._compares
        self._files = [] if reference == "source" or not self._compares else _image_files(Path(reference))

    @property
    def _compares(self) -> bool:
        return any(metric != "inception_score" for metric in self.metrics)

    def canary(self) -> None:
        """Distances worked by hand: a shift by 3 in each of two dimensions is FID 18; equal sets are 0."""
        import numpy as np

        square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        shifted = rules.frechet(rules.gaussian(square), rules.gaussian(square + 3.0))
        # Kernel values within {(1, 1), (-1, -1)}: opposite points give (-1 + 1)^3 = 0; across the same set the mean is (8 + 0) / 2 = 4.
        pair = np.array([[1.0, 1.0], [-1.0, -1.0]])
        apart = rules.squared_mmd(pair, pair)
        flat = rules.inception_scores(np.zeros((4, 5)), splits=1, rng=np.random.default_rng(0))[0]
        if abs(shifted - 18.0) > 1e-9 or abs(apart + 8.0) > 1e-9 or abs(flat - 1.0) > 1e-12:
            raise CanaryError(
                f"scorer distribution: canary: got {shifted}, {apart} and {flat}; expected 18, -8 and 1. The rules in "
                "evals/scorers/distribution_rules.py are not those of FID, KID and IS."
            )

    def score(self, sample: Sample, output: Output, image: Image.Image | None, source: Image.Image | None = None) -> Score:
        """Say that one output has no distribution."""
        return Score(
            sample_id=sample.sample_id,
            task=sample.task,
            repeat=output.repeat,
            scorer=self.name,
            outcome=Outcome.NOT_APPLICABLE,
            reason="a number of the whole set: see the metrics",
        )

    def measure(self, items: Iterable[Sequence[Any]], *, seed: int) -> list[Metric]:
        """Take the metrics of all outputs.

        Args:
            items: (sample, output, image, source) of each output that is ok.
            seed: the run's seed; with the metric's name it fixes subsets and splits.

        Raises:
            DataError: an output without an image, or a suite without sources.
        """
        seen, sources, samples, size = self._look(items)
        if seen is None:
            return []
        wanted = None
        if self._compares:
            wanted = sources if self.needs_source else self._look_at_files(size)
        return [getattr(self, f"_{metric}")(seen, wanted, samples, seed) for metric in self.metrics]

    # -- one metric each ---------------------------------------------------------------------------------------------

    def _fid(self, seen: Any, wanted: Any, samples: int, seed: int) -> Metric:
        need = self.extractor.dimension + 1 if self.min_images is None else max(2, self.min_images)
        n = len(seen.features)
        if min(n, len(wanted.features)) < need:
            return self._metric(f"{self._named('fid')} (needs {need} images)", None, None, n, samples)
        value = rules.frechet(rules.gaussian(seen.features), rules.gaussian(wanted.features))
        # No interval: resampling images adds to FID's own bias instead of showing its spread.
        return self._metric(self._named("fid"), value, None, n, samples)

    def _kid(self, seen: Any, wanted: Any, samples: int, seed: int) -> Metric:
        n = len(seen.features)
        size = min(self.subset_size, min(n, len(wanted.features)) // 2)
        name = self._named("kid")
        if size < 2:
            return self._metric(f"{name} (needs 4 images)", None, None, n, samples)
        found = rules.subset_mmds(seen.features, wanted.features, subsets=self.subsets, size=size, rng=generator(seed, name))
        return self._metric(name, sum(found) / len(found), rules.spread(found), n, samples)

    def _inception_score(self, seen: Any, wanted: Any, samples: int, seed: int) -> Metric:
        n = len(seen.logits)
        if n < self.splits:
            return self._metric(f"inception_score (needs {self.splits} images)", None, None, n, samples)
        found = rules.inception_scores(seen.logits, splits=self.splits, rng=generator(seed, "inception_score"))
        return self._metric("inception_score", sum(found) / len(found), rules.spread(found), n, samples)

    def _named(self, metric: str) -> str:
        return metric if self.extractor.name == "inception" else f"{metric}_{self.extractor.name}"

    def _metric(self, name: str, value: float | None, interval: tuple[float, float] | None, n: int, samples: int) -> Metric:
        low, high = interval or (None, None)
        outcome = Outcome.OK if value is not None else Outcome.NOT_APPLICABLE
        scored = n if value is not None else 0
        return Metric(
            name=name, task="*", value=value, low=low, high=high, n=scored, n_samples=samples if scored else 0, n_expected=n,
            outcomes={outcome.value: n}, unit="score" if name.startswith("inception_score") else "distance", kind="set",
        )  # fmt: skip

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look(self, items: Iterable[Sequence[Any]]) -> tuple[Any, Any, int, tuple[int, int] | None]:
        known: set[str] = set()
        mine, theirs = _Looking(self.extractor), _Looking(self.extractor)
        size = None
        for sample, output, image, source, *_ in items:
            if image is None:
                raise DataError(
                    f"scorer distribution: {sample.sample_id}/{output.repeat}: got no image; expected a suite that makes images."
                )
            size = size or image.size
            mine.add(image)
            # A source counts once, however many outputs were made of it.
            if self.needs_source and sample.sample_id not in known:
                if source is None:
                    raise DataError(
                        f"scorer distribution: {sample.sample_id}: got no source image; expected one, as reference is source. Set "
                        "`reference:` to a folder of images."
                    )
                theirs.add(self._fitted(source, image.size))
            known.add(sample.sample_id)
        return mine.seen(), theirs.seen(), len(known), size

    def _look_at_files(self, size: tuple[int, int] | None) -> Any:
        looking = _Looking(self.extractor)
        for image in _read(self._files):
            looking.add(image if size is None else self._fitted(image, size))
        return looking.seen()

    def _fitted(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image.convert("RGB") if self.fit == "as_is" else fitted(image, *size, self.fit)


class _Looking:
    """Feeds an extractor in batches and keeps what it saw, so that no more than a batch of images is held."""

    def __init__(self, extractor: Any) -> None:
        self._extractor, self._waiting = extractor, []
        self._seen: list[Any] = []

    def add(self, image: Image.Image) -> None:
        self._waiting.append(image)
        if len(self._waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._seen.append(self._extractor.look(self._waiting))
        self._waiting = []

    def seen(self) -> Any:
        import numpy as np

        self._flush()
        if not self._seen:
            return None
        features: np.ndarray = np.concatenate([one.features for one in self._seen])
        logits = None if self._seen[0].logits is None else np.concatenate([one.logits for one in self._seen])
        return self._seen[0]._replace(features=features, logits=logits)


def _image_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"scorer distribution: reference: got {folder}, which holds no image; expected `source` or a folder of "
            f"{', '.join(SUFFIXES)} files. Check the path."
        )
    return files


def _read(files: Sequence[Path]) -> Iterator[Image.Image]:
    from evals.store.pictures import open_image

    for path in files:
        yield open_image(path)

"""OneIG-Bench diversity: how different the images of one prompt are, by DreamSim over all their pairs.

Source: OneIG-Benchmark 41b4983, `scripts/diversity/diversity_score.py`. A prompt's value is the mean over its pairs; a prompt with fewer
than two images that are not black is left out; the headline is the mean over all prompts of all classes together, beside it each class's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, DataError, PluginError
from evals.metrics.bootstrap import cluster_mean
from evals.protocols import Roles
from evals.scorers import oneig_tiles as tiles
from evals.store.pictures import through_jpeg
from evals.types import Metric, Outcome, Output, Sample, Score

if TYPE_CHECKING:
    from PIL import Image

    from evals.perception.image_distance import Distance

DISTANCES = ("dreamsim", "mini")


def mean_of_pairs(looks: Sequence[Any], distance: Distance) -> float | None:
    """Mean distance over all pairs of one prompt's images; None with fewer than two.

    Args:
        looks: what `distance.look` kept of each image.
        distance: see `evals.perception.image_distance`.
    """
    found = [distance.distance(one, other) for one, other in combinations(looks, 2)]
    return sum(found) / len(found) if found else None


class OneIGDiversityScorer:
    """Metric `diversity` (larger is more diverse); by another measure than DreamSim `diversity_<measure>`. One image has no value."""

    name = "oneig-diversity"
    version = "1"
    source = "OneIG-Benchmark 41b4983, scripts/diversity/diversity_score.py; DreamSim, Fu et al. 2023"
    set_only = True

    def __init__(
        self,
        *,
        roles: Roles,
        distance: str | Distance = "dreamsim",
        weights: str | None = None,
        jpeg_quality: int | None = tiles.JPEG_QUALITY,
        device: str = "auto",
    ) -> None:
        """Choose the measure.

        Args:
            roles: not used.
            distance: `dreamsim`, `mini`, or (from Python) a measure of your own.
            weights: folder of DreamSim's weights, see `evals.perception.image_distance.DreamSim`.
            jpeg_quality: of the JPEG through which an image goes first; None leaves it.
            device: torch device.

        Raises:
            PluginError: no such measure, or a quality that cannot be.
            ModelError: DreamSim is not on this machine.
        """
        from evals.perception.image_distance import DreamSim, MiniFeatures

        self.jpeg_quality = tiles.checked_quality(jpeg_quality, asked="scorer oneig-diversity")
        if isinstance(distance, str):
            if distance not in DISTANCES:
                raise PluginError(f"scorer oneig-diversity: distance: got {distance}; expected one of {', '.join(DISTANCES)}.")
            asked = "scorer oneig-diversity: distance"
            distance = DreamSim(folder=weights, device=device, asked=asked) if distance == "dreamsim" else MiniFeatures(device=device)
        self.distance: Distance = distance
        self.metric = "diversity" if distance.name == "dreamsim" else f"diversity_{distance.name}"

    def canary(self) -> None:
        """An image has no distance from itself, and red has one from a checkerboard."""
        from PIL import Image

        red = Image.new("RGB", (64, 64), (220, 20, 20))
        board = Image.new("RGB", (2, 2), (255, 255, 255))
        board.putpixel((0, 0), (0, 0, 160))
        board.putpixel((1, 1), (0, 0, 160))
        looks = [self.distance.look(image) for image in (red, red, board.resize((64, 64), Image.Resampling.NEAREST))]
        same, apart = self.distance.distance(looks[0], looks[1]), self.distance.distance(looks[0], looks[2])
        if not (abs(same) < 1e-4 < apart):
            raise CanaryError(
                f"scorer oneig-diversity: canary: got {same:.4g} between equal images and {apart:.4g} between red and a checkerboard; "
                f"expected 0 and more. The measure {self.distance.name} is broken."
            )

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Say that one image is not diverse."""
        key: dict[str, Any] = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": self.name}
        return Score(**key, outcome=Outcome.NOT_APPLICABLE, reason="a number of all images of a prompt: see the metrics")

    def measure(self, items: Iterable[Sequence[Any]], *, seed: int) -> list[Metric]:
        """Take the mean over prompts, of all and of each class.

        Args:
            items: (sample, output, image, ...) of each output that is ok, the outputs of a prompt one after another.
            seed: the run's seed, of the interval over prompts.

        Raises:
            DataError: an output without an image.
        """
        # Class -> (value of a prompt or None, its images that count, all its images).
        prompts: dict[str, list[tuple[float | None, int, int]]] = {}
        for _, own in groupby(items, key=lambda item: item[0].sample_id):
            task, looks, given = "", [], 0
            for sample, output, image, *_ in own:
                task, given = sample.task, given + 1
                if image is None:
                    where = f"{sample.sample_id}/{output.repeat}"
                    raise DataError(f"scorer oneig-diversity: {where}: got no image; expected a suite that makes images.")
                if not tiles.is_black(image):
                    looks.append(self.distance.look(through_jpeg(image, self.jpeg_quality)))
            value = mean_of_pairs(looks, self.distance)
            prompts.setdefault(task, []).append((value, 0 if value is None else len(looks), given))
        everything = [row for rows in prompts.values() for row in rows]
        if not everything:
            return []
        found = [self._metric("*", everything, seed)]
        return found + [self._metric(task, rows, seed) for task, rows in prompts.items()]

    def _metric(self, task: str, rows: Sequence[tuple[float | None, int, int]], seed: int) -> Metric:
        values = [[value] for value, _, _ in rows if value is not None]
        mean = cluster_mean(values, seed=seed, name=f"oneig/{self.metric}/{task}") if values else None
        used, given = sum(row[1] for row in rows), sum(row[2] for row in rows)
        counts = {Outcome.OK.value: used, Outcome.NOT_APPLICABLE.value: given - used}
        return Metric(
            name=self.metric, task=task, value=mean and mean.value, low=mean and mean.low, high=mean and mean.high, n=used,
            n_samples=len(values), n_expected=given, outcomes={name: count for name, count in counts.items() if count},
            unit="distance", kind="set",
        )  # fmt: skip

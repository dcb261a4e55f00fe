"""Every socket of the framework on one page. A plugin is a class that fits one of these.

Images are `PIL.Image.Image` in RGB; boxes are `[x1, y1, x2, y2]` in pixels, x2 and y2 exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from evals.types import Outcome, Output, Sample, Score, WorkItem

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What a model hands back for one work item, before it is written to disk."""

    image: Image.Image | None = None
    codes: np.ndarray | None = None
    """uint8 (N, L, G, D) in {0, 1}, when the model has codes."""
    text: str | None = None
    likelihoods: dict[str, float] | None = None
    """Log-likelihood of each option, when the setting `answer_by` asks for them; the text is then the likeliest."""
    error: str | None = None
    """One sentence; then everything else is None and the outcome is the one below."""
    outcome: Outcome = Outcome.GENERATION_ERROR
    """What an error means: `generation_error`, `missing` (images made elsewhere) or `refused`; unread without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """One found instance."""

    label: int
    """Index into the suite's class list."""
    score: float
    box: tuple[float, float, float, float]
    mask: np.ndarray | None = None
    """bool (h, w)."""
    color: str | None = None
    """Filled by detectors that know it (mini); else a colour classifier is asked."""


@runtime_checkable
class Model(Protocol):
    """A thing under test."""

    name: str
    verbs: frozenset[str]
    """Subset of `generate`, `edit`, `understand`. A model that can also rank options (`answer_by`) has `ranks_options = True`."""

    def fingerprint(self) -> dict[str, Any]:
        """Identify the weights: at least `id` and `sha256`; `bundled: true` for uniar-mini."""

    def run(self, items: Sequence[WorkItem]) -> Iterable[Generation]:
        """Answer a batch, one `Generation` an item, in order. A failure of one item is its `error`."""


@runtime_checkable
class Dataset(Protocol):
    """A source of samples."""

    def load(self) -> Iterator[Sample]:
        """Yield samples in a fixed order with stable ids."""


@runtime_checkable
class Detector(Protocol):
    """Image -> instances."""

    name: str

    def detect(self, image: Image.Image, classes: Sequence[str]) -> list[Detection]:
        """All candidates of the given classes, unfiltered, any order."""


@runtime_checkable
class ColorClassifier(Protocol):
    """Instance -> one of the ten colours."""

    name: str

    def classify(
        self, image: Image.Image, detections: Sequence[Detection], object_class: str
    ) -> list[str]:
        """The colour of each detection, in order."""


class TextLine(NamedTuple):
    """One line of text that an OCR engine read."""

    text: str
    score: float = 1.0
    """Confidence, 0 to 1; 1.0 from engines that give none (a VLM)."""
    box: tuple[float, float, float, float] | None = None
    """Around the line, in pixels; None from engines that give none."""


@runtime_checkable
class Ocr(Protocol):
    """Image -> lines of text in reading order."""

    name: str

    def read(self, image: Image.Image) -> list[TextLine]:
        """All lines, unfiltered; an empty list when there is no text. What fails raises; nothing is read as empty."""


@runtime_checkable
class Vqa(Protocol):
    """Yes/no question and image -> probability of yes."""

    name: str

    def probability(self, image: Image.Image, question: str) -> float:
        """P(yes) / (P(yes) + P(no)) of the first word of the answer, 0 to 1."""


@runtime_checkable
class Embedder(Protocol):
    """Image and text -> how near they are."""

    name: str

    def similarity(self, image: Image.Image, text: str) -> float:
        """Cosine of the two normalised features, -1 to 1."""


@runtime_checkable
class Depth(Protocol):
    """Image -> how near each pixel is."""

    name: str

    def depth(self, image: Image.Image) -> np.ndarray:
        """float32 (h, w) in 0 to 1, larger is nearer."""


@runtime_checkable
class Phrases(Protocol):
    """English text -> its noun phrases and words."""

    name: str

    def chunks(self, text: str) -> list[str]:
        """Noun chunks in order, as they stand in the text."""

    def tokens(self, text: str) -> list[tuple[str, str]]:
        """(word, part of speech) in order; universal tags (`NOUN`, `ADJ`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back from a judge. A failure that may be of this question alone is a reply with another outcome."""

    text: str | None = None
    outcome: Outcome = Outcome.OK
    """`ok`, `judge_error` (nothing usable came back) or `refused` (the judge or its filter declined)."""
    error: str = ""
    """One sentence, when the outcome is not `ok`; of an `ok` one a note (cut at the longest reply), if any."""
    version: str = ""
    """What the judge says it is (the resolved model name), as far as it tells."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    """In the unit of the judge's prices (USD), when prices are set."""
    seconds: float = 0.0
    attempts: int = 1
    """Requests that were sent for this reply."""
    address: str = ""
    """Of the reply in the run's ledger; empty without one."""


@runtime_checkable
class Judge(Protocol):
    """Question and images -> reply in words."""

    name: str
    concurrency: int
    """Questions that may be asked at once, from as many threads."""

    def identity(self) -> dict[str, Any]:
        """All that, with question and images, decides a reply: model, decoding settings. No secret, no address of a server."""

    def ask(
        self,
        question: str,
        images: Sequence[Image.Image] = (),
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        images_first: bool = False,
        attempt: int = 0,
    ) -> Reply:
        """Ask once.

        Args:
            question: the text, verbatim.
            images: in the order in which the question speaks of them; they follow the text.
            system: system message.
            max_tokens: longest reply; None takes the judge's own setting.
            images_first: put the images before the text.
            attempt: number of this try at the same question; another number is another reply.

        Raises:
            ModelError: no question can be answered at all (no key, no such model).
        """


@runtime_checkable
class Scorer(Protocol):
    """(sample, output, image) -> verdict. `source` names the benchmark's official code.

    A scorer may have more:
        `needs_source = True`: `score` is also given `source=`, the sample's input image (editing, reconstruction).
        `measure(items, *, seed) -> list[Metric]`: metrics of the whole set (FID), after the scores; `items` yields
        `(sample, output, image, source or None)` for each output that is ok, in plan order; with `needs_codes = True` a
        fifth part, its codes uint8 (N, L, G, D).
        `set_only = True`: there is nothing to say of a single output; only `measure` is called.
    With a judge whose `concurrency` is above 1, `score` is called from several threads.
    """

    name: str
    version: str
    source: str

    def canary(self) -> None:
        """Score a few cases with known verdicts; raise `CanaryError` when one is wrong."""

    def score(self, sample: Sample, output: Output, image: Image.Image | None) -> Score:
        """Judge one output whose outcome is `ok`."""


@runtime_checkable
class Reporter(Protocol):
    """Run folder -> page or file."""

    def write(self, run_dir: Path) -> Path:
        """Write the report into the run folder and return its main file."""


Roles = Mapping[str, Any]
"""Role name (one of `evals.registry.ROLES`) -> the loaded plugin; what a scorer is built with."""

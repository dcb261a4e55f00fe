"""The vocabulary of a measurement: what is asked, what came back, what it is worth.

Frozen records with a JSON form both ways; they import nothing of ours, so every room may use them.
A `Score` whose outcome is not `ok` has no values: there is no default number anywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any


class Outcome(str, Enum):
    """What became of one output or one score; counted in every metric, never folded into a zero."""

    OK = "ok"
    GENERATION_ERROR = "generation_error"
    MISSING = "missing"
    JUDGE_ERROR = "judge_error"
    JUDGE_UNPARSED = "judge_unparsed"
    UNDECIDED = "undecided"
    OFF_SCALE = "off_scale"
    REFUSED = "refused"
    SCORER_ERROR = "scorer_error"
    NOT_APPLICABLE = "not_applicable"


class _Record:
    """JSON both ways for the frozen dataclasses below."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, enums as their value."""
        data = asdict(self)  # type: ignore[call-overload]
        return {k: (v.value if isinstance(v, Enum) else v) for k, v in data.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Any:
        """Rebuild the record; an unknown field is a `ValueError` (the file is of another version)."""
        known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__}: unknown field(s) {', '.join(unknown)}")
        data = dict(data)
        if "outcome" in data:
            data["outcome"] = Outcome(data["outcome"])
        if "tags" in data:
            data["tags"] = tuple(data["tags"])
        return cls(**data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(_Record):
    """One asked thing."""

    sample_id: str
    """Stable, unique inside the suite; file-name safe (`[A-Za-z0-9._-]+`). It seeds every draw."""
    task: str
    """Group that is averaged on its own (GenEval: the tag)."""
    prompt: str
    """What the model is told, verbatim."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """The benchmark's own row, key order kept."""
    image: str | None = None
    """Input image (editing, understanding), relative to the data root."""
    target: str | None = None
    """Expected answer, where the benchmark has one."""
    tags: tuple[str, ...] = ()
    """Slices that are reported apart beside the task (mini world: `seen`, `unseen`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem(_Record):
    """A sample, a repeat, and the seed that both give under the run's seed."""

    sample: Sample
    repeat: int
    seed: int
    """63-bit, from (run seed, sample id, repeat) alone."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Generation settings of the suite (height, width, guidance_scale, ...)."""

    @property
    def key(self) -> str:
        """`sample_id/repeat` with five digits: the name of this item in files."""
        return f"{self.sample.sample_id}/{self.repeat:05d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Output(_Record):
    """What the model returned for one work item; one journal line."""

    sample_id: str
    task: str
    repeat: int
    seed: int
    outcome: Outcome
    image: str | None = None
    """Path inside the run folder."""
    image_sha256: str | None = None
    codes: str | None = None
    """Path inside the run folder."""
    codes_sha256: str | None = None
    text: str | None = None
    likelihoods: dict[str, float] | None = None
    """Of the options by which a question was answered, highest wins: nats, or nats a byte; the text is then the chosen one."""
    seconds: float = 0.0
    """Wall time of the batch divided by its size."""
    error: str | None = None
    """One sentence, when the outcome is not `ok`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score(_Record):
    """A scorer's verdict on one output."""

    sample_id: str
    task: str
    repeat: int
    scorer: str
    outcome: Outcome
    values: dict[str, float] = field(default_factory=dict)
    """Named numbers (GenEval: `correct` 0 or 1); empty unless the outcome is `ok`."""
    reason: str = ""
    """Why, in words the page shows."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What the verdict rests on, JSON. Detections go under `detections`: a list of
    `{"class": str, "score": float, "box": [x1, y1, x2, y2], "color": str | None}` in pixels."""

    def __post_init__(self) -> None:
        if self.outcome is not Outcome.OK and self.values:
            raise ValueError(f"a score with outcome {self.outcome.value} cannot carry values")


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(_Record):
    """A number with its uncertainty and its coverage."""

    name: str
    """`overall`, or the name of a value (`correct`)."""
    task: str
    """Task or slice; `*` for the whole suite."""
    value: float | None
    """None when nothing was scored."""
    low: float | None
    """Lower end of the 95% interval."""
    high: float | None
    n: int
    """Scored outputs."""
    n_samples: int
    """Clusters (prompts) among them."""
    n_expected: int
    """Outputs the plan asked for."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Count per outcome, `missing` included; sums to `n_expected`."""
    unit: str = "fraction"
    kind: str = "task"
    """`headline`, `task` or `slice`."""

    @property
    def coverage(self) -> float:
        """Scored share of what was asked, 0 to 1."""
        return self.n / self.n_expected if self.n_expected else 0.0

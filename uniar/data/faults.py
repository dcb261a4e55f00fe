"""Broken records: what can be wrong with one, and what a run does about it.

A broken record is told, counted by source and kind, and replaced by the next number that the mix draws from the same source, so
that the stream stays a function of its numbers. When too many of the last draws are broken the run stops instead of training on
what is left. Finding the faults is the business of `uniar.data.records` and `uniar.data.shards`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from uniar.errors import ConfigError, InputError, TrainingError

if TYPE_CHECKING:
    from uniar.data.samples import TrainingSample

FAULTS = ("format", "path", "missing", "image", "size")
"""Kinds of broken records: not a record; a path that leaves its root; a file that is not there; an image that cannot be decoded; an
image of a size that cannot be used."""


class RecordError(InputError):
    """A record that cannot be used: `kind` is one of `FAULTS`."""

    def __init__(self, message: str, kind: str = "format"):
        super().__init__(message)
        self.kind = kind


def broken(where: str, got: str, expected: str, *, kind: str = "format", remedy: str = "") -> RecordError:
    """The error `where: got …; expected …. remedy`.

    >>> str(broken("a.jsonl:3: prompt", "nothing", "words"))
    'a.jsonl:3: prompt: got nothing; expected words.'
    """
    return RecordError(f"{where}: got {got}; expected {expected}.{remedy and ' '}{remedy}", kind)


def reason(error: Exception) -> str:
    """An exception of a library in a few words, without the objects' addresses that Pillow adds."""
    return " ".join(str(error).split()).split(" <")[0] or type(error).__name__


class Draws(Protocol):
    """What samples come from; `uniar.data.mix.Mix` is one."""

    def source_of(self, number: int) -> str:
        """Name of the source of a number."""

    def load(self, number: int) -> TrainingSample:
        """The sample of a number; raises `RecordError` when its record is broken."""

    def following(self, number: int) -> int:
        """The next number of the same source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPolicy:
    """When broken records stop a run."""

    window: int = 1000
    """How many of the last draws are looked at."""
    share: float = 0.01
    """Largest share of the window that may be broken, 0 to below 1; 0 stops at the first."""

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.share < 1:
            told = f"got a window of {self.window} and a share of {self.share}"
            raise ConfigError(f"faults: {told}; expected a window of 1 or more draws and a share of 0 to below 1.")


class Faults:
    """Draws samples and keeps count of the broken ones.

    Args:
        draws: the mix.
        report: called with one sentence for each broken record.
        policy: see `FaultPolicy`.
    """

    def __init__(self, draws: Draws, *, report: Callable[[str], None], policy: FaultPolicy | None = None):
        self._draws, self._report = draws, report
        self._policy = policy or FaultPolicy()
        self._seen = 0
        self._recent: deque[int] = deque()
        self._counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, number: int) -> TrainingSample:
        """The sample of a number, or of the first number after it of the same source whose record is whole.

        Raises:
            TrainingError: more of the last draws are broken than the policy allows.
        """
        while True:
            self._seen += 1
            try:
                return self._draws.load(number)
            except RecordError as error:
                self._note(number, error)
            number = self._draws.following(number)

    def _note(self, number: int, error: RecordError) -> None:
        self._counts[self._draws.source_of(number), error.kind] += 1
        self._report(str(error))
        window, most = self._policy.window, int(self._policy.share * self._policy.window + 1e-9)
        self._recent.append(self._seen)
        while self._recent[0] <= self._seen - window:
            self._recent.popleft()
        if len(self._recent) > most:
            raise TrainingError(
                f"sample {number}: got {len(self._recent)} broken records in the last {window} draws; expected at most {most}. "
                f"Mend or remove them; the last: {error}"
            )

    @property
    def counts(self) -> dict[str, int]:
        """`source/kind` -> broken records so far, for the log; sorted by name."""
        return {f"{source}/{kind}": n for (source, kind), n in sorted(self._counts.items())}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run goes on from, as plain ints: draws, the recent broken ones, and the counts."""
        return {"seen": self._seen, "recent": list(self._recent), "counts": self.counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`.

        Raises:
            TrainingError: not such a state.
        """
        try:
            counts = {tuple(key.rsplit("/", 1)): int(n) for key, n in state["counts"].items()}
            if any(len(key) != 2 or key[1] not in FAULTS for key in counts):
                raise ValueError(f"counts of {', '.join(state['counts'])}")
            seen, recent = int(state["seen"]), [int(n) for n in state["recent"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            told = f"got a damaged state ({reason(error)}); expected seen, recent and counts"
            raise TrainingError(f"faults: {told}. Resume from an older state.") from None
        self._seen, self._recent, self._counts = seen, deque(recent), Counter(counts)

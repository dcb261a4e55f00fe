"""Look at a mix before training on it: every stored record is read as training would read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniar.data.faults import RecordError
from uniar.data.mix import Mix
from uniar.data.samples import Picture, Text, TrainingSample


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceReport:
    """What a source holds."""

    name: str
    share: float
    """Of the draws, 0 to 1."""
    stored: bool
    """Whether it lies on disk (else it is drawn without end)."""
    good: int
    """Samples read."""
    broken: dict[str, int]
    """Kind of fault -> records."""
    lengths: tuple[int, ...]
    """Ids of each sample."""
    written: int
    """Visual tokens that the model is to write."""
    read: int
    """Visual tokens that it only reads."""

    def line(self) -> str:
        """One line for a terminal."""
        kind = "records" if self.stored else "draws"
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.broken.items())) or "none broken"
        lengths = np.percentile(self.lengths, (50, 95, 100)).round().astype(int).tolist() if self.lengths else [0, 0, 0]
        return (
            f"{self.name}: {self.share:.1%} of the draws, {self.good} {kind} read, {faults}; ids a sample: half at most {lengths[0]}, "
            f"95% at most {lengths[1]}, longest {lengths[2]}; visual tokens: {self.written} written, {self.read} read"
        )


def check_mix(mix: Mix, *, tokenizer: Any, draws: int, report: Callable[[str], None]) -> list[SourceReport]:
    """Read all stored records of a mix, and `draws` samples of each endless source.

    Args:
        mix: opened.
        tokenizer: the checkpoint's text tokenizer, for the lengths.
        draws: of sources without end.
        report: called with one sentence for each broken record.

    Returns:
        one report a source.
    """
    stored = {s.name: s for s in mix.stored}
    out = []
    for name, share in mix.shares.items():
        broken: Counter[str] = Counter()
        lengths: list[int] = []
        tokens = Counter({True: 0, False: 0})
        for sample in _samples(mix, stored.get(name), name, draws, broken, report):
            lengths.append(_length(tokenizer, sample))
            for part in sample.parts:
                if isinstance(part, Picture):
                    tokens[part.written] += part.rows * part.columns
        out.append(
            SourceReport(
                name=name,
                share=share,
                stored=name in stored,
                good=len(lengths),
                broken=dict(broken),
                lengths=tuple(lengths),
                written=tokens[True],
                read=tokens[False],
            )
        )
    return out


def _samples(mix: Mix, selection: Any, name: str, draws: int, broken: Counter[str], report: Callable[[str], None]) -> Any:
    if selection is None:
        number = next(n for n in range(1 << 20) if mix.source_of(n) == name)
        for _ in range(draws):
            yield mix.load(number)
            number = mix.following(number)
        return
    for place in range(len(selection)):
        try:
            yield selection.sample(place)
        except RecordError as error:
            broken[error.kind] += 1
            report(str(error))


def _length(tokenizer: Any, sample: TrainingSample) -> int:
    words = [p.text for p in sample.parts if isinstance(p, Text)]
    text = sum(len(ids) for ids in tokenizer(words, add_special_tokens=False)["input_ids"]) if words else 0
    return text + sum(p.rows * p.columns for p in sample.parts if isinstance(p, Picture))

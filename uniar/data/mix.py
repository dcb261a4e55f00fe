"""The mix: which source and which of its records the n-th sample of a run is, as a pure function of (seed, n).

So the data position of a run is one integer, a resumed run sees what an unbroken one would have seen, and rank r of w takes the
numbers r, r + w, ... whatever w is. The file that lists the sources is `uniar.data.mix_file`'s; records are read in
`uniar.data.records` and `uniar.data.shards`, the synthetic world is `uniar.data.world`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uniar.data.mix_file import Dataset, read_mix
from uniar.data.records import JsonlRecords, Records
from uniar.data.samples import TrainingSample
from uniar.data.shards import ShardRecords, shard_paths
from uniar.data.sizing import Sizing
from uniar.data.world import ShapesWorld
from uniar.errors import ConfigError, InputError
from uniar.seeding import derive_seed

BLOCK = 1 << 16
"""Numbers in which every source has its exact share."""
_FEISTEL_ROUNDS = 6


class Selection:
    """The records of a dataset that its `sampled_ratio` keeps, themselves `Records`.

    Args:
        dataset: its ratio; the choice depends on its name alone, so that it is the same in every run.
        records: all of them.

    Raises:
        ConfigError: a ratio that keeps none, or asks for more than there are.
    """

    def __init__(self, dataset: Dataset, records: Records):
        self.name, self.records = dataset.name, records
        self._seed = derive_seed("selection", dataset.name)
        ratio, total = dataset.sampled_ratio, len(records)
        self._count = total if ratio == 1 else round(ratio * total) if ratio < 1 else int(ratio)
        if not 1 <= self._count <= total:
            told = f"got {ratio:g}; expected one that keeps 1 to {total} records"
            raise ConfigError(f"{dataset.where}.sampled_ratio: {told}. Give weights to draw it more often.")

    def __len__(self) -> int:
        return self._count

    def index(self, place: int) -> int:
        """Number of the record at a place, 0 to len - 1."""
        return place if self._count == len(self.records) else shuffled(place, len(self.records), self._seed)

    def sample(self, index: int) -> TrainingSample:
        """The sample at a place; raises `RecordError`."""
        return self.records.sample(self.index(index))


def shuffled(place: int, size: int, seed: int) -> int:
    """Where a place goes in a random permutation of `size` places, without holding the permutation.

    A Feistel network over the next power of four; what falls beyond the end goes through it again.

    >>> sorted(shuffled(i, 5, seed=3) for i in range(5))
    [0, 1, 2, 3, 4]
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for r in range(_FEISTEL_ROUNDS):
            left, right = right, left ^ (derive_seed(seed, r, right) & mask)
        place = left << half | right
        if place < size:
            return place


class Draw(NamedTuple):
    """What a number stands for."""

    source: str
    index: int
    """Number of the record in its source; for shapes the number itself."""


class Mix:
    """The stream of samples.

    Args:
        datasets: of the mix file.
        sources: name -> `Records`, or `ShapesWorld`.
        seed: of the run.

    Raises:
        ConfigError: a dataset whose share is too small to be drawn.
    """

    def __init__(self, datasets: Sequence[Dataset], sources: Mapping[str, Records | ShapesWorld], *, seed: int):
        self._seed, self._names = seed, [d.name for d in datasets]
        self._sources = [sources[d.name] if d.kind == "shapes" else Selection(d, sources[d.name]) for d in datasets]
        # An endless source without a weight is alone, so any size will do.
        sizes = [d.weight or (len(s) if isinstance(s, Selection) else 1) for d, s in zip(datasets, self._sources, strict=True)]
        self._quotas = _apportioned(sizes)
        for d, quota in zip(datasets, self._quotas, strict=True):
            if not quota:
                raise ConfigError(f"{d.where}.weight: got less than 1 in {BLOCK} draws; expected more. Raise its weight or leave it out.")

    @classmethod
    def open(cls, path: Path, *, sizing: Sizing, seed: int) -> Mix:
        """Read a mix file and open its sources.

        Args:
            path: YAML.
            sizing: of the checkpoint's processor.
            seed: of the run; it decides the order, not which records there are.

        Raises:
            ConfigError: the mix file.
            InputError: a data file that is missing or damaged.
        """
        datasets = read_mix(path)
        return cls(datasets, {d.name: _opened(d, Path(path).parent, sizing, seed) for d in datasets}, seed=seed)

    @property
    def shares(self) -> dict[str, float]:
        """Source -> its exact share of the draws."""
        return {name: quota / BLOCK for name, quota in zip(self._names, self._quotas, strict=True)}

    @property
    def stored(self) -> tuple[Selection, ...]:
        """The sources that lie on disk, with the records that are drawn from them."""
        return tuple(s for s in self._sources if isinstance(s, Selection))

    def sample(self, number: int) -> Draw:
        """What a global sample number, 0 or more, stands for."""
        source, index = self._at(number)
        return Draw(source.name, index)

    def load(self, number: int) -> TrainingSample:
        """The training sample of a number.

        Raises:
            RecordError: its record is broken.
        """
        source, index = self._at(number)
        return (source.records if isinstance(source, Selection) else source).sample(index)

    def _at(self, number: int) -> tuple[Selection | ShapesWorld, int]:
        block, slot = divmod(number, BLOCK)
        order, ranks = _block(self._quotas, self._seed, block)
        s = int(order[slot])
        source = self._sources[s]
        if not isinstance(source, Selection):
            return source, number
        turn, place = divmod(block * self._quotas[s] + int(ranks[slot]), len(source))
        return source, source.index(shuffled(place, len(source), derive_seed(self._seed, "pass", source.name, turn)))

    def source_of(self, number: int) -> str:
        """Name of the source of a number."""
        return self.sample(number).source

    def following(self, number: int) -> int:
        """The next number of the same source."""
        block, slot = divmod(number, BLOCK)
        order = _block(self._quotas, self._seed, block).order
        later = np.flatnonzero(order[slot + 1 :] == order[slot])
        if len(later):
            return number + 1 + int(later[0])
        # Every source has a place in every block.
        return (block + 1) * BLOCK + int(np.flatnonzero(_block(self._quotas, self._seed, block + 1).order == order[slot])[0])


def numbers(start: int, *, rank: int = 0, world: int = 1) -> Iterator[int]:
    """The sample numbers of one of `world` ranks from a data position on, without end.

    >>> from itertools import islice
    >>> list(islice(numbers(5, rank=1, world=4), 3))
    [5, 9, 13]
    """
    return count(start + (rank - start) % world, world)


class _Block(NamedTuple):
    order: np.ndarray
    """int (BLOCK,): number of the source of each slot."""
    ranks: np.ndarray
    """int (BLOCK,): how many slots of the same source come before it."""


@lru_cache(maxsize=8)
def _block(quotas: tuple[int, ...], seed: int, block: int) -> _Block:
    # A counter-based stream and a stable sort: the same order with every version of numpy.
    keys = np.random.Philox(key=derive_seed(seed, "mix", block)).random_raw(BLOCK)
    order = np.empty(BLOCK, np.int32)
    order[np.argsort(keys, kind="stable")] = np.repeat(np.arange(len(quotas)), quotas)
    ranks = np.empty(BLOCK, np.int32)
    for s, quota in enumerate(quotas):
        ranks[order == s] = np.arange(quota)
    return _Block(order, ranks)


def _apportioned(sizes: Sequence[float]) -> tuple[int, ...]:
    # Largest remainders, so that the quotas fill a block exactly.
    exact = [size / sum(sizes) * BLOCK for size in sizes]
    quotas = [int(e) for e in exact]
    for i in sorted(range(len(sizes)), key=lambda k: (quotas[k] - exact[k], k))[: BLOCK - sum(quotas)]:
        quotas[i] += 1
    return tuple(quotas)


def _opened(d: Dataset, folder: Path, sizing: Sizing, seed: int) -> Records | ShapesWorld:
    if d.kind == "shapes":
        return ShapesWorld(d, sizing=sizing, seed=seed)
    try:
        if d.kind == "shards":
            return ShardRecords(shard_paths(d.path, folder), name=d.name, sizing=sizing)
        return JsonlRecords(folder / d.path, name=d.name, sizing=sizing, root=folder / d.root if d.root else None)
    except InputError as error:
        raise InputError(f"{d.where}.path: {error}") from None

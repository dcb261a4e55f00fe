"""Where the prompts of a run come from: the synthetic world, a JSONL file, or a mix file of several.

The mix file is the same as that of the other stages (`uniar.data.mix_file`), its JSONL files hold records
`{instruction, number, task, metadata}`; `kind: shapes` draws from the synthetic world.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from uniar.data.mix import Mix
from uniar.data.mix_file import Dataset, read_mix
from uniar.errors import ConfigError, InputError
from uniar.training.grpo.records import JsonlRecords, Record, Records, ShapesRecords, read_rows

WORLD = "shapes"


def open_records(data: Path, *, seed: int) -> Records:
    """Open the prompts of a run.

    Args:
        data: `shapes`, a `.jsonl` file or a mix file.
        seed: of the run.

    Raises:
        ConfigError: the mix file.
        InputError: a file of records.
    """
    if str(data) == WORLD:
        return ShapesRecords()
    return JsonlRecords(data) if data.suffix == ".jsonl" else MixedRecords(data, seed=seed)


class MixedRecords:
    """The records of a mix file; which one a number stands for is a function of (seed, number).

    Raises:
        ConfigError, InputError: see `open_records`.
    """

    def __init__(self, path: Path, *, seed: int):
        datasets = read_mix(path)
        sources: dict[str, _File | _World] = {}
        for d in datasets:
            if d.kind == "shards":
                raise ConfigError(f"{d.where}.kind: got shards; expected jsonl or shapes, since prompts are no images.")
            if d.kind == "shapes" and d != Dataset(name=d.name, kind=d.kind, weight=d.weight, where=d.where):
                raise ConfigError(f"{d.where}: got settings of images; expected name, kind and weight alone, since prompts are drawn here.")
            try:
                sources[d.name] = _World(d.name, seed) if d.kind == "shapes" else _File(d.name, path.parent / d.path)
            except InputError as error:
                raise InputError(f"{d.where}.path: {error}") from None
        self._mix = Mix(datasets, sources, seed=seed)

    def draw(self, seed: int, step: int, count: int) -> list[Record]:
        """See `Records`; the seed is the one that the mix was opened with."""
        numbers = range(step * count, (step + 1) * count)
        # A record that comes again is another use of it.
        return [replace(record, key=f"{record.key}:{n}") for n in numbers for record in [self._mix.load(n)]]


class _File:
    def __init__(self, name: str, path: Path):
        self.name, self._rows = name, read_rows(path)

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, index: int) -> Record:
        return Record(key=f"{self.name}:{index}", **self._rows[index])


class _World:
    def __init__(self, name: str, seed: int):
        self.name, self._seed, self._records = name, seed, ShapesRecords()

    def sample(self, index: int) -> Record:
        return self._records.draw(self._seed, index, 1)[0]

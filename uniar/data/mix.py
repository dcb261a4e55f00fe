"""The mix: which source and which of its records the n-th sample of a run is, as a pure function of (seed, n).

So the data position of a run is one integer, a resumed run sees what an unbroken one would have seen, and rank r of w takes the
numbers r, r + w, ... whatever w is. A mix file (YAML) lists datasets in the release's form `{name, json_path, sampled_ratio}` or in
ours:

    datasets:
      - {name: photos, path: photos.jsonl, sampled_ratio: 0.5}
      - {name: web, kind: shards, path: "web/{000..099}.tar", sampled_ratio: 20000}
      - {name: world, kind: shapes, split: train, sequences: {generate: 3, interleaved: 1}}

Relative paths start at the mix file. Records are read in `uniar.data.records` and `uniar.data.shards`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from uniar.data import chat, shapes
from uniar.data.faults import reason
from uniar.data.records import JsonlRecords, Records
from uniar.data.samples import Picture, TrainingSample
from uniar.data.shards import ShardRecords, shard_paths
from uniar.data.sizing import Grid, Sizing
from uniar.errors import ConfigError, InputError
from uniar.seeding import derive_seed

SPLITS = ("train", "held_out", "all")
SEQUENCES = ("generate", "edit", "understand", "interleaved")
"""What a shapes source draws; interleaved: an image is written, then a question about it is answered."""
BLOCK = 1 << 16
"""Numbers in which every source has its exact share."""
_KEYS = {
    "jsonl": ("name", "kind", "path", "json_path", "root", "sampled_ratio", "weight"),
    "shards": ("name", "kind", "path", "sampled_ratio", "weight"),
    "shapes": ("name", "kind", "weight", "split", "sequences", "canvas", "turns"),
}
_FEISTEL_ROUNDS = 6
_MAX_VALUES = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One entry of a mix file."""

    name: str
    """Of the source; letters, digits, `.`, `_`, `-`."""
    kind: str
    """`jsonl`, `shards` or `shapes`."""
    path: str = ""
    """JSONL file, or pattern of shards; shapes have none."""
    root: str = ""
    """Folder of a JSONL file's images; default: the file's own."""
    sampled_ratio: float = 1.0
    """1: all records; below 1: that share of them; a whole number above 1: that many. The same ones in every pass."""
    weight: float | None = None
    """Share of the draws against the others' weights; all datasets have one or none: then the numbers of records decide."""
    split: str = "train"
    """Of the synthetic world."""
    sequences: dict[str, float] = field(default_factory=lambda: {"generate": 0.5, "edit": 0.2, "understand": 0.2, "interleaved": 0.1})
    """Shares of what a shapes source draws."""
    canvas: int = 64
    """Side of the synthetic images, pixels; a multiple of 64."""
    turns: int = 1
    """Questions about one synthetic image."""
    where: str = "mix: datasets"
    """`file:line: datasets[i]`, for messages."""

    def __post_init__(self) -> None:
        ratio, shares = self.sampled_ratio, self.sequences
        checks = (
            ("name", re.fullmatch(r"[\w.-]+", self.name), "letters, digits and . _ -"),
            ("kind", self.kind in _KEYS, f"one of {', '.join(_KEYS)}"),
            ("path", bool(self.path) != (self.kind == "shapes"), "no path" if self.kind == "shapes" else "a file or a pattern"),
            ("sampled_ratio", 0 < ratio < 1 or (1 <= ratio < 2**53 and ratio == int(ratio)), "1, a share below 1 or a whole number"),
            ("weight", self.weight is None or 0 < self.weight < float("inf"), "more than 0"),
            ("split", self.split in SPLITS, f"one of {', '.join(SPLITS)}"),
            ("canvas", self.canvas > 0 and self.canvas % 64 == 0, "a multiple of 64"),
            ("turns", self.turns > 0, "1 or more"),
            ("sequences", set(shares) <= set(SEQUENCES), f"shares of {', '.join(SEQUENCES)}"),
            ("sequences", all(0 <= s < 1e9 for s in shares.values()) and sum(shares.values()) > 0, "shares of 0 or more, one above 0"),
        )
        for key, fine, expected in checks:
            if not fine:
                raise ConfigError(f"{key}: got {_told(getattr(self, key))}; expected {expected}.")


def _told(value: Any) -> str:
    text = "nothing" if value is None or value == "" else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_mix(path: Path) -> tuple[Dataset, ...]:
    """Read and check a mix file.

    Raises:
        ConfigError: one sentence with file, line and key.
    """
    return _MixFile(Path(path)).datasets()


class _MixFile:
    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[str, int] = {}

    def fail(self, key: str, got: str, expected: str, remedy: str = "") -> ConfigError:
        where = f"{self._path}:{self._lines.get(key, 1)}: {key or 'mix'}"
        return ConfigError(f"{where}: got {got}; expected {expected}.{remedy and ' '}{remedy}")

    def datasets(self) -> tuple[Dataset, ...]:
        try:
            loader = yaml.SafeLoader(self._path.read_text("utf-8"))
            try:
                root = loader.get_single_node()
                data = None if root is None else self._plain(loader, root, "")
            finally:
                loader.dispose()
        except OSError as error:
            raise ConfigError(f"{self._path}: got no readable file ({error.strerror}); expected a mix file.") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            self._lines[""] = mark.line + 1 if mark else 1
            raise self.fail("", f"broken YAML ({getattr(error, 'problem', None) or reason(error)})", "a mapping with datasets") from None
        if not isinstance(data, dict) or list(data) != ["datasets"]:
            told = f"the keys {', '.join(data) or 'none'}" if isinstance(data, dict) else _told(data)
            raise self.fail("", told, "a mapping with datasets alone")
        if not isinstance(data["datasets"], list) or not data["datasets"]:
            raise self.fail("datasets", _told(data["datasets"]), "a list that is not empty")
        made = tuple(self._dataset(entry, f"datasets[{i}]") for i, entry in enumerate(data["datasets"]))
        for i, d in enumerate(made):
            if d.name in [other.name for other in made[:i]]:
                raise self.fail(f"datasets[{i}].name", f"{d.name!r} a second time", "a name of its own")
            if (d.weight is None) != (made[0].weight is None):
                raise self.fail(f"datasets[{i}]", f"weight {_told(d.weight)}", "a weight for every dataset or for none")
            if d.kind == "shapes" and d.weight is None and len(made) > 1:
                raise self.fail(f"datasets[{i}]", "shapes without a weight", "a weight for every dataset, as shapes have no size")
        return made

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, key: str) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if len(self._lines) > _MAX_VALUES:
            raise self.fail(key, f"more than {_MAX_VALUES} values", "a mix file")
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_object(node)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self.fail(key, f"the tag {node.tag}", "a plain mapping or list")
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, child, f"{key}[{i}]") for i, child in enumerate(node.value)]
        out: dict[str, Any] = {}
        for name, child in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.fail(key, "a key that is no text", "text")
            inner = f"{key}.{name.value}" if key else name.value
            self._lines[inner] = name.start_mark.line + 1
            if name.value in out:
                raise self.fail(inner, "the key twice", "it once")
            out[name.value] = self._plain(loader, child, inner)
        return out

    def _dataset(self, data: Any, at: str) -> Dataset:
        if not isinstance(data, dict):
            raise self.fail(at, _told(data), "a mapping")
        kind = data.get("kind", "shards" if str(data.get("path", "")).endswith(".tar") else "jsonl")
        if kind not in list(_KEYS):
            raise self.fail(f"{at}.kind", _told(kind), f"one of {', '.join(_KEYS)}")
        hints = {f.name: f.type for f in fields(Dataset)}
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in _KEYS[kind]:
                near = difflib.get_close_matches(key, _KEYS[kind], 1)
                told = f"an unknown key of the kind {kind}"
                raise self.fail(f"{at}.{key}", told, f"one of {', '.join(_KEYS[kind])}", f"Did you mean {near[0]!r}?" if near else "")
            field_name = "path" if key == "json_path" else key
            if field_name in values:
                raise self.fail(f"{at}.{key}", "both path and json_path", "one of them")
            values[field_name] = self._typed(hints[field_name], value, f"{at}.{key}")
        if "name" not in values:
            raise self.fail(at, "no name", "a name for the log")
        try:
            return Dataset(**{**values, "kind": kind}, where=f"{self._path}:{self._lines[at]}: {at}")
        except ConfigError as error:
            key = str(error).split(":")[0]
            line = self._lines.get(f"{at}.{key}", self._lines[at])
            raise ConfigError(f"{self._path}:{line}: {at}.{error}") from None

    def _typed(self, hint: Any, value: Any, key: str) -> Any:
        if hint == "str" and isinstance(value, str):
            return value
        if hint == "int" and _is_number(value) and value == int(value):
            return int(value)
        if hint in ("float", "float | None") and _is_number(value):
            return float(value)
        if hint.startswith("dict") and isinstance(value, dict) and all(_is_number(v) for v in value.values()):
            return {name: float(v) for name, v in value.items()}
        told = {"str": "text", "int": "a whole number", "dict[str, float]": "a mapping of numbers"}.get(hint, "a number")
        raise self.fail(key, _told(value), told)


def _is_number(value: Any) -> bool:
    # bool is an int in Python, not in a mix; infinities and NaN are no shares.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


class ShapesWorld:
    """The synthetic world as a source without end: the sample of a number is a function of (seed, number) alone.

    Args:
        dataset: split, shares of the sequences, canvas and turns.
        sizing: of the checkpoint's processor.
        seed: of the run.

    Raises:
        ConfigError: the canvas is not what the processor leaves as it is.
    """

    def __init__(self, dataset: Dataset, *, sizing: Sizing, seed: int):
        self.name, self._d, self._sizing, self._seed = dataset.name, dataset, sizing, seed
        grid = Grid(dataset.canvas // sizing.unit, dataset.canvas // sizing.unit)
        if dataset.canvas % sizing.unit or not sizing.keeps(grid):
            told = f"a multiple of {sizing.unit} with {sizing.min_pixels} to {sizing.max_pixels} pixels an image"
            raise ConfigError(f"{dataset.where}.canvas: got {dataset.canvas}; expected {told}.")

    def sample(self, number: int) -> TrainingSample:
        """The sample of a number."""
        d, rng = self._d, np.random.default_rng(derive_seed(self._seed, "shapes", number))
        # The order of the mix file must not matter.
        shares = np.array([d.sequences.get(name, 0.0) for name in SEQUENCES])
        parts, unconditional = self._draw(SEQUENCES[rng.choice(len(shares), p=shares / shares.sum())], rng)
        return TrainingSample(key=f"{self.name}:{number}", source=self.name, parts=parts, unconditional=unconditional)

    def _draw(self, sequence: str, rng: np.random.Generator) -> chat.ChatParts:
        split = self._d.split
        if sequence == "edit":
            made = shapes.sample_edit(rng, split=split)
            return chat.edit(made.instruction, self._picture(made.source), self._picture(made.target))
        if sequence == "understand":
            scene = shapes.sample_scene(rng, split=split, habits=bool(rng.random() < 0.5))
            return chat.understanding([self._picture(scene)], self._questions(rng, scene))
        captioned = shapes.sample_captioned(rng, split=split)
        if sequence == "generate":
            return chat.generation(captioned.caption, self._picture(captioned.scene))
        said = [captioned.caption, self._picture(captioned.scene), *chain(*self._questions(rng, captioned.scene))]
        return chat.conversation([chat.Turn(role=("user", "assistant")[i % 2], content=(words,)) for i, words in enumerate(said)])

    def _questions(self, rng: np.random.Generator, scene: shapes.Scene) -> list[tuple[str, str]]:
        return [(q.text, q.answer) for q in (shapes.sample_question(rng, scene) for _ in range(self._d.turns))]

    def _picture(self, scene: shapes.Scene) -> Picture:
        return self._sizing.picture(Image.fromarray(shapes.render(scene, self._d.canvas)))


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
        self._sources = [s if isinstance(s := sources[d.name], ShapesWorld) else Selection(d, s) for d in datasets]
        # An endless source without a weight is alone, so any size will do.
        sizes = [d.weight or (1 if isinstance(s, ShapesWorld) else len(s)) for d, s in zip(datasets, self._sources, strict=True)]
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
        return (source if isinstance(source, ShapesWorld) else source.records).sample(index)

    def _at(self, number: int) -> tuple[Selection | ShapesWorld, int]:
        block, slot = divmod(number, BLOCK)
        order, ranks = _block(self._quotas, self._seed, block)
        s = int(order[slot])
        source = self._sources[s]
        if isinstance(source, ShapesWorld):
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

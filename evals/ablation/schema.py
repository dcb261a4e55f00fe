"""What an ablation file may say: the cells, their control, the seeds, and the three sizes it can be run in.

    ablation: sampling                     name; letters, digits, - and _
    title, question, version               shown on the page
    suite, profile, model                  what is measured; a cell may name another model
    set: {generate.repeats: 2}             settings of the suite for every cell
    seeds: [0, 1, 2]                       replicates: of the draws, and of the training where there is one
    control: hot                           name of the cell that the others are compared with
    cells: [{name, set, train, model}]     listed cells
    grid: {generate.temperature: [0, 1]}   and all combinations of these settings, named by their values; `train:KEY` is one of the training
    also: [{name, suite, set}]             measured too, on the same cells and trainings; each has a table and a page of its own
    train: [{recipe, set}]                 stages before the measurement, each from the one before; a cell may add its own `set`
    sizes: {smoke: {...}, mini: {...}}     changes by size: set, seeds, only (cells), train_set, profile, model, limit

Every mistake is one sentence with file, line and key.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.registry import suggest
from evals.suite.load import parse_file
from evals.suite.located import Node, describe
from evals.suite.schema import scalar, table, texts

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
_TOP = (
    "ablation", "title", "question", "version", "suite", "profile", "model", "limit", "set", "seeds", "control", "cells", "grid", "train",
    "sizes", "notes", "also",
)  # fmt: skip
_ALSO = ("name", "title", "suite", "profile", "limit", "set")
_CELL = ("name", "set", "train_set", "model")
_SIZE = ("set", "seeds", "only", "train_set", "profile", "model", "limit", "notes", "also")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainStage:
    """One training before the measurement."""

    recipe: str
    """Name or file, as for `uniar train`."""
    settings: tuple[str, ...] = ()
    """`a.b=c`, as for `uniar train --set`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One thing to be measured."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the suite, dotted key -> value, those of every cell included."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """What makes this cell differ from the file's common settings, for the table."""
    train: tuple[TrainStage, ...] = ()
    model: str | None = None
    """Checkpoint to measure, or to train from; None is the bundled one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """A file at one of its sizes."""

    name: str
    title: str
    question: str
    version: int
    size: str
    suite: str
    profile: str | None
    limit: int | None
    seeds: tuple[int, ...]
    control: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    path: Path
    also: tuple[Ablation, ...] = ()
    """The same cells measured by other suites; `name` of each is its own."""

    @property
    def trained(self) -> bool:
        """Whether some cell is trained, so that seeds are replicates of a training."""
        return any(cell.train for cell in self.cells)


def read(path: Path, *, shown: str, size: str) -> Ablation:
    """Read a file at a size.

    Args:
        path: the file.
        shown: its name for messages.
        size: one of its `sizes`; `full` takes the file as it stands.

    Raises:
        SuiteError: anything that does not fit.
    """
    root = parse_file(path, shown)
    top = table(root, _TOP, required=("ablation", "title", "suite", "control"))
    sizes = table(top["sizes"]) if "sizes" in top else {}
    if size != "full" and size not in sizes:
        where = top.get("sizes", root)
        raise where.error(f'no size "{size}"', f"one of {', '.join((*sizes, 'full'))}", suggest(size, sizes))
    change = table(sizes[size], _SIZE) if size in sizes else {}
    name = scalar(top["ablation"], str)
    if not NAME.fullmatch(name):
        raise top["ablation"].error(f'"{name}"', "letters, digits, dots, dashes")
    limit = _limit(change.get("limit", top.get("limit")))
    profile = _text(change.get("profile", top.get("profile")))
    common = {**_settings(top.get("set")), **_settings(change.get("set"))}
    cells = _cells(top, change, common, root)
    control = scalar(top["control"], str)
    if control not in {cell.name for cell in cells}:
        raise top["control"].error(
            f'"{control}"', f"one of the cells {', '.join(c.name for c in cells)}", suggest(control, [c.name for c in cells])
        )
    main = Ablation(
        name=name,
        title=scalar(top["title"], str),
        question=_text(top.get("question")) or "",
        version=scalar(top["version"], int) if "version" in top else 1,
        size=size,
        suite=scalar(top["suite"], str),
        profile=profile,
        limit=limit,
        seeds=_seeds(change.get("seeds", top.get("seeds"))),
        control=control,
        cells=tuple(sorted(cells, key=lambda cell: cell.name != control)),
        notes=(*(texts(top["notes"]) if "notes" in top else ()), *(texts(change["notes"]) if "notes" in change else ())),
        path=path,
    )
    return replace(main, also=tuple(_also(node, main, top, change, root) for node in _list(change.get("also", top.get("also")))))


def _cells(top: Mapping[str, Node], change: Mapping[str, Node], common: Mapping[str, Any], root: Node) -> list[Cell]:
    """The cells of a file at a size, with these settings of the suite in common."""
    train, train_set = _train(top.get("train")), _settings(change.get("train_set"))
    model = _text(change.get("model", top.get("model")))
    cells = [_listed(node, common, train, train_set, model) for node in _list(top.get("cells"))]
    cells += _grid(top["grid"], common, train, train_set, model) if "grid" in top else []
    _refuse_twice(cells, root)
    return _only(change.get("only"), cells)


def _also(node: Node, main: Ablation, top: Mapping[str, Node], change: Mapping[str, Node], root: Node) -> Ablation:
    keys = table(node, _ALSO, required=("name", "suite"))
    name, suite = scalar(keys["name"], str), scalar(keys["suite"], str)
    if not NAME.fullmatch(name):
        raise keys["name"].error(f'"{name}"', "letters, digits, dots, dashes")
    order = {cell.name: number for number, cell in enumerate(main.cells)}
    cells = _cells(top, change, _settings(keys.get("set")), root)
    return replace(
        main,
        name=f"{main.name}.{name}",
        title=_text(keys.get("title")) or f"{main.title}: {suite}",
        suite=suite,
        profile=_text(keys["profile"]) if "profile" in keys else main.profile,
        limit=_limit(keys["limit"]) if "limit" in keys else main.limit,
        cells=tuple(sorted(cells, key=lambda cell: order[cell.name])),
    )


def sizes_of(path: Path, *, shown: str) -> list[str]:
    """Return the sizes that a file offers.

    Raises:
        SuiteError: it cannot be read.
    """
    top = table(parse_file(path, shown))
    return [*(table(top["sizes"]) if "sizes" in top else {}), "full"]


# -- parts -----------------------------------------------------------------------------------------------------------


def _text(node: Node | None) -> str | None:
    return None if node is None or node.value is None else scalar(node, str)


def _limit(node: Node | None) -> int | None:
    if node is None or node.value is None:
        return None
    found = scalar(node, int)
    if found < 1:
        raise node.error(describe(node), "at least 1")
    return found


def _list(node: Node | None) -> list[Node]:
    if node is None:
        return []
    if not isinstance(node.value, list):
        raise node.error(describe(node), "a list")
    return list(node.value)


def _settings(node: Node | None) -> dict[str, Any]:
    """A table of dotted keys; its values are plain data."""
    return {} if node is None else {key: child.plain() for key, child in table(node).items()}


def _seeds(node: Node | None) -> tuple[int, ...]:
    if node is None:
        return (0,)
    found = [scalar(child, int) for child in _list(node)]
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise node.error(describe(node), "whole numbers from 0, each once")
    return tuple(found)


def _train(node: Node | None) -> list[TrainStage]:
    stages = []
    for child in _list(node):
        keys = table(child, ("recipe", "set"), required=("recipe",))
        stages.append(TrainStage(recipe=scalar(keys["recipe"], str), settings=_told(_settings(keys.get("set")))))
    return stages


def _told(settings: Mapping[str, Any]) -> tuple[str, ...]:
    import json

    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())


def _cell(
    name: str, own: Mapping[str, Any], own_train: Mapping[str, Any], common: Mapping[str, Any], train: Sequence[TrainStage],
    train_set: Mapping[str, Any], model: str | None,
) -> Cell:  # fmt: skip
    stages = tuple(replace(stage, settings=(*stage.settings, *_told(train_set), *_told(own_train))) for stage in train)
    return Cell(
        name=name, settings={**common, **own}, own={**own, **{f"train:{key}": v for key, v in own_train.items()}}, train=stages, model=model
    )


def _listed(node: Node, common: Mapping[str, Any], train: Sequence[TrainStage], train_set: Mapping[str, Any], model: str | None) -> Cell:
    keys = table(node, _CELL, required=("name",))
    name = scalar(keys["name"], str)
    if not NAME.fullmatch(name):
        raise keys["name"].error(f'"{name}"', "letters, digits, dots, dashes, =, +")
    own_train = _settings(keys.get("train_set"))
    if own_train and not train:
        raise keys["train_set"].error("settings of a training", "none, since the file has no `train`")
    return _cell(name, _settings(keys.get("set")), own_train, common, train, train_set, _text(keys.get("model")) or model)


def _grid(
    node: Node, common: Mapping[str, Any], train: Sequence[TrainStage], train_set: Mapping[str, Any], model: str | None
) -> list[Cell]:
    axes = {key: [child.plain() for child in _list(child)] for key, child in table(node).items()}
    empty = next((key for key, values in axes.items() if not values), None)
    if empty is not None:
        raise node.value[empty].error("an empty list", "at least one value")
    cells = []
    for values in itertools.product(*axes.values()):
        own = dict(zip(axes, values, strict=True))
        # Settings of the suite stand under their key, those of the training under `train:` and their key.
        suite = {key: value for key, value in own.items() if not key.startswith("train:")}
        training = {key.removeprefix("train:"): value for key, value in own.items() if key.startswith("train:")}
        if training and not train:
            raise node.error("settings of a training", "none, since the file has no `train`")
        name = "+".join(f"{key.rpartition('.')[2].rpartition(':')[2]}={_short(value)}" for key, value in own.items())
        cells.append(_cell(name, suite, training, common, train, train_set, model))
    return cells


def _short(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(value)).strip("-") or "none"


def _refuse_twice(cells: Sequence[Cell], root: Node) -> None:
    if not cells:
        raise root.error("no cell", "`cells` or `grid`")
    names = [cell.name for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise root.error(f'the cell "{twice}" twice', "each name once")


def _only(node: Node | None, cells: Sequence[Cell]) -> list[Cell]:
    if node is None:
        return list(cells)
    known = {cell.name: cell for cell in cells}
    chosen = []
    for child in _list(node):
        name = scalar(child, str)
        if name not in known:
            raise child.error(f'"{name}"', f"one of {', '.join(known)}", suggest(name, known))
        chosen.append(known[name])
    return chosen

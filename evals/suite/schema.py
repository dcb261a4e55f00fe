"""What a suite file may say: the fields as frozen dataclasses, and the checks that tell a mistake with file and line.

One suite holds profiles (`official`, `mini`); `Suite` is one profile, resolved. Keys in messages are those of the
profile (`generate.height`), the same that `--set` takes. Keys of plugins are checked in `evals/suite/load.py`.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from evals.registry import ROLES, suggest
from evals.suite.located import Node, describe

DTYPES = ("auto", "float32", "bfloat16", "float16")
ANSWER_BY = ("words", "letter", "option", "option_norm")
VERBS = ("generate", "edit", "understand", "reconstruct", "converse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Identity of the measurement: two profiles with another protocol are never put in one table."""

    name: str
    """Short name."""
    source: str = ""
    """Paper and code revision."""
    notes: tuple[str, ...] = ()
    """What differs from the source, a sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate:
    """How outputs are made."""

    repeats: int = field(default=1, metadata={"min": 1})
    """Outputs a prompt."""
    height: int = field(default=512, metadata={"min": 1})
    """Pixels of the rollout, before `upscale`."""
    width: int = field(default=512, metadata={"min": 1})
    """Pixels of the rollout, before `upscale`."""
    upscale: float = field(default=1.0, metadata={"above": 0.0})
    """Output side over rollout side."""
    temperature: float = field(default=1.0, metadata={"min": 0.0})
    """Of the draws; 0 is greedy."""
    guidance_scale: float = field(default=1.0, metadata={"min": 0.0})
    """Of the autoregressive model; 1 is off."""
    decoder_steps: int = field(default=28, metadata={"min": 1})
    """Denoising steps of the pixel decoder."""
    decoder_guidance_scale: float = field(default=1.5, metadata={"min": 0.0})
    """Of the pixel decoder; 1 is off."""
    max_new_tokens: int = field(default=64, metadata={"min": 1})
    """Longest answer, for `understand`."""
    answer_by: str = field(default="words", metadata={"choices": ANSWER_BY})
    """How a question with options is answered, for `understand`: `words` (the model writes, a rule reads), or by the option with the
    highest log-likelihood: of its `letter`, of its text (`option`), or of its text per UTF-8 byte (`option_norm`)."""
    flip_rate: float = field(default=0.0, metadata={"min": 0.0, "max": 1.0})
    """For ablations: probability with which each bit of the codes is flipped before they become pixels."""
    drop_levels: tuple[int, ...] = ()
    """For ablations: levels of the tokenizer (0 is the last block) that the pixel decoder does not get."""
    dtype: str = field(default="auto", metadata={"choices": DTYPES})
    """Number format of the weights; `auto` is float32 on the CPU and the stored one elsewhere."""
    batch_size: int = field(default=8, metadata={"min": 1})
    """Items a batch; changes speed, never results."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Which number stands at the top."""

    value: str = "correct"
    """The named value of the scores that is averaged."""
    headline: str = "macro_over_tasks"
    """Metric plugin for the number at the top: `macro_over_tasks`, `mean`, or a benchmark's own."""
    values: tuple[str, ...] = ()
    """Further named values of the same scorer (sub-scores, another policy), each reported as its mean."""
    metrics: tuple[str, ...] = ()
    """Further metric plugins over `value`, reported below the tasks."""
    worst: float = 0.0
    """Value of an output that is wholly wrong: one end of the charts' axis."""
    best: float = 1.0
    """Value of an output that is wholly right: the other end (ImgEdit: 5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginUse:
    """A plugin's name and its keyword arguments."""

    name: str
    kwargs: dict[str, Any]
    at: Node = field(repr=False, compare=False)
    """Where it is written, for messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """One profile of a suite file, resolved."""

    name: str
    suite_title: str
    """Of the whole suite: GenEval."""
    title: str
    """Of the profile: GenEval-mini."""
    version: int
    profile: str
    protocol: Protocol
    verb: str
    data: PluginUse
    generate: Generate
    roles: dict[str, PluginUse]
    score: tuple[PluginUse, ...]
    report: Report
    plugins: tuple[Path, ...]
    """Suite-local plugin files, absolute."""
    folder: Path
    """Where the suite file lies; relative paths count from here."""
    at: Node = field(repr=False, compare=False)
    """The profile as written, for messages."""


T = TypeVar("T")
_PROFILE_KEYS = ("title", "protocol", "verb", "data", "generate", "roles", "score", "report")
_SUITE_KEYS = ("suite", "title", "version", "profiles", "plugins")
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def table(node: Node, keys: tuple[str, ...] | None = None, *, required: tuple[str, ...] = ()) -> dict[str, Node]:
    """Return a node's table, refusing unknown and missing keys.

    Raises:
        SuiteError: not a table, an unknown key (with the nearest valid one) or a missing one.
    """
    if not isinstance(node.value, dict):
        raise node.error(describe(node), "a table")
    for name, child in node.value.items():
        if keys is not None and name not in keys:
            raise child.error("an unknown key", f"one of {', '.join(keys)}", suggest(name, keys))
    for name in required:
        if name not in node.value:
            raise node.error(f'no "{name}"', f'the key "{name}"')
    return node.value


def scalar(node: Node, kind: type[T]) -> T:
    """Return a scalar of the wanted type; a whole number is also a number, a yes/no never is.

    Raises:
        SuiteError: another type, or a number that is not finite.
    """
    value = node.value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise node.error(describe(node), _WORDS[kind])
    if isinstance(value, float) and not math.isfinite(value):
        raise node.error(describe(node), "a finite number")
    return value


def texts(node: Node) -> tuple[str, ...]:
    """Return a list of texts.

    Raises:
        SuiteError: something else.
    """
    if not isinstance(node.value, list):
        raise node.error(describe(node), "a list of texts")
    return tuple(scalar(child, str) for child in node.value)


def _several(node: Node, kind: str) -> tuple[Any, ...]:
    if "int" not in kind:
        return texts(node)
    if not isinstance(node.value, list):
        raise node.error(describe(node), "a list of whole numbers")
    return tuple(scalar(child, int) for child in node.value)


_KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


def record(node: Node, cls: type[T]) -> T:
    """Read a flat dataclass from a table by its field types and its `min`, `max` and `above` bounds and `choices`.

    Raises:
        SuiteError: unknown or missing key, wrong type, value out of range.
    """
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    required = tuple(f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING)
    values: dict[str, Any] = {}
    for name, child in table(node, tuple(known), required=required).items():
        spec = known[name]
        values[name] = scalar(child, _KINDS[str(spec.type)]) if spec.type in _KINDS else _several(child, str(spec.type))
        if "min" in spec.metadata and values[name] < spec.metadata["min"]:
            raise child.error(describe(child), f"at least {spec.metadata['min']:g}")
        if "max" in spec.metadata and values[name] > spec.metadata["max"]:
            raise child.error(describe(child), f"at most {spec.metadata['max']:g}")
        if "choices" in spec.metadata and values[name] not in spec.metadata["choices"]:
            known = spec.metadata["choices"]
            raise child.error(f'"{values[name]}"', f"one of {', '.join(known)}", suggest(values[name], known))
        if "above" in spec.metadata and values[name] <= spec.metadata["above"]:
            raise child.error(describe(child), f"more than {spec.metadata['above']:g}")
    return cls(**values)


def plugin(node: Node, key: str) -> PluginUse:
    """Read `{key: NAME, ...kwargs}`.

    Raises:
        SuiteError: not a table, or the name is missing or not text.
    """
    children = table(node, required=(key,))
    kwargs = {name: child.plain() for name, child in children.items() if name != key}
    return PluginUse(name=scalar(children[key], str), kwargs=kwargs, at=node)


def profiles(root: Node) -> dict[str, Node]:
    """Return the profile tables by name, the outer keys checked.

    Raises:
        SuiteError: unknown or missing outer keys, or no profile at all.
    """
    top = table(root, _SUITE_KEYS, required=("suite", "title", "profiles"))
    found = table(top["profiles"])
    if not found:
        raise top["profiles"].error("an empty table", "at least one profile")
    return found


def resolve(root: Node, profile: str, body: Node, *, plugins: tuple[Path, ...], folder: Path) -> Suite:
    """Read one profile (`body`, keys relative to the profile) of a parsed suite file.

    Raises:
        SuiteError: anything that does not fit the schema.
    """
    top = table(root, _SUITE_KEYS, required=("suite", "title", "profiles"))
    parts = table(body, _PROFILE_KEYS, required=("protocol", "data", "score"))
    suite_title = scalar(top["title"], str)
    verb = scalar(parts["verb"], str) if "verb" in parts else "generate"
    if verb not in VERBS:
        raise parts["verb"].error(f'"{verb}"', f"one of {', '.join(VERBS)}", suggest(verb, VERBS))
    score_node = parts["score"]
    if not isinstance(score_node.value, list) or not score_node.value:
        raise score_node.error(describe(score_node), "a list with at least one scorer")
    score = tuple(plugin(child, "scorer") for child in score_node.value)
    for index, use in enumerate(score):
        if use.name in {other.name for other in score[:index]}:
            raise use.at.error(f'the scorer "{use.name}" twice', "each scorer once")
    roles = table(parts["roles"], ROLES) if "roles" in parts else {}
    title = scalar(parts["title"], str) if "title" in parts else suite_title
    if profile == "mini" and "mini" not in title.lower():
        title = f"{title}-mini"
    return Suite(
        name=scalar(top["suite"], str),
        suite_title=suite_title,
        title=title,
        version=scalar(top["version"], int) if "version" in top else 1,
        profile=profile,
        protocol=record(parts["protocol"], Protocol),
        verb=verb,
        data=plugin(parts["data"], "dataset"),
        generate=record(parts["generate"], Generate) if "generate" in parts else Generate(),
        roles={role: plugin(child, "use") for role, child in roles.items()},
        score=score,
        report=record(parts["report"], Report) if "report" in parts else Report(),
        plugins=plugins,
        folder=folder,
        at=body,
    )

"""Find a suite file, choose a profile, apply `--set`, and check every plugin's keys without building it.

A path wins over a name; a name means a suite shipped in the package `suites`. The schema is `evals/suite/schema.py`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evals.errors import PluginError, SuiteError
from evals.registry import Registry, suggest
from evals.suite import schema
from evals.suite.located import Node, assign, describe, parse, rekey, wrap
from evals.suite.schema import PluginUse, Suite

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
GIVEN = frozenset({"roles", "root"})
"""Keyword arguments the framework itself gives: a scorer's roles, and the suite's folder to who asks for `root`."""


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A parsed suite file, profiles not yet read."""

    root: Node
    shown: str
    """Path for messages, as the user gave it."""
    folder: Path
    plugins: tuple[Path, ...]

    @property
    def profiles(self) -> list[str]:
        """Profile names in file order."""
        return list(schema.profiles(self.root))

    def resolve(self, profile: str, settings: Sequence[str] = (), roles: Mapping[str, str] = MappingProxyType({})) -> Suite:
        """Read one profile with other roles (role -> plugin) put in and `a.b=c` settings applied after them.

        Raises:
            SuiteError: no such profile, or anything that does not fit the schema.
        """
        found = schema.profiles(self.root)
        if profile not in found:
            where = self.root.value["profiles"]
            raise where.error(f'"{profile}"', f"one of {', '.join(found)}", suggest(profile, found))
        body = rekey(found[profile], "")
        change_roles(body, roles)
        for setting in settings:
            assign(body, setting)
        return schema.resolve(self.root, profile, body, plugins=self.plugins, folder=self.folder)


def change_roles(body: Node, roles: Mapping[str, str]) -> None:
    """Put other plugins into a profile's roles, in place; the replaced one's keys go with it, as they are of that plugin."""
    for role, name in roles.items():
        if "roles" not in body.value:
            body.value["roles"] = wrap({}, source="--role", key="roles")
        body.value["roles"].value[role] = wrap({"use": name}, source="--role", key=f"roles.{role}")


def from_resolved(resolved: Mapping[str, Any], *, shown: str, folder: Path | None = None) -> SuiteFile:
    """Return the suite of a run as a suite file with its one profile, so that it can be changed and resolved again.

    Args:
        resolved: `resolved_suite` of a manifest.
        shown: name for messages.
        folder: where the suite file lies; needed by a suite with plugin files.

    Raises:
        SuiteError: the suite has plugin files and no folder is given.
    """
    body = {key: value for key, value in resolved.items() if key not in ("suite", "version", "profile", "plugins")}
    outer = {key: resolved[key] for key in ("suite", "title", "version")}
    whole = {**outer, "profiles": {resolved["profile"]: body}}
    root = wrap(whole, source=shown, key="")
    files = resolved.get("plugins") or []
    if files and folder is None:
        raise SuiteError(f"{shown}: plugins: got {files[0]['file']}, which is not in the run; expected --suite FILE. Name the suite file.")
    folder = Path() if folder is None else folder
    return SuiteFile(root=root, shown=shown, folder=folder, plugins=tuple(folder / row["file"] for row in files))


def packaged(folder: str = "") -> dict[str, Path]:
    """Return the files shipped with the package: name -> file.

    Args:
        folder: below `suites/`; empty for the suites themselves.
    """
    try:
        root = Path(str(resources.files("suites")))
    except ModuleNotFoundError:
        return {}
    return {path.stem: path for path in sorted((root / folder).glob("*.yaml"))}


def find(name: str, *, kind: str = "suite", folder: str = "", remedy: str = "(uniar-eval ls suites)") -> tuple[Path, str]:
    """Return a file and the path to show: an existing path, else the name of a packaged one.

    `suites/NAME.yaml` also means the packaged suite where no such path exists, so that the documented command works
    from any directory.

    Args:
        name: as the user gave it.
        kind: what it is, for messages.
        folder: below `suites/`, as for `packaged`.
        remedy: end of the messages.

    Raises:
        SuiteError: neither; with the nearest name.
    """
    path = Path(name)
    if path.is_file():
        return path, name
    if path.is_dir():
        article = "an" if kind[0] in "aeiou" else "a"
        raise SuiteError(f'{kind.upper()}: got the folder "{name}"; expected {article} {kind} file or a name. {remedy}')
    known, stem = packaged(folder), path.name.removesuffix(".yaml")
    shipped = Path("suites") / folder
    if stem in known and path.parent in (Path("."), Path(folder), shipped):
        return known[stem], f"{shipped.as_posix()}/{stem}.yaml"
    raise SuiteError(f'{kind.upper()}: got "{name}"; no such file and no {kind} of that name.{suggest(stem, known)} {remedy}')


def parse_file(path: Path, shown: str) -> Node:
    """Read and parse a YAML file.

    Raises:
        SuiteError: unreadable, or broken YAML.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{shown}: got an unreadable file ({error}); expected UTF-8 YAML.") from error
    return parse(text, filename=shown)


def open_suite(suite: str) -> SuiteFile:
    """Find and parse a suite file; profiles are read by `SuiteFile.resolve`.

    Raises:
        SuiteError: no such suite, unreadable, broken YAML, bad outer keys or plugin paths.
    """
    path, shown = find(suite)
    root = parse_file(path, shown)
    schema.profiles(root)
    name = schema.scalar(root.value["suite"], str)
    if not _NAME.fullmatch(name):
        raise root.value["suite"].error(f'"{name}"', "letters, digits, dots, dashes and underscores")
    folder = path.resolve().parent
    return SuiteFile(root=root, shown=shown, folder=folder, plugins=_plugin_files(root, folder))


def _plugin_files(root: Node, folder: Path) -> tuple[Path, ...]:
    node = root.value.get("plugins")
    if node is None:
        return ()
    paths = []
    for text, child in zip(schema.texts(node), node.value, strict=True):
        path = (folder / text).resolve()
        if not path.is_relative_to(folder):
            raise child.error(f'"{text}"', "a path inside the suite's folder")
        if path.suffix != ".py" or not path.is_file():
            near = suggest(path.name, [p.name for p in folder.glob("*.py")])
            raise child.error(f'"{text}"', "an existing Python file", near)
        paths.append(path)
    return tuple(paths)


def check_plugins(suite: Suite, registry: Registry) -> None:
    """Check names and keyword arguments of every plugin a profile uses; nothing is built.

    Raises:
        SuiteError: an unknown plugin, an unknown or missing argument, a wrong type, a missing file.
    """
    bind(suite.data, "dataset", registry, key="dataset", folder=suite.folder)
    for role, use in suite.roles.items():
        bind(use, role, registry, key="use", folder=suite.folder)
    for use in suite.score:
        bind(use, "scorer", registry, key="scorer", folder=suite.folder)
    # Only a written headline can be wrong: the default is built in.
    if "report" in suite.at.value and "headline" in suite.at.value["report"].value:
        where: Node = suite.at.value["report"].value["headline"]
        names = registry.names("metric")
        if suite.report.headline not in names:
            raise where.error(describe(where), f"one of {', '.join(names)}", suggest(suite.report.headline, names))


def bind(use: PluginUse, kind: str, registry: Registry, *, key: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the factory of a plugin use and the keyword arguments to call it with (paths made absolute).

    Raises:
        SuiteError: see `check_plugins`.
    """
    where: Node = use.at.value[key]
    try:
        factory = registry.load(kind, use.name)
    except PluginError as error:
        raise SuiteError(f"{where.source}: {where.key}: {error}") from error
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return factory, dict(use.kwargs)
    named = {name: p for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    allowed = tuple(name for name in named if name not in GIVEN)
    kwargs: dict[str, Any] = {}
    for name in use.kwargs:
        child: Node = use.at.value[name]
        if name in GIVEN or (name not in named and not takes_any):
            expected = f"one of {', '.join((key, *allowed))}"
            raise child.error(f'a key that the {kind} "{use.name}" does not have', expected, suggest(name, allowed))
        kwargs[name] = _typed(child, named.get(name), folder)
    for name in allowed:
        if named[name].default is inspect.Parameter.empty and name not in kwargs:
            raise use.at.error(f'no "{name}"', f'the key "{name}", which the {kind} "{use.name}" needs')
    if "root" in named:
        kwargs["root"] = folder
    return factory, kwargs


def _typed(node: Node, parameter: inspect.Parameter | None, folder: Path) -> Any:
    """Check simple annotations (int, float, str, bool, Path); anything else is the plugin's own business."""
    name, optional = _annotation(parameter)
    if optional and node.value is None:
        return None
    if name in ("int", "float", "str", "bool"):
        return schema.scalar(node, {"int": int, "float": float, "str": str, "bool": bool}[name])
    if name == "Path":
        path = folder / schema.scalar(node, str)
        if not path.exists():
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise node.error(describe(node), "an existing file", suggest(path.name, siblings))
        return path
    return node.plain()


def _annotation(parameter: inspect.Parameter | None) -> tuple[str, bool]:
    """Return the bare name of an annotation, written as text or not, and whether None is allowed."""
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return "", False
    given = parameter.annotation
    text = given.__name__ if isinstance(given, type) else str(given)
    parts = {part.strip().strip("'\"").rpartition(".")[2] for part in text.split("|")}
    optional = "None" in parts
    names = parts - {"None"}
    return (names.pop() if len(names) == 1 else ""), optional

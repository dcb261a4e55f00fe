"""YAML as a tree whose every value remembers its file, line and dotted key, so that a mistake can be told where it is.

Built from PyYAML's safe composer; duplicate keys are an error, anchors and `<<` work. What the keys mean is in
`evals/suite/schema.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.errors import SuiteError

if TYPE_CHECKING:
    import yaml

MAX_NODES = 50_000
"""Values in one file, aliases counted each time: above it the file is refused (an alias bomb, not a suite)."""
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class Node:
    """A value and where it was written."""

    value: Any
    """Scalar, list of `Node`, or dict of str to `Node`."""
    source: str
    """`file:line`, or `--set`."""
    key: str
    """Dotted key, `score[0].threshold`; empty at the root."""

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def error(self, got: str, expected: str, remedy: str = "") -> SuiteError:
        """Return the error `source: key: got …; expected …. remedy` of this value."""
        tail = f" {remedy.strip()}" if remedy.strip() else ""
        return SuiteError(f"{self.source}: {self.key or 'suite'}: got {got}; expected {expected}.{tail}")

    def child_key(self, name: str | int) -> str:
        """Return the dotted key of a child."""
        if isinstance(name, int):
            return f"{self.key}[{name}]"
        return f"{self.key}.{name}" if self.key else name


def describe(node: Node) -> str:
    """Return a value in words for an error: its kind, and the value itself when it is short."""
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def wrap(value: Any, *, source: str, key: str) -> Node:
    """Return plain data as a tree whose every value has the same source."""
    node = Node(value, source, key)
    if isinstance(value, dict):
        node.value = {str(k): wrap(v, source=source, key=node.child_key(str(k))) for k, v in value.items()}
    elif isinstance(value, list):
        node.value = [wrap(v, source=source, key=node.child_key(i)) for i, v in enumerate(value)]
    return node


def rekey(node: Node, key: str) -> Node:
    """Return the tree with its dotted keys counted from `key`."""
    fresh = Node(node.value, node.source, key)
    if isinstance(node.value, dict):
        fresh.value = {name: rekey(child, fresh.child_key(name)) for name, child in node.value.items()}
    elif isinstance(node.value, list):
        fresh.value = [rekey(child, fresh.child_key(i)) for i, child in enumerate(node.value)]
    return fresh


def parse(text: str, *, filename: str) -> Node:
    """Parse YAML text.

    Raises:
        SuiteError: broken YAML, a duplicate or non-text key, or far too many values; with file and line.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise SuiteError(f"{filename}:1: suite: got an empty file; expected suite, title and profiles.")
        return _Builder(loader, filename).build(root, key="", line=1)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SuiteError(f"{filename}:{line}: suite: got broken YAML ({problem}); expected a valid file.") from error
    finally:
        loader.dispose()


class _Builder:
    def __init__(self, loader: yaml.SafeLoader, filename: str) -> None:
        self._loader = loader
        self._filename = filename
        self._count = 0

    def build(self, node: yaml.Node, *, key: str, line: int) -> Node:
        import yaml

        self._count += 1
        made = Node(None, f"{self._filename}:{line}", key)
        if self._count > MAX_NODES:
            raise made.error(f"more than {MAX_NODES:,} values", "a suite")
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN_TAGS:
            raise made.error(f'the tag "{node.tag}"', "a plain table or list")
        if isinstance(node, yaml.MappingNode):
            made.value = self._mapping(node, made)
        elif isinstance(node, yaml.SequenceNode):
            made.value = [
                self.build(child, key=made.child_key(i), line=child.start_mark.line + 1)
                for i, child in enumerate(node.value)
            ]
        else:
            made.value = self._loader.construct_object(node)
        return made

    def _mapping(self, node: yaml.MappingNode, made: Node) -> dict[str, Node]:
        own = [name.value for name, _ in node.value if name.tag != "tag:yaml.org,2002:merge"]
        for name, _ in node.value:
            if own.count(name.value) > 1 and not isinstance(name.value, list):
                last = [n for n, _ in node.value if n.value == name.value][-1]
                where = Node(None, f"{self._filename}:{last.start_mark.line + 1}", made.child_key(str(name.value)))
                raise where.error("the key twice", "it once")
        self._loader.flatten_mapping(node)
        children: dict[str, Node] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            name = self._loader.construct_object(name_node)
            if not isinstance(name, str):
                where = Node(None, f"{self._filename}:{line}", made.key)
                raise where.error(f"the key {name!r}", "a text key", "Put it in quotes.")
            children[name] = self.build(value_node, key=made.child_key(name), line=line)
        return children


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def assign(root: Node, assignment: str) -> None:
    """Apply one `a.b[0].c=value` to a tree in place; the value is read as YAML.

    Raises:
        SuiteError: no `=`, an unreadable value, or a path through something that is not a table or list.
    """
    import yaml

    path, equals, text = assignment.partition("=")
    steps = [m.group(1) if m.group(1) is not None else int(m.group(2)) for m in _STEP.finditer(path)]
    if not equals or not steps:
        raise SuiteError(f'--set: got "{assignment}"; expected key=value, for example generate.guidance_scale=2.0.')
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SuiteError(f'--set: {path}: got "{text}"; expected a YAML value.') from error
    node = root
    for step in steps[:-1]:
        node = _descend(node, step, path)
    last = steps[-1]
    if isinstance(node.value, list):
        index = _index(node, last, path)
        node.value[index] = wrap(value, source="--set", key=node.child_key(index))
    elif isinstance(node.value, dict):
        node.value[str(last)] = wrap(value, source="--set", key=node.child_key(str(last)))
    else:
        raise SuiteError(f"--set: {path}: got a key inside {describe(node)}; expected {node.key} to be a table.")


def _descend(node: Node, step: str | int, path: str) -> Node:
    if isinstance(node.value, list):
        child: Node = node.value[_index(node, step, path)]
        return child
    if not isinstance(node.value, dict):
        raise SuiteError(f"--set: {path}: got a key inside {describe(node)}; expected {node.key} to be a table.")
    name = str(step)
    if name not in node.value:
        # Made on the way: a wrong name is then told by the schema, with the nearest valid one.
        node.value[name] = Node({}, "--set", node.child_key(name))
    found: Node = node.value[name]
    return found


def _index(node: Node, step: str | int, path: str) -> int:
    size = len(node.value)
    if not str(step).isdigit() or int(step) >= size:
        raise SuiteError(f'--set: {path}: got "{step}"; expected a number from 0 to {size - 1} in {node.key}.')
    return int(step)

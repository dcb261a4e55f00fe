"""WISE's question to its judge, read out of the benchmark's own evaluation script, which is neither copied nor run.

Source: PKU-YuanGroup/WISE eb51174, `WISE_legacy/gpt_eval.py` and `vllm_eval.py`. The script is parsed as a syntax tree; the
chat messages that it builds are taken from there, with the fields of a prompt's row as slots.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import DataError


@dataclass(frozen=True, slots=True)
class Slot:
    """A field of the row that goes into the text."""

    field: str


@dataclass(frozen=True, slots=True)
class Rubric:
    """What the judge is told."""

    parts: tuple[str | Slot, ...]
    """The question, in order."""
    system: str | None = None
    images_first: bool = False
    """Whether the picture precedes the text."""

    def question(self, row: Mapping[str, Any]) -> str:
        """Return the question about one row.

        Raises:
            DataError: a field that the rubric names is not in the row.
        """
        told = []
        for part in self.parts:
            if isinstance(part, Slot):
                if part.field not in row:
                    raise DataError(
                        f"wise: metadata: got keys {sorted(row)}; expected {part.field}, which the rubric names. Use a wise dataset."
                    )
                told.append(str(row[part.field]))
            else:
                told.append(part)
        return "".join(told)


def read_rubric(path: Path) -> Rubric:
    """Read the rubric of an official script.

    Args:
        path: a Python file with a function that builds chat messages: dicts with `role` and `content`, the content being
            text or a list of parts with `text` and one part for the image.

    Raises:
        DataError: not Python, no such messages, or a text that is not made of words and fields alone.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: got no readable Python ({error}); expected WISE's evaluation script. Fetch it again.") from error
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        reader = _Reader(path, {**_assigned(tree), **_assigned(function)})
        messages = [found for node in ast.walk(function) if isinstance(node, ast.Dict) if (found := reader.message(node))]
        user = next((one for role, *one in messages if role == "user"), None)
        if user is None:
            continue
        parts, images_first = user
        if not any(isinstance(part, Slot) for part in parts):
            continue
        system = next((one for role, one, _ in messages if role == "system"), ())
        if any(isinstance(part, Slot) for part in system):
            raise DataError(f"{path}: got fields of a row in the system message; expected them in the user's. Fetch WISE eb51174.")
        return Rubric(tuple(parts), "".join(map(str, system)) or None, images_first)
    raise DataError(f"{path}: got no function that asks about a row; expected WISE's evaluation script. Fetch WISE eb51174.")


def _assigned(scope: ast.AST) -> dict[str, ast.expr]:
    found = {}
    for node in scope.body if isinstance(scope, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) else ():
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


class _Reader:
    def __init__(self, path: Path, names: Mapping[str, ast.expr]) -> None:
        self.path = path
        self.names = names

    def message(self, node: ast.Dict) -> tuple[str, list[str | Slot], bool] | None:
        """Return role, text and whether the image comes first, of a dict that is a message."""
        fields = _fields(node)
        role = fields.get("role")
        if not isinstance(role, ast.Constant) or "content" not in fields:
            return None
        content = fields["content"]
        content = self.names.get(content.id, content) if isinstance(content, ast.Name) else content
        if not isinstance(content, ast.List):
            return str(role.value), list(self._text(content)), False
        told: list[str | Slot] = []
        images_first = False
        for part in content.elts:
            own = _fields(part) if isinstance(part, ast.Dict) else {}
            if "text" in own:
                told += self._text(own["text"])
            elif "image" in str(getattr(own.get("type"), "value", "")) or "image_url" in own:
                images_first = not told
        return str(role.value), told, images_first

    def _text(self, node: ast.expr, depth: int = 0) -> Iterator[str | Slot]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            for part in node.values:
                yield from self._text(part.value if isinstance(part, ast.FormattedValue) else part, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._text(node.left, depth)
            yield from self._text(node.right, depth)
        elif isinstance(node, ast.Name) and node.id in self.names and depth < 8:
            yield from self._text(self.names[node.id], depth + 1)
        elif (field := _row_field(node)) is not None:
            yield Slot(field)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "strip" and not node.args:
            yield from self._text(node.func.value, depth)
        else:
            raise DataError(
                f"{self.path}:{node.lineno}: got {ast.unparse(node)[:60]} in the rubric; expected words and fields of the prompt's "
                "row. Fetch WISE eb51174."
            )


def _fields(node: ast.Dict) -> dict[str, ast.expr]:
    return {str(key.value): value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)}


def _row_field(node: ast.expr) -> str | None:
    # row["Prompt"] or row.get("Prompt", "").
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else None
    return None

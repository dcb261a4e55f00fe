"""The law: who imports whom, what is never called, and what `--help` does not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("uniar", "evals", "reports")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
DOORS = re.compile(
    r"evals/(models/uniar|datasets/reconstruction|perception/tokenizer_features|(datasets|perception|judges)/shapes(_\w+)?)\.py"
)
"""The only files of evals that may know uniar, and only inside functions: the model, its tokenizer, and the mini world."""
HEAVY = ("torch", "transformers", "diffusers", "numpy", "PIL", "jinja2", "pandas", "yaml")
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "torch.load"}
RESTRICTED_LOAD = "evals/perception/mask2former_convert.py"
"""The only file that may read a pickle, and only through torch's reader of plain tensors (`weights_only=True`)."""
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool, int]]:
    """Yield (module, is inside a function, line) of every absolute import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "") if node.level == 0 else ".", inside, node.lineno
        else:
            yield from _imports(node, inside=inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _import_errors(name: str, source: str) -> list[str]:
    package, wrong = name.split("/")[0], []
    for module, inside, line in _imports(ast.parse(source)):
        top = module.split(".")[0]
        at = f"{name}:{line}: {module}"
        if module == ".":
            wrong.append(f"{name}:{line}: relative import")
        if top in FORBIDDEN_MODULES:
            wrong.append(f"{at}: unsafe")
        if package == "uniar" and top in ("evals", "reports"):
            wrong.append(f"{at}: uniar knows nothing of evals and reports")
        if package == "evals" and top == "reports":
            wrong.append(f"{at}: pages attach as plugins")
        if package == "evals" and top == "uniar" and (not DOORS.fullmatch(name) or not inside):
            wrong.append(f"{at}: only inside functions of the doors")
        if package == "reports" and top == "uniar":
            wrong.append(f"{at}: pages read run folders, not models")
    return wrong


def _call_errors(name: str, source: str) -> list[str]:
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"{name}:{node.lineno}: bare except")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        plain = any(k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value is True for k in node.keywords)
        if called in FORBIDDEN_CALLS and not (called == "torch.load" and name == RESTRICTED_LOAD and plain):
            wrong.append(f"{name}:{node.lineno}: {called}")
        if called == "print" or (called == "click.echo" and "/cli/" not in name and name != "reports/commands.py"):
            wrong.append(f"{name}:{node.lineno}: {called} outside the command line")
        if any(k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False) for k in node.keywords):
            wrong.append(f"{name}:{node.lineno}: shell")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_file_keeps_the_law(path: Path) -> None:
    name, source = _name(path), path.read_text("utf-8")
    assert _import_errors(name, source) + _call_errors(name, source) == []
    assert ast.get_docstring(ast.parse(source)), f"{name}: no opening sentence"


@pytest.mark.parametrize(
    "name, source",
    [
        ("uniar/x.py", "def f():\n    import evals.types"),
        ("uniar/x.py", "from reports.views import y"),
        ("evals/x.py", "def f():\n    from reports import views"),
        ("evals/x.py", "def f():\n    import uniar"),
        ("evals/models/uniar.py", "import uniar"),
        ("reports/x.py", "import uniar.model"),
        ("uniar/x.py", "import pickle"),
        ("uniar/x.py", "from . import y"),
    ],
)
def test_wrong_imports_are_found(name: str, source: str) -> None:
    assert len(_import_errors(name, source)) == 1


@pytest.mark.parametrize(
    "source",
    ["print(1)", "eval('1')", "exec('1')", "torch.load(p)", "yaml.load(t)", "run(c, shell=True)", "try:\n    f()\nexcept:\n    g()"],
)
def test_wrong_calls_are_found(source: str) -> None:
    assert len(_call_errors("uniar/x.py", source)) == 1


def test_only_one_file_may_read_plain_tensors_of_a_pickle() -> None:
    safe = "torch.load(p, weights_only=True)"
    assert _call_errors(RESTRICTED_LOAD, safe) == []
    assert len(_call_errors(RESTRICTED_LOAD, "torch.load(p, weights_only=False)")) == len(_call_errors(RESTRICTED_LOAD, "torch.load(p)")) == 1
    assert len(_call_errors("evals/perception/other.py", safe)) == 1


def test_lazy_import_of_a_door_is_allowed() -> None:
    assert _import_errors("evals/models/uniar.py", "def f():\n    import uniar") == []


@pytest.mark.parametrize("entry", ["from evals.cli.main import main", "from uniar.cli.main import main"])
def test_help_loads_nothing_heavy(entry: str) -> None:
    code = f"import sys; sys.argv = ['x', '--help']; {entry}; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Usage:" in done.stdout
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = "import sys, uniar, evals, reports, suites; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert [name for name in HEAVY if f"'{name}'" in done.stdout] == []

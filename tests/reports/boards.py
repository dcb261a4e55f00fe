"""Runs of models of known skill, made by the real harness, and what their pages' tests share."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

DATA = Path(__file__).parent.parent / "data" / "harness"
HOSTILE = "<script>window.pwned=1</script>\u202e=cmd|' /C calc'!A0 \U0001f469\u200d\U0001f680 " + "w" * 10_000
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def suite(folder: Path) -> str:
    """Copy the suite into a folder and return its file."""
    for name in ("ranked.yaml", "ranked_plugins.py"):
        shutil.copy(DATA / name, folder / name)
    return str(folder / "ranked.yaml")


def run(folder: Path, name: str, skill: float, *, out: str | None = None, fail: str = "", **options) -> Path:
    """Measure a painter; return its run folder."""
    from evals.run import run_suite

    target = folder / "runs" / (out or name)
    # A name of 10,000 characters does not fit into a command line.
    (folder / "name.txt").write_text(name, "utf-8")
    model = f"painter:skill={skill}" + (f";name={name}" if len(name) < 40 else "") + (f";fail={fail}" if fail else "")
    run_suite(suite(folder), model=model, out=target, report=False, **options)
    return target


def axe() -> str:
    """The accessibility checker's script, as the test dependency bundles it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None, "pip install -e '.[test]'"
    return (Path(spec.origin).parent / "axe.min.js").read_text("utf-8")


def faults(view) -> list[str]:
    """Serious and critical accessibility faults of an open page: rule, and the first element that breaks it."""
    view.evaluate(axe())
    found = view.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]

"""The page about judges prints every setting with the default that the code has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from evals.judges.local import LocalJudge
from evals.judges.openai import OpenAIJudge

PAGE = (Path(__file__).parents[3] / "docs" / "benchmarks" / "judges.md").read_text("utf-8")


@pytest.mark.parametrize(("name", "judge"), [("openai", OpenAIJudge), ("local", LocalJudge)])
def test_settings_and_defaults(name: str, judge: type) -> None:
    section = PAGE.split(f"## Settings of `{name}`")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE))
    shown = {None: "none", True: "true", inspect.Parameter.empty: "needed"}
    real = {key: p.default for key, p in inspect.signature(judge).parameters.items()}
    assert told == {
        key: shown[value] if value is None or value is True or isinstance(value, type) else str(value) for key, value in real.items()
    }

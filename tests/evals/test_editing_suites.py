"""The editing suites from outside: the mini profile with its controls, the official one on official files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from evals.datasets.shapes_edit import TYPES
from evals.parity import replay
from evals.scorers import edit_rubrics, gedit_rules, imgedit_rules
from uniar.data.shapes import render, sample_edit

GOLDEN = Path(__file__).parents[1] / "data/golden/scorers"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("name", ["imgedit_scores", "gedit_viescore_parse", "gedit_statistics"])
def test_recordings_of_the_official_code(name: str) -> None:
    found = replay(GOLDEN / f"{name}.json")
    assert found.mismatches == () and found.total >= 100


def pictures(folder: Path, *, of: str) -> str:
    """Source or target pictures of the mini profile's edits (2 a type), in the layout of a run."""
    for place, kind in enumerate(TYPES["imgedit"]):
        for number in range(2):
            made = sample_edit(np.random.default_rng([0, place, number]), split="held_out" if number < 1 else "train", kind=kind)
            file = folder / "images" / f"{2 * place + number:05d}" / "00000.png"
            file.parent.mkdir(parents=True)
            Image.fromarray(render(getattr(made, of))).save(file)
    return f"images:{folder}"


def run(cli: Callable[..., Result], *arguments: str) -> dict[str, Any]:
    result = cli("run", *arguments, "--out", "run", "--no-report")
    assert result.exit_code == 0, result.output
    return json.loads(Path("run/results.json").read_text())


@pytest.mark.parametrize(("suite", "low", "high"), [("imgedit", 1.0, 5.0), ("gedit", 0.0, 10.0)])
@pytest.mark.parametrize("of", ["source", "target"])
def test_mini_scores_targets_high_and_untouched_sources_low(
    cli: Callable[..., Result], tmp_path: Path, suite: str, low: float, high: float, of: str
) -> None:
    settings = ("--set", "data.samples_per_type=2", "--set", "data.unseen_per_type=1")
    found = run(cli, suite, "--profile", "mini", "--model", pictures(tmp_path / "made", of=of), *settings)
    assert found["status"] == "complete" and found["headline"]["value"] == {"source": low, "target": high}[of]
    assert {m["value"] for m in found["metrics"] if m["kind"] == "task"} == {found["headline"]["value"]}
    assert {"strict"} <= {m["name"] for m in found["metrics"]}


def test_the_official_profile_on_official_files(cli: Callable[..., Result], tmp_path: Path) -> None:
    # The published layout, filled with the mini world: the same profile, dataset, scorer and sums as with the real files.
    folder = tmp_path / "data/imgedit/Benchmark"
    (folder / "Basic").mkdir(parents=True)
    (folder / "singleturn/animal").mkdir(parents=True)
    items = {}
    for place, (kind, edit_type) in enumerate(TYPES["imgedit"].items()):
        made = sample_edit(np.random.default_rng([0, place]), kind=kind)
        key = str(22 + 3 * place)
        items[key] = {"id": f"animal/{key}.png", "prompt": made.instruction, "edit_type": edit_type}
        Image.fromarray(render(made.source)).save(folder / f"singleturn/animal/{key}.png")
        target = tmp_path / f"made/images/{key}/00000.png"
        target.parent.mkdir(parents=True)
        Image.fromarray(render(made.target if place else made.source)).save(target)
    (folder / "Basic/basic_edit.json").write_text(json.dumps(items))
    (folder / "Basic/prompts.json").write_text(json.dumps({name: edit_rubrics.MINI_IMGEDIT[name] for name in imgedit_rules.TYPES}))
    found = run(cli, "imgedit", "--profile", "official", "--model", f"images:{tmp_path / 'made'}", "--role", "judge=shapes")
    # The first of five edits was not made.
    assert found["headline"]["name"] == "mean of items" and found["headline"]["value"] == pytest.approx((4 * 5 + 1) / 5)
    assert {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task"} == {
        "add": 1.0, "remove": 5.0, "replace": 5.0, "adjust": 5.0, "background": 5.0,
    }  # fmt: skip


JUDGE = """
from evals.protocols import Reply

class Said:
    name, concurrency = "said", 1
    def identity(self):
        return {"judge": "said"}
    def ask(self, question, images=(), **settings):
        return Reply(text='{"score": [9, 9]}' if len(images) == 1 else '{"score": [4, 8]}')

PLUGINS = {"judge": {"said": Said}}
"""


@pytest.mark.parametrize("types", [11, 10])
def test_gedits_official_average_needs_all_eleven_types(cli: Callable[..., Result], tmp_path: Path, types: int) -> None:
    folder = tmp_path / "data/gedit"
    (folder / "GEdit-Bench/viescore").mkdir(parents=True)
    names = ("_context_no_delimit", "_prompts_0shot_two_image_edit_rule", "_prompts_0shot_tie_rule_SC", "_prompts_0shot_rule_PQ")
    (folder / "GEdit-Bench/viescore/vie_prompts.py").write_text("".join(f'{name} = """<instruction>"""\n' for name in names))
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    rows = []
    for number, name in enumerate(gedit_rules.TYPES[:types]):
        row = {"task_type": name, "key": f"k{number}", "instruction": "x", "instruction_language": "cn", "input_image": "a.png"}
        rows.append({**row, "Intersection_exist": number != 3})
        file = tmp_path / f"made/fullset/{name}/cn/k{number}.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(file)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = Path(__file__).parents[2] / "suites/gedit.yaml"
    (tmp_path / "gedit.yaml").write_text(suite.read_text().replace("profiles:", "plugins: [./judge.py]\nprofiles:", 1))
    (tmp_path / "judge.py").write_text(JUDGE)
    arguments = ("gedit.yaml", "--profile", "official-cn", "--model", f"images:{tmp_path / 'made'}", "--role", "judge=said")
    result = cli("run", *arguments, "--out", "run", "--no-report")
    assert result.exit_code == (0 if types == 11 else 3), result.output
    found = json.loads(Path("run/results.json").read_text())
    assert found["headline"]["value"] == (6.0 if types == 11 else None)
    assert bool(found["reasons"]) == (types == 10)
    parts = {(m["name"], m["task"]): m["value"] for m in found["metrics"]}
    # One type has no row in the intersection, so its average is absent in both.
    assert parts["overall (intersection)", "*"] is None and parts["overall (intersection)", "material_alter"] == 6.0
    assert parts["overall (intersection)", gedit_rules.TYPES[3]] is None


@pytest.mark.parametrize(
    ("suite", "profile", "told"),
    [
        ("imgedit", "official", "imgedit: got no basic_edit.json in"),
        ("imgedit", "uge", "imgedit: got no UGE_edit.json in"),
        ("gedit", "official-en", "gedit: got no data/*.parquet and no metadata.jsonl in"),
        ("gedit", "official-cn", "gedit: got no data/*.parquet and no metadata.jsonl in"),
    ],
)
def test_without_the_benchmarks_files_the_sentence_tells_how_to_get_them(
    cli: Callable[..., Result], tmp_path: Path, suite: str, profile: str, told: str
) -> None:
    model = pictures(tmp_path / "made", of="source")
    result = cli("run", suite, "--profile", profile, "--model", model)
    assert result.exit_code == 2 and told in result.output and f"uniar-eval data fetch {suite}" in result.output

"""WISE's files, read in both versions and refused when they are not right; the mini suite end to end over drawn pictures."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals import plan
from evals.datasets.shapes_wise import CATEGORIES, ShapesWiseDataset
from evals.datasets.wise import PARTS, WiseDataset
from evals.errors import DataError


def row(number: int, **changes: Any) -> dict[str, Any]:
    more = {"Prompt": f"prompt {number}", "Explanation": "why", "Category": "x", "Subcategory": "y", "prompt_id": number}
    return {**more, **changes}


def write(folder: Path, *groups: list[dict[str, Any]], pattern: str = "WISE_legacy/data/{}.json") -> Path:
    for part, group in zip(PARTS, groups, strict=True):
        path = folder / pattern.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(group))
    return folder


def whole(*, first: int = 400, second: int = 700) -> list[list[dict[str, Any]]]:
    """All thousand rows; the order in a file does not matter."""
    return [[row(i) for i in range(b, a, -1)] for a, b in ((0, first), (first, second), (second, 1000))]


@pytest.mark.parametrize("pattern", ["WISE_legacy/data/{}.json", "data/{}.json", "{}.json"])
def test_legacy_rows(tmp_path: Path, pattern: str) -> None:
    samples = list(WiseDataset(folder=str(write(tmp_path, *whole(), pattern=pattern))).load())
    assert [s.sample_id for s in samples] == [f"{i:04d}" for i in range(1, 1001)]
    tasks = {task: sum(s.task == task for s in samples) for task in dict.fromkeys(s.task for s in samples)}
    assert tasks == {"CULTURE": 400, "TIME": 167, "SPACE": 133, "BIOLOGY": 100, "PHYSICS": 100, "CHEMISTRY": 100}
    assert samples[400].prompt == "prompt 401" and samples[400].metadata["category_weight"] == 0.167


def test_verified_rows_have_other_categories(tmp_path: Path) -> None:
    folder = write(tmp_path, *whole(second=640), pattern="data_verified/{}_verified.json")
    samples = list(WiseDataset(version="verified", folder=str(folder)).load())
    tasks = {task: sum(s.task == task for s in samples) for task in dict.fromkeys(s.task for s in samples)}
    assert tasks == {"CULTURE": 400, "TIME": 120, "SPACE": 120, "BIOLOGY": 120, "PHYSICS": 120, "CHEMISTRY": 120}
    assert {s.metadata["category_weight"] for s in samples} == {0.4, 0.12}


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (([row(1), row(1)], [], []), "got 1 twice"),
        (([row(0)], [], []), "got 0; expected 1 to 1000"),
        (([{"Prompt": "x", "prompt_id": 1}], [], []), "row 0: got no Explanation"),
        (([row("1")], [], []), "another kind of prompt_id"),
        (({"a": 1}, [], []), "got a dict; expected a list"),
        (([row(1)], [row(3)], []), "got 2 prompts in the three files, without 2; expected 1 to 1000"),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, groups: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(WiseDataset(folder=str(write(tmp_path, *groups))).load())


def test_missing_files_and_versions_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uniar-eval data fetch wise"):
        list(WiseDataset(folder=str(tmp_path)).load())
    with pytest.raises(DataError, match="got latest; expected legacy or verified"):
        WiseDataset(version="latest")
    write(tmp_path, [], [], [])
    (tmp_path / "WISE_legacy/data/natural_science.json").write_text("{")
    with pytest.raises(DataError, match="got no readable JSON"):
        list(WiseDataset(folder=str(tmp_path)).load())


def test_mini_asks_for_habits_that_training_showed() -> None:
    from uniar.data.shapes import USUAL_COLOR, held_out_pairs

    samples = list(ShapesWiseDataset().load())
    assert [s.task for s in samples] == [name for name in CATEGORIES for _ in range(8)]
    assert sum({s.task: s.metadata["category_weight"] for s in samples}.values()) == pytest.approx(1)
    assert len({s.sample_id for s in samples}) == 40
    for sample in samples:
        assert not any(f"{color} {shape}" in sample.prompt for shape, color in held_out_pairs())
    color = next(s for s in samples if s.prompt == "a photo of a star")
    assert color.metadata["Explanation"] == f"one {USUAL_COLOR['star']} star"
    with pytest.raises(DataError, match="got 9; expected 1 to 8"):
        ShapesWiseDataset(prompts_per_category=9)


def draw(expected: str, *, wrong: bool = False) -> Image.Image:
    """The picture that an explanation asks for, or one whose shapes are right and habit is not."""
    from uniar.data.shapes import USUAL_COLOR, Object, Scene, render

    found = re.findall(r"one (?:large )?(?:(\w+) )?(circle|square|triangle|diamond|star|cross|heart|ring)", expected)
    colors = [color or USUAL_COLOR[shape] for color, shape in found]
    shapes = [shape for _, shape in found]
    slots = [(1, 1)] if len(found) == 1 else [(1, 0), (1, 2)]
    size, ground = "large", "gray"
    if wrong:
        colors = ["white" if color != "white" else "black" for color in colors]
        slots = [(0, 0)] if len(found) == 1 else slots[::-1]
        size, ground = "small", "dusk"
    objects = [Object(shape, color, size, *slot) for shape, color, slot in zip(shapes, colors, slots, strict=True)]
    return Image.fromarray(render(Scene(tuple(objects), ground)))


@pytest.mark.parametrize(("wrong", "wiscore"), [(False, 1.0), (True, 0.65)])
def test_mini_suite_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], wrong: bool, wiscore: float
) -> None:
    monkeypatch.chdir(tmp_path)
    for sample in ShapesWiseDataset().load():
        folder = tmp_path / "made/images" / sample.sample_id
        folder.mkdir(parents=True)
        for repeat in range(2):
            draw(sample.metadata["Explanation"], wrong=wrong).save(folder / f"{repeat:05d}.png")
    result = cli("run", "wise", "--profile", "mini", "--model", "images:made", "--out", "run")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run/results.json").read_text())
    # Right shapes without the habit: consistency 1, the other marks full, (0.7 + 0.4 + 0.2) / 2.
    assert found["headline"]["value"] == pytest.approx(wiscore)
    assert {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task"} == pytest.approx(dict.fromkeys(CATEGORIES, wiscore))


LEGACY_SCRIPT = """
def build_evaluation_messages(prompt_data, image):
    return [
        {"role": "system", "content": [{"type": "text", "text": "Be strict."}]},
        {"role": "user", "content": [
            {"type": "text", "text": f"Mark {prompt_data['Prompt']}, that is {prompt_data['Explanation']}."},
            {"type": "image_url", "image_url": {"url": image}},
        ]},
    ]
"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An endpoint that marks the prompt of one category well, of another not at all, and cannot make up its mind on a third."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(asked)
            text = json.dumps(asked["messages"])
            if "prompt 568" in text or "prompt 521" in text:
                told = "I am not sure."
            elif "prompt 1," in text:
                told = "Consistency: 2\nRealism: 2\nAesthetic Quality: 2\nScore: 1"
            else:
                told = "Consistency: 0\nRealism: 1\nAesthetic Quality: 0\nScore: 0"
            reply = {"model": "told-1", "choices": [{"message": {"role": "assistant", "content": told}, "finish_reason": "stop"}]}
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/v1", seen
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("profile", "second", "pattern", "script", "values"),
    [
        ("official-legacy", 700, "WISE_legacy/data/{}.json", "WISE_legacy/gpt_eval.py", {"CULTURE": 1.0, "TIME": 0.1, "SPACE": None}),
        ("official-verified", 640, "data_verified/{}_verified.json", "vllm_eval.py", {"CULTURE": 1.0, "TIME": 0.0, "SPACE": None}),
    ],
)
def test_official_profiles_end_to_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., Result],
    server: tuple[str, list[dict[str, Any]]],
    profile: str,
    second: int,
    pattern: str,
    script: str,
    values: dict[str, float | None],
) -> None:
    address, seen = server
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    root = write(tmp_path / "data/wise", *whole(second=second), pattern=pattern)
    (root / script).write_text(LEGACY_SCRIPT)
    firsts = [sample.sample_id for sample in plan.take(WiseDataset(version=profile.rpartition("-")[2]).load(), 1, dataset="wise")]
    for sample_id in firsts:
        path = tmp_path / "made/images" / sample_id / "00000.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(path)
    settings = ("--set", f"roles.judge.base_url={address}", "--set", "roles.judge.canary=false")
    result = cli("run", "wise", "--profile", profile, "--limit", "1", "--model", "images:made", "--out", "run", *settings)
    # One category has no score: the run is incomplete and the overall is absent, not lower.
    assert result.exit_code == 3, result.output
    found = json.loads((tmp_path / "run/results.json").read_text())
    assert found["headline"]["value"] is None and found["outcomes"] == {"ok": 5, "judge_unparsed": 1}
    tasks = {m["task"]: m["value"] for m in found["metrics"] if m["kind"] == "task" and m["name"] == "wiscore"}
    assert {name: tasks[name] for name in values} == pytest.approx(values)
    # Five prompts once, the unreadable one three times, each with the official words.
    assert len(seen) == 8 and seen[0]["messages"][0]["role"] == "system"
    assert any("Mark prompt 1, that is why." in json.dumps(asked) for asked in seen)
    assert {asked["temperature"] for asked in seen} == {0.0}

"""DPG-Bench's files, read and refused; the mini suite over drawn pictures; the official profile end to end against a server."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals.datasets.dpg import DpgDataset
from evals.datasets.shapes_dpg import TASKS, ShapesDpgDataset, questions_of
from evals.errors import DataError
from evals.judges.shapes_yes_no import answer

COLUMNS = (
    "item_id",
    "text",
    "keywords",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)
Rows = list[dict[str, str]]


def row(item: str, number: int, dependency: str = "0", **changes: str) -> dict[str, str]:
    made = {
        "item_id": item,
        "text": f"prompt, of {item}",
        "keywords": "",
        "proposition_id": str(number),
        "dependency": dependency,
        "category_broad": "entity",
        "category_detailed": "whole",
        "tuple": f"entity - whole ({item})",
        "question_natural_language": f"Is there q{number} of {item}?",
    }
    return {**made, **changes}


def write(folder: Path, rows: Rows, *, prompts: list[str] | None = None) -> Path:
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    with (folder / "dpg_bench.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for item in prompts if prompts is not None else dict.fromkeys(r["item_id"] for r in rows):
        (folder / "prompts" / f"{item}.txt").write_text(f"the prompt of {item}\n", encoding="utf-8")
    return folder


# Every dependency is a single number and every id is one: a reader that guesses types would make numbers of both.
GOOD = [row("12", 1), row("12", 2), row("7", 1), row("7", 2, "1")]


def load(folder: Path, **settings: Any) -> list[Any]:
    return list(DpgDataset(folder=str(folder), **{"items": None, **settings}).load())


def test_rows_become_items(tmp_path: Path) -> None:
    first, second = load(write(tmp_path, GOOD))
    assert (first.sample_id, first.task, first.prompt) == ("12", "dpg", "the prompt of 12")
    assert first.metadata["item_id"] == "12"
    # The official loader drops the first row; it stands behind what it keeps.
    assert [(q["id"], q["official"]) for q in first.metadata["questions"]] == [(2, True), (1, False)]
    assert [(q["id"], q["dependency"], q["official"]) for q in second.metadata["questions"]] == [(1, [0], True), (2, [1], True)]
    assert second.metadata["questions"][1]["text"] == "Is there q2 of 7?"
    assert second.metadata["questions"][1]["category"] == "entity - whole"


def test_a_mark_at_the_start_of_the_file_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD) / "dpg_bench.csv"
    path.write_text(path.read_text("utf-8"), encoding="utf-8-sig")
    assert [s.sample_id for s in load(tmp_path)] == ["12", "7"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([*GOOD, row("8", 1, "x")], 'row 4 (line 6): proposition_id and dependency: got "1" and "x"'),
        ([*GOOD, row("8", 1, "")], 'got "1" and ""'),
        ([row("8", 1, proposition_id="one")], 'row 0 (line 2): proposition_id and dependency: got "one"'),
        ([*GOOD, row("8", 1, question_natural_language=" ")], "row 4 (line 6): question_natural_language: got nothing"),
        ([row("../8", 1)], 'item_id: got "../8"'),
        ([row("", 1)], "item_id: got nothing"),
    ],
)
def test_a_broken_row_is_told_by_its_number(tmp_path: Path, rows: Rows, told: str) -> None:
    with pytest.raises(DataError) as caught:
        load(write(tmp_path, rows, prompts=["12", "7", "8"]))
    assert told in str(caught.value)


def test_a_cut_or_foreign_table_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD) / "dpg_bench.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"entity - whole")])
    with pytest.raises(DataError, match=r"row 3 \(line 5\): got another number of cells than columns"):
        load(tmp_path)
    path.write_bytes(whole + b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"got no readable table .*expected CSV in UTF-8"):
        load(tmp_path)
    path.write_bytes(whole.replace(b"dependency", b"dependencies", 1))
    with pytest.raises(DataError, match="got no column dependency"):
        load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="got no column item_id"):
        load(tmp_path)


def test_prompts_and_table_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got 2 items; expected 1065"):
        load(write(tmp_path / "a", GOOD), items=1065)
    with pytest.raises(DataError, match="got no row of 99; expected questions about every file"):
        load(write(tmp_path / "b", GOOD, prompts=["12", "7", "99"]))
    with pytest.raises(DataError, match=r"7\.txt: got no readable text"):
        load(write(tmp_path / "c", GOOD, prompts=["12"]))
    (write(tmp_path / "d", GOOD) / "prompts/7.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"7\.txt: got an empty file"):
        load(tmp_path / "d")
    with pytest.raises(DataError, match="uniar-eval data fetch dpg"):
        load(tmp_path / "nowhere")


def test_mini_captions_are_answered_yes_by_their_own_scenes() -> None:
    from uniar.data.shapes import render

    dataset = ShapesDpgDataset(seed=3, prompts_per_task=8)
    found = 0
    for task, caption, scene in dataset._drawn():
        image = Image.fromarray(render(scene))
        rows = questions_of(scene, task, caption)
        assert {answer(r["question_natural_language"], [image]) for r in rows} == {"yes"}, caption
        numbers = [int(r["proposition_id"]) for r in rows]
        assert numbers == list(range(1, len(rows) + 1))
        assert all(int(p) < n for r, n in zip(rows, numbers, strict=True) for p in r["dependency"].split(","))
        found += len(rows)
    assert found > 100


def test_mini_asks_what_training_showed_and_drops_one_leaf() -> None:
    from uniar.data.shapes import held_out_pairs

    samples = list(ShapesDpgDataset().load())
    assert [s.task for s in samples] == [task for task in TASKS for _ in range(6)]
    assert len({s.prompt for s in samples}) == 24 == len({s.sample_id for s in samples})
    assert not any(f"{color} {shape}" in s.prompt for s in samples for shape, color in held_out_pairs())
    dropped = [(s.sample_id, q) for s in samples for q in s.metadata["questions"] if not q["official"]]
    assert [(item, q["id"], q["category"]) for item, q in dropped] == [("shapes0000", 1, "global - background")]
    assert not any(1 in q["dependency"] for q in samples[0].metadata["questions"])
    categories = {q["category"] for s in samples for q in s.metadata["questions"]}
    assert {c.split(" ")[0] for c in categories} == {"global", "entity", "attribute", "relation", "other"}
    assert [s.to_json() for s in ShapesDpgDataset().load()] == [s.to_json() for s in samples]
    assert [s.prompt for s in ShapesDpgDataset(seed=1).load()] != [s.prompt for s in samples]
    assert len(list(ShapesDpgDataset(prompts_per_task=24).load())) == 96
    with pytest.raises(DataError, match="got 25; expected 1 to 24"):
        ShapesDpgDataset(prompts_per_task=25)


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def number(found: dict[str, Any], name: str, task: str = "*") -> Any:
    (metric,) = [m for m in found["metrics"] if (m["name"], m["task"]) == (name, task)]
    return metric["value"]


@pytest.mark.parametrize("wrong", [False, True])
def test_mini_suite_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], wrong: bool) -> None:
    from uniar.data.shapes import Scene, render

    monkeypatch.chdir(tmp_path)
    for index, (_, _, scene) in enumerate(ShapesDpgDataset(prompts_per_task=2)._drawn()):
        folder = tmp_path / f"made/images/shapes{index:04d}"
        folder.mkdir(parents=True)
        for repeat in range(4):
            # Wrong: the last picture of each caption is empty, but for the background.
            shown = Scene((), scene.background) if wrong and repeat == 3 else scene
            Image.fromarray(render(shown)).save(folder / f"{repeat:05d}.png")
    settings = ("--set", "data.prompts_per_task=2", "--no-report")
    result = cli("run", "dpg", "--profile", "mini", "--model", "images:made", "--out", "run", *settings)
    assert result.exit_code == 0, result.output
    found = results(tmp_path / "run")
    if not wrong:
        assert (found["headline"]["value"], number(found, "strict"), number(found, "L1", "entity")) == (100.0, 100.0, 100.0)
        return
    # Nothing but a background is right in one picture of four, and that is asked of the two long captions alone.
    long = [s for s in ShapesDpgDataset(prompts_per_task=2).load() if s.task == "long"]
    kept = [sum(q["official"] for q in s.metadata["questions"]) for s in long]
    share = [1 / kept[0] if all(q["official"] for q in long[0].metadata["questions"]) else 0.0, 1 / kept[1]]
    assert found["headline"]["value"] == pytest.approx(100 * (8 * 0.75 + sum(share) / 4) / 8)
    assert number(found, "strict") > found["headline"]["value"]
    # Categories look at the last picture alone, officially.
    assert (number(found, "L1", "entity"), number(found, "L1 (strict)", "entity")) == (0.0, 75.0)
    assert number(found, "L1", "global") == 100.0


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """An endpoint that answers `yes`, or as the table says of a part of the question; what it was asked is kept."""
    words: dict[str, str] = {"blue star": "no"}
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = next(p["text"] for p in asked["messages"][-1]["content"] if p["type"] == "text")
            seen.append(text)
            told = next((word for part, word in words.items() if part in text), "yes")
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
        yield f"http://127.0.0.1:{httpd.server_port}/v1", words, seen
        httpd.shutdown()
        thread.join()


def test_official_profile_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result], server: tuple[str, dict[str, str], list[str]]
) -> None:
    address, words, seen = server
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    rows = [row("7", 1), row("7", 2), row("8", 1), row("8", 2, "1"), row("9", 2, "1"), row("9", 1)]
    write(tmp_path / "data/dpg", rows)
    # Official grids: four squares of the benchmark's layout.
    for index, item in enumerate(("7", "8", "9")):
        grid = Image.new("RGB", (16, 16), "white")
        for cell in range(4):
            grid.paste(Image.new("RGB", (8, 8), (60 * cell, 80 * index, 50)), (8 * (cell % 2), 8 * (cell // 2)))
        (tmp_path / "made").mkdir(exist_ok=True)
        grid.save(tmp_path / f"made/{item}.png")
    common = ("run", "dpg", "--profile", "official", "--model", "images:dpg:made", "--no-report", "--set", "data.items=null")
    judge = ("--role", "judge=openai", "--set", "roles.judge.model=told")
    reached = ("--set", f"roles.judge.base_url={address}", "--set", "roles.judge.canary=true")
    words["red picture"] = words["colour"] = "red"

    # A judge that writes Yes stops before a score is written.
    words["red circle"] = "Yes"
    stopped = cli(*common, *judge, *reached, "--out", "stopped")
    assert stopped.exit_code == 3 and "expected yes, and just so" in stopped.stderr
    assert not (tmp_path / "stopped/scores").exists()
    del words["red circle"]

    # The first row is dropped; of 9 the parent is no and stands behind its child; of 8 the second is no.
    words |= {"q1 of 9": "no", "q2 of 8": "No"}
    seen.clear()
    done = cli(*common, *judge, *reached, "--out", "run")
    assert done.exit_code == 0, done.output
    found = results(tmp_path / "run")
    form = "Answer with one word in lower case: yes or no."
    assert seen[1:3] == [f"Is there a red circle? {form}", f"Is there a blue star? {form}"]
    assert len(seen) == 3 + 6 * 4 and f"Is there q1 of 7? {form}" in seen
    assert found["headline"]["value"] == pytest.approx(100 * (1 + 0.5 + 0.0) / 3) and found["headline"]["n"] == 12
    assert found["title"] == "DPG-Bench (VLM judge)" and found["outcomes"] == {"ok": 12}
    # Un-zeroed answers of the last picture without the first row: 7 yes; 8 yes, no; 9 yes, no.
    assert number(found, "L2", "entity - whole") == pytest.approx(100 * 3 / 5)
    assert number(found, "L2 (strict)", "entity - whole") == pytest.approx(100 * 4 / 6)

    # A replay asks nobody and gives the same scores to the last bit.
    before, asked = (tmp_path / "run/scores/dpg.jsonl").read_bytes(), len(seen)
    (tmp_path / "run/scores/dpg.jsonl").unlink()
    again = cli(*common, *judge, *reached, "--role", "judge=replay", "--out", "run")
    assert again.exit_code == 0 and len(seen) == asked, again.output
    assert (tmp_path / "run/scores/dpg.jsonl").read_bytes() == before


def test_absent_data_are_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]
) -> None:
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path))
    result = cli("run", "dpg", "--profile", "official", "--out", str(tmp_path / "run"))
    assert result.exit_code == 2 and "uniar-eval data fetch dpg" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

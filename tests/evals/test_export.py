"""Official image layouts, both ways: what `uniar-eval export` writes is what `--model images:DIR` reads back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evals.errors import DataError
from evals.layouts import LAYOUTS
from evals.types import Sample

HARNESS = Path(__file__).parent.parent / "data/harness"
SUITE = """
suite: rows
title: Rows
version: 1
plugins: [./layout_plugins.py]
profiles:
  official:
    title: Rows
    protocol: {{name: rows, source: made up, notes: []}}
    verb: {verb}
    data: {{dataset: rows, rows: rows.jsonl}}
    generate: {{repeats: {repeats}, height: 24, width: 24}}
    score: [{{scorer: any}}]
    report: {{value: correct, headline: mean}}
"""


def row(sample_id: str, task: str = "t", words: str = "p", **metadata) -> dict:
    return {"sample_id": sample_id, "task": task, "prompt": words, "metadata": metadata}


GENEVAL = {"tag": "colors", "include": [{"class": "cup", "count": 1, "color": "red"}], "prompt": "a photo of a red cup"}
CASES = {
    "geneval": (
        4,
        [row("00000", "colors", **GENEVAL), row("00012", "colors", **{**GENEVAL, "prompt": "long", "short_prompt": "a photo of a cup"})],
        ["00000/metadata.jsonl", "00000/samples/0000.png", "00012/samples/0003.png"],
    ),
    "longtext": (
        2,
        [row("0007", prompt_id=7, text=["A"]), row("0160", prompt_id=160, text=["B"])],
        ["7_0.png", "7_1.png", "160_0.png", "160_1.png"],
    ),
    "imgedit": (1, [row("a", key="22", edit_type="add"), row("b", key="1172", edit_type="style")], ["22.png", "1172.png"]),
    "wise": (1, [row("0001", prompt_id=1, Explanation="e"), row("1000", prompt_id=1000, Explanation="e")], ["1.png", "1000.png"]),
    "compbench": (
        3,
        [row("color-000", "color", "a red book."), row("color-001", "color", "a blue bench."), row("shape-000", "shape", "a red book.")],
        ["color/a red book._000000.png", "color/a blue bench._000005.png", "shape/a red book._000002.png"],
    ),
    "dpg": (4, [row("d1", item_id="COCOval2014000000000074"), row("d2", item_id="12")], ["COCOval2014000000000074.png", "12.png"]),
    "oneig": (
        4,
        [
            row("000", "text", category="Text_Rendering", id="000"),
            row("h-003", "human", category="Portrait", id="003"),
            row("00007", "sign", category="sign", prompt_id=7, text=["A"], text_content="['A']"),
        ],
        ["text/paint/000.webp", "human/paint/003.webp", "text/paint/007.webp"],
    ),
    "gedit": (
        1,
        [
            {**row("g1", "ps_human", task_type="ps_human", instruction_language="cn", key="ab12"), "image": "in.jpg"},
            {**row("g2", "text_change", task_type="text_change", instruction_language="en", key="cd"), "image": "in.jpg"},
        ],
        ["fullset/ps_human/cn/ab12.png", "fullset/ps_human/cn/ab12_SRCIMG.png", "fullset/text_change/en/cd.png"],
    ),
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch):
    """Write a suite of given rows; the working directory is its folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(HARNESS / "layout_plugins.py", tmp_path)
    Image.new("RGB", (24, 24), (10, 200, 90)).save(tmp_path / "in.jpg")

    def write(rows: list[dict], repeats: int, verb: str = "generate") -> str:
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path("rows.yaml").write_text(SUITE.format(repeats=repeats, verb=verb))
        return "rows.yaml"

    return write


def pixels(folder: str, sample_id: str, repeat: int) -> np.ndarray:
    with Image.open(f"{folder}/images/{sample_id}/{repeat:05d}.png") as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("told", ["named", "detected"])
@pytest.mark.parametrize("layout", CASES)
def test_round_trip(suite, cli, layout, told) -> None:
    repeats, rows, names = CASES[layout]
    file = suite(rows, repeats, "edit" if layout == "gedit" else "generate")
    assert cli("run", file, "--model", "paint", "--out", "first", "--no-report").exit_code == 0
    done = cli("export", "first", "away", "--layout", layout, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pictures"] == len(rows) * repeats and json.loads(done.stdout)["absent"] == []
    assert [name for name in names if not Path("away", name).is_file()] == []
    source = f"images:{layout}:away" if told == "named" else "images:away"
    back = cli("run", file, "--model", source, "--out", "again", "--no-report")
    assert back.exit_code == 0, back.output
    for item in rows:
        for repeat in range(repeats):
            there, here = (pixels(folder, item["sample_id"], repeat) for folder in ("first", "again"))
            assert there.shape == here.shape
            # WebP at quality 95 moves a smooth picture by little; PNG by nothing.
            assert np.abs(there - here).mean() <= (3.0 if layout == "oneig" else 0.0)
    assert len({pixels("again", item["sample_id"], 0).tobytes() for item in rows}) == len(rows)


def test_layouts_are_the_official_ones(suite, cli) -> None:
    repeats, rows, _ = CASES["geneval"]
    cli("run", suite(rows, repeats), "--model", "paint", "--out", "run", "--no-report")
    cli("export", "run", "away", "--layout", "geneval")
    assert sorted(p.name for p in Path("away").iterdir()) == ["00000", "00012"]
    text = Path("away/00000/metadata.jsonl").read_text()
    assert json.loads(text) == GENEVAL and list(json.loads(text)) == ["tag", "include", "prompt"]
    # The rewritten prompt is what the model was told; the scorer's row has the short one.
    assert json.loads(Path("away/00012/metadata.jsonl").read_text())["prompt"] == "a photo of a cup"
    assert Path("away/00000/samples/0002.png").read_bytes() == Path("run/images/00000/00002.png").read_bytes()


def test_missing_pictures_are_black_cells_and_come_back_missing(suite, cli) -> None:
    repeats, rows, _ = CASES["oneig"]
    file = suite(rows, repeats)
    assert cli("run", file, "--model", "paint:skip=h-003/2", "--out", "run", "--no-report").exit_code == 3
    done = cli("export", "run", "away", "--layout", "oneig", "--name", "mine")
    assert done.exit_code == 3 and "h-003/00002" in done.stderr
    with Image.open("away/human/mine/003.webp") as sheet:
        assert sheet.size == (48, 48) and sheet.crop((0, 24, 24, 48)).getextrema() == ((0, 0),) * 3
    cli("run", file, "--model", "images:away", "--out", "again", "--no-report")
    found = json.loads(Path("again/results.json").read_text())
    assert found["outcomes"] == {"ok": 11, "missing": 1}
    assert "Cell 2 of human/mine/003.webp is black" in Path("again/journal.jsonl").read_text()


def test_runs_that_do_not_fit_are_refused(suite, cli) -> None:
    file = suite(CASES["dpg"][1], 5)
    cli("run", file, "--model", "paint", "--out", "five", "--no-report")
    cli("run", file, "--model", "paint:wide=1", "--set", "generate.repeats=2", "--out", "wide", "--no-report")
    for arguments, words in (
        (("five", "a", "--layout", "dpg"), "got 5 outputs a prompt; expected at most 4"),
        (("wide", "b", "--layout", "dpg"), "expected squares"),
        (("five", "c", "--layout", "wise"), "metadata: got no prompt_id"),
        (("five", "d", "--layout", "genevl"), 'Did you mean "geneval"?'),
        (("five", "e", "--layout", "dpg", "--repeat", "1"), "Leave it out"),
        (("five", "five", "--layout", "dpg"), "expected a new or empty folder"),
        (("nowhere", "f", "--layout", "dpg"), "expected a run folder"),
    ):
        done = cli("export", *arguments)
        assert done.exit_code in (2, 3) and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not any(Path(name).exists() for name in "abcdef")


def test_one_picture_layouts_take_one_repeat_and_say_so(suite, cli) -> None:
    file = suite(CASES["wise"][1], 2)
    cli("run", file, "--model", "paint", "--out", "run", "--no-report")
    done = cli("export", "run", "away", "--layout", "wise", "--repeat", "1")
    assert done.exit_code == 0 and "output 1 of 2 was written" in done.stderr
    assert Path("away/1.png").read_bytes() == Path("run/images/0001/00001.png").read_bytes()
    assert "this run has 2 outputs" in cli("export", "run", "b", "--layout", "wise", "--repeat", "2").stderr


def test_a_changed_picture_is_not_exported(suite, cli) -> None:
    cli("run", suite(CASES["wise"][1], 1), "--model", "paint", "--out", "run", "--no-report")
    Path("run/images/0001/00000.png").write_bytes(b"other")
    done = cli("export", "run", "away", "--layout", "wise")
    assert done.exit_code == 3 and "missing or changed picture" in done.stderr and not Path("away").exists()


def find(layout: str, root: Path, metadata: dict, repeat: int = 0, prompt: str = "p", **options):
    sample = Sample(sample_id="x", task="t", prompt=prompt, metadata=metadata)
    return LAYOUTS[layout](root, **options).find(sample, repeat)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_longtext_names_as_the_official_reader_takes_them(tmp_path: Path) -> None:
    touch(tmp_path, "0000_1.png", "0000_2.png", "7_1.png", "notes.txt", "x_1.png")
    # Counted from 1, as nothing has the number 0.
    assert find("longtext", tmp_path, {"prompt_id": 0}, 1).path.name == "0000_2.png"
    assert find("longtext", tmp_path, {"prompt_id": 7}, 0).path.name == "7_1.png"
    assert find("longtext", tmp_path, {"prompt_id": 7}, 1).path is None
    touch(tmp_path, "8.png", "0007_1.png")
    assert find("longtext", tmp_path, {"prompt_id": 8}).path.name == "8.png"
    assert "Two files for one picture" in find("longtext", tmp_path, {"prompt_id": 7}, 1).problem


def test_compbench_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "samples/a cup_000010.png", "samples/a cup_000012.png", "samples/a cup and_000013.png")
    assert find("compbench", tmp_path, {}, 0, "a cup").path.name == "a cup_000010.png"
    assert find("compbench", tmp_path, {}, 1, "a cup").path is None
    assert find("compbench", tmp_path, {}, 2, "a cup").path.name == "a cup_000012.png"
    # The official tools end a prompt at its first underscore.
    assert find("compbench", tmp_path, {}, 0, "a cup and_more").path.name == "a cup and_000013.png"
    touch(tmp_path, "samples/far_000001.png", "samples/far_000301.png")
    assert find("compbench", tmp_path, {}, 1, "far").path.name == "far_000301.png"


def test_oneig_takes_exactly_one_file_of_one_model(tmp_path: Path) -> None:
    row = {"category": "Portrait", "id": "001"}
    touch(tmp_path, "human/a/001.webp", "human/a/0012.webp", "human/b/001_x.webp")
    with pytest.raises(DataError, match="images:oneig,model=a:"):
        find("oneig", tmp_path, row)
    assert "Two files for one prompt" in find("oneig", tmp_path, row, model="a").problem
    assert find("oneig", tmp_path, row, 3, model="b").cell == 3
    assert find("oneig", tmp_path, row, 4, model="b").path is None
    assert find("oneig", tmp_path, row, model="b", grid="1x1").cell is None


def test_names_stay_inside_the_folder(tmp_path: Path) -> None:
    for key in ("../x", "a/b", "..", "", "\0", "a" * 300):
        with pytest.raises(DataError, match="part of a file name"):
            find("imgedit", tmp_path, {"key": key, "edit_type": "add"})


def test_unknown_layouts_options_and_rows(suite, cli) -> None:
    file = suite([row("q")], 1)
    touch(Path(), "flat/a.png")
    for source, words in (
        ("images:onieg:flat", 'no layout "onieg"; expected one of run, geneval'),
        ("images:wise,model=x:flat", "got the option model"),
        ("images:dpg,grid=9:flat", "expected COLUMNSxROWS"),
        ("images:wise:none", "no such folder"),
    ):
        done = cli("run", file, "--model", source, "--out", "out", "--no-report")
        assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    cli("run", file, "--model", "images:flat", "--out", "out", "--no-report")
    assert "Write images:LAYOUT:DIR with LAYOUT one of run, geneval" in Path("out/journal.jsonl").read_text()


def test_pictures_of_another_prompt_are_not_judged(suite, cli) -> None:
    repeats, rows, _ = CASES["geneval"]
    cli("run", suite(rows, repeats), "--model", "paint", "--out", "run", "--no-report")
    cli("export", "run", "away", "--layout", "geneval")
    other = [row("00000", "colors", "a photo of a dog", **{**GENEVAL, "prompt": "a photo of a dog"})]
    assert cli("run", suite(other, repeats), "--model", "images:away", "--out", "again", "--no-report").exit_code == 3
    assert 'these pictures are of the prompt \\"a photo of a red cup\\"' in Path("again/journal.jsonl").read_text()
    assert json.loads(Path("again/results.json").read_text())["outcomes"] == {"generation_error": 4}


def test_compbench_numbers_by_the_prompts_place(suite, cli) -> None:
    rows = [row("color-00003", "color", "a red book.", prompt_index=3), row("color-00007", "color", "a cup.", prompt_index=7)]
    cli("run", suite(rows, 10), "--model", "paint", "--out", "run", "--no-report")
    cli("export", "run", "away", "--layout", "compbench")
    names = sorted(p.name for p in Path("away").iterdir())
    assert names[0] == "a cup._000070.png" and names[-1] == "a red book._000039.png" and len(names) == 20

"""The page of a grid: its reading, its drawings, and the page in a real headless Chromium with the network cut."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import random
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evals.ablation import schema, table
from evals.ablation.finding import packaged
from evals.errors import StoreError
from reports import ablation
from reports.ablation import AblationPage
from reports.ablation_charts import Row, Spot, front, place, plane, rows_chart, signed
from reports.ablation_curves import Scale, panel

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")


def effect(delta, *, half=0.05, p=0.2, seeds=3, wider=False, **changes):
    tasks = [
        {"task": task, "first": 0.5, "second": 0.5 + delta * at, "delta": delta * at, "low": delta * at - half, "high": delta * at + half}
        for at, task in enumerate(TASKS)
    ]
    return {
        "delta": delta, "low": delta - half, "high": delta + half, "p": p / 2, "p_holm": p, "counts": {"won": 1200, "lost": 34, "tied": 5},
        "pairs": 1239, "prompts": 413, "by_seed": [delta + 0.01 * (seed - 1) for seed in range(seeds)], "wider_by_seeds": wider,
        "tasks": tasks,
    } | changes  # fmt: skip


def cell(name, value, *, seeds=3, own=None, control=False, effect=None, cost=None, status="done", reason=""):
    values = [None if value is None else value + 0.01 * (seed - 1) for seed in range(seeds)]
    unknown = dict.fromkeys(("parameters", "train_s", "tokens", "write_ms", "show_ms", "image_ms"))
    return {
        "name": name,
        "own": own if own is not None else {"generate.temperature": 1.0, "generate.guidance_scale": 2.5},
        "control": control,
        "status": status,
        "seeds": [
            {"seed": seed, "status": status, "reason": reason, "value": values[seed], "run": f"cells/{name}/{seed}",
             "difference": None if effect is None else effect["by_seed"][seed],
             "made": {"written": 12, "codes found": 3} if status == "done" else {}}
            for seed in range(seeds)
        ],
        "level": {
            "value": value, "low": None if value is None else value - 0.06, "high": None if value is None else value + 0.04,
            "outputs": 0 if value is None else 1240, "planned": 0 if value is None else 1300, "seeds": [v for v in values if v is not None],
        },
        "effect": effect,
        "cost": unknown | (cost or {}),
    }  # fmt: skip


def curve(seed, end, *, stage="mini-language", number=0, **more):
    """A training of 300 steps; `bit` falls from 0.5 to `end`."""
    steps = [75 * at for at in range(1, 5)]
    falls = [0.5 - (0.5 - end) * at / 4 for at in range(1, 5)]
    values = {"loss": [10 * value for value in falls], "bit": falls, "bit_accuracy": [1 - value for value in falls], **more}
    measures = [{"name": name, "values": own, "last": own[-1]} for name, own in values.items()]
    return {"stage": stage, "number": number, "seed": seed, "steps": steps, "measures": measures}


def grid(cells, **changes):
    return {
        "schema_version": 1, "ablation": "bits", "version": 2, "size": "mini", "suite": "geneval", "profile": "mini", "limit": None,
        "seeds": [seed["seed"] for seed in cells[0]["seeds"]], "control": next(c["name"] for c in cells if c["control"]), "cells": cells,
        "title": "Bits of a token", "question": "How many bits does a token need, and what do fewer cost?", "notes": [], "trained": False,
        "suite_title": "GenEval-mini (bundled checkpoint uniar-mini)", "protocol": "geneval-mini-shapes", "mini": True, "value": "correct",
        "headline": "macro_over_tasks", "scale": [0.0, 1.0], "complete": all(c["status"] == "done" for c in cells),
        "command": ["uniar-eval", "ablate", "bits", "--out", "a folder"], "created": "2026-01-02T03:04:05Z", "seconds": 13.756,
    } | changes  # fmt: skip


def trained_grid():
    """Ten cells with three seeds, as a trained grid has them."""
    rng = random.Random(0)
    cost = {"parameters": 7_902_528.0, "train_s": 812.4, "image_ms": 151.0, "tokens": 16.0}
    cells = [cell("bits16", 0.71, control=True, own={}, cost=cost)]
    for at in range(7):
        delta = rng.choice((-1, 1)) * 0.04 * at
        cells.append(
            cell(
                f"bits{at + 2}-levels{at % 3}", 0.71 + delta, own={"bits": at + 2, "levels": [0, at]},
                effect=effect(delta, p=0.0004 if at > 4 else 0.3, wider=at % 2 == 0),
                cost={"parameters": 7_902_528.0, "train_s": 800.0 + 90 * at, "image_ms": 120.0 + rng.random() * 40, "write_ms": 70.5,
                      "show_ms": 80.25, "tokens": 16.0},
            )
        )  # fmt: skip
    for at, own in enumerate(cells):
        own["curves"] = [curve(seed, 0.1 + 0.01 * at + 0.001 * seed) for seed in range(3)]
    cells.append(cell("diverged", None, status="failed", reason="pretrain: the training ended with 1: loss is not finite"))
    cells.append(cell("late", None, status="pending", reason="The budget is spent. The same command goes on."))
    return grid(cells, trained=True, notes=["Each training has 2,000 steps."])


def hostile_grid():
    """Names, reasons and settings that want out of the page."""
    bad = helpers.HOSTILE
    cells = [cell("x" * 10_000, 0.5, control=True, own={bad: bad}, cost={"image_ms": 100.0})]
    for at in range(8):
        name = f"</title><img src=x onerror=window.pwned=1>{at}\u202e{'w' * 300 if at % 2 else ' שלום'}"
        own, cost = {"a.b": [bad], "c.b": 1}, {"image_ms": 100.0 + at}
        cells.append(cell(name, 0.5 + 0.05 * at, own=own, effect=effect(0.05 * at, p=0.01), cost=cost))
    for found in cells[1:]:
        found["effect"]["tasks"][2]["task"] = bad
        found["seeds"][0]["made"] = {bad: bad}
        found["curves"] = [curve(0, 0.1, stage=bad, **{bad: [1.0, -2.0, 3.0, 1e12]}), curve(1, 0.2, stage=bad, number=1)]
    cells.append(cell(bad, None, status="failed", reason=bad))
    cells.append(cell("pending\ud800" + bad, None, status="pending", reason=bad))
    words = ("title", "question", "suite_title", "protocol", "value", "headline", "size", "ablation", "created", "suite", "profile")
    return grid(cells, notes=[bad, bad], command=["uniar-eval", bad], **dict.fromkeys(words, bad))


def write(folder, found):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ablation.json").write_bytes(json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return AblationPage().write(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The pages of a trained grid, a hostile one, one with a control alone, and one without anything."""
    where = tmp_path_factory.mktemp("ablation")
    alone = [cell("only", 0.5, seeds=1, control=True)]
    nothing = [cell("only", None, control=True, status="pending"), cell("other", None, status="failed", reason="no such checkpoint")]
    empty = {"suite_title": None, "protocol": None, "value": None, "headline": None, "scale": None, "profile": None, "mini": False}
    grids = {"trained": trained_grid(), "hostile": hostile_grid(), "alone": grid(alone), "nothing": grid(nothing, **empty)}
    return {name: (write(where / name, found), found) for name, found in grids.items()}


@pytest.fixture
def visit(browse):
    """Open a page offline, and nothing may be on record after the test (`browse`)."""
    return lambda path, width=1280, scheme="light": browse(path, width=width, scheme=scheme)


def cells_of(view, table, row):
    """Texts of a row of a table, name first, with plain minus signs."""
    found = view.locator(f"{table} tbody.ranked-body tr").nth(row)
    return [text.replace("\u2212", "-") for text in found.locator("th, td").all_inner_texts()]


# ---- the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
@pytest.mark.parametrize("name", ["trained", "hostile", "alone", "nothing"])
def test_the_page_fits_and_has_no_serious_fault(visit, written, name, width, scheme):
    view = visit(written[name][0], width, scheme)
    assert view.evaluate(helpers.OVERFLOW) <= 0
    if width < 2560:
        assert helpers.faults(view) == []
    for details in view.locator("details").all():
        details.locator("summary").click()
    assert view.evaluate(helpers.OVERFLOW) <= 0
    assert helpers.faults(view) == []


def test_hostile_text_is_text(visit, written):
    view = visit(written["hostile"][0])
    view.wait_for_timeout(100)
    assert view.evaluate("window.pwned") is None and view.locator("img").count() == 0
    told = view.locator("main").inner_text()
    assert "<script>window.pwned=1</script>⟦U+202E⟧" in told and "(10,000 characters in all)" in told and "⟦U+D800⟧" in told
    assert not set(told) & {"\u202e", "\ud800"}


def test_the_numbers_are_those_of_the_table(visit, written):
    page, found = written["trained"]
    view = visit(page)
    for at, own in enumerate(found["cells"]):
        texts = cells_of(view, ".effects", at)
        level, effect = own["level"], own["effect"]
        assert own["name"] in texts[0]
        if level["value"] is None:
            assert set(texts[1:]) == {""} or all("not told" in text for text in texts[1:])
            continue
        assert texts[1].split("\n") == [f"{level['value']:.3f}", f"{level['low']:.3f} to {level['high']:.3f}"]
        assert texts[7] == "1,240/1,300"
        if effect is None:
            assert texts[2] == "control"
            continue
        assert texts[2].split("\n") == [f"{effect['delta']:+.3f}", f"{effect['low']:+.3f} to {effect['high']:+.3f}"]
        assert texts[3:7] == ["<0.001" if effect["p_holm"] < 0.001 else f"{effect['p_holm']:.3f}", "1,200", "34", "5"]
        tasks = cells_of(view, ".heat", at - 1)
        assert [text.split("\n")[0] for text in tasks[1:]] == [f"{task['delta'] + 0.0:+.3f}" for task in effect["tasks"]]
        seeds = cells_of(view, "#seeds", at)
        assert [text.split("\n") for text in seeds[1:4]] == [
            [f"{seed['value']:.3f}", f"{delta:+.3f}"] for seed, delta in zip(own["seeds"], effect["by_seed"], strict=True)
        ]
        assert seeds[4:] == ["0.020", "seeds" if effect["wider_by_seeds"] else "prompts"]
        cost = own["cost"]
        assert cells_of(view, "#cost", at)[1:] == ["7,902,528", f"{cost['train_s']:,.1f}", "16", "70.5", "80.2", f"{cost['image_ms']:.1f}"]
    hero = view.locator(".hero").inner_text()
    assert "8 of 10" in hero and "2 of 7" in hero and "3 seeds, 0, 1, 2" in hero and found["question"] in hero
    assert "uniar-eval ablate bits --out 'a folder'" in view.locator("#provenance").inner_text()
    view.locator("#provenance summary").first.click()
    assert "cells/bits16/2" in view.locator(".run-paths").inner_text()
    view.locator("#cost summary").click()
    assert view.locator("#cost details tbody tr").first.locator("td").all_inner_texts() == ["0", "12", "3"]


def test_the_curves_are_those_of_the_table(visit, written):
    page, found = written["trained"]
    view = visit(page)
    section = view.locator("#training")
    assert section.locator("summary").all_inner_texts() == ["Bit loss, nats a bit", "Bit accuracy", "Loss that was trained on"]
    first = section.locator("details").first
    trained = [own for own in found["cells"] if own.get("curves")]
    assert first.locator("svg.curves").count() == len(trained) == 8
    # Every cell but the control has the control's mean behind it.
    assert [first.locator("svg.curves").nth(at).locator("polyline.reference").count() for at in range(8)] == [0] + [1] * 7
    assert first.locator("svg.curves").nth(3).locator("polyline.seed").count() == 3
    name, tag, end = (first.locator(".panel-name").nth(0).locator(part).inner_text() for part in ("bdi", ".tag", ".panel-end"))
    assert (name, tag, end) == ("bits16", "control", "0.101")
    assert first.locator("desc").nth(1).text_content() == (
        "bits2-levels0: bit 0.111 at the end; seed 0 0.11, seed 1 0.111, seed 2 0.112."
    )
    assert "logarithmic" in first.inner_text()
    assert cells_of(view, "#training", 1)[1:] == ["300", "0.111\n0.11 to 0.112", "0.889\n0.888 to 0.89", "1.11\n1.1 to 1.12"]
    section.locator("summary").nth(1).click()
    assert "logarithmic" not in section.locator("details").nth(1).inner_text()
    # What ended worst, first.
    section.locator("th", has_text="bit accuracy").locator("button").click()
    assert section.locator("tbody th .model").first.inner_text() == "bits8-levels0"


def test_stages_of_a_training_stand_apart_and_a_measure_of_some_cells_is_told_in_their_rows(tmp_path, visit):
    cells = [cell("a", 0.5, control=True), cell("b", 0.7, effect=effect(0.2))]
    cells[0]["curves"] = [curve(0, 0.1, stage="tokenizer"), curve(0, 0.2, number=1)]
    cells[1]["curves"] = [curve(0, 0.1, stage="tokenizer", entropy=[4.0, 3.0, 2.0, 1.0]), curve(0, 0.3, number=1)]
    view = visit(write(tmp_path, grid(cells, trained=True)))
    assert view.locator("#training h3").all_inner_texts() == ["1. tokenizer", "2. mini-language"]
    assert view.locator("#training details").count() == 6
    table = view.locator("#training table").first
    assert [text.split("\n")[0].strip() for text in table.locator("thead th").all_inner_texts()][2:] == ["bit", "entropy", "bit accuracy", "loss"]
    assert [row.locator("td").nth(2).inner_text() for row in table.locator("tbody tr").all()] == ["not told", "1"]


def test_a_table_of_before_curves_were_kept_has_no_such_section(tmp_path):
    found = grid([cell("a", 0.5, control=True)], trained=True)
    assert "curves" not in found["cells"][0] and 'id="training"' not in write(tmp_path, found).read_text("utf-8")


def test_failed_and_pending_cells_are_told(visit, written):
    view = visit(written["trained"][0])
    banners = view.locator(".banner").all_inner_texts()
    assert "Not comparable with published numbers" in banners[0] and "Each training has 2,000 steps." in banners[2]
    assert "1 cell failed, 1 pending" in banners[1] and "The same command goes on" in banners[1]
    failed, pending = (view.locator("#missing table").nth(at).inner_text() for at in (0, 1))
    assert "diverged" in failed and "loss is not finite" in failed and "late" not in failed
    assert "late" in pending and "The budget is spent" in pending and "diverged" not in pending
    assert "failed" in view.locator(".effects tr", has_text="diverged").inner_text()


def test_a_cell_with_some_of_its_seeds_says_how_many(tmp_path, visit):
    found = trained_grid()
    found["cells"][3]["status"] = "failed"
    found["cells"][3]["seeds"][1] |= {"status": "failed", "reason": "out of memory", "value": None, "difference": None}
    del found["cells"][3]["effect"]["by_seed"][1]
    view = visit(write(tmp_path, found))
    assert "failed, 2 of 3 seeds done" in cells_of(view, ".effects", 3)[0]
    seeds = cells_of(view, "#seeds", 3)
    assert seeds[2] == "failed" and [text.split("\n")[1] for text in (seeds[1], seeds[3])] == ["+0.070", "+0.090"]


def test_a_finished_grid_of_real_prompts_has_no_banner(tmp_path):
    found = grid([cell("a", 0.5, control=True), cell("b", 0.6, effect=effect(0.1))], mini=False, profile="official")
    page = write(tmp_path, found).read_text("utf-8")
    assert 'class="banner' not in page and 'id="missing"' not in page and 'id="trade"' not in page


def test_a_grid_without_any_effect_still_renders(visit, written):
    view = visit(written["alone"][0])
    assert "no difference to show" in view.locator("#effects").inner_text()
    assert view.locator("svg.rows").count() == 0 and view.locator("#tasks").count() == 0
    # Nothing is finished: the table does not know what is measured, and the page claims nothing of it.
    view = visit(written["nothing"][0])
    assert view.locator(".banner").all_inner_texts()[0].startswith("This grid is incomplete")
    assert "no such checkpoint" in view.locator("#missing").inner_text()


def test_one_seed_of_a_training_claims_nothing(tmp_path, visit):
    none = {"low": None, "high": None, "p": None, "p_holm": None}
    cells = [cell("a", 0.5, seeds=1, control=True), cell("b", 0.7, seeds=1, effect=effect(0.2, seeds=1) | none)]
    view = visit(write(tmp_path, grid(cells, trained=True)))
    assert cells_of(view, ".effects", 1)[2:4] == ["+0.200\nno interval", "none"]
    assert "claims no interval" in view.locator("#effects").inner_text() and "there is one seed" in view.locator("#seeds").inner_text()
    assert "0 of 1" in view.locator(".hero").inner_text() and "over prompts alone" in view.locator("#tasks").inner_text()


def test_the_table_sorts_by_click(visit, written):
    view = visit(written["trained"][0])
    view.locator(".effects th", has_text="Difference").locator("button").click()
    names = view.locator(".effects tbody th .model").all_inner_texts()
    assert names[0] == "bits8-levels0" and names[6] == "bits7-levels2"


def test_effects_that_hold_are_marked_in_the_drawing_and_in_the_table(visit, written):
    page, found = written["trained"]
    view = visit(page)
    known = [own for own in found["cells"] if own["effect"] is not None]
    expected = [own["name"] for own in known if own["effect"]["p_holm"] < 0.05]
    assert view.locator(".effects tr", has=view.locator(".tag-own")).locator(".model").all_inner_texts() == expected
    # The control is a solid point too.
    assert view.locator("#effects circle.solid").count() == len(expected) + 1
    assert view.locator("#effects circle.open").count() == len(known) - len(expected)


@pytest.mark.parametrize("width", [390, 1280, 2560])
@pytest.mark.parametrize("name", ["trained", "hostile"])
def test_labels_in_the_plane_meet_neither_each_other_nor_a_point(visit, written, name, width):
    view = visit(written[name][0], width)
    boxes = "l => l.map(e => { const b = e.getBoundingClientRect(); return [b.left, b.top + 2, b.right, b.bottom - 2] })"
    labels, points = (view.eval_on_selector_all(selector, boxes) for selector in (".plane .spot-label", ".plane circle.point"))
    assert len(labels) == len(points) >= 8
    frame = view.eval_on_selector_all("svg.plane", boxes)[0]
    for box in labels:
        assert frame[0] <= box[0] and box[2] <= frame[2]
    clashes = [
        (a, b)
        for a, b in (*itertools.combinations(labels, 2), *itertools.product(labels, points))
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert clashes == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_does_not_run_into_its_number(visit, written, width):
    view = visit(written["hostile"][0], width)
    ends = view.eval_on_selector_all("#effects .bar-label", "l => l.map(e => e.getBoundingClientRect().right)")
    starts = view.eval_on_selector_all("#effects .row-note", "l => l.map(e => e.getBoundingClientRect().left)")
    assert len(ends) == len(starts) == 11 and all(end < start for end, start in zip(ends, starts, strict=True))


def test_every_description_lists_every_cell(visit, written):
    page, found = written["trained"]
    view = visit(page)
    forest, spots, strip = (view.locator(f"#{ident}-desc").text_content() for ident in ("forest", "plane", "strip"))
    for own in found["cells"]:
        assert f"{own['name']}: " in forest and f"{own['name']}: " in strip
        assert (f"{own['name']}: " in spots) == (own["level"]["value"] is not None)
    assert "bits7-levels2: \u22120.200, 95% interval \u22120.250 to \u22120.150, p by Holm <0.001, holds after correction." in forest
    assert "bits2-levels0: +0.000" in forest and "p by Holm 0.300, does not hold after correction." in forest
    assert "diverged: failed." in forest and "late: pending." in forest and "bits16: control." in forest
    assert "bits16: 0.710; seed 0 0.700, seed 1 0.710, seed 2 0.720." in strip


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path):
    page = write(tmp_path, hostile_grid())
    first = page.read_bytes()
    assert write(tmp_path, hostile_grid()) == page and page.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.html", "ablation.json"]


# ---- what the harness writes ---------------------------------------------------------------------------------------------


def test_a_grid_that_has_not_begun_is_read(tmp_path):
    path = packaged()["sampling"]
    read = schema.read(path, shown=path.name, size="mini")
    found = table.build(read, tmp_path, {}, seconds=0.1, command=["uniar-eval", "ablate", "sampling"])
    text = write(tmp_path, found).read_text("utf-8")
    assert "0<span class=\"dim\"> of 10</span>" in text and "greedy-g2.5" in text and "not begun" in text


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The table of real runs: three painters with two seeds each."""
    where = tmp_path_factory.mktemp("grid")
    skills = {"half": 0.5, "good": 0.95, "same": 0.5}
    for (name, skill), seed in itertools.product(skills.items(), (0, 1)):
        helpers.run(where, name, skill, out=f"cells/{name}/{seed}", seed=seed)
    cells = tuple(schema.Cell(name=name, own={"skill": skill}) for name, skill in skills.items())
    told = schema.Ablation(
        name="painters", title="Painters", question="", version=1, size="full", suite="ranked", profile=None, limit=None, seeds=(0, 1),
        control="half", cells=cells, notes=(), path=where,
    )  # fmt: skip
    cost = {"parameters": 7.0, "write_s": 0.5, "show_s": 0.25, "tokens": 4.0}
    done = {"status": "done", "reason": "", "stages": [], "made": {}, "cost": cost}
    status = {(name, seed): done for name, seed in itertools.product(skills, (0, 1))}
    return table.build(told, where / "runs", status, seconds=1.0, command=["uniar-eval", "ablate", "painters"])


def test_a_real_table_is_shown(measured, tmp_path, visit):
    view = visit(write(tmp_path, measured))
    good = measured["cells"][1]
    assert good["name"] == "good" and good["effect"]["delta"] > 0.1
    assert cells_of(view, ".effects", 1)[2].startswith(f"{good['effect']['delta']:+.3f}")
    assert ("holds" in cells_of(view, ".effects", 1)[0]) == ablation.holds(good["effect"])
    assert [text.split("\n")[0] for text in cells_of(view, "#seeds", 1)[1:3]] == [f"{seed['value']:.3f}" for seed in good["seeds"]]
    assert view.locator(".heat thead th").count() == 1 + len(good["effect"]["tasks"])
    told = view.locator("#plane-desc").text_content()
    assert "not beaten" in told and "750.0 milliseconds an image" in told


# ---- reading -------------------------------------------------------------------------------------------------------------


def refused(folder):
    with pytest.raises(StoreError) as caught:
        AblationPage().write(folder)
    told = str(caught.value)
    assert told.startswith(str(folder / "ablation.json")) and "\n" not in told and "expected" in told
    assert not (folder / "ablation.html").exists()
    return told


def test_no_table_is_one_sentence(tmp_path):
    assert "got no file" in refused(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1, "x": ' + b"9" * 5000])
def test_a_damaged_file_is_one_sentence(tmp_path, data):
    (tmp_path / "ablation.json").write_bytes(data)
    assert "damaged" in refused(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_version_is_one_sentence(tmp_path, version):
    (tmp_path / "ablation.json").write_text(json.dumps(trained_grid() | {"schema_version": version}))
    assert "schema_version" in refused(tmp_path)


@pytest.mark.parametrize("data", [[], "text", 1, None, {}])
def test_what_is_no_table_is_one_sentence(tmp_path, data):
    (tmp_path / "ablation.json").write_text(json.dumps(data))
    assert "without a version" in refused(tmp_path)


def paths(data, at=()):
    """Every key of the table, as a path."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in items:
        yield (*at, key)
        yield from paths(part, (*at, key))


WRONG = ({"a": 1}, [], [[]], "text", True, float("nan"), float("inf"), 10**400, 1e300, 1e18, -1e18, 1e-300, -1, None)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:20])
def test_no_wrong_value_breaks_the_page_otherwise_than_by_a_sentence(tmp_path, wrong):
    base = grid([cell("a", 0.5, control=True, cost={"image_ms": 5.0}), cell("b", 0.6, effect=effect(0.1), cost={"image_ms": 6.0})])
    for own in base["cells"]:
        own["curves"] = [curve(0, 0.1)]
    for path in paths(base):
        found = copy.deepcopy(base)
        holder = found
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = wrong
        try:
            assert "nan%" not in write(tmp_path, found).read_text("utf-8")
        except StoreError as error:
            assert "\n" not in str(error)


def test_a_lacking_or_wrong_key_is_named(tmp_path):
    found = trained_grid()
    del found["cells"][2]["effect"]["p_holm"]
    (tmp_path / "ablation.json").write_text(json.dumps(found))
    assert "cells[2].effect.p_holm: got nothing" in refused(tmp_path)
    found = trained_grid()
    found["cells"][1]["level"]["value"] = "0.7"
    (tmp_path / "ablation.json").write_text(json.dumps(found))
    assert "cells[1].level.value: got a text; expected a number" in refused(tmp_path)


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "ablation.html").mkdir()
    with pytest.raises(StoreError, match=r"ablation\.html: got"):
        write(tmp_path, trained_grid())


# ---- what counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"p_holm": 0.049}, True),
        ({"p_holm": 0.05}, False),
        ({"p": 0.001, "p_holm": 0.06}, False),
        ({"p_holm": 0.01, "low": -0.01}, False),
        ({"p_holm": 0.01, "low": 0.0}, False),
        ({"p_holm": 0.01, "low": -0.4, "high": -0.1}, True),
        ({"p_holm": 0.01, "low": None, "high": None}, False),
        ({"p_holm": None}, False),
    ],
)
def test_an_effect_holds_after_correction_and_without_zero(changes, expected):
    assert ablation.holds(effect(0.2, p=0.01) | changes) is expected


def test_the_control_does_not_hold():
    assert ablation.holds(None) is False


@pytest.mark.parametrize(
    "points, expected",
    [
        ([], []),
        ([(1, 0.5)], [0]),
        ([(3, 0.9), (1, 0.5), (2, 0.4)], [1, 0]),
        ([(1, 0.5), (1, 0.5), (2, 0.5)], [0, 1]),
        ([(1, 0.5), (1, 0.6)], [1]),
        ([(2, 0.6), (1, 0.6)], [1]),
        ([(1, 0.6), (2, 0.6 + 1e-13)], [0]),
        ([(None, 0.99), (1, None), (2, 0.5), (None, None)], [2]),
        ([(None, 0.9), (None, 0.8)], []),
    ],
)
def test_the_front_is_what_nothing_beats(points, expected):
    assert front(points) == expected
    assert front([(cost, None if value is None else -value) for cost, value in points], higher=False) == expected


def test_own_settings_are_short_and_apart():
    assert ablation.own({"generate.temperature": 1.0, "generate.guidance_scale": 2.5}) == "temperature 1.0, guidance scale 2.5"
    assert ablation.own({"a.rate": 1, "b.rate": 2, "levels": [0], "dtype": "bfloat16"}) == "a.rate 1, b.rate 2, levels [0], dtype bfloat16"
    assert ablation.own({}) == ""


def test_lower_may_be_better(tmp_path):
    cells = [
        cell("a", 0.5, control=True, cost={"image_ms": 5.0}), cell("b", 0.3, effect=effect(-0.2, p=0.01), cost={"image_ms": 5.0}),
    ]  # fmt: skip
    text = write(tmp_path, grid(cells, scale=[10.0, 0.0])).read_text("utf-8")
    assert "lower is better" in text and "\u2190 better" in text and "heat-better-3" in text and 'class="num heat-worse' not in text
    assert "b: 5.0 milliseconds an image, value 0.300, 95% interval 0.240 to 0.340, not beaten." in text


# ---- the drawings --------------------------------------------------------------------------------------------------------


def drawn(markup):
    return ElementTree.fromstring(str(markup))


def test_rows_stand_at_their_values():
    rows = [
        Row(label="<b>", note="n", told="one.", points=(0.1,), low=-0.2, high=0.4),
        Row(label="none", note="", told="two.", points=(0.0,), solid=False),
    ]
    chart = drawn(rows_chart(rows, title="<t>", ident="x", zero=True))
    # -0.2 to 0.4 lies between 7% and 93%.
    assert [(node.get("cx"), node.get("class")) for node in chart.iter("circle")] == [("50.00%", "point solid"), ("35.67%", "point open")]
    lines = {node.get("class"): (node.get("x1"), node.get("x2")) for node in chart.iter("line")}
    assert lines["whisker solid"] == ("7.00%", "93.00%") and lines["zero"] == ("35.67%", "35.67%")
    assert [node.text for node in chart.iter("text") if node.get("class") == "bar-label"] == ["<b>", "none"]
    assert chart.find("title").text == "<t>" and chart.find("desc").text == "one. two."


@pytest.mark.parametrize("values", [(), (0.0,), (0.5, 0.5), (1e-12, 0.0), (1e9, 1e9), (-3.0, 1e6)])
def test_any_values_can_be_drawn(values):
    rows = [Row(label=str(value), note="", told="", points=(value,)) for value in values]
    for zero in (True, False):
        assert len(list(drawn(rows_chart(rows, title="t", ident="x", zero=zero)).iter("circle"))) == len(values)
    spots = [Spot(label="s", told="", cost=abs(value), value=value) for value in values]
    if spots:
        assert len(list(drawn(plane(spots, title="t", ident="x", cost="c", value="v", short=str)).iter("circle"))) == len(values)


def test_the_plane_joins_the_best_and_takes_a_long_axis_where_costs_are_far_apart():
    points = ((1e6, 0.2, True), (3e7, 0.1, False), (1e9, 0.9, True))
    spots = [Spot(label=str(cost), told="", cost=cost, value=value, best=best) for cost, value, best in points]
    chart = drawn(plane(spots, title="t", ident="x", cost="parameters", value="v", short=ablation._compact))
    assert [node.get("class") for node in chart.iter("line") if node.get("class") == "front"] == ["front"]
    assert [node.get("class") for node in chart.iter("circle")] == ["point solid", "point open", "point solid"]
    texts = [node.text for node in chart.iter("text")]
    assert "parameters, logarithmic" in texts and {"1M", "10M", "100M", "1B"} <= set(texts)


def test_labels_of_equal_points_are_parted_and_too_many_are_left_out():
    labels = place([(50.0, 200.0)] * 10, ["t1-g2.5"] * 10)
    assert None not in labels and len({(label.right, label.down) for label in labels}) == 10
    labels = place([(50.0, 200.0)] * 200, ["t1-g2.5"] * 200)
    assert labels.count(None) > 100


def test_a_line_stands_at_its_values_on_the_scale_of_all():
    lines = [[(50, 0.1), (100, 0.01)], [(100, 1.0)]]
    scale = Scale.of(lines, share=False)
    assert scale.logarithmic and scale.ticks() == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    chart = drawn(panel(lines[:1], lines[1], scale, title="<t>", ident="x", told="one."))
    seed, reference = ([tuple(map(float, p.split(","))) for p in next(n for n in chart.iter("polyline") if n.get("class") == kind).get("points").split()]
                       for kind in ("seed", "reference"))  # fmt: skip
    # 0.1 lies in the middle of two powers of ten, a line of one point is a dot.
    assert [at for at, _ in seed] == [500.0, 500.0, 1000.0] and seed[0][1] == pytest.approx(65, abs=0.1) and seed[2][1] > 119
    assert reference == [(1000.0, reference[0][1])] * 2 and reference[0][1] < 11
    assert chart.find("desc").text == "one."
    assert not Scale.of(lines, share=True).logarithmic and not Scale.of([[(1, 0.5), (2, 0.9)]], share=False).logarithmic


def test_signs():
    assert [signed(value) for value in (0.25, -0.25, -0.0, -0.0004, 1)] == ["+0.250", "\u22120.250", "+0.000", "+0.000", "+1.000"]


def test_it_attaches_as_a_reporter():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"]["uniar_eval.reporters"]["ablation"] == f"reports.ablation:{AblationPage.__name__}"

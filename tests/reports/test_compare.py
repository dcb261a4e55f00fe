"""The page of a comparison, from the command line to a real headless Chromium with the network cut."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from evals.cli.main import main

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A good, a poor and a hostile run of the same prompts; one output of the poor run failed."""
    where = tmp_path_factory.mktemp("compare")
    return [
        helpers.run(where, "good", 0.8),
        helpers.run(where, "poor", 0.4, fail="round_two-007"),
        helpers.run(where, helpers.HOSTILE, 0.6, out="hostile <img src=x onerror=window.pwned=1> \u202e #?%41"),
    ]


@pytest.fixture(scope="module")
def page(runs):
    """The page, and the numbers it must show."""
    out = runs[0].parent / "compare.html"
    return out, json.loads(call(*runs, "--html", out, "--json"))


@pytest.fixture
def visit(browse, page):
    """Open the page offline, and nothing may be on record after the test (`browse`)."""
    return lambda width=1280, scheme="light", hash_="", path=page[0]: browse(path, width=width, scheme=scheme, hash_=hash_)


def chip(view, key):
    return int(re.search(r"[\d,]+$", view.locator(f".chip-{key}").inner_text()).group())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_the_page_fits_and_has_no_serious_fault(visit, width, scheme):
    view = visit(width, scheme)
    assert view.evaluate(helpers.OVERFLOW) <= 0
    assert helpers.faults(view) == []
    for mode in ("side", "slider", "flip"):
        view.locator(".card").first.click() if mode == "side" else None
        view.locator(f"#modes [value={mode}]").click()
        assert view.evaluate("(b => b.scrollWidth - b.clientWidth)(document.querySelector('.pair-body'))") <= 0
        assert helpers.faults(view) == []


def test_the_numbers_are_those_of_the_command(visit, page):
    view, found = visit(), page[1]
    assert found["page"] == str(page[0])
    for at, other in enumerate(found["others"]):
        cells = view.locator(f"#run-{at} tbody tr").first.locator("td").all_inner_texts()
        overall = other["overall"]
        assert cells[0].replace("\u2212", "-") == f"{overall['delta']:+.3f}"
        assert cells[1].replace("\u2212", "-") == f"{overall['low']:+.3f} to {overall['high']:+.3f}"
        assert cells[5:8] == [str(overall[name]) for name in ("won", "lost", "tied")]
        assert view.locator(f"#run-{at} svg.deltas circle").count() == 3


def test_won_lost_tied_filter_and_second_run(visit, page):
    view, (poor, hostile) = visit(), page[1]["others"]
    for at, other in enumerate((poor, hostile)):
        view.locator("#second").select_option(str(at))
        unpaired = sum(other["unpaired"].values())
        assert [chip(view, key) for key in ("won", "lost", "tied", "unpaired")] == [
            *(other["overall"][key] for key in ("won", "lost", "tied")), unpaired,
        ]  # fmt: skip
    view.locator("#second").select_option("0")
    assert poor["unpaired"] == {"second: generation_error": 2}
    view.locator(".chip-lost").click()
    changes = set(view.locator(".card-change").all_text_contents())
    assert changes == {"correct → incorrect"} and view.locator(".card").count() == poor["overall"]["lost"]
    view.locator(".chip-won").click()
    assert set(view.locator(".card-change").all_text_contents()) == {"incorrect → correct"}
    view.locator(".chip-unpaired").click()
    assert view.locator(".card").count() == 2 and "the prompt is too long" in view.locator(".card").first.text_content()
    view.locator("#run-0 a[data-task]", has_text="round one").click()
    assert view.locator("#nothing").is_visible()
    view.locator("#reset").click()
    view.locator("#text").fill("dark 12")
    assert view.locator(".card").count() == 4


def test_orders_put_losses_or_wins_first(visit):
    view = visit()
    assert view.locator(".card .badge").first.text_content() == "▼ Lost"
    view.locator("#order").select_option("wins")
    assert view.locator(".card .badge").first.text_content() == "▲ Won"


def open_lost(view):
    view.locator("#second").select_option("0")
    view.locator(".chip-lost").click()
    view.locator(".card").first.click()


def colours(view, selector):
    """Mean red of the screenshot of an element's left and right third."""
    from io import BytesIO

    shot = Image.open(BytesIO(view.locator(selector).screenshot())).convert("L")
    width, height = shot.size
    parts = [shot.crop((at * width // 3, height // 4, (at + 1) * width // 3, 3 * height // 4)) for at in (0, 2)]
    return [sum(part.resize((1, 1), Image.Resampling.BOX).getdata()) for part in parts]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_side_by_side_slider_and_toggle_show_both_runs(visit):
    view = visit()
    open_lost(view)
    # A lost pair: the first run painted a dark square, the second a white one.
    figures = view.locator(".pair-side figure")
    assert [text.split(",")[1].strip() for text in figures.locator("figcaption").all_inner_texts()] == [
        "first: correct",
        "second: incorrect",
    ]
    left, right = colours(view, ".pair-side")
    assert left < right
    view.locator("#modes [value=slider]").click()
    left, right = colours(view, ".overlaid")
    assert left < 40 and right > 215
    view.locator(".slider input").fill("100")
    assert max(colours(view, ".overlaid")) < 60
    view.locator(".slider input").fill("0")
    assert min(colours(view, ".overlaid")) > 200
    view.locator("#modes [value=flip]").click()
    assert max(colours(view, ".overlaid")) < 40 and "Showing the first" in view.locator("#flip").inner_text()
    view.locator("#flip").click()
    assert min(colours(view, ".overlaid")) > 215 and "Showing the second" in view.locator("#flip").inner_text()


def test_keys_walk_and_the_slider_keeps_its_arrows(visit):
    view = visit()
    open_lost(view)
    first = view.locator("#panel-title").inner_text() + view.locator("#panel-result").inner_text()
    view.keyboard.press("ArrowRight")
    assert view.locator("#panel-at").inner_text().startswith("2 of")
    view.keyboard.press("ArrowLeft")
    assert view.locator("#panel-title").inner_text() + view.locator("#panel-result").inner_text() == first
    view.locator("#modes [value=slider]").click()
    view.locator(".slider input").focus()
    view.keyboard.press("ArrowRight")
    assert view.locator(".slider input").input_value() == "51" and view.locator("#panel-at").inner_text().startswith("1 of")
    view.keyboard.press("Escape")
    assert not view.locator("#panel").is_visible() and view.evaluate("document.activeElement.className") == "card"


def test_a_link_opens_its_pair_with_equal_seeds(visit):
    view = visit(hash_="#pair=1/round_two-003/1")
    assert "round_two-003, output 2" in view.locator("#panel-result").inner_text()
    assert view.locator("#second").input_value() == "1"
    seeds = view.locator("#panel-runs dd").all_inner_texts()
    assert seeds[0] == seeds[2] and seeds[0].isdigit()


def test_a_failed_output_shows_its_reason_and_no_slider(visit):
    view = visit(hash_="#pair=0/round_two-007/0")
    assert view.locator("#modes").is_hidden()
    assert "the prompt is too long" in view.locator("#stage").inner_text()


def test_hostile_names_are_text(visit):
    view = visit(hash_="#pair=1/round_one-000/0")
    view.wait_for_timeout(100)
    assert view.evaluate("window.pwned") is None
    assert "<script>window.pwned=1</script>⟦U+202E⟧" in view.locator("#panel-runs").inner_text()
    assert view.locator("#panel img").count() == 2 and view.locator("img[src=x]").count() == 0


def test_large_runs_have_thumbnails_beside_the_page_and_originals_in_their_folders(visit, builder, tmp_path, until):
    runs = []
    for name in ("one #1", "two"):
        runs.append(builder.build_run(tmp_path / name, prompts_per_task=34, side=300, troubles=False, shared_images=3))
    pairs = call(*runs, "--html", tmp_path / "out" / "a b.html")
    assert "overall" in pairs
    page = tmp_path / "out" / "a b.html"
    assert page.stat().st_size < 600_000
    assert sorted(path.name for path in (page.parent / "a b-files").iterdir()) == ["0-256", "1-256"]
    view = visit(path=page)
    loaded = "[...document.querySelectorAll('.card img')].slice(0, 4).map(i => i.decode().then(() => i.naturalWidth))"
    assert view.evaluate(f"Promise.all({loaded})") == [256] * 4
    view.locator(".card").first.click()
    until(view, "[...document.querySelectorAll('.pair-side img')].every(i => i.naturalWidth === 300)")
    addresses = view.eval_on_selector_all(".pair-side img", "l => l.map(i => i.src)")
    assert [src.rpartition("/images/")[0].rpartition("/")[2] for src in addresses] == ["one%20%231", "two"]


def test_what_cannot_be_shown_is_refused(runs, tmp_path):
    from evals.analysis import baseline
    from evals.analysis.verdicts import open_verdicts

    baseline.save(open_verdicts(runs[0]), tmp_path / "b.json")
    assert "a baseline holds no outputs to show" in call(runs[0], tmp_path / "b.json", "--html", tmp_path / "c.html", code=2)
    assert "a baseline holds no outputs to show" in call(tmp_path / "b.json", runs[0], "--html", tmp_path / "c.html", code=2)
    assert "expected a file name" in call(*runs[:2], "--html", tmp_path, code=2)
    assert list(tmp_path.glob("*.html")) == []


def test_a_moved_page_keeps_its_pictures(visit, page, tmp_path, until):
    shutil.copy(page[0], tmp_path / "moved.html")
    view = visit(path=tmp_path / "moved.html", hash_="#pair=0/round_one-000/0")
    until(view, "[...document.querySelectorAll('.pair-side img')].every(i => i.complete && i.naturalWidth > 0)")


def test_the_chart_stands_at_its_values():
    from types import SimpleNamespace

    from reports.compare import delta_chart

    def row(name, delta, low, high):
        return SimpleNamespace(name=name, delta=delta, low=low, high=high)

    chart = ElementTree.fromstring(str(delta_chart([row("<b>", 0.1, -0.2, 0.4), row("none", 0.0, None, None)], title="t", ident="x")))
    assert [node.get("cx") for node in chart.iter("circle")] == ["61.50%", "50.00%"]
    whiskers = [(node.get("x1"), node.get("x2")) for node in chart.iter("line") if node.get("class") == "whisker"]
    assert whiskers == [("27.00%", "96.00%")]
    assert "<b>: +0.100, \u22120.200 to +0.400. none: +0.000, no interval." in "".join(chart.itertext())

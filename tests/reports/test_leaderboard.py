"""The leaderboard from outside: what is ranked with what, ranks and their intervals, files, pages in Chromium."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from evals.cli.main import main

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)

PUBLISHED = """model,kind,suite,protocol,version,title,metric,task,value,low,high,n,better,scale,source,second_hand,note
Paper A,published,ranked,ranked-short,1,Ranked,overall,*,0.95,,,,higher,0..1,Paper A,no,
Paper A,published,ranked,ranked-short,1,Ranked,overall,round_one,0.97,,,,higher,0..1,Paper A,no,
Paper A,re-run,ranked,ranked-short,1,Ranked,overall,*,0.05,,,,higher,0..1,A third party,yes,
Paper B,published,ranked,ranked-long,1,Ranked with long prompts,overall,*,0.99,,,,higher,0..1,Paper B,no,
Paper C,published,ranked,,1,Ranked prompts not told,overall,*,0.5,,,,higher,0..1,Paper C,no,prompts not told
Errors,published,distance,distance,1,Distance,overall,*,1.37,,,,lower,,Paper D,no,
Errors less,published,distance,distance,1,Distance,overall,*,0.41,,,,lower,,Paper D,no,
"""


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["leaderboard", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good, fair and poor under short prompts; one rewritten, one mini, one changed, one limited, one unfinished, one hostile."""
    where = tmp_path_factory.mktemp("boards")
    helpers.run(where, "good", 0.9)
    helpers.run(where, "fair", 0.88)
    helpers.run(where, "poor", 0.2)
    helpers.run(where, "good", 1.0, out="good-rewritten", profile="rewritten")
    helpers.run(where, "good", 1.0, out="good-mini", profile="mini")
    helpers.run(where, "good", 0.9, out="good-once", settings=["generate.repeats=1"])
    helpers.run(where, "good", 0.9, out="good-limited", limit=3)
    helpers.run(where, "halting", 1.0, fail="round_two-003")
    helpers.run(where, helpers.HOSTILE, 0.5, out="hostile <img src=x> \u202e")
    (where / "published.csv").write_text(PUBLISHED, "utf-8")
    return where


@pytest.fixture(scope="module")
def site(folder):
    out = folder / "site"
    call(folder / "runs", "--published", folder / "published.csv", "--out", out)
    return out


@pytest.fixture(scope="module")
def rows(site):
    return json.loads((site / "leaderboard.json").read_text())["rows"]


def board(rows, name, *, column="overall"):
    return [row for row in rows if row["board"] == name and row["column"] == column]


def test_only_equal_measurements_share_a_ranking(rows):
    ranked = {}
    for row in rows:
        if row["rank"] is not None:
            ranked.setdefault(row["board"], []).append(row["model"][:6])
    short = ranked.pop("ranked--ranked-short")
    assert short == ["Paper ", "good", "fair", "<scrip", "poor", "Paper "]
    assert ranked.pop("ranked--ranked-rewritten") == ["good"] and ranked.pop("ranked--ranked-mini") == ["good"]
    assert ranked.pop("ranked--ranked-long") == ["Paper "]
    assert ranked.pop("distance--distance") == ["Errors", "Errors"]
    assert sorted(ranked.values()) == [["good"], ["good"]], "changed settings and a limit have a board each"


def test_what_is_not_ranked_tells_why(rows):
    reasons = {(row["model"], row["id"]): row["reason"] for row in board(rows, "ranked--ranked-short") if not row["comparable"]}
    told = sorted(reasons.values())
    assert len(told) == 7
    assert told[0] == "Another protocol: Ranked with long prompts (ranked-long)."
    assert "Another protocol: Ranked, rewritten prompts (ranked-rewritten)." in told
    assert "Another protocol: Ranked-mini (ranked-mini)." in told
    assert "Incomplete: 118 of 120 outputs are scored." in told
    assert "The same protocol with other settings: generate.repeats: 1 in that run, 2 on this board." in told
    assert "The same protocol with other settings: limit: 3 in that run, nothing on this board." in told
    assert "The source does not tell the protocol: Ranked prompts not told." in told


def test_lower_is_better_where_the_source_says_so(rows):
    assert [(row["model"], row["rank"]) for row in board(rows, "distance--distance")] == [("Errors less", 1), ("Errors", 2)]


def test_ranks_have_intervals_where_there_are_samples(rows):
    found = {
        row["model"][:7]: (row["rank"], row["rank_low"], row["rank_high"]) for row in board(rows, "ranked--ranked-short") if row["rank"]
    }
    assert found["good"][0] == 2 and found["poor"][1:] == (5, 5)
    # Two points apart on 60 prompts: either may be the better one.
    assert found["good"][2] == found["fair"][2] == 3 and found["fair"][1] <= 2
    assert all(row["rank_low"] is None for row in board(rows, "ranked--ranked-short") if row["kind"] != "own")


def test_equal_values_share_a_rank(tmp_path, folder):
    table = folder / "published.csv"
    lines = table.read_text().splitlines()
    (tmp_path / "ties.csv").write_text("\n".join([lines[0], lines[1], lines[1].replace("Paper A", "Paper Z")]) + "\n")
    call("--published", tmp_path / "ties.csv", "--out", tmp_path / "site")
    found = json.loads((tmp_path / "site" / "leaderboard.json").read_text())["rows"]
    assert [row["rank"] for row in found] == [1, 1]


def test_sub_scores_keep_their_digits_and_intervals(rows):
    part = board(rows, "ranked--ranked-short", column="task:round_one")
    own = next(row for row in part if row["model"] == "good" and row["comparable"])
    assert own["low"] < own["value"] < own["high"] and own["n"] == 120
    assert next(row for row in part if row["kind"] == "published")["value"] == 0.97


def test_csv_is_whole_and_harmless_in_a_spreadsheet(site, rows):
    with (site / "leaderboard.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    assert not [cell for row in table for cell in row.values() if cell.startswith(("=", "+", "@"))]
    with (site / "boards" / "ranked--ranked-short.csv").open(newline="") as file:
        assert {row["board"] for row in csv.DictReader(file)} == {"ranked--ranked-short"}


def test_the_same_call_gives_the_same_bytes_and_removes_what_is_stale(folder, tmp_path):
    out = tmp_path / "site"
    for runs in (folder / "runs", folder / "runs" / "poor", folder / "runs"):
        call(runs, "--published", folder / "published.csv", "--out", out)
        if runs.name == "poor":
            assert not list(out.glob("models/good-*.html"))
    files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    call(folder / "runs", "--published", folder / "published.csv", "--out", tmp_path / "again")
    again = {path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert files == again


def test_a_foreign_folder_is_not_written_to(folder, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = call(folder / "runs", "--out", tmp_path, code=2)
    assert "expected an empty one or an earlier leaderboard" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_path_without_a_run_is_refused(tmp_path):
    assert "got no run folder there or below" in call(tmp_path, "--out", tmp_path / "site", code=2).output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind,", "sort,", ":1: got the columns model, sort"),
        ("0.95", "0.95x", ':2: value: got "0.95x"; expected a number.'),
        ("0.95", "1.95", ":2: value: got 1.95; expected a number on the scale 0..1."),
        ("Paper A,no", ",no", ":2: source: got nothing"),
        ("published,ranked,ranked-short", "guessed,ranked,ranked-short", ':2: kind: got "guessed"'),
        ("ranked-short,1,Ranked,overall,*", "../short,1,Ranked,overall,*", 'protocol: got "../short"'),
        ("overall,*,0.95", "overall,sum,0.95", "got 0 rows with metric overall and task *"),
        ("0.95,,,,higher", "0.95,,,higher", "got another number of fields"),
    ],
)
def test_a_wrong_line_of_published_results_is_named(tmp_path, old, new, words):
    (tmp_path / "wrong.csv").write_text(PUBLISHED.replace(old, new, 1), "utf-8")
    assert words in call("--published", tmp_path / "wrong.csv", "--out", tmp_path / "site", code=2).output


# ---- the published results that come with the package ------------------------------------------------------------------


def test_every_shipped_row_has_a_source_and_a_place():
    from reports import published

    rows = published.read(published.SHIPPED)
    assert len(rows) > 400
    assert not [row for row in rows if not row.source or row.source.lower() in ("unknown", "?")]
    notes = [row for row in rows if "note" in row.source]
    assert notes and all(row.second_hand for row in rows if row.source.count("note") == row.source.count(";") + 1)


def test_shipped_protocols_are_ours_where_a_suite_has_them():
    from evals.suite import load
    from reports import published

    names = {}
    for suite in load.packaged():
        file = load.open_suite(suite)
        names[suite] = {file.resolve(profile).protocol.name for profile in file.profiles}
    used = {(row.suite, row.protocol) for row in published.read(published.SHIPPED)}
    ours = {pair for pair in used if pair[1] in names.get(pair[0], ())}
    assert ours >= {("geneval", "geneval-short-prompts-mmdet"), ("longtext", "longtext-bench-en"), ("oneig-text", "oneig-text-en")}
    assert not [pair for pair in used if "mini" in pair[1]]


def test_rewritten_prompts_are_never_ranked_with_short_ones(tmp_path):
    call("--out", tmp_path / "site")
    rows = json.loads((tmp_path / "site" / "leaderboard.json").read_text())["rows"]
    for name in {row["board"] for row in rows if row["suite"] == "geneval"}:
        assert len({row["protocol"] for row in rows if row["board"] == name and row["rank"]}) == 1
    bagel = {row["value"]: row["board"] for row in rows if row["model"] == "BAGEL" and row["suite"] == "geneval" and row["rank"]}
    assert bagel == {0.82: "geneval--geneval-short-prompts-mmdet", 0.88: "geneval--geneval-rewritten-prompts-mmdet"}


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def visit(browse, site):
    """Open a page of the site offline, and nothing may be on record after the test (`browse`)."""
    return lambda name, width=1280, **options: browse(site / name, width=width, **options)


SHORT = "boards/ranked--ranked-short.html"


def hostile_page(site):
    return next(path.relative_to(site).as_posix() for path in site.glob("models/script-*.html"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_no_horizontal_scroll_and_no_serious_fault(visit, site, width, scheme):
    for name in ("index.html", SHORT, hostile_page(site)):
        view = visit(name, width=width, scheme=scheme)
        assert view.evaluate(helpers.OVERFLOW) <= 0, name
        # Wider than 1280 pixels nothing is laid out otherwise.
        assert width > 1280 or helpers.faults(view) == [], name


def models(view):
    return [name[:6] for name in view.locator(".ranked-body tr:visible .model").all_text_contents()]


def test_columns_sort_by_click_and_by_keyboard(visit):
    view = visit(SHORT)
    before = models(view)
    header = view.locator("th[data-key=overall]")
    header.get_by_role("button").focus()
    view.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending" and models(view) == before
    view.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending" and models(view) == before[::-1]
    view.get_by_role("button", name="round two").click()
    # The published row without that part stands last.
    assert models(view)[0] == "good" and models(view)[-1] == "Paper "
    assert view.locator("tr.unlike").count() == 7


def test_filters_and_their_permalink(visit):
    view = visit(SHORT)
    view.get_by_label("published 3", exact=False).uncheck()
    view.get_by_label("not comparable").uncheck()
    assert models(view) == ["good", "fair", "<scrip", "poor", "Paper "]
    view.locator("#text").fill("poor")
    assert models(view) == ["poor"] and view.locator("#count").inner_text() == "1 of 13 rows"
    again = visit(SHORT, hash_=view.url[view.url.index("#") :])
    assert models(again) == ["poor"] and not again.get_by_label("not comparable").is_checked()
    again.locator("#text").fill("nothing like it")
    again.locator("#reset").click()
    assert len(models(again)) == 6


def test_a_row_has_a_link_that_marks_it(visit):
    view = visit(SHORT)
    link = view.locator("tr.ranked", has_text="fair").locator(".anchor").get_attribute("href")
    marked = visit(SHORT, hash_=link)
    assert marked.locator("tr:target").locator(".model").inner_text() == "fair"


def test_pages_lead_to_each_other(visit):
    view = visit("index.html")
    view.get_by_role("link", name="Ranked, short prompts", exact=True).first.click()
    assert "5 ranked" not in view.title() and view.locator("h1").inner_text() == "Ranked, short prompts"
    view.locator(".ranked-body").get_by_role("link", name="good", exact=True).click()
    assert view.locator("h1").inner_text() == "good"
    text = view.locator("main").inner_text()
    assert "ranked-rewritten" in text and "parameters 12,000" in text and "118" not in text


def test_kinds_are_told_apart_and_unlike_rows_are_grey(visit):
    view = visit(SHORT)
    tags = [tag.strip() for tag in view.locator(".ranked-body .tag").all_text_contents()]
    assert tags == ["published", "own run", "own run", "own run", "own run", "re-run by others", "second-hand"]
    color = "node => getComputedStyle(node).color"
    own = view.locator("tr.ranked .model").nth(1).evaluate(color)
    assert view.locator("tr.unlike .model").first.evaluate(color) != own
    assert "Not ranked here. Another protocol: Ranked, rewritten prompts" in view.locator("#board").inner_text()
    assert "Published values are taken as exact" in view.locator("caption").inner_text()


def test_hostile_names_are_text(visit, site):
    view = visit(hostile_page(site))
    assert view.evaluate("window.pwned") is None and view.locator("h1 script").count() == 0
    title = view.locator("h1").inner_text()
    assert title.startswith("<script>window.pwned=1</script>\u27e6U+202E\u27e7") and "10,0" in title
    assert "hostile <img src=x> \u27e6U+202E\u27e7" in view.locator(".source").first.inner_text()


def test_tables_are_whole_without_javascript(visit):
    view = visit(SHORT, java_script_enabled=False)
    assert len(models(view)) == 6 and not view.locator("#filters").is_visible()


def test_the_shipped_leaderboard_has_no_serious_fault(visit, site, tmp_path):
    call("--out", tmp_path / "shipped")
    shutil.copytree(tmp_path / "shipped", site / "shipped", dirs_exist_ok=True)
    for name in ("index.html", "boards/imgedit--imgedit-published.html"):
        view = visit(f"shipped/{name}")
        assert view.evaluate(helpers.OVERFLOW) <= 0 and helpers.faults(view) == []

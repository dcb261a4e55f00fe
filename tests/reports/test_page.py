"""The page in a real headless Chromium, opened from disk with the network cut."""

import re
from functools import partial

import pytest

# Every text node against the background behind it, WCAG 2 relative luminance; text on images is left out.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = rgba(getComputedStyle(node).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const left_out = 'script, .overlay, title, desc, :disabled';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), bad = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, words = walker.currentNode.data.trim();
    if (!words || !node.checkVisibility() || node.closest(left_out)) continue;
    const style = getComputedStyle(node), paper = light(behind(node));
    const ink = light(rgba(node.closest('svg') ? style.fill : style.color));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) bad.push([ratio.toFixed(2), node.className, words.slice(0, 30)]);
  }
  return bad;
}"""


@pytest.fixture
def visit(browse, page):
    """Open the page offline, and nothing may be on record after the test (`browse`)."""
    return partial(browse, page)


def count(view):
    return int(re.search(r"of ([\d,]+)|None", view.locator("#count").inner_text()).group(1) or 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_no_horizontal_scroll_at_any_width(visit, width, scheme):
    view = visit(width=width, scheme=scheme)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert view.evaluate(overflow) <= 0
    view.locator("#text").fill("very long prompt")
    view.locator(".card").first.click()
    assert view.evaluate(overflow) <= 0
    assert view.evaluate("(b => b.scrollWidth - b.clientWidth)(document.querySelector('.panel-body'))") <= 0


def test_the_whole_picture_is_in_the_panel_on_a_phone(visit):
    view = visit(width=390, hash_="#sample=position-00003/1")
    frame, image = view.locator(".stage-wrap").bounding_box(), view.locator(".stage img").bounding_box()
    assert image["height"] == pytest.approx(image["width"], abs=1)
    assert frame["y"] <= image["y"] and image["y"] + image["height"] <= frame["y"] + frame["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(visit, scheme):
    view = visit(scheme=scheme)
    assert view.evaluate(CONTRAST) == []
    view.locator(".card").nth(3).click()
    assert view.evaluate(CONTRAST) == []


def test_the_theme_button_wins_over_the_system(visit):
    view = visit(scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = view.evaluate(paper)
    view.get_by_role("button", name="Switch to light colours").click()
    assert view.evaluate(paper) != before
    view.reload()
    assert view.evaluate(paper) != before


def test_failures_come_first(visit):
    view = visit()
    labels = view.locator(".card .badge").all_text_contents()
    rank = [0 if "Incorrect" in label else 1 if "Not scored" in label else 3 for label in labels]
    assert rank == sorted(rank) and set(rank) >= {0, 1}


def test_filters_by_verdict_task_slice_and_text(visit):
    view = visit()
    every = count(view)
    view.locator("#verdicts").get_by_role("button", name="Incorrect").click()
    wrong = count(view)
    assert 0 < wrong < every
    assert set(view.locator(".card .badge").all_text_contents()) == {"✕ Incorrect"}
    view.locator("#task").select_option(label="counting")
    assert 0 < count(view) < wrong
    assert all("counting" in text for text in view.locator(".card-task").all_text_contents())
    view.locator("#text").fill("no such prompt")
    assert view.locator("#nothing").is_visible() and count(view) == 0
    view.locator("#reset").click()
    view.locator("#tag").select_option(label="unseen")
    assert 0 < count(view) < every


@pytest.mark.parametrize("label", ["generation error", "scorer error", "missing"])
def test_each_outcome_can_be_filtered_and_is_told(visit, label):
    view = visit()
    view.locator("#verdicts").get_by_role("button", name=f"Not scored: {label}").click()
    assert count(view) == 1
    view.locator(".card").click()
    words = {"generation error": "ran out of <b>memory</b>", "scorer error": "gave no boxes", "missing": "not made"}
    assert words[label] in view.locator("#panel").inner_text()


def test_a_task_in_the_table_filters_the_gallery(visit):
    view = visit()
    view.get_by_role("link", name="two object").click()
    assert count(view) == 20


def test_the_panel_works_by_keyboard_alone(visit, until):
    view = visit()
    card = view.locator(".card").nth(4)
    card.focus()
    view.keyboard.press("Enter")
    panel = view.locator("#panel")
    assert panel.is_visible() and "5 of" in view.locator("#panel-at").inner_text()
    assert view.evaluate("document.activeElement.id") == "panel"
    assert view.locator(".overlay rect.box").count() == 2
    assert "0.98" in view.locator(".overlay text").first.text_content()
    view.keyboard.press("ArrowRight")
    view.keyboard.press("ArrowRight")
    view.keyboard.press("ArrowLeft")
    assert "6 of" in view.locator("#panel-at").inner_text()
    for _ in range(6):
        view.keyboard.press("Tab")
        assert view.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#panel')")
    view.keyboard.press("Escape")
    assert not panel.is_visible()
    sixth = view.locator(".card").nth(5).get_attribute("data-index")
    until(view, "(index) => document.activeElement.dataset.index === index", sixth)


def test_arrows_cross_gallery_pages_and_focus_follows(visit, until):
    view = visit()
    view.locator(".card").last.click()
    view.keyboard.press("ArrowRight")
    view.keyboard.press("Escape")
    until(view, "document.activeElement.classList.contains('card')")
    assert view.locator("#page-at").inner_text() == "Page 2 of 2"


def test_a_link_opens_its_sample_and_the_panel_writes_the_link(visit, until):
    view = visit(hash_="#sample=position-00003/1")
    text = view.locator("#panel").inner_text()
    assert "position-00003" in text and "90000000000000000" in text and "images/position-00003/00001.png" in text
    assert view.url.endswith("#sample=position-00003/1")
    view.keyboard.press("Escape")
    until(view, "location.hash === ''")


@pytest.mark.parametrize("name", ["script", "bidi", "long", "emoji"])
def test_hostile_prompts_are_text(visit, builder, name):
    view = visit(hash_=f"#sample=hostile-{name}/0")
    prompt = view.locator("#panel-title")
    assert view.evaluate("window.pwned") is None
    assert view.locator("#panel-title script, #panel-title img, .card-prompt script").count() == 0
    if name == "script":
        assert "<script>window.pwned=1</script>" in prompt.inner_text()
    if name == "bidi":
        assert "\u27e6U+202E\u27e7" in prompt.inner_text()
    if name == "long":
        assert len(prompt.inner_text()) < 700
        prompt.get_by_role("button").click()
        assert prompt.text_content() == builder.HOSTILE["long"]


def test_the_policy_of_the_page_forbids_foreign_scripts(chromium, page):
    context = chromium.new_context(offline=True)
    view = context.new_page()
    view.goto(page.as_uri())
    view.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.pwned=1'}))"
    )
    assert view.evaluate("window.pwned") is None
    context.close()


def test_small_pictures_keep_their_pixels_and_all_are_drawn(visit, until):
    view = visit()
    until(view, "[...document.querySelectorAll('.card img')].every((image) => image.complete)")
    widths = view.evaluate("[...document.querySelectorAll('.card img')].map((image) => image.naturalWidth)")
    assert set(widths) == {64}
    assert view.evaluate("getComputedStyle(document.querySelector('.card img')).imageRendering") == "pixelated"


def test_large_pictures_are_thumbnails_in_the_gallery_and_originals_in_the_panel(chromium, builder, tmp_path, until):
    from reports.render import HtmlReporter

    run = builder.build_run(tmp_path, prompts_per_task=1, repeats=1, side=320, troubles=False)
    context = chromium.new_context(offline=True)
    view = context.new_page()
    view.goto(HtmlReporter().write(run).as_uri())
    until(view, "document.querySelector('.card img').naturalWidth === 256")
    view.locator(".card").first.click()
    until(view, "document.querySelector('.stage img').naturalWidth === 320")
    context.close()


def test_print_hides_the_controls_and_is_light(visit):
    view = visit(scheme="dark")
    view.emulate_media(media="print", color_scheme="light")
    assert not view.locator("#filters").is_visible() and view.locator(".number").is_visible()


def test_reduced_motion_is_obeyed(visit):
    view = visit(reduced_motion="reduce")
    assert view.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_the_figures_stand_without_javascript(visit):
    view = visit(java_script_enabled=False)
    assert view.locator(".number").is_visible() and view.locator("table.metrics").count() == 2
    assert "needs JavaScript" in view.locator("noscript").inner_text()


def test_graded_outputs_stand_in_order_beside_their_input_images(tmp_path, monkeypatch, chromium):
    import shutil
    from pathlib import Path

    from evals.added import add_scores
    from evals.run import run_suite, write_report

    for name in ("judged.yaml", "judged_plugins.py"):
        shutil.copy(Path(__file__).parent.parent / "data" / "harness" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    run_suite("judged.yaml", model="lighten", out="out", report=False)
    add_scores("out", suite="judged.yaml", settings=["roles.judge.darker=20"], name="darker")
    page = chromium.new_page()
    page.goto(write_report("out", print).resolve().as_uri())
    worth = page.locator(".card .badge").all_text_contents()
    assert worth == [f"◐ Partly correct {v:.3g}" for v in (10 / 255, 50 / 255, 90 / 255, 130 / 255, 170 / 255, 210 / 255)]
    assert page.locator(".card .frame-pair img").count() == 12
    added = page.locator("#added")
    assert "score beside grey" in added.inner_text() and "0.962" in added.inner_text()
    assert "requests" in page.locator("#provenance").inner_text()
    page.locator(".card").first.click()
    image = page.locator("#panel-source img")
    assert image.get_attribute("alt") == "Input image" and image.evaluate("i => i.naturalWidth") == 4
    assert "darker: score -0.039" in page.locator("#panel-scores").inner_text()
    page.close()

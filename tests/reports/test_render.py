"""The written page: whole, self-contained, inert."""

import json
import re

import pytest

from evals.errors import StoreError
from reports.pages import embed_json
from reports.render import HtmlReporter


def data_of(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL).group(1))


def test_the_page_refers_to_nothing_outside(page):
    text = page.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    assert "@import" not in text and "url(" not in text
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


def test_hostile_text_is_not_markup(page):
    text = page.read_text("utf-8")
    assert "<script>window" not in text and "<b>hostile" not in text and "<b>memory" not in text
    assert text.count("</script>") == 3
    assert "\u202e" not in text


def test_every_output_of_the_plan_is_in_the_page(page):
    manifest = json.loads((page.parent.parent / "manifest.json").read_text())
    assert len(data_of(page)["items"]) == manifest["n_expected"]


def test_mini_and_bundled_model_are_said(page):
    text = page.read_text("utf-8")
    assert "<title>GenEval-mini" in text
    assert "Not comparable with published GenEval numbers." in text
    assert "bundled with this repository" in text


def test_official_run_has_no_mini_words(builder, tmp_path):
    text = HtmlReporter().write(builder.build_run(tmp_path, profile="official", prompts_per_task=1)).read_text("utf-8")
    assert re.search(r"<title>GenEval [01]\.", text) and "GenEval-mini" not in text and "bundled with" not in text


def test_writing_twice_gives_the_same_bytes(page):
    before = page.read_bytes()
    assert HtmlReporter().write(page.parent.parent).read_bytes() == before


def test_a_run_without_results_has_a_page_that_says_so(builder, tmp_path):
    run = builder.build_run(tmp_path, prompts_per_task=1)
    (run / "results.json").unlink()
    (run / "scores" / "geneval.jsonl").unlink()
    text = HtmlReporter().write(run).read_text("utf-8")
    assert "This run is incomplete." in text and "0 of 12" in text and "not scored" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(StoreError):
        HtmlReporter().write(tmp_path)
    assert not (tmp_path / "report").exists()


def test_embedded_json_is_inert_and_exact():
    value = {"a": "</script><!-- & \u2028"}
    text = str(embed_json(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value

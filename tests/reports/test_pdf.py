"""`report --pdf`: a real PDF with the gallery drawn, and one sentence where there is no browser."""

from __future__ import annotations

import json
import re
import stat

import pytest
from click.testing import CliRunner

from evals.cli.main import main
from reports import pdf


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def pages(path):
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", path.read_bytes()))


def test_the_pdf_stands_beside_the_page(builder, tmp_path):
    run = builder.build_run(tmp_path / "run", prompts_per_task=2, hostile=True)
    told = json.loads(call(run, "--pdf", "--json"))
    path = run / "report" / "report.pdf"
    assert told["pdf"] == str(path) and path.read_bytes().startswith(b"%PDF-") and told["pdf_bytes"] == path.stat().st_size
    assert sorted(file.name for file in path.parent.iterdir()) == ["index.html", "report.pdf"]


def test_the_gallery_is_printed(builder, tmp_path):
    few = builder.build_run(tmp_path / "few", prompts_per_task=1, repeats=1, troubles=False)
    many = builder.build_run(tmp_path / "many", prompts_per_task=8, repeats=2, troubles=False)
    sizes = []
    for run in (few, many):
        assert call(run, "--pdf").splitlines()[-1] == str(run / "report" / "report.pdf")
        sizes.append(pages(run / "report" / "report.pdf"))
    # 90 more images at five a row.
    assert sizes[1] >= sizes[0] + 2


def test_without_a_browser_one_sentence_and_no_page(builder, tmp_path, monkeypatch):
    run = builder.build_run(tmp_path / "run", prompts_per_task=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    told = call(run, "--pdf", code=2)
    assert told == (
        "--pdf: got no browser; expected chromium, google-chrome or playwright's on the PATH. "
        "Install one (apt-get install chromium, or playwright install chromium).\n"
    )
    assert not (run / "report").exists()


def test_playwrights_own_browser_is_found(tmp_path, monkeypatch):
    own = tmp_path / "browsers" / "chromium-1234" / "chrome-linux" / "chrome"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    assert pdf.find_browser() == own


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo out of memory >&2; exit 3", "printed no PDF (exit code 3); it said: out of memory"),
        ("exit 0", "printed no PDF (exit code 0)"),
    ],
)
def test_a_browser_that_fails_is_told_and_leaves_no_file(tmp_path, script, words):
    browser = tmp_path / "chromium"
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    page = tmp_path / "page.html"
    page.write_text("<p>x</p>")
    with pytest.raises(pdf.PdfError, match=re.escape(words)):
        pdf.print_page(page, tmp_path / "page.pdf", browser=browser)
    assert not (tmp_path / "page.pdf").exists()

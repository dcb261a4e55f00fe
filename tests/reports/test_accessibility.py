"""A run's report under axe-core: no serious fault, with the page as it opens and with a sample's panel open."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_has_no_serious_fault(chromium, page, scheme):
    for width in (390, 1280):
        view = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True).new_page()
        view.goto(page.as_uri())
        assert helpers.faults(view) == []
        view.context.close()


@pytest.mark.parametrize("at", ["position-00003/1", "hostile-long/0"])
def test_an_open_panel_has_no_serious_fault(chromium, page, at):
    for width in (390, 1280):
        view = chromium.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
        view.goto(f"{page.as_uri()}#sample={at}")
        view.locator("#panel").wait_for()
        assert helpers.faults(view) == []
        view.context.close()


def test_a_planted_fault_is_found(chromium, page):
    view = chromium.new_context(offline=True).new_page()
    view.goto(page.as_uri())
    view.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [fault.partition(":")[0] for fault in helpers.faults(view)] == ["button-name"]
    view.context.close()

"""Synthetic runs and a real headless Chromium for the report's tests."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def builder():
    """The module that writes synthetic run folders."""
    spec = importlib.util.spec_from_file_location("run_builder", Path(__file__).parent / "run_builder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def page(builder, tmp_path_factory):
    """The written report of a run with hostile prompts and every trouble."""
    from reports.render import HtmlReporter

    return HtmlReporter().write(
        builder.build_run(tmp_path_factory.mktemp("run") / "geneval-mini", prompts_per_task=10, hostile=True)
    )


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; its absence is a failure, because the page would then go untested."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("The report's tests need a browser: apt-get install chromium", pytrace=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()

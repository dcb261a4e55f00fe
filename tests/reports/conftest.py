"""Synthetic runs and a real headless Chromium for the report's tests."""

from __future__ import annotations

import importlib.util
import shutil
import time
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


@pytest.fixture
def browse(chromium):
    """Open a page of the disk in a fresh offline context: (path, width, height, scheme, hash_, **options) -> view.

    After the test no message of the console, no dialog and no request but for the disk may be on record.
    """
    contexts, noise, local = [], [], ("file:", "data:")

    def open_page(path, *, width=1280, height=900, scheme="light", hash_="", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, **options)
        contexts.append(context)
        view = context.new_page()
        view.on("console", lambda message: noise.append(f"console: {message.text}"))
        view.on("pageerror", lambda error: noise.append(f"error: {error}"))
        view.on("dialog", lambda dialog: noise.append(f"dialog: {dialog.message}"))
        view.on("request", lambda asked: asked.url.startswith(local) or noise.append(f"request: {asked.url}"))
        view.goto(path.as_uri() + hash_)
        return view

    yield open_page
    for context in contexts:
        context.close()
    assert noise == []


@pytest.fixture
def until():
    """Wait until an expression is true in a page: (view, expression, arg=None).

    Asked again from here: the browser's own waiting evaluates text inside the page, which the page's policy forbids.
    """

    def wait(view, expression, arg=None):
        end = time.monotonic() + 30
        while not view.evaluate(expression, arg):
            assert time.monotonic() < end, f"never true: {expression}"
            view.wait_for_timeout(20)

    return wait

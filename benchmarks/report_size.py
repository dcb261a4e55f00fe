"""How large a report is and how long it takes to write: 553 GenEval prompts x 4 images of 1,024 px by default.

Usage: `python benchmarks/report_size.py [--outputs 2212] [--side 1024] [--distinct 64]`. The pictures are noisy, so
their thumbnails are larger than those of photographs; `--distinct` files serve all outputs to keep the disk small,
and each output is still encoded apart. `--open` also opens the page in Chromium and prints its paint time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> None:
    """Build a synthetic run, write its report, print size and seconds as JSON."""
    sys.path.insert(0, str(ROOT))
    from reports.render import HtmlReporter

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=int, default=2212)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--distinct", type=int, default=64)
    parser.add_argument("--open", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run = _run(Path(folder) / "run", options)
        started = time.perf_counter()
        page = HtmlReporter().write(run)
        first = time.perf_counter() - started
        started = time.perf_counter()
        HtmlReporter().write(run)
        second = time.perf_counter() - started
        files = [path for path in page.parent.rglob("*") if path.is_file()]
        figures = {
            "outputs": options.outputs,
            "side_px": options.side,
            "report_mb": round(sum(path.stat().st_size for path in files) / 1e6, 2),
            "index_mb": round(page.stat().st_size / 1e6, 2),
            "files": len(files),
            "seconds_first": round(first, 2),
            "seconds_again": round(second, 2),
        }
        if options.open:
            figures |= _open(page)
        sys.stdout.write(json.dumps(figures) + "\n")


def _run(folder: Path, options: argparse.Namespace) -> Path:
    spec = importlib.util.spec_from_file_location("run_builder", ROOT / "tests" / "reports" / "run_builder.py")
    assert spec is not None and spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    per_task = -(-options.outputs // (len(builder.TASKS) * 4))
    builder.build_run(
        folder,
        prompts_per_task=per_task,
        repeats=4,
        side=options.side,
        troubles=False,
        profile="official",
        noise=True,
        shared_images=options.distinct,
    )
    journal = folder / "journal.jsonl"
    lines = journal.read_text("utf-8").splitlines()[: options.outputs]
    rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        # Distinct hashes: as many thumbnails are encoded and stored as a real run would have.
        row["image_sha256"] = f"{number:064x}"[::-1]
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def _open(page: Path) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.path.join("/usr", "bin", "chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page()
        view.goto(page.as_uri())
        view.wait_for_selector(".card")
        paint = view.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
        ready = view.evaluate("performance.now()")
        milliseconds = view.evaluate(
            """() => { const box = document.getElementById('text'); const t = performance.now(); box.value = 'red sta';
            box.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - t; }"""
        )
        browser.close()
    return {"first_paint_ms": round(paint), "cards_ms": round(ready), "filter_ms": round(milliseconds, 1)}


if __name__ == "__main__":
    main()

"""A page as PDF, printed by a headless Chromium; nothing else prints grids, SVG and the print style as the browser shows them.

The browser is looked for on the PATH, then where playwright keeps its own. It gets a profile of its own, no network, and the
page from disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from evals.errors import UserError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
TIMEOUT = 180.0
"""Seconds; a page of 20,000 samples prints in a fraction of it."""
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--no-first-run", "--no-default-browser-check", "--no-pdf-header-footer",
    "--force-color-profile=srgb", "--blink-settings=preferredColorScheme=1", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


class PdfError(UserError):
    """No browser, or one that printed nothing."""


def find_browser(path: str | None = None) -> Path:
    """Return the browser's executable.

    Args:
        path: search path; None is the environment's PATH.

    Raises:
        PdfError: there is none.
    """
    for name in NAMES:
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    own = _of_playwright() if path is None else None
    if own is not None:
        return own
    raise PdfError(
        f"--pdf: got no browser; expected {NAMES[0]}, {NAMES[2]} or playwright's on the PATH. "
        "Install one (apt-get install chromium, or playwright install chromium)."
    )


def print_page(page: Path, target: Path, *, browser: Path | None = None, timeout: float = TIMEOUT) -> Path:
    """Print an HTML file to PDF.

    Args:
        page: the file; what it refers to is read from disk.
        target: the PDF, written whole or not at all.
        browser: executable; None looks for one.
        timeout: seconds.

    Returns:
        `target`.

    Raises:
        PdfError: no browser, or it failed; with its last words.
    """
    executable = browser or find_browser()
    with tempfile.TemporaryDirectory(prefix="uniar-eval-pdf-") as scratch:
        part = Path(scratch) / "page.pdf"
        command = [str(executable), *_FLAGS, f"--user-data-dir={scratch}/profile", f"--print-to-pdf={part}"]
        # Chromium refuses its sandbox to root; the page is ours and allows no script but its own.
        command += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        # Time for the page's script to draw the gallery; virtual, so nobody waits for it.
        command += ["--virtual-time-budget=10000", page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, text=True, errors="replace")
        except subprocess.TimeoutExpired as error:
            raise PdfError(f"{page}: {executable.name} took more than {timeout:g} seconds to print it. Try again.") from error
        except OSError as error:
            raise PdfError(f"{executable}: got {error}; expected a Chromium that runs.") from error
        if done.returncode != 0 or not part.is_file() or not part.read_bytes().startswith(b"%PDF-"):
            words = " ".join(done.stderr.split())[-300:] or "nothing"
            raise PdfError(f"{page}: {executable.name} printed no PDF (exit code {done.returncode}); it said: {words}")
        fresh = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.copyfile(part, fresh)
        fresh.replace(target)
    return target


def _of_playwright() -> Path | None:
    """The Chromium that `playwright install chromium` fetched; found by its folder, so playwright itself need not start."""
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    patterns = (
        "chromium-*/chrome-linux*/chrome",
        "chromium_headless_shell-*/chrome-linux*/headless_shell",
        "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
    )
    found = [path for pattern in patterns for path in sorted(root.glob(pattern), reverse=True)]
    return found[0] if found else None

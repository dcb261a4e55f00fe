"""How well PP-OCR reads rendered text, measured through the suite: fonts, sizes, colours, rotations, noise; English and Chinese.

Each row is one run of `longtext` (profile mini or mini-zh) on the writing control `text-renderer`. `exact` is the share of images of
which every word (Chinese: character) is read, `text score` the benchmark's ratio. Usage: python benchmarks/ocr_rendered.py [N [M]],
N prompts a clean row (default 16), M a noise row (default 12). About 0.35 s an image on one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from evals.models.text_renderer import CHINESE_FONTS
from evals.run import run_suite

CLEAN = {
    "en": (
        "", "font=sans", "font=serif", "font=mono", "font=bold", "text_size=24", "text_size=40", "text_size=64,size=768",
        "ink=black,paper=white", "ink=gold,paper=darkgreen", "ink=white,paper=crimson", "rotation=5", "rotation=-10", "rotation=20",
        "rotation=180",
    ),
    "zh": ("", "text_size=24", "text_size=40", "ink=gold,paper=darkgreen", "rotation=5", "rotation=-10"),
}  # fmt: skip
NOISE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5)


def measure(language: str, setting: str, prompts: int) -> tuple[int, float, float, float]:
    """Run the suite once; return images, exact share, text score and seconds an image."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = run_suite(
            "longtext",
            model=f"text-renderer:{setting}",
            profile="mini" if language == "en" else "mini-zh",
            settings=[f"data.prompts={prompts}"],
            out=Path(folder) / "run",
            report=False,
        )
        seconds = (time.perf_counter() - started) / prompts
        rows = [json.loads(line) for line in (Path(folder) / "run/scores/longtext.jsonl").read_text("utf-8").splitlines()]
    exact = sum(row["values"]["accuracy"] == 1.0 for row in rows) / len(rows)
    return len(rows), exact, done.results["headline"]["value"], seconds


def main() -> None:
    """Print the tables."""
    prompts, noisy = (int(x) for x in (sys.argv[1:] + ["16", "12"][len(sys.argv) - 1 :])[:2])
    languages = ["en", *(["zh"] if any(path.is_file() for path in CHINESE_FONTS) else [])]
    print(f"{'language':8}  {'setting':28}  {'n':>3}  {'exact':>6}  {'text score':>10}  {'s/image':>7}")
    for language in languages:
        total = right = 0.0
        for setting in CLEAN[language]:
            n, exact, score, seconds = measure(language, setting, prompts)
            total, right = total + n, right + n * exact
            print(f"{language:8}  {setting or 'plain':28}  {n:3}  {exact:6.3f}  {score:10.3f}  {seconds:7.2f}", flush=True)
        print(f"{language:8}  {'all clean rows':28}  {total:3.0f}  {right / total:6.3f}", flush=True)
        for noise in NOISE:
            n, exact, score, seconds = measure(language, f"noise={noise}", noisy)
            print(f"{language:8}  {f'noise {noise}':28}  {n:3}  {exact:6.3f}  {score:10.3f}  {seconds:7.2f}", flush=True)


if __name__ == "__main__":
    main()

"""`HtmlReporter`: run folder -> `report/index.html`, one page that opens from disk without a network.

Values come from `reports.views`, bars from `reports.charts`, thumbnails from `reports.media`; here they meet the template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from markupsafe import Markup

from evals.store import atomic
from evals.types import Output, Sample, Score
from reports import charts, media, pages, text, views


class Run(Protocol):
    """The part of `evals.store.reader.RunReader` that a page reads."""

    manifest: Mapping[str, Any]
    results: Mapping[str, Any]

    def samples(self) -> list[Sample]:
        """The plan, in order."""

    def outputs(self) -> list[Output]:
        """The journal."""

    def scores(self, name: str | None = None) -> list[Score]:
        """One scorer's scores, or all."""

    def resolve(self, relative: str) -> Path:
        """A path of the run folder, confined to it."""


class HtmlReporter:
    """Write the page of a finished or unfinished run."""

    def write(self, run_dir: Path) -> Path:
        """Write `report/index.html` into the run folder.

        Args:
            run_dir: a run folder with `manifest.json` and `results.json`.

        Returns:
            The path of the page.

        Raises:
            evals.errors.StoreError: the folder is not a run, or is damaged.
        """
        from evals.store.reader import RunReader

        return self.render(RunReader(run_dir), run_dir / "report")

    def render(self, run: Run, out: Path) -> Path:
        """Write the page of an opened run into the folder `out` (made when absent) and return its path."""
        out.mkdir(parents=True, exist_ok=True)
        outputs = run.outputs()
        pictures = media.pictures(outputs, resolve=run.resolve, report_dir=out)
        samples = run.samples()
        sources = media.source_pictures(run, samples, report_dir=out)
        gallery = views.gallery(
            samples,
            outputs,
            run.scores(),
            pictures,
            value=views.value_name(run.manifest, run.results),
            n_expected=int(run.manifest.get("n_expected", 0)),
            scale=views.scale_of(run.manifest),
            sources=sources,
        )
        gallery["thumbs"] = f"{media.THUMBNAIL_DIR}/"
        gallery["sources"] = f"{media.SOURCE_DIR}/"
        target = out / "index.html"
        atomic.write_bytes(target, _page(run, gallery))
        return target


def _page(run: Run, gallery: Mapping[str, Any]) -> bytes:
    manifest, results = run.manifest, run.results
    metrics = [views.metric_row(metric) for metric in results.get("metrics") or []]
    # Before scoring there are no results: the page then says so, over what the plan asked for.
    plan = {"task": "*", "n_expected": manifest.get("n_expected", 0), "n_samples": manifest.get("n_samples", 0)}
    headline = views.metric_row(results.get("headline") or plan) | {"kind": "headline"}
    tasks = [row for row in metrics if row["kind"] == "task"]
    return pages.render_page(
        "report.html.j2",
        styles=("report.css",),
        scripts=("cards.js", "gallery.js"),
        title=views.title(manifest),
        mini=manifest.get("profile") == "mini",
        manifest=manifest,
        notice=text.visible(results.get("notice") or manifest.get("notice") or ""),
        bundled=bool(manifest.get("bundled_model")),
        model=text.visible((manifest.get("model") or {}).get("id", "unnamed model"), 200),
        status=results.get("status", "incomplete"),
        next_step=text.visible(results.get("next") or ""),
        headline=headline,
        tasks=tasks,
        slices=[row for row in metrics if row["kind"] == "slice"],
        further=[row for row in metrics if row["kind"] in views.FURTHER],
        added=views.added(results),
        judges=views.judges(results),
        chart=_chart(tasks, headline, views.scale_of(manifest)),
        gallery=gallery,
        data=pages.embed_json(gallery),
        provenance=views.provenance(manifest, results),
        suite_text=text.visible(_yaml(manifest.get("resolved_suite") or {}), 200_000),
        command=views.command(manifest),
    )


def _chart(tasks: list[dict[str, Any]], headline: Mapping[str, Any], scale: tuple[float, float]) -> Markup:
    bars = [
        charts.Bar(
            label=row["label"],
            value=row["number"],
            low=row["low_number"],
            high=row["high_number"],
            note="" if row["full"] else f"coverage {row['coverage']}",
        )
        for row in tasks
    ]
    return charts.interval_bars(
        bars, title="Value per task with 95% interval", reference=headline["number"], ident="tasks-chart", scale=scale
    )


def _yaml(data: object) -> str:
    import yaml

    # Through JSON first, so that a tuple or an enum in the suite cannot become a YAML tag.
    return yaml.safe_dump(json.loads(json.dumps(data, default=str)), sort_keys=False, allow_unicode=True)

"""Comparisons and gate verdicts in words: aligned text for the terminal, Markdown for the page of a CI job."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.analysis import gate
from evals.analysis.compare import OVERALL, Against, Comparison, Delta
from evals.analysis.pairing import LOST, TIED, WON

_HIDDEN = {*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F)}
_HIDDEN |= {*range(0x2066, 0x206A), *range(0xD800, 0xE000)}
_SEEN = {code: f"\u27e6U+{code:04X}\u27e7" for code in _HIDDEN}
"""Characters that steer a terminal or turn the direction of text, as something that can be seen."""
_HEAD = ("", "first", "second", "difference", "95% interval", "p", "won", "lost", "tied", "prompts")


def compare_lines(found: Comparison) -> list[str]:
    """Return a comparison as text, a table for each run against the first."""
    lines = [f"{found.first.title}: {found.first.model}, first ({found.first.path})"]
    for other in found.others:
        lines += ["", f"against it: {other.run.model}, second ({other.run.path})", f"overall is the {other.overall_of}."]
        rows = [_cells(other.overall)] if other.overall is not None else []
        rows += [_cells(task) for task in other.tasks]
        lines += aligned([_HEAD, *rows])
        lines += other.notes
    lines += ["", "Differences are second - first. p: sign flips of whole prompts, two-sided; of tasks corrected by Holm."]
    return [line.translate(_SEEN) for line in lines]


def gate_lines(found: gate.Verdict) -> list[str]:
    """Return a verdict as text, the verdict last."""
    rows = [("", "baseline", "run", "difference", "bound", "margin", "p worse", "verdict")]
    rows += [
        (
            check.metric,
            _number(check.delta and check.delta.first),
            _number(check.delta and check.delta.second),
            _signed(check.delta and check.delta.delta),
            _signed(None if check.bound is None else check.better * check.bound),
            f"{check.margin:g}",
            _p(check.p_worse),
            check.verdict,
        )
        for check in found.checks
    ]
    lines = aligned(rows) if found.checks else []
    lines += [f"{check.metric}: {check.reason}" for check in found.checks]
    lines += [f"Worse task: {_task(found, name)}" for name in found.worse_tasks]
    lines += found.reasons
    return [line.translate(_SEEN) for line in (*lines, f"{found.verdict.upper()} (exit code {found.exit_code})")]


def gate_markdown(found: gate.Verdict) -> str:
    """Return a verdict as Markdown; names from outside are inert in it."""
    mark = {gate.PASS: "✅", gate.REGRESSION: "❌", gate.INCONCLUSIVE: "❔"}.get(found.verdict, "⚠️")
    lines = [
        f"## {mark} {found.verdict.capitalize()}: {_md(found.baseline.title)}",
        "",
        f"{_md(found.run.model)} against the baseline {_md(found.baseline.model)}, protocol {_md(found.baseline.protocol)}, "
        f"alpha {found.alpha:g}.",
        "",
    ]
    if found.checks:
        lines += ["| | baseline | run | difference | 95% interval | tolerated fall | verdict |", "|---|--:|--:|--:|:-:|--:|---|"]
        for check in found.checks:
            delta = check.delta
            cells = [_md(check.metric), _number(delta and delta.first), _number(delta and delta.second), _signed(delta and delta.delta)]
            lines.append(f"| {' | '.join([*cells, _interval(delta), f'{check.margin:g}', check.verdict])} |")
        lines.append("")
    lines += [f"- {_md(check.metric)}: {_md(check.reason)}" for check in found.checks]
    lines += [f"- Worse task: {_md(_task(found, name))}" for name in found.worse_tasks]
    lines += [f"- {_md(reason)}" for reason in found.reasons]
    if found.tasks:
        lines += [
            "",
            "<details><summary>Tasks</summary>",
            "",
            "| task | baseline | run | difference | 95% interval | p (Holm) | won | lost | tied |",
        ]
        lines.append("|---|--:|--:|--:|:-:|--:|--:|--:|--:|")
        for task in found.tasks:
            cells = [
                _md(task.name),
                _number(task.first),
                _number(task.second),
                _signed(task.delta),
                _interval(task),
                _p(task.p_holm).replace("<", "&lt;"),
            ]
            lines.append(f"| {' | '.join([*cells, *(str(task.counts[name]) for name in (WON, LOST, TIED))])} |")
        lines += ["", "</details>"]
    if found.lost:
        more = found.n_lost - len(found.lost)
        lines += ["", f"Lost outputs: {', '.join(map(_md, found.lost))}{f' and {more} more' if more else ''}."]
    return "\n".join(lines) + "\n"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as text, the first column to the left and the others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def headline_of(other: Against) -> str:
    """Return a run's overall difference in one phrase."""
    delta = other.overall
    return "no overall difference" if delta is None else f"{_signed(delta.delta)}, 95% interval {_interval(delta)}"


def _cells(delta: Delta) -> tuple[str, ...]:
    label = OVERALL if delta.name == OVERALL else delta.name
    counts = (str(delta.counts[name]) for name in (WON, LOST, TIED))
    return (
        label, _number(delta.first), _number(delta.second), _signed(delta.delta), _interval(delta), _p(delta.p_holm), *counts,
        str(delta.prompts),
    )  # fmt: skip


def _task(found: gate.Verdict, name: str) -> str:
    task = next(task for task in found.tasks if task.name == name)
    return f"{name}, {_signed(task.delta)} ({_interval(task)}), p {_p(task.p_holm)} after Holm"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _interval(delta: Delta | None) -> str:
    return "-" if delta is None or delta.low is None or delta.high is None else f"[{delta.low:+.3f}, {delta.high:+.3f}]"


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _md(text: str) -> str:
    """Text that Markdown and HTML leave alone: marks are escaped, lines are joined."""
    flat = " ".join(str(text).split()).translate(_SEEN)
    flat = flat if len(flat) <= 600 else f"{flat[:600]} …"
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*_\[\]#!|~@$])", r"\\\1", flat)
    # What looks like an address would become a link.
    return flat.replace("://", "\\:\\/\\/").replace("www.", "www\\.")

"""What the page says: a run's records turned into the plain values that the templates and the gallery show.

Nothing is drawn here and nothing is measured: numbers come from `results.json`, verdicts from the scores.
Every planned output has an entry in the gallery; one that was never made is there as `missing`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from evals.types import Outcome, Output, Sample, Score
from reports.evidence import blocks
from reports.text import coverage_text, plain, visible, words

MAX_DETECTIONS = 100
"""Detections shown for one image, best first; the panel says how many there were."""
MAX_EVIDENCE = 2_000
"""Characters of a score's other evidence in the page; the whole of it is in `scores/`."""

FURTHER = ("value", "more", "set", "scorer")
"""Kinds of metrics that stand below the tasks: other values, other metrics, of the whole set, of other scorers."""
VERDICTS = {"incorrect": "Incorrect", "partial": "Partly correct", "correct": "Correct"}


class Shown(Protocol):
    """What the page needs of a picture (`reports.media.Picture`)."""

    source: str
    width: int
    height: int
    original: bool
    problem: str


def title(manifest: Mapping[str, Any]) -> str:
    """The page's title; a mini run always says so, whatever its suite calls it."""
    name = str(manifest.get("title") or manifest.get("suite") or "Run")
    profile = str(manifest.get("profile", ""))
    if profile == "mini" and "mini" not in name.lower():
        name = f"{name}-mini"
    return visible(name, 200)


def metric_row(metric: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a table: formatted value, interval, counts and outcomes of a metric's JSON."""
    value, low, high = (metric.get(key) for key in ("value", "low", "high"))
    n, expected = int(metric.get("n", 0)), int(metric.get("n_expected", 0))
    coverage = metric.get("coverage")
    coverage = float(coverage) if coverage is not None else (n / expected if expected else 0.0)
    outcomes = [
        {"label": words(name), "count": f"{count:,}", "ok": name == Outcome.OK.value}
        for name, count in (metric.get("outcomes") or {}).items()
        if count
    ]
    return {
        "task": visible(metric.get("task", ""), 200),
        "label": row_label(metric),
        "name": visible(metric.get("name", ""), 200),
        "kind": metric.get("kind", "task"),
        "number": value,
        "low_number": low,
        "high_number": high,
        "value": "not scored" if value is None else f"{value:.3f}",
        "interval": "none" if low is None or high is None else f"{low:.3f} to {high:.3f}",
        "n": f"{n:,}",
        "n_samples": f"{int(metric.get('n_samples', 0)):,}",
        "n_expected": f"{expected:,}",
        "coverage": coverage_text(coverage),
        "full": n >= expected > 0,
        "outcomes": outcomes,
    }


def row_label(metric: Mapping[str, Any]) -> str:
    """What a line of a table measures; slices carry several metrics, so they also tell which one."""
    place = words(str(metric.get("task", "")))
    if metric.get("kind") in FURTHER:
        name = words(str(metric.get("name", "")))
        return name if metric.get("task") == "*" else f"{place}: {name}"
    if metric.get("kind") != "slice":
        return place
    name = {"overall": "mean of tasks", "prompt_accuracy": "prompts with a right image"}.get(str(metric.get("name")), "mean of images")
    return f"{place}: {name}"


def value_name(manifest: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Which named value decides correct and incorrect: the suite's `report.value`, else the tables' metric."""
    suite = manifest.get("resolved_suite")
    if isinstance(suite, Mapping):
        profiles = suite.get("profiles")
        inner = profiles.get(manifest.get("profile")) if isinstance(profiles, Mapping) else None
        for level in (suite, inner):
            report = level.get("report") if isinstance(level, Mapping) else None
            if isinstance(report, Mapping) and report.get("value"):
                return str(report["value"])
    for metric in results.get("metrics") or []:
        if metric.get("kind") == "task":
            return str(metric.get("name"))
    return "correct"


def gallery(
    samples: Sequence[Sample],
    outputs: Iterable[Output],
    scores: Iterable[Score],
    pictures: Mapping[str, Shown],
    *,
    value: str,
    n_expected: int,
    scale: tuple[float, float] = (0.0, 1.0),
    sources: Mapping[str, Shown] = MappingProxyType({}),
) -> dict[str, Any]:
    """Build the data that the page's script draws the gallery and the panel from.

    Args:
        samples: the plan, in its order.
        outputs: journal; the last line of a `sample_id/repeat` counts.
        scores: of all scorers; the one that carries `value` (else the first) gives the verdict.
        pictures: `sample_id/repeat` -> picture.
        value: the named value that decides right and wrong.
        n_expected: outputs that the plan asked for; tells how many repeats a sample has.
        scale: that value for an output that is wholly wrong, and for one that is wholly right.
        sources: sample id -> its input image.

    Returns:
        JSON data: `tasks`, `tags`, `verdicts` ({key, label, rank}), `samples` (rows) and `items` (rows, plan order).
    """
    made = {(output.sample_id, output.repeat): output for output in outputs}
    judged: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        judged.setdefault((score.sample_id, score.repeat), []).append(score)
    plan = _plan(samples, made, n_expected)
    tasks, tags, verdicts = _Index(), _Index(), _Index()
    rows: dict[str, int] = {}
    sample_rows: list[list[Any]] = []
    items: list[dict[str, Any]] = []
    for sample, repeat in plan:
        if sample.sample_id not in rows:
            rows[sample.sample_id] = len(sample_rows)
            sample_rows.append(
                [
                    sample.sample_id,
                    tasks.of(sample.task),
                    visible(sample.prompt),
                    [tags.of(tag) for tag in sample.tags],
                    None if sample.target is None else visible(sample.target),
                    _source(sources.get(sample.sample_id)),
                ]
            )
        key = (sample.sample_id, repeat)
        output, own = made.get(key), judged.get(key, [])
        item = _item(sample, output, own, pictures.get(f"{sample.sample_id}/{repeat}"))
        judgement = verdict(output, own, value, scale)
        item |= {"s": rows[sample.sample_id], "r": repeat, "v": verdicts.of(judgement)}
        if judgement == "partial":
            number = next(score.values[value] for score in own if value in score.values)
            # What it is worth, and where it lies between worst and best: the order inside "partly correct".
            item |= {"q": f"{number:.3g}", "g": round((number - scale[0]) / (scale[1] - scale[0]), 4)}
        items.append(item)
    return {
        "tasks": [{"key": visible(task, 200), "label": words(task)} for task in tasks.names],
        "tags": [visible(tag, 200) for tag in tags.names],
        "verdicts": [_verdict_row(key) for key in verdicts.names],
        "samples": sample_rows,
        "items": items,
    }


def verdict(output: Output | None, scores: Sequence[Score], value: str, scale: tuple[float, float] = (0.0, 1.0)) -> str:
    """`correct`, `incorrect`, `partial`, or the outcome that kept the output from being scored."""
    if output is None:
        return Outcome.MISSING.value
    if output.outcome is not Outcome.OK:
        return output.outcome.value
    if not scores:
        return Outcome.MISSING.value
    score = next((s for s in scores if value in s.values), None)
    if score is None:
        bad = next((s for s in scores if s.outcome is not Outcome.OK), None)
        return bad.outcome.value if bad else Outcome.NOT_APPLICABLE.value
    worst, best = scale
    share = (score.values[value] - worst) / (best - worst)
    return "correct" if share >= 1 else "incorrect" if share <= 0 else "partial"


def scale_of(manifest: Mapping[str, Any]) -> tuple[float, float]:
    """The suite's values at the two ends of a chart: `report.worst` and `report.best`, else 0 and 1."""
    suite = manifest.get("resolved_suite")
    report = suite.get("report") if isinstance(suite, Mapping) else None
    report = report if isinstance(report, Mapping) else {}
    worst, best = float(report.get("worst", 0.0)), float(report.get("best", 1.0))
    return (worst, best) if worst != best else (0.0, 1.0)


def added(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scorers that were added to the run: name, what plays the roles, values, and agreement with the run's own."""
    return [
        {
            "name": visible(row.get("name", ""), 200),
            "roles": ", ".join(f"{visible(role, 60)} {visible(use.get('use', ''), 200)}" for role, use in (row.get("roles") or {}).items()),
            "metrics": [metric_row(metric) for metric in row.get("metrics") or []],
            "agreement": [_agreement(line) for line in row.get("agreement") or []],
        }
        for row in results.get("added") or []
    ]


def _agreement(line: Mapping[str, Any]) -> dict[str, str]:
    def told(key: str) -> str:
        number = line.get(key)
        return "none" if number is None else f"{number:.3f}"

    interval = "" if line.get("alpha_low") is None else f"{told('alpha_low')} to {told('alpha_high')}"
    numbers = {key: told(key) for key in ("alpha", "spearman", "kendall", "equal", "difference")}
    label = f"{words(str(line.get('value', '')))} beside {visible(line.get('with', ''), 200)}"
    return {"label": label, "interval": interval, "n": f"{int(line.get('n', 0)):,}", **numbers}


def judges(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Judges behind the run's ledger, with what they replied and cost, as (name, value) lines."""
    found = []
    for role, facts in (results.get("judges") or {}).items():
        lines = [(words(str(key)), plain(value)) for key, value in facts.items() if value is not None]
        found.append({"title": words(str(role)), "lines": lines})
    return found


def _source(picture: Shown | None) -> list[Any] | None:
    if picture is None or not picture.source:
        return None
    return [picture.source, picture.width, picture.height, int(picture.original)]

def command(manifest: Mapping[str, Any]) -> str:
    """The line that runs this again; the manifest's own when it has one."""
    given = manifest.get("command")
    if isinstance(given, str) and given:
        return visible(given)
    if isinstance(given, (list, tuple)) and given:
        return visible(shlex.join(str(part) for part in given))
    parts = ["uniar-eval", "run", f"suites/{manifest.get('suite', 'SUITE')}.yaml"]
    parts += ["--profile", str(manifest.get("profile", "official"))]
    model = manifest.get("model")
    if isinstance(model, Mapping) and model.get("id"):
        parts += ["--model", str(model["id"])]
    for option in ("seed", "limit"):
        if manifest.get(option) is not None:
            parts += [f"--{option}", str(manifest[option])]
    return visible(shlex.join(parts))


def provenance(manifest: Mapping[str, Any], results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups of (name, value) lines: run, protocol, model, software, hardware, time."""
    run = {key: manifest.get(key) for key in ("suite", "profile", "created", "seed", "limit", "fingerprint")}
    run |= {"prompts": manifest.get("n_samples"), "outputs planned": manifest.get("n_expected")}
    groups = [
        ("Run", run),
        ("Protocol", manifest.get("protocol")),
        ("Model", manifest.get("model")),
        ("Code", manifest.get("git")),
        ("Versions", manifest.get("versions")),
        ("Hardware", manifest.get("hardware")),
        ("Seconds", results.get("seconds")),
    ]
    return [
        {"title": name, "lines": [(words(str(k)), plain(v)) for k, v in _lines(content)]}
        for name, content in groups
        if content and _lines(content)
    ]


def _lines(content: object) -> list[tuple[str, Any]]:
    if isinstance(content, Mapping):
        return [(str(k), v) for k, v in content.items() if v is not None]
    return [("value", content)]


def _plan(
    samples: Sequence[Sample], made: Mapping[tuple[str, int], Output], n_expected: int
) -> list[tuple[Sample, int]]:
    repeats = n_expected // len(samples) if samples else 0
    plan = [(sample, repeat) for sample in samples for repeat in range(repeats)]
    planned = {(sample.sample_id, repeat) for sample, repeat in plan}
    known = {sample.sample_id: sample for sample in samples}
    for (sample_id, repeat), output in made.items():
        if (sample_id, repeat) not in planned:
            fallback = Sample(sample_id=sample_id, task=output.task, prompt="")
            plan.append((known.get(sample_id, fallback), repeat))
    return plan


def _item(sample: Sample, output: Output | None, scores: Sequence[Score], picture: Shown | None) -> dict[str, Any]:
    """Short keys and no empty values: a page has tens of thousands of these."""
    if output is None:
        return {"e": "The run has not made this output yet."}
    item: dict[str, Any] = {
        # As text: a 63-bit seed does not survive a JavaScript number.
        "seed": str(output.seed),
        "p": output.image or "",
        "e": visible(output.error or ""),
        "x": visible(output.text or ""),
        "t": round(output.seconds, 3),
    }
    if picture is not None:
        item |= {"i": picture.source, "w": picture.width, "h": picture.height, "o": int(picture.original)}
        item["e"] = item["e"] or picture.problem
    item["sc"] = [_score(score, sample) for score in scores]
    if not scores and output.outcome is Outcome.OK:
        item["e"] = item["e"] or "No score is stored for this output."
    detections = next((s.evidence["detections"] for s in scores if s.evidence.get("detections")), [])
    shown = sorted((d for d in detections if len(d.get("box") or ()) == 4), key=lambda d: -float(d.get("score", 0)))
    item["d"] = [_detection(d) for d in shown[:MAX_DETECTIONS]]
    item["dn"] = len(detections) if len(detections) > len(item["d"]) else 0
    return {key: entry for key, entry in item.items() if entry not in ("", [], 0)}


def _score(score: Score, sample: Sample) -> dict[str, Any]:
    shown, rest = blocks({key: entry for key, entry in score.evidence.items() if key != "detections"}, sample.metadata)
    row = {
        "n": visible(score.scorer, 200),
        "o": "" if score.outcome is Outcome.OK else words(score.outcome.value),
        "v": {visible(key, 200): round(number, 6) for key, number in score.values.items()},
        "r": visible(score.reason),
        "b": shown,
        "e": visible(plain(rest), MAX_EVIDENCE) if rest else "",
    }
    return {key: entry for key, entry in row.items() if entry not in ("", {}, [])}


def _detection(detection: Mapping[str, Any]) -> list[Any]:
    box = [round(float(side), 1) for side in detection["box"]]
    color = detection.get("color")
    name = visible(detection.get("class", "?"), 200)
    return [name, round(float(detection.get("score", 0)), 3), visible(color, 200) if color else "", *box]


def _verdict_row(key: str) -> dict[str, Any]:
    rank = {"incorrect": 0, "partial": 2, "correct": 3}.get(key, 1)
    label = VERDICTS.get(key) or f"Not scored: {words(key)}"
    return {"key": key, "label": label, "rank": rank}


class _Index:
    """Names in order of first appearance, each with its number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._number: dict[str, int] = {}

    def of(self, name: str) -> int:
        """The name's number, a new one when it is new."""
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        return self._number[name]

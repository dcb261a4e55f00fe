"""Own runs and published results, sorted into boards: a column forms only over equal measurements.

A board is one suite, one protocol, one version, and one set of settings under that name (`evals.likeness`): a GenEval run with
rewritten prompts and one with the original prompts have two boards, a mini run and an official one too. What else there is of
the same suite stands on the board greyed, with the reason, and has no place. `reports/leaderboard_site.py` writes the pages.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals import likeness, ranks
from evals.errors import UserError
from evals.store.reader import RunReader
from reports import published
from reports.runs import model_name

HEAD = "overall"
"""Key of the number at the top of an entry."""
KINDS = {"own": "own run", "published": "published", "re-run": "re-run by others"}
_SHOWN = ("value", "more", "set")
"""Kinds of metrics of the whole suite that have a column beside the tasks."""
REASONS = 3
"""Differences that a reason names; of more it tells the number."""


@dataclass(frozen=True, slots=True)
class Number:
    """A value with its interval, as far as there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    shown: str = ""
    """The digits of the source; empty for a run of ours, which has all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a board: one run, or one result from one source."""

    ident: str
    """Permalink; the same in every build of the site."""
    model: str
    kind: str
    suite: str
    protocol: str
    version: int
    numbers: Mapping[str, Number]
    """`HEAD`, `task:NAME` and `value:NAME`; no entry for what has no value."""
    source: str
    second_hand: bool = False
    note: str = ""
    title: str = ""
    """Of the board when nobody else names it."""
    lower_is_better: bool = False
    scale: tuple[float, float] | None = None
    complete: bool = True
    n: int | None = None
    n_expected: int | None = None
    n_samples: int | None = None
    measurement: Mapping[str, Any] | None = None
    """Of an own run (`evals.likeness.measurement`)."""
    run: RunReader | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An entry on a board, with its rank when it has one."""

    entry: Entry
    rank: int | None = None
    interval: tuple[int, int] | None = None
    """95% interval of the rank."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlike:
    """Entries that cannot be ranked on a board, with the reason that they share."""

    reason: str
    places: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """One column over equal measurements."""

    slug: str
    suite: str
    protocol: str
    version: int
    title: str
    changes: tuple[str, ...]
    """How its settings differ from the protocol's; empty for the protocol itself."""
    lower_is_better: bool
    scale: tuple[float, float] | None
    columns: tuple[str, ...]
    ranked: tuple[Place, ...]
    unlike: tuple[Unlike, ...]
    ranks_note: str
    """What the rank intervals say, or why there are none."""
    protocol_source: str = ""
    protocol_notes: tuple[str, ...] = ()

    def column_label(self, key: str) -> str:
        """Return a column's heading."""
        return "overall" if key == HEAD else key.partition(":")[2].replace("_", " ")


def of_run(run: RunReader) -> Entry:
    """Return a run as an entry; an unfinished one has the numbers it has by now."""
    manifest, results = run.manifest, run.results
    head = results.get("headline") or {}
    numbers = _number(HEAD, head)
    for metric in results.get("metrics") or []:
        if metric.get("kind") == "task":
            numbers |= _number(f"task:{metric['task']}", metric)
        elif metric.get("kind") in _SHOWN and metric.get("task") == "*":
            numbers |= _number(f"value:{metric['name']}", metric)
    resolved = manifest.get("resolved_suite") or {}
    report = resolved.get("report") or {}
    worst, best = report.get("worst"), report.get("best")
    given = worst is not None and best is not None
    created = str(manifest.get("created") or "")[:10]
    commit = str((manifest.get("git") or {}).get("commit") or "")[:12]
    source = ", ".join(part for part in (f"run {run.path.resolve().name}", created, f"commit {commit}" if commit else "") if part)
    n_expected = int(head.get("n_expected") or manifest.get("n_expected") or 0)
    n = int(head.get("n") or 0)
    bundled = "checkpoint bundled with this repository" if manifest.get("bundled_model") else ""
    return Entry(
        ident=_ident(model_name(run), manifest.get("fingerprint") or run.path.resolve().name, "own"),
        model=model_name(run),
        kind="own",
        suite=str(manifest.get("suite")),
        protocol=str((manifest.get("protocol") or {}).get("name") or ""),
        version=int(resolved.get("version") or 1),
        numbers=numbers,
        source=source,
        note="; ".join(part for part in (bundled, f"seed {manifest.get('seed')}") if part),
        title=str(resolved.get("title") or manifest.get("title") or manifest.get("suite")),
        lower_is_better=given and float(worst) > float(best),
        # Without ends of its own a suite is meant to lie between 0 and 1; decibels and distances do not, and have no bars.
        scale=(float(worst), float(best)) if given else (0.0, 1.0) if all(_unit(number) for number in numbers.values()) else None,
        complete=results.get("status") == "complete" and HEAD in numbers,
        n=n,
        n_expected=n_expected,
        n_samples=int(head.get("n_samples") or 0),
        measurement=likeness.measurement(manifest),
        run=run,
    )


def of_published(rows: Sequence[published.Published]) -> list[Entry]:
    """Return published numbers as entries, one for each result of each source."""
    found = []
    for group in published.groups(list(rows)):
        head = next(row for row in group if row.metric == HEAD and row.task == "*")
        numbers = {}
        for row in group:
            key = HEAD if row is head else f"task:{row.task}" if row.task != "*" else f"value:{row.metric}"
            numbers[key] = Number(row.value, row.low, row.high, row.shown)
        found.append(
            Entry(
                ident=_ident(head.model, *published.key_of(head)),
                model=head.model,
                kind=head.kind,
                suite=head.suite,
                protocol=head.protocol,
                version=head.version,
                numbers=numbers,
                source=head.source,
                second_hand=head.second_hand,
                note=head.note,
                title=head.title,
                lower_is_better=head.lower_is_better,
                scale=head.scale,
                n_samples=head.n,
            )
        )
    return found


def boards(entries: Iterable[Entry]) -> list[Board]:
    """Sort entries into boards.

    Args:
        entries: own and published; an entry without a protocol has no board of its own.

    Returns:
        Boards by title; those of changed settings follow their protocol's.
    """
    entries = list(entries)
    found: list[Board] = []
    for suite in sorted({entry.suite for entry in entries}):
        mine = [entry for entry in entries if entry.suite == suite]
        known = _packaged(suite)
        drafts = [
            draft
            for key in dict.fromkeys((entry.protocol, entry.version) for entry in mine if entry.protocol)
            for draft in _drafts([entry for entry in mine if (entry.protocol, entry.version) == key], known.get(key))
        ]
        if not drafts:
            drafts = [_Draft(entries=[], suite=suite, protocol="", version=1, title=mine[0].title)]
        titles = {entry.ident: draft.full_title for draft in drafts for entry in draft.entries}
        found += [_board(draft, mine, titles) for draft in drafts]
    return sorted(found, key=lambda board: (board.suite, board.title.lower(), board.slug))


@dataclass(kw_only=True, slots=True)
class _Draft:
    entries: list[Entry]
    suite: str
    protocol: str
    version: int
    title: str
    changes: tuple[str, ...] = ()
    digest: str = ""
    measurement: Mapping[str, Any] | None = None
    packaged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_title(self) -> str:
        """With what was changed."""
        limit = (self.measurement or {}).get(likeness.LIMIT)
        if self.changes and limit is not None and len(self.changes) == 1:
            return f"{self.title}, first {'prompt' if limit == 1 else f'{limit} prompts'} of each task"
        return f"{self.title}, changed settings" if self.changes else self.title


def _drafts(mine: Sequence[Entry], packaged: Mapping[str, Any] | None) -> list[_Draft]:
    """The boards of one protocol: its own, and one for each way in which its settings were changed."""
    first = mine[0]
    title = str(packaged["title"]) if packaged else next((entry.title for entry in mine if entry.kind == "own"), first.title)
    common = {"suite": first.suite, "protocol": first.protocol, "version": first.version, "title": title, "packaged": packaged or {}}
    variants: dict[str, list[Entry]] = {}
    for entry in mine:
        if entry.measurement is not None:
            variants.setdefault(_digest(entry.measurement), []).append(entry)
    others = [entry for entry in mine if entry.measurement is None]
    whole = likeness.of_suite(packaged) if packaged else None

    def is_plain(name: str) -> bool:
        table = variants[name][0].measurement or {}
        return table.get(likeness.LIMIT) is None and (whole is None or _same_suite(table, whole))

    plain = sorted((name for name in variants if is_plain(name)), key=lambda name: -len(variants[name]))
    chosen = plain[0] if plain else None
    found = []
    if chosen is not None or others:
        own = variants.get(chosen or "", [])
        found.append(_Draft(entries=[*own, *others], measurement=own[0].measurement if own else None, **common))
    for name, own in variants.items():
        if name == chosen:
            continue
        table = own[0].measurement or {}
        against = dict(variants[chosen][0].measurement or {}) if chosen else {**(whole or table), **_free(table)}
        changes = tuple(likeness.differences(table, against, names=("here", "in the protocol")))
        found.append(_Draft(entries=own, changes=changes or ("the first of its kind",), digest=name[:8], measurement=table, **common))
    return found


def _free(table: Mapping[str, Any]) -> dict[str, Any]:
    """What no suite file decides, as a whole run has it."""
    return {likeness.LIMIT: None, likeness.SAMPLES: table.get(likeness.SAMPLES), "suite": table.get("suite")}


def _same_suite(table: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    ignored = (likeness.LIMIT, likeness.SAMPLES, "suite", "protocol.name")
    return {k: v for k, v in table.items() if k not in ignored} == {k: v for k, v in whole.items() if k not in ignored}


def _packaged(suite: str) -> dict[tuple[str, int], dict[str, Any]]:
    """The profiles of a packaged suite by protocol and version, resolved without `--set`."""
    from evals.suite import load, lock

    if suite not in load.packaged():
        return {}
    file = load.open_suite(suite)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for profile in file.profiles:
        try:
            resolved = lock.resolved(file.resolve(profile))
        except UserError:
            # A profile that names a data folder of its own cannot be resolved here; its runs then stand for themselves.
            continue
        found.setdefault((str(resolved["protocol"]["name"]), int(resolved["version"])), resolved)
    return found


def _board(draft: _Draft, mine: Sequence[Entry], titles: Mapping[str, str]) -> Board:
    own = [entry for entry in draft.entries if entry.measurement is not None]
    lead = next(iter(own or draft.entries), mine[0])
    worse_first = -1 if lead.lower_is_better else 1
    able = [entry for entry in draft.entries if entry.complete]
    able.sort(key=lambda entry: (-worse_first * entry.numbers[HEAD].value, entry.kind != "own", entry.model.lower(), entry.ident))
    version = f"v{draft.version}" if draft.version != 1 else ""
    slug = "--".join(filter(None, (draft.suite, draft.protocol or "unknown", version, draft.digest)))
    intervals, note = _rank_intervals(able, slug, higher=not lead.lower_is_better)
    values = [entry.numbers[HEAD].value for entry in able]
    places = [
        Place(entry=entry, rank=1 + sum(worse_first * (other - entry.numbers[HEAD].value) > 0 for other in values), interval=interval)
        for entry, interval in zip(able, intervals, strict=True)
    ]
    reasons: dict[str, list[Entry]] = {}
    for entry in sorted(mine, key=lambda entry: (entry.ident not in titles, entry.protocol)):
        if entry not in able:
            reasons.setdefault(_reason(entry, draft, titles), []).append(entry)
    members = [*able, *(entry for entry in draft.entries if not entry.complete)] or list(mine)
    columns = dict.fromkeys(key for entry in sorted(members, key=lambda e: e.kind != "own") for key in entry.numbers)
    protocol = draft.packaged.get("protocol") or (lead.run.manifest.get("protocol") if lead.run else None) or {}
    return Board(
        slug=slug,
        suite=draft.suite,
        protocol=draft.protocol,
        version=draft.version,
        title=draft.full_title,
        changes=draft.changes,
        lower_is_better=lead.lower_is_better,
        scale=lead.scale,
        columns=(HEAD, *sorted((key for key in columns if key != HEAD), key=lambda key: key.startswith("value:"))),
        ranked=tuple(places),
        unlike=tuple(Unlike(reason=why, places=tuple(Place(entry=entry) for entry in these)) for why, these in reasons.items()),
        ranks_note=note,
        protocol_source=str(protocol.get("source") or ""),
        protocol_notes=tuple(str(note) for note in protocol.get("notes") or ()),
    )


def _reason(entry: Entry, draft: _Draft, titles: Mapping[str, str]) -> str:
    """Why an entry of the suite has no place on a board."""
    if not entry.protocol:
        return f"The source does not tell the protocol: {entry.title}."
    if entry.protocol != draft.protocol:
        return f"Another protocol: {titles.get(entry.ident, entry.title)} ({entry.protocol})."
    if entry.version != draft.version:
        return f"Another version of the suite: {entry.version}, not {draft.version}."
    if entry in draft.entries:
        head = "" if HEAD in entry.numbers else ", and the headline has no value"
        return f"Incomplete: {entry.n} of {entry.n_expected} outputs are scored{head}."
    if entry.measurement is None or draft.measurement is None:
        return f"The same protocol with other settings: {'; '.join(draft.changes[:REASONS])}."
    told = likeness.differences(entry.measurement, draft.measurement, names=("in that run", "on this board"))
    more = f"; and {len(told) - REASONS} more" if len(told) > REASONS else ""
    return f"The same protocol with other settings: {'; '.join(told[:REASONS])}{more}."


def _rank_intervals(able: Sequence[Entry], name: str, *, higher: bool) -> tuple[list[tuple[int, int] | None], str]:
    none: list[tuple[int, int] | None] = [None] * len(able)
    own = [entry for entry in able if entry.run is not None]
    if not own:
        return none, "No rank intervals: only published means are known here, not the scores behind them."
    if len(able) < 2:
        return none, "No rank interval: one entry alone has no order."
    sums = {entry.ident: ranks.sums_of(entry.run) for entry in own if entry.run is not None}
    why = [told for told in sums.values() if isinstance(told, str)]
    usable = [found if isinstance(found := sums.get(entry.ident), ranks.Sums) else None for entry in able]
    lead = next((found.prompts for found in usable if found), ())
    if any(found and found.prompts != lead for found in usable):
        why.append("its prompts cannot be paired with the others'")
        usable = [found if found and found.prompts == lead else None for found in usable]
    if not any(usable):
        return none, f"No rank intervals: {why[0]}."
    found = ranks.rank_intervals(usable, [entry.numbers[HEAD].value for entry in able], name=f"ranks/{name}", higher=higher)
    note = "Rank intervals: 95%, over 2,000 draws of the prompts, the same for every run."
    if len(own) < len(able):
        note += " Published values are taken as exact and have no interval, since only their means are known."
    if any(mine and interval is None for mine, interval in zip(usable, found, strict=True)):
        note += " A run whose prompts all have the same score has none: drawing them again shows no spread."
    if why:
        note += f" Some runs have none: {why[0]}."
    return found, note


def _number(key: str, metric: Mapping[str, Any]) -> dict[str, Number]:
    if metric.get("value") is None:
        return {}
    return {key: Number(float(metric["value"]), metric.get("low"), metric.get("high"))}


def _unit(number: Number) -> bool:
    return 0.0 <= number.value <= 1.0


def _digest(measurement: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(measurement, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()


def _ident(model: str, *parts: str) -> str:
    return f"{slug_of(model)}-{hashlib.sha256(chr(0).join((model, *parts)).encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def slug_of(text: str) -> str:
    """Return a text as a part of a file name or an anchor: `[a-z0-9-]`, at most 48 characters, never empty.

    >>> slug_of("GPT Image 1 High (GPT-4o)"), slug_of("../\\u202e")
    ('gpt-image-1-high-gpt-4o', 'x')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-") or "x"


def collect(runs: Iterable[RunReader], csv: Path | None) -> list[Entry]:
    """Return the entries of runs and of a file of published results (None for none).

    Raises:
        DataError: a line of the file does not fit.
        StoreError: a damaged run.
    """
    return [*map(of_run, runs), *of_published(published.read(csv) if csv is not None else [])]

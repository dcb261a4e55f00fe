"""Who plays a role in a run (`--role judge=NAME`), and the ledger through which every judge is asked.

`--role judge=replay` keeps the suite's judge and takes every reply out of the ledger instead of asking it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.errors import StoreError, SuiteError
from evals.registry import ROLES, suggest
from evals.store import atomic
from evals.store.layout import Layout

REPLAY = "replay"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleChoice:
    """What `--role` said."""

    plugins: Mapping[str, str] = field(default_factory=dict)
    """Role -> another plugin."""
    replay: Mapping[str, Path | None] = field(default_factory=dict)
    """Role -> the run whose ledger answers; None is the run itself."""


def parse_roles(options: Sequence[str]) -> RoleChoice:
    """Read `ROLE=NAME`, `judge=replay` and `judge=replay:RUN`.

    Raises:
        SuiteError: another form, an unknown role, or the replay of a role that keeps no ledger.
    """
    plugins: dict[str, str] = {}
    replay: dict[str, Path | None] = {}
    for option in options:
        role, equals, name = option.partition("=")
        if not equals or not name:
            raise SuiteError(f'--role: got "{option}"; expected ROLE=NAME, for example judge=openai.')
        if role not in ROLES:
            raise SuiteError(f'--role: got "{role}"; expected one of {", ".join(ROLES)}.{suggest(role, ROLES)}')
        if name == REPLAY or name.startswith(f"{REPLAY}:"):
            if role not in ("judge", "ocr"):
                raise SuiteError(f"--role: got {option}; expected judge or ocr: only their replies are kept in a ledger.")
            path = name.partition(":")[2]
            replay[role] = Path(path) if path else None
        else:
            plugins[role] = name
    return RoleChoice(plugins=plugins, replay=replay)


def with_ledger(roles: Mapping[str, Any], choice: RoleChoice) -> dict[str, Any]:
    """Return the roles with every judge behind a ledger, that of an OCR engine which asks one included."""
    found = dict(roles)
    ledgers: dict[bool, Any] = {}
    for role, thing in roles.items():
        replay = role in choice.replay
        if _asks(thing):
            found[role] = _behind(thing, ledgers, replay=replay)
        elif _asks(getattr(thing, "judge", None)):
            thing.judge = _behind(thing.judge, ledgers, replay=replay)
        elif replay:
            raise SuiteError(f"--role: got {role}=replay, but the suite's {role} asks no judge; expected one that does. Leave it out.")
    return found


def _asks(thing: Any) -> bool:
    return callable(getattr(thing, "ask", None))


def _behind(judge: Any, ledgers: dict[bool, Any], *, replay: bool) -> Any:
    from evals.judges.kept import LedgerJudge
    from evals.judges.ledger import Ledger

    # One file has one writer: the judges of all roles share the ledger that is written.
    if replay not in ledgers:
        ledgers[replay] = Ledger(read_only=replay)
    return LedgerJudge(judge, ledger=ledgers[replay], replay=replay)


def ledgered(roles: Mapping[str, Any]) -> dict[str, Any]:
    """Return role -> the judge behind a ledger, of the roles that have one."""
    found = {role: thing if _asks(thing) else getattr(thing, "judge", None) for role, thing in roles.items()}
    return {role: judge for role, judge in found.items() if _asks(judge)}


def attach(roles: Mapping[str, Any], choice: RoleChoice, layout: Layout) -> None:
    """Give the judges the run's ledger, or that of the run they replay.

    Raises:
        StoreError: the run to replay has no ledger, or a damaged one.
    """
    for role, judge in ledgered(roles).items():
        other = choice.replay.get(role)
        if other is not None and other.resolve() != layout.root.resolve():
            path = Layout(other).ledger
            if not path.is_file():
                raise StoreError(f"--role: got {role}=replay:{other}, which has no {path.relative_to(other)}; expected a run of a judge.")
            if not layout.ledger.exists():
                # The replies belong to the numbers: this run must be replayable without the other.
                atomic.write_bytes(layout.ledger, path.read_bytes())
        judge.attach(layout.ledger)


def concurrency(roles: Mapping[str, Any]) -> int:
    """Return how many outputs may be judged at once: what the busiest judge takes, 1 without one."""
    return max((int(judge.concurrency) for judge in ledgered(roles).values()), default=1)


def spend(roles: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return role -> what its judge is, and how many replies, requests and tokens its ledger holds and what they cost.

    Judges that share a ledger stand under one name, as their replies are counted together.
    """
    shared: dict[int, list[tuple[str, Any]]] = {}
    for role, judge in ledgered(roles).items():
        shared.setdefault(id(getattr(judge, "ledger", judge)), []).append((role, judge))
    return {
        " and ".join(role for role, _ in group): {"identity": [judge.identity() for _, judge in group], **group[0][1].totals()}
        for group in shared.values()
    }

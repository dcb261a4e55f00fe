"""What a run is called and bound to: its manifest, its folder's name, its notice, and the commands that go on with it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.protocols import Model
from evals.store import manifest
from evals.suite import lock
from evals.suite.schema import Suite
from evals.types import Sample


def build_manifest(
    suite: Suite,
    model: Model,
    samples: Sequence[Sample],
    *,
    seed: int,
    limit: int | None,
    device: str,
    command: Sequence[str],
) -> dict[str, Any]:
    """Return the manifest of a run, with the identity that its folder is bound to."""
    weights = dict(model.fingerprint())
    bundled = bool(weights.get("bundled"))
    resolved = lock.resolved(suite)
    facts: dict[str, Any] = {
        "schema_version": manifest.SCHEMA_VERSION,
        "suite": suite.name,
        "profile": suite.profile,
        "title": f"{suite.title} (bundled checkpoint {weights.get('id')})" if bundled else suite.title,
        "protocol": resolved["protocol"],
        "bundled_model": bundled,
        "notice": notice(suite, limit),
        "model": weights,
        "resolved_suite": resolved,
        "seed": seed,
        "limit": limit,
        "n_samples": len(samples),
        "n_expected": len(samples) * suite.generate.repeats,
        "samples_sha256": lock.samples_digest(samples),
        "command": list(command),
        "versions": manifest.versions(),
        "git": manifest.git_state(Path(__file__).resolve().parent.parent),
        "hardware": manifest.hardware(str(getattr(model, "device", device))),
        "created": manifest.now(),
    }
    same = lock.identity(resolved, model=weights, seed=seed, limit=limit, samples_sha256=facts["samples_sha256"])
    return {**facts, "fingerprint": lock.fingerprint(same), "identity": same}


def notice(suite: Suite, limit: int | None) -> str:
    """Return what must be said wherever the run's numbers are shown; empty for a whole official run."""
    parts = []
    if suite.profile.startswith("mini"):
        parts.append(
            "Mini profile: a synthetic world made for this repository, judged by rules. "
            f"Not comparable with published {suite.suite_title} numbers."
        )
    if limit is not None:
        parts.append(f"Limited to the first {limit} prompts of each task: not a result of the whole suite.")
    return " ".join(parts)


def folder_name(suite: Suite, model: Model, fingerprint: str) -> str:
    """Return the name of a run's folder under `runs/`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.name).strip("-.")[:60] or "model"
    return f"{suite.name}-{suite.profile}-{name}-{fingerprint[:8]}"


def scorer_settings(resolved: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a scorer and its roles are built from: part of the key of its cached verdicts."""
    own = next(use for use in resolved["score"] if use["scorer"] == name)
    return {"scorer": own, "roles": lock.deciding(resolved["roles"]), "plugins": resolved["plugins"]}


def next_step(facts: Mapping[str, Any], command: Sequence[str]) -> dict[str, str]:
    """Return the command to type next by status (`complete`, `incomplete`)."""
    again = shlex.join(command)
    if facts["limit"] is not None:
        # Another limit is another run, so it cannot go into the same folder.
        return {"complete": shlex.join(_without(_without(command, "--limit"), "--out")), "incomplete": again}
    if facts["bundled_model"]:
        return {"complete": f"uniar-eval run {shlex.quote(command[2])} --model PATH_OR_ID", "incomplete": again}
    return {"complete": "uniar-eval ls runs", "incomplete": again}


def _without(command: Sequence[str], option: str) -> list[str]:
    return [
        part
        for i, part in enumerate(command)
        if part != option and not part.startswith(f"{option}=") and (i == 0 or command[i - 1] != option)
    ]


def command_line(
    suite: str,
    model: str | None = None,
    profile: str | None = None,
    limit: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    roles: Sequence[str] = (),
) -> list[str]:
    """Return the command line that these arguments of `run_suite` stand for."""
    parts = ["uniar-eval", "run", suite]
    for option, given in (("--model", model), ("--profile", profile), ("--limit", limit), ("--out", out)):
        parts += [] if given is None else [option, str(given)]
    parts += [part for role in roles for part in ("--role", role)]
    parts += [part for setting in settings for part in ("--set", setting)]
    return parts + (["--seed", str(seed)] if seed else [])

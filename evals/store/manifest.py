"""Provenance of a run: weights, suite, seed, code, packages, machine. Written once, when the folder is made.

Nothing here says who or where: no user name, no host name.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evals.errors import StoreError
from evals.store.layout import Layout

SCHEMA_VERSION = 1
PACKAGES = (
    "uniar", "torch", "torchvision", "transformers", "diffusers", "safetensors", "numpy", "pillow", "open-clip-torch", "torchmetrics",
    "rapidocr", "onnxruntime", "httpx2",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that can move a number; None for one that is absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit and whether tracked files differ from it; both None outside a checkout."""
    if not (folder / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def hardware(device: str) -> dict[str, Any]:
    """Return machine, processor, cores, memory and the device asked for."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "device": device,
    }
    torch = sys.modules.get("torch")
    # Only asked when a model has loaded torch anyway: importing it for a name would cost seconds.
    if torch is not None and device.startswith("cuda") and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    return found


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(layout: Layout) -> dict[str, Any]:
    """Read a run's manifest.

    Raises:
        StoreError: not a run folder, damaged, or of another schema version.
    """
    try:
        data = json.loads(layout.manifest.read_text("utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{layout.root}: got no manifest.json; expected a run folder.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{layout.manifest}: got a damaged file ({error}); expected JSON.") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise StoreError(f"{layout.manifest}: schema_version: got {version}; expected {SCHEMA_VERSION}.")
    return data


def refuse_other(layout: Layout, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse a folder that was made with other settings.

    Args:
        layout: of the folder.
        old: identity table in the folder's manifest (`evals.suite.lock.identity`).
        new: identity table of this call.

    Raises:
        StoreError: naming every key that differs (eight at most), what was got and what the run was started with.
    """
    absent = object()
    different = [key for key in {**old, **new} if old.get(key, absent) != new.get(key, absent)]
    if not different:
        return
    parts = [f"{key}: got {_shown(new, key)}; this run was started with {_shown(old, key)}" for key in different[:8]]
    more = f" (and {len(different) - 8} more)" if len(different) > 8 else ""
    raise StoreError(f"{layout.manifest}: {'. '.join(parts)}{more}. Give another --out, or restore the old settings.")


def _shown(table: Mapping[str, Any], key: str) -> str:
    return json.dumps(table[key], ensure_ascii=False) if key in table else "nothing"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        for row in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if row.lower().startswith("model name"):
                return row.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None

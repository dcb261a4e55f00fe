"""Where an ablation file lies: a path, or the name of one that ships in `suites/ablations/`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from evals.errors import SuiteError
from evals.registry import suggest


def packaged() -> dict[str, Path]:
    """Return the files that ship with the package: name -> file."""
    try:
        root = Path(str(resources.files("suites"))) / "ablations"
    except ModuleNotFoundError:
        return {}
    return {path.stem: path for path in sorted(root.glob("*.yaml"))}


def find(ablation: str) -> tuple[Path, str]:
    """Return the file and the name to show in messages.

    Raises:
        SuiteError: no such file and no packaged one of that name.
    """
    path = Path(ablation)
    if path.is_file():
        return path, ablation
    known = packaged()
    name = path.name.removesuffix(".yaml")
    if name in known and path.parent in (Path("."), Path("ablations"), Path("suites/ablations")):
        return known[name], f"suites/ablations/{name}.yaml"
    raise SuiteError(f'ABLATION: got "{ablation}"; no such file and no ablation of that name.{suggest(name, known)} Ours: {", ".join(known)}.')

"""How the text scorers ask an OCR engine, and what becomes of an image that it could not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.errors import DataError, PluginError, RoleError
from evals.protocols import Ocr, Roles
from evals.scorers.text_rules import LANGUAGES
from evals.types import Outcome, Sample

if TYPE_CHECKING:
    from PIL import Image


class Reading(NamedTuple):
    """Text of an image, or why there is none."""

    text: str
    """Lines in reading order, joined by newlines; empty unless the outcome is `ok`."""
    outcome: Outcome = Outcome.OK
    reason: str = ""


def ocr_of(roles: Roles, scorer: str) -> Ocr:
    """Return the suite's OCR engine.

    Raises:
        PluginError: there is none.
    """
    if "ocr" not in roles:
        raise PluginError(f"scorer {scorer}: roles: got no ocr; expected one. Add `ocr: {{use: rapidocr}}` under `roles:`.")
    return roles["ocr"]


def read(ocr: Any, image: Image.Image, *, max_tokens: int | None = None) -> Reading:
    """Read an image; the reply limit goes to engines that have one (`takes_max_tokens`).

    Whatever but a reply that failed (`RoleError`) is raised on.
    """
    limit = {"max_tokens": max_tokens} if max_tokens is not None and getattr(ocr, "takes_max_tokens", False) else {}
    try:
        lines = ocr.read(image, **limit)
    except RoleError as error:
        return Reading("", Outcome(error.outcome), str(error))
    return Reading("\n".join(line.text for line in lines))


def language_of(sample: Sample, scorer: str) -> str:
    """Return the language of a sample's row.

    Raises:
        DataError: it names none of `LANGUAGES`.
    """
    language = sample.metadata.get("language")
    if language not in LANGUAGES:
        raise DataError(
            f"sample {sample.sample_id}: metadata: got language {language!r}; the scorer {scorer} expects one of "
            f"{', '.join(LANGUAGES)}. Use a dataset of its benchmark."
        )
    return str(language)


def shown(evidence: Mapping[str, Any], matched: int, total: int, unit: str) -> str:
    """A verdict in words: how much was found and what was read."""
    text = evidence["read"].strip()
    read_as = f'"{text if len(text) <= 120 else text[:117] + "..."}"' if text else "nothing"
    return f"{matched} of {total} {unit}; read {read_as}".replace("\n", " / ")

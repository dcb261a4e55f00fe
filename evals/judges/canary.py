"""A judge's self-check: it is shown one plain red picture and must say so. A judge that sees nothing would still talk."""

from __future__ import annotations

import re
from collections.abc import Callable

from evals.errors import CanaryError
from evals.protocols import Reply
from evals.types import Outcome

QUESTION = "What colour is this image? Answer with one word."
_RED = re.compile(r"\bred(dish)?\b", re.IGNORECASE)


def check_sight(ask: Callable[..., Reply], *, judge: str, model: str) -> None:
    """Ask about a plain red picture of 224 x 224 pixels.

    Args:
        ask: the judge's.
        judge: its name, for the sentence.
        model: the model's name, for the sentence.

    Raises:
        CanaryError: no reply, or one that does not say red.
        ModelError: no question can be answered at all.
    """
    from PIL import Image

    reply = ask(QUESTION, [Image.new("RGB", (224, 224), (255, 0, 0))])
    start = f"judge {judge}: canary: {model}: got"
    if reply.outcome is not Outcome.OK:
        raise CanaryError(
            f"{start} no answer about a plain red picture ({reply.error.rstrip('.')}); expected one. "
            "Mend what it says, or set canary: false for a judge that does not chat. No score was written."
        )
    if not _RED.search(reply.text or ""):
        shown = " ".join((reply.text or "").split())[:80]
        raise CanaryError(
            f'{start} "{shown}" about a plain red picture; expected the word red. '
            "Use a judge that sees, or set canary: false for one that does not chat. No score was written."
        )

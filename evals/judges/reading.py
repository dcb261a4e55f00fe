"""What scorers do with a reply before they read its words: is it usable, and what of it goes into the evidence.

Knows no rubric; each benchmark's own rules read the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evals.protocols import Reply
from evals.types import Outcome


def unusable(reply: Reply) -> tuple[Outcome, str] | None:
    """Return outcome and reason of a score that cannot be made from this reply, or None when there is text to read.

    An empty text is text: a judge that is asked to read words off a blank picture rightly says nothing.

    >>> unusable(Reply(text="4")) is None, unusable(Reply(outcome=Outcome.REFUSED, error="The judge declined."))
    (True, (<Outcome.REFUSED: 'refused'>, 'The judge declined.'))
    """
    if reply.outcome is not Outcome.OK:
        return reply.outcome, reply.error or f"The judge's reply is {reply.outcome.value}."
    if reply.text is None:
        return Outcome.JUDGE_ERROR, "The judge's reply has no text."
    return None


def first_unusable(replies: Iterable[Reply]) -> tuple[Outcome, str] | None:
    """Return `unusable` of the first reply that is, or None when all can be read."""
    return next((found for found in map(unusable, replies) if found is not None), None)


def evidence(reply: Reply) -> dict[str, Any]:
    """Return what a score's evidence says of a reply: the words, who said them, and where in the ledger they are.

    A note (a reply cut at its longest) is there only when there is one.
    """
    found: dict[str, Any] = {"reply": reply.text, "version": reply.version, "address": reply.address}
    return {**found, "note": reply.error} if reply.error else found

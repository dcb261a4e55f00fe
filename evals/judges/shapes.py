"""The judge of the mini world: it answers the mini suites' questions by looking at the shapes, without any weights.

Each family of questions is a function `answer(question, images) -> str | None` in a file of its own; None means that the
question is of another family. A question of no family is a mistake of the suite and an error, never a guess.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evals.errors import PluginError
from evals.protocols import Reply

if TYPE_CHECKING:
    from PIL import Image

FAMILIES: tuple[str, ...] = ("evals.judges.shapes_edit:answer", "evals.judges.shapes_wise:answer", "evals.judges.shapes_yes_no:answer")
"""`module:function` of each family, asked in this order."""


class ShapesJudge:
    """Rule-based replies about images of the mini world; the same question and pixels always give the same reply."""

    name = "shapes"
    concurrency = 1

    def identity(self) -> dict[str, Any]:
        """Return the judge's name and the families it knows."""
        return {"judge": self.name, "families": list(FAMILIES)}

    def ask(
        self,
        question: str,
        images: Sequence[Image.Image] = (),
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        images_first: bool = False,
        attempt: int = 0,
    ) -> Reply:
        """Answer by rule.

        Raises:
            PluginError: a question of no family.
        """
        for target in FAMILIES:
            module, _, function = target.partition(":")
            text = getattr(importlib.import_module(module), function)(question, images)
            if text is not None:
                return Reply(text=text, version="shapes")
        raise PluginError(f'judge shapes: got the question "{question[:80]}"; expected one of a mini suite. Use a real judge.')

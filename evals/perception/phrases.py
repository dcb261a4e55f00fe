"""Words of a prompt by spaCy: noun chunks and parts of speech, as T2I-CompBench asks for them.

spaCy and its model are not among this package's dependencies: they are looked for when a suite names this role.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from evals.errors import CanaryError, ModelError


class SpacyPhrases:
    """English through a spaCy pipeline."""

    name = "spacy"

    def __init__(self, *, model: str = "en_core_web_sm") -> None:
        """Load the pipeline.

        Args:
            model: installed spaCy pipeline; another one than the official `en_core_web_sm` can cut phrases otherwise.

        Raises:
            ModelError: spaCy or the pipeline is not installed.
        """
        self.model = model
        if importlib.util.find_spec("spacy") is None:
            raise ModelError(
                f"phrases spacy: model: got {model}, but spaCy is not installed; expected spaCy with that pipeline. "
                f"Run `pip install spacy`, then `python -m spacy download {model}`."
            )
        try:
            self._nlp: Any = importlib.import_module("spacy").load(model)
        except (OSError, ImportError) as error:
            raise ModelError(
                f"phrases spacy: model: got {model}, which spaCy does not find; expected an installed English pipeline. "
                f"Run `python -m spacy download {model}`."
            ) from error

    def canary(self) -> None:
        """Cut one plain prompt.

        Raises:
            CanaryError: it comes out otherwise than English does.
        """
        got = self.chunks("a green bench and a blue bowl")
        if got != ["a green bench", "a blue bowl"]:
            raise CanaryError(f'phrases spacy: canary: got {got}; expected "a green bench" and "a blue bowl". Use en_core_web_sm.')

    def chunks(self, text: str) -> list[str]:
        """Return the noun chunks, in order."""
        return [chunk.text for chunk in self._nlp(text).noun_chunks]

    def tokens(self, text: str) -> list[tuple[str, str]]:
        """Return the words with their universal parts of speech (`NOUN`, `PROPN`, `ADJ`), punctuation included."""
        return [(token.text, token.pos_) for token in self._nlp(text)]

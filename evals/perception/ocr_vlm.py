"""Text of an image as a vision-language model transcribes it: what LongText-Bench and OneIG-Bench do with Qwen2.5-VL-7B-Instruct.

Any judge plugin can be the reader (`local` for weights on this machine, `openai` for an endpoint); it stands behind the run's ledger
like a judge. Decoding is greedy, so that a reading can be repeated; the benchmarks leave the model's own sampling on.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evals.errors import PluginError, RoleError
from evals.perception.ocr_canary import check_reading
from evals.protocols import TextLine
from evals.registry import Registry
from evals.types import Outcome

if TYPE_CHECKING:
    from PIL import Image

NO_TEXT = "No text recognized."
"""What the model is told to say of an image without text; the benchmarks' cleaning knows the same phrase."""
INSTRUCTION = (
    "Transcribe the text in this image exactly as it is written, in reading order. Write the transcription and nothing else: no "
    "translation, no comment, and nothing twice that stands there once. If the image shows no text, write exactly: " + NO_TEXT
)


class VlmOcr:
    """A judge that is asked to transcribe.

    Args:
        judge: `{use: PLUGIN, ...}`, the reader and its settings; a `temperature` that is not given is 0.
        instruction: what it is told; None takes our words. The benchmarks' own may be given here.
        max_tokens: longest transcription, unless the scorer asks for another.

    Raises:
        PluginError: no such judge, or settings that it does not have.
        UserError: what the judge says of its settings.
    """

    name = "vlm"
    takes_max_tokens = True

    def __init__(self, *, judge: Mapping[str, Any], instruction: str | None = None, max_tokens: int = 1024) -> None:
        if max_tokens < 1:
            raise PluginError(f"ocr vlm: max_tokens: got {max_tokens}; expected at least 1. The benchmarks use 1024 and 128.")
        self.judge = _built(judge)
        """May be put behind a ledger by whoever runs the suite."""
        self.instruction = INSTRUCTION if instruction is None else instruction
        self.max_tokens = max_tokens

    def read(self, image: Image.Image, *, max_tokens: int | None = None) -> list[TextLine]:
        """Lines of the transcription; none when the whole reply is the no-text phrase.

        Args:
            image: RGB.
            max_tokens: longest transcription; None takes the setting.

        Raises:
            RoleError: the judge gave no reply or declined.
            ModelError: no question can be answered at all.
        """
        reply = self.judge.ask(self.instruction, [image], max_tokens=max_tokens or self.max_tokens, images_first=True)
        if reply.outcome is not Outcome.OK or reply.text is None:
            outcome = Outcome.JUDGE_ERROR if reply.outcome is Outcome.OK else reply.outcome
            raise RoleError(reply.error or "The judge gave no text.", outcome=outcome.value)
        if reply.text.strip() == NO_TEXT:
            return []
        # Joined again by newlines this is the reply: the benchmarks' cleaning looks at every character of it.
        return [TextLine(line) for line in reply.text.split("\n")]

    def canary(self) -> None:
        """Read a word drawn in code; a judge that only replays what was said has nothing to prove.

        Raises:
            CanaryError: it reads something else.
        """
        if not getattr(self.judge, "replay", False):
            check_reading(self)


def _built(judge: Mapping[str, Any]) -> Any:
    if not isinstance(judge, Mapping) or not isinstance(judge.get("use"), str):
        raise PluginError(f"ocr vlm: judge: got {judge!r}; expected a table such as {{use: openai, model: NAME}}.")
    settings = {key: value for key, value in judge.items() if key != "use"}
    factory = Registry().load("judge", judge["use"])
    known = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        unknown = sorted(set(settings) - set(known))
        lacking = [name for name, p in known.items() if p.default is p.empty and name not in settings]
        if unknown or lacking:
            told = f"got the key {unknown[0]}; expected some" if unknown else f"got no {lacking[0]}; expected it and any"
            raise PluginError(f"ocr vlm: judge: {told} of {', '.join(known)}. Mend `roles.ocr.judge`.")
    if "temperature" in known:
        settings.setdefault("temperature", 0.0)
    return factory(**settings)

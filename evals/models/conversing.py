"""The verb `converse`: several drawings in one context, then questions about the last, asked there and asked again of its pixels.

`Sample.metadata` holds `turns` (each a `prompt`, and `ask`: questions that are answered and stay in the context) and
`questions`, each asked alone of the context as it is after the last drawing. The output's text is a JSON record.
"""

from __future__ import annotations

import json
from typing import Any

from evals.plan import item_seed
from evals.protocols import Generation
from evals.types import WorkItem


def converse(model: Any, item: WorkItem) -> Generation:
    """Hold one sample's conversation.

    Args:
        model: `uniar.load(...)`.
        item: see above; settings as for `generate`, and `max_new_tokens`.

    Returns:
        The last image with its codes; `text` is JSON: `context` and `reencoded` (answers), `flips` (share of bits that differ
        between the codes that were written and those of the decoded image, by level), `positions` (computed for the answers,
        mean a question: in context, and when the image is shown again) and `said` (answers that stayed in the context).
    """
    settings, turns = item.settings, item.sample.metadata["turns"]
    unit = model.model.config.vision_config.token_pixels
    height, width = settings["height"], settings["width"]
    conversation = model.converse()
    said: list[str] = []
    for number, turn in enumerate(turns):
        codes = conversation.draw(
            turn["prompt"],
            rows=height // unit,
            columns=width // unit,
            seed=item.seed if number == 0 else item_seed(item.seed, "turn", number),
            guidance_scale=settings["guidance_scale"],
            temperature=settings["temperature"],
        )
        said += [conversation.ask(question, max_new_tokens=settings["max_new_tokens"]) for question in turn.get("ask", ())]
    decoding = {name: settings[name] for name in ("upscale", "decoder_steps", "decoder_guidance_scale")}
    (image,) = model.decode(codes[None], height=height, width=width, seeds=[item.seed], **decoding)
    # As in editing: an image is read at the size of the rollout, so its codes can be compared with those that were written.
    shown = model.encode([image if image.size == (width, height) else image.resize((width, height))])
    here, answers = conversation.mark(), {"context": [], "reencoded": []}
    computed = {"context": 0, "reencoded": 0}
    for question in (row["question"] for row in item.sample.metadata["questions"]):
        before = conversation.given + conversation.written
        answers["context"].append(conversation.ask(question, max_new_tokens=settings["max_new_tokens"]))
        computed["context"] += conversation.given + conversation.written - before
        conversation.back(here)
        again = model.converse()
        answers["reencoded"].append(again.ask(question, shown=shown, max_new_tokens=settings["max_new_tokens"]))
        computed["reencoded"] += again.given + again.written
    asked = max(len(item.sample.metadata["questions"]), 1)
    read = shown[0][0]
    record = {
        **answers,
        "flips": [float((read[:, level] != codes[:, level]).float().mean()) for level in range(codes.shape[1])],
        "positions": {name: count / asked for name, count in computed.items()},
        "said": said,
    }
    return Generation(image=image, codes=codes.numpy(), text=json.dumps(record, ensure_ascii=False))

"""What asking in the context that wrote an image saves, against decoding, encoding and showing it: seconds and positions.

Both sides answer the same questions about the same images in one process, by turns. `python benchmarks/shared_context_cost.py [N]`
prints the medians over N images (default 20) and their ratio, on uniar-mini or the checkpoint in UNIAR_CHECKPOINT.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import torch

import uniar

QUESTIONS = ("what is in the image?", "how many stars are there?", "what color is the star?")
PROMPT = "a photo of a red star"


def main() -> None:
    """Time both sides and print the table."""
    torch.set_num_threads(1)
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    model = uniar.load(os.environ.get("UNIAR_CHECKPOINT", "uniar-mini"))
    unit = model.model.config.vision_config.token_pixels
    side = 64 if model.bundled else 512
    steps = 6 if model.bundled else 28
    seconds: dict[str, list[float]] = {"in context": [], "decode": [], "encode": [], "from pixels": []}
    positions: dict[str, list[float]] = {"in context": [], "from pixels": []}
    for seed in range(images + 1):
        conversation = model.converse()
        codes = conversation.draw(PROMPT, rows=side // unit, columns=side // unit, seed=seed)
        here, given = conversation.mark(), conversation.given + conversation.written

        def in_context(conversation=conversation, here=here, given=given):
            for question in QUESTIONS:
                conversation.ask(question, max_new_tokens=16)
                conversation.back(here)
            return (conversation.given + conversation.written - given) / len(QUESTIONS)

        def from_pixels(codes=codes, seed=seed):
            times = [time.perf_counter()]
            (image,) = model.decode(codes[None], height=side, width=side, seeds=[seed], decoder_steps=steps)
            times.append(time.perf_counter())
            shown = model.encode([image])
            times.append(time.perf_counter())
            computed = 0
            for question in QUESTIONS:
                again = model.converse()
                again.ask(question, shown=shown, max_new_tokens=16)
                computed += again.given + again.written
            times.append(time.perf_counter())
            return [b - a for a, b in zip(times, times[1:], strict=False)], computed / len(QUESTIONS)

        # By turns, so that neither side always comes first.
        for side_name in ("a", "b") if seed % 2 else ("b", "a"):
            start = time.perf_counter()
            if side_name == "a":
                computed = in_context()
                took = {"in context": time.perf_counter() - start}
                where = "in context"
            else:
                parts, computed = from_pixels()
                took = dict(zip(("decode", "encode", "from pixels"), parts, strict=True))
                where = "from pixels"
            if seed:  # the first one warms up
                positions[where].append(computed)
                for name, value in took.items():
                    seconds[name].append(value)
    print(f"{images} images of {side} px, {len(QUESTIONS)} questions each, one thread; medians")
    for name, values in seconds.items():
        print(f"{name:12} {1000 * statistics.median(values):8.1f} ms{'' if name in ('decode', 'encode') else ' for the questions'}")
    whole = [sum(parts) for parts in zip(seconds["decode"], seconds["encode"], seconds["from pixels"], strict=True)]
    ratio = statistics.median(w / c for w, c in zip(whole, seconds["in context"], strict=True))
    print(f"decode, encode and ask / ask in context: {ratio:.2f} in seconds")
    computed = {name: statistics.mean(values) for name, values in positions.items()}
    print(f"positions a question: {computed['in context']:.1f} in context, {computed['from pixels']:.1f} from pixels, "
          f"ratio {computed['from pixels'] / computed['in context']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()

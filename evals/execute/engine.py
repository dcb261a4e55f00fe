"""Plan -> outputs on disk. Each finished item is an image, codes, then one journal line, in that order.

A journal line therefore always speaks of files that exist. One bad item never takes its batch with it: a batch that
raises is done again one by one. What a kill leaves behind is finished by calling this again (`unfinished`).
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError, sentence
from evals.protocols import Generation, Model
from evals.store import atomic, codes
from evals.store.journal import Journal
from evals.store.layout import Layout
from evals.types import Outcome, Output, WorkItem

if TYPE_CHECKING:
    from PIL import Image

GIVE_UP = 24
"""Failures in a row, from the start and for one reason, after which the model itself is taken to be broken."""
FINAL = frozenset({Outcome.OK, Outcome.REFUSED})
"""Outcomes that are not tried again by the next call."""


def unfinished(
    items: Sequence[WorkItem], outputs: Mapping[tuple[str, int], Output], layout: Layout
) -> tuple[list[WorkItem], int]:
    """Return the items still to be made, and how many finished ones must be made again for a lost or changed file.

    Args:
        items: the plan.
        outputs: last journal line of each item.
        layout: of the run folder; images and codes are checked against the journal's sha256.
    """
    todo, lost = [], 0
    for item in items:
        output = outputs.get((item.sample.sample_id, item.repeat))
        if output is None or output.outcome not in FINAL:
            todo.append(item)
        elif not _intact(output, layout):
            todo.append(item)
            lost += 1
    return todo, lost


def execute(
    items: Sequence[WorkItem],
    model: Model,
    layout: Layout,
    *,
    batch_size: int,
    step: Callable[[Output], None] = lambda output: None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Make the outputs of items and write each down; returns when all have a journal line.

    Args:
        items: in plan order.
        model: the thing under test.
        layout: of the run folder, locked by the caller.
        batch_size: items a call of the model.
        step: told after each journal line.
        clock: seconds, monotonic.

    Raises:
        ModelError: the first `GIVE_UP` items all failed for the same reason.
        KeyboardInterrupt: the run folder is whole and can be resumed.
        OSError: the disk refused; likewise.
    """
    failed: list[str | None] = []
    with Journal(layout.journal) as journal:
        for batch in batches(items, batch_size):
            started = clock()
            answers = answer(model, batch)
            seconds = (clock() - started) / len(batch)
            for item, generation in zip(batch, answers, strict=True):
                output = keep(item, generation, layout, seconds=seconds)
                journal.append(output.to_json())
                step(output)
                failed.append(output.error if output.outcome is Outcome.GENERATION_ERROR else None)
            if GIVE_UP <= len(failed) < GIVE_UP + batch_size and failed[0] and len(set(failed)) == 1:
                raise ModelError(f"{model.name}: the first {len(failed)} outputs all failed: {failed[0]}")


def batches(items: Sequence[WorkItem], size: int) -> Iterator[list[WorkItem]]:
    """Yield runs of neighbours with equal settings, at most `size` long."""
    batch: list[WorkItem] = []
    for item in items:
        if batch and (len(batch) == size or batch[0].settings != item.settings):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def answer(model: Model, batch: Sequence[WorkItem]) -> list[Generation]:
    """Ask the model for a batch; when that raises or the count is wrong, ask again item by item.

    Returns:
        One generation an item. An item that fails on its own has its error as one sentence.
    """
    try:
        answers = list(model.run(batch))
        if len(answers) == len(batch):
            return answers
        problem = f"the model returned {len(answers)} answers for {len(batch)} items"
    # A model is foreign code, and one bad item must not cost its neighbours: whatever it raises becomes an outcome.
    except Exception as error:
        problem = sentence(error)
    if len(batch) == 1:
        return [Generation(error=problem)]
    return [answer(model, [item])[0] for item in batch]


def keep(item: WorkItem, generation: Generation, layout: Layout, *, seconds: float) -> Output:
    """Write an item's files and return its journal record; an answer that cannot be written is a generation error."""
    sample_id, repeat = item.sample.sample_id, item.repeat

    def output(outcome: Outcome, **fields: Any) -> Output:
        return Output(
            sample_id=sample_id,
            task=item.sample.task,
            repeat=repeat,
            seed=item.seed,
            outcome=outcome,
            seconds=round(seconds, 6),
            **fields,
        )

    error = generation.error
    if error is None and generation.image is None and not isinstance(generation.text, str):
        error = "the model returned neither an image nor a text"
    if error is not None:
        return output(generation.outcome if generation.error else Outcome.GENERATION_ERROR, error=error)
    try:
        image = None if generation.image is None else png(generation.image)
        packed = None if generation.codes is None else codes.pack(generation.codes)
    except (ValueError, TypeError, AttributeError, OSError) as problem:
        return output(Outcome.GENERATION_ERROR, error=f"the model's answer cannot be stored: {sentence(problem)}")
    fields: dict[str, Any] = {"text": generation.text, "likelihoods": generation.likelihoods}
    for name, data, path in (
        ("image", image, layout.image(sample_id, repeat)),
        ("codes", packed, layout.codes(sample_id, repeat)),
    ):
        if data is not None:
            atomic.write_bytes(layout.root / path, data)
            fields |= {name: path, f"{name}_sha256": hashlib.sha256(data).hexdigest()}
    return output(Outcome.OK, **fields)


def png(image: Image.Image) -> bytes:
    """Return an image as RGB PNG, without metadata, so that equal pixels give equal bytes."""
    from PIL import Image as pillow

    rgb = image.convert("RGB")
    bare = pillow.frombytes("RGB", rgb.size, rgb.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, "PNG")
    return buffer.getvalue()


def _intact(output: Output, layout: Layout) -> bool:
    for path, digest in ((output.image, output.image_sha256), (output.codes, output.codes_sha256)):
        if path is not None and not _matches(layout.resolve(path), digest):
            return False
    return True


def _matches(path: Path, digest: str | None) -> bool:
    try:
        return atomic.sha256(path) == digest
    except OSError:
        return False

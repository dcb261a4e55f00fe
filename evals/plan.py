"""Suite x samples -> ordered work items. Pure: the same suite, samples and seed give the same plan.

An item's seed comes from the run's seed, the sample's id and the repeat alone, never from a place in a batch, so
results do not depend on batch size, order, or on which items were finished before.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from evals.errors import DataError
from evals.suite.schema import Suite
from evals.types import Sample, WorkItem

_SAFE = re.compile(r"[A-Za-z0-9._-]+")


def item_seed(run_seed: int, sample_id: str, repeat: int) -> int:
    """Return the 63-bit seed of one item.

    >>> item_seed(0, "00000", 0) == item_seed(0, "00000", 0) != item_seed(0, "00000", 1)
    True
    """
    key = hashlib.sha256(f"{run_seed}\0{sample_id}\0{repeat}".encode()).digest()
    return int.from_bytes(key[:8], "big") >> 1


def take(samples: Iterable[Sample], limit: int | None, *, dataset: str) -> list[Sample]:
    """Return the samples of a run: the first `limit` of each task, so that every task stays represented.

    Args:
        samples: from the dataset, in order.
        limit: samples a task; None takes all.
        dataset: name for messages.

    Raises:
        DataError: an id that is not file-name safe or comes twice, or no sample at all.
    """
    taken: list[Sample] = []
    seen: set[str] = set()
    per_task: Counter[str] = Counter()
    for sample in samples:
        if not _SAFE.fullmatch(sample.sample_id) or set(sample.sample_id) == {"."}:
            raise DataError(
                f'{dataset}: sample_id: got "{sample.sample_id}"; expected letters, digits, dots, dashes, underscores.'
            )
        if sample.sample_id in seen:
            raise DataError(f'{dataset}: sample_id: got "{sample.sample_id}" twice; expected each id once.')
        seen.add(sample.sample_id)
        per_task[sample.task] += 1
        if limit is None or per_task[sample.task] <= limit:
            taken.append(sample)
    if not taken:
        raise DataError(f"{dataset}: got no sample; expected at least one.")
    return taken


def work_items(suite: Suite, samples: Sequence[Sample], *, seed: int, data_root: str | None = None) -> list[WorkItem]:
    """Return one item a sample and repeat, samples in order, the repeats of a sample together.

    Args:
        suite: the resolved suite.
        samples: as `take` returns them.
        seed: the run's seed.
        data_root: folder that input images are relative to, for suites that have them.

    Returns:
        Items whose `settings` are the suite's `generate` fields (without repeats and batch size), plus `verb`.
    """
    settings = {k: v for k, v in asdict(suite.generate).items() if k not in ("repeats", "batch_size")}
    settings["verb"] = suite.verb
    if data_root is not None:
        settings["data_root"] = data_root
    return [
        WorkItem(sample=sample, repeat=repeat, seed=item_seed(seed, sample.sample_id, repeat), settings=settings)
        for sample in samples
        for repeat in range(suite.generate.repeats)
    ]

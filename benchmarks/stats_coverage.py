"""How often the intervals hold and the tests cry wolf: simulation with known truth, the figures of docs/statistics.md.

Usage: `python benchmarks/stats_coverage.py [--draws 2000] [--only NAME]`. Each world draws two runs over the same prompts, whose
prompts' chances come from a distribution of known mean, so the true difference is known. Prints one JSON line a world.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from evals.analysis.verdicts import Verdicts  # noqa: E402
from evals.stats import errors, margins, permutation, power, resampling, sums  # noqa: E402
from evals.stats.mcnemar import mcnemar  # noqa: E402

GENEVAL = (80, 99, 80, 94, 100, 100)
"""Prompts of each of GenEval's six tasks."""


@dataclass(frozen=True)
class World:
    """Two runs of known truth."""

    name: str
    sizes: tuple[int, ...]
    repeats: int
    fall: float = 0.0
    """By which the second run is truly worse, on every prompt in the mean."""
    graded: bool = False
    """Values between 0 and 1 in place of verdicts."""
    same: float = 0.0
    """Share of outputs that both runs have in common."""
    easy: float = 0.6
    """Mean over prompts of the first run."""


WORLDS = (
    World("geneval, 553 prompts x 4", GENEVAL, 4),
    World("geneval, 553 prompts x 4, 2 points worse", GENEVAL, 4, fall=0.02),
    World("mini, 6 x 20 prompts x 2", (20,) * 6, 2),
    World("one task, 100 prompts x 1", (100,), 1),
    World("one task, 100 prompts x 1, 90% in common", (100,), 1, same=0.9),
    World("one task, 400 prompts x 1, nearly all right", (400,), 1, easy=0.95),
    World("graded, 11 x 50 prompts x 1", (50,) * 11, 1, graded=True),
)


def draw(world: World, rng: np.random.Generator) -> sums.Pair:
    """Return one pair of runs; true values are `easy` and `easy - fall`."""
    first, second = [], []
    for size in world.sizes:
        chance = rng.beta(2 * world.easy, 2 * (1 - world.easy), size=size)[:, None]
        # A fall in proportion keeps every chance inside 0 and 1.
        lower = chance * (1 - world.fall / world.easy)
        shape = (size, world.repeats)
        if world.graded:
            a, b = (np.clip(rng.beta(6 * mean + 1e-3, 6 * (1 - mean) + 1e-3, size=shape), 0, 1) for mean in (chance, lower))
        else:
            common = rng.random(shape) < world.same
            one, two = rng.random(shape), rng.random(shape)
            a, b = (one < chance) * 1.0, (np.where(common, one, two) < lower) * 1.0
        first.append(sums.mean_of(a))
        second.append(sums.mean_of(b))
    return sums.Pair(tuple(first), tuple(second), sums.macro)


def measure(world: World, count: int, *, resampled: int, swaps: int = 999, alpha: float = 0.05) -> dict[str, float]:
    """Return shares over `count` pairs of runs: intervals that hold the truth, and tests that reject.

    Args:
        world: the truth.
        count: pairs of runs.
        resampled: on how many of them the slower bootstrap is tried too.
        swaps: draws of a permutation test.
        alpha: of the tests.
    """
    rng = np.random.default_rng(list(world.name.encode()))
    hits: dict[str, list[float]] = {}
    for at in range(count):
        pair = draw(world, rng)
        found, single = errors.paired_spread(pair, span=_span(pair)), errors.spread(pair.first, pair.statistic)
        tail = permutation.label_swap(pair, rng=rng, count=swaps)
        assert found and single and tail
        seen = {
            "coverage, difference": _within(found.interval(), -world.fall),
            "coverage, one run": _within(single.interval(), world.easy),
            "swap test, two-sided": tail.both <= alpha,
            "swap test, fall": tail.lower <= alpha,
            "not worse by 2 points": margins.not_inferior(found, 0.02, alpha=alpha).shown,
        }
        if len(world.sizes) == world.repeats == 1:
            apart = pair.second[0][:, 0] - pair.first[0][:, 0]
            seen["McNemar"] = mcnemar(int((apart > 0).sum()), int((apart < 0).sum())) <= alpha
        if at < resampled:
            draws = resampling.summary(resampling.paired_draws(pair, rng=rng))
            one = resampling.summary(resampling.draws(pair.first, pair.statistic, rng=rng))
            assert draws and one
            seen |= {
                "coverage, difference, bootstrap": _within(draws[1:], -world.fall),
                "coverage, one run, bootstrap": _within(one[1:], world.easy),
            }
        for key, hit in seen.items():
            hits.setdefault(key, []).append(float(hit))
    return {key: round(float(np.mean(values)), 4) for key, values in hits.items()}


def _span(pair: sums.Pair) -> float:
    # As evals/analysis/pairing.py: the largest difference of a prompt, or the whole scale while few differ.
    apart = np.abs(np.concatenate([(b[:, 0] - a[:, 0]) / a[:, 1] for a, b in zip(pair.first, pair.second, strict=True)]))
    return float(apart.max()) if (apart > 1e-9).sum() >= 10 else 1.0


def planted(count: int, *, fall: float = 0.02, alpha: float = 0.05, wanted: float = 0.8, repeats: int = 4) -> dict[str, float]:
    """Return how often a planted fall is caught with the number of prompts that `power` names from one pilot pair without a fall."""
    rng = np.random.default_rng(2)
    pilot = draw(World("pilot", GENEVAL, repeats), rng)
    variance = errors.variance_per_prompt(pilot, span=_span(pilot))
    assert variance
    prompts = power.needed(variance, fall, alpha=alpha, power=wanted, strata=len(GENEVAL))
    sizes = tuple(round(size * prompts / sum(GENEVAL)) for size in GENEVAL)
    caught = {truth: 0 for truth in (fall, 0.0)}
    for truth in caught:
        for _ in range(count):
            tail = permutation.label_swap(draw(World("planted", sizes, repeats, fall=truth), rng), rng=rng, count=999)
            caught[truth] += tail is not None and tail.lower <= alpha
    return {"prompts": sum(sizes), "caught": caught[fall] / count, "false alarms": caught[0.0] / count}


def gated(count: int, *, fall: float = 0.02, repeats: int = 4) -> dict[str, float]:
    """Return shares of the gate's verdicts, from `uniar-eval power RUN` to the exit code: run and baseline are drawn anew each time."""
    from evals.analysis.gate import gate
    from evals.analysis.power import of_run

    rng = np.random.default_rng(3)
    stated = of_run(_verdicts(draw_values(GENEVAL, repeats, rng, 0.0)), effect=fall)
    sizes = tuple(round(size * stated.needed / sum(GENEVAL)) for size in GENEVAL)
    shares: dict[str, float] = {"prompts": sum(sizes)}
    for truth in (fall, 0.0):
        verdicts = []
        for _ in range(count):
            first, second = draw_values(sizes, repeats, rng, 0.0, truth)
            verdicts.append(gate(_verdicts([second]), _verdicts([first]), margins={"simulated.overall": fall}).verdict)
        shares |= {f"{name}, true fall {truth:g}": verdicts.count(name) / count for name in ("pass", "regression", "inconclusive")}
    return shares


def draw_values(sizes: tuple[int, ...], repeats: int, rng: np.random.Generator, *falls: float) -> list[list[np.ndarray]]:
    """Return for each fall and task verdicts (prompts, repeats) over the same prompts, right in 0.6 of the cases less the fall."""
    chances = [rng.beta(1.2, 0.8, size=size)[:, None] for size in sizes]
    return [[(rng.random((len(c), repeats)) < c * (1 - fall / 0.6)) * 1.0 for c in chances] for fall in falls]


def _verdicts(runs: list[list[np.ndarray]]) -> Verdicts:
    from evals.metrics.aggregate import Row
    from evals.types import Outcome

    table = {}
    for task, prompts in enumerate(runs[0]):
        for number, own in enumerate(prompts):
            for repeat, value in enumerate(own.tolist()):
                name = f"{task}-{number}"
                table[name, repeat] = Row(name, f"task {task}", (), Outcome.OK, value, "", {"correct": value}, {}, name)
    known = float(np.mean([own.mean() for own in runs[0]]))
    return Verdicts(
        path=Path("simulated"), model="simulated", weights="", suite="simulated", title="Simulated", profile="official",
        protocol="simulated", seed=0, measurement={}, sampling={}, value="correct", headline="macro_over_tasks", known=known, low=None,
        high=None, scale=(0.0, 1.0), status="complete", table=table,
    )  # fmt: skip


def _within(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def main(arguments: list[str] | None = None) -> None:
    """Print one JSON line a world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--resampled", type=int, default=400)
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    jobs: list[tuple[str, Callable[[], dict[str, float]]]] = [
        (world.name, lambda world=world: measure(world, options.draws, resampled=options.resampled)) for world in WORLDS
    ]
    jobs.append(("planted fall of 2 points, n by the power formula", lambda: planted(min(1000, options.draws))))
    jobs.append(("gate at the n that uniar-eval power states, margin 2 points", lambda: gated(min(400, options.draws))))
    for name, job in jobs:
        if options.only in name:
            started = time.perf_counter()
            found = job()
            sys.stdout.write(json.dumps({"world": name, **found, "seconds": round(time.perf_counter() - started, 1)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

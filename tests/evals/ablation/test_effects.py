"""Effects against the control: worked by hand, and by simulation: what is planted is found, what is not there is not declared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.ablation.effects import effects, join, level_of
from evals.analysis.verdicts import Verdicts
from evals.errors import DataError
from evals.metrics.aggregate import Row
from evals.types import Outcome


def verdicts(values, *, seed=0, tasks=2, scale=(0.0, 1.0), **measurement):
    """A run of one seed: values (prompts, repeats), prompts taking turns over the tasks; nan is no score."""
    table = {}
    for prompt, own in enumerate(np.asarray(values, dtype=float)):
        for repeat, value in enumerate(own):
            known = None if np.isnan(value) else float(value)
            outcome = Outcome.OK if known is not None else Outcome.REFUSED
            table[f"p{prompt}", repeat] = Row(f"p{prompt}", f"t{prompt % tasks}", (), outcome, known, sample_id=f"p{prompt}", scale=scale)
    means = [[r.value for r in table.values() if r.task == f"t{t}" and r.value is not None] for t in range(tasks)]
    known = float(np.mean([np.mean(m) for m in means])) if all(means) else None
    return Verdicts(
        path=Path("x"), model="m", weights="w", suite="s", title="S-mini", profile="mini", protocol="p", seed=seed,
        measurement={"suite": "s", "generate.upscale": 1.0, **measurement}, sampling={}, value="correct", headline="macro_over_tasks",
        known=known, low=None, high=None, scale=scale, status="complete", table=table,
    )  # fmt: skip


def test_by_hand():
    control = [verdicts([[1, 0], [1, 1], [0, 0], [1, 1]], seed=0), verdicts([[0, 0], [1, 1], [1, 1], [1, 0]], seed=1)]
    better = [verdicts([[1, 1], [1, 1], [1, 0], [1, 1]], seed=0), verdicts([[0, 0], [1, 1], [1, 1], [1, 1]], seed=1)]
    found = effects(control, {"better": better, "same": control}, trained=False)
    one = found["better"]
    assert one.delta == pytest.approx(3 / 16) and one.counts == {"won": 3, "lost": 0, "tied": 13} and (one.pairs, one.prompts) == (16, 4)
    assert one.by_seed == pytest.approx({0: 2 / 8, 1: 1 / 8})
    assert [t["delta"] for t in one.tasks] == pytest.approx([2 / 8, 1 / 8])
    assert found["same"].delta == 0.0 and found["same"].p == 1.0 and found["same"].low < 0 < found["same"].high
    # Holm over two cells.
    assert one.p_holm == pytest.approx(min(1.0, 2 * one.p))
    level = level_of(better)
    assert level.value == pytest.approx(13 / 16) and level.low < 13 / 16 < level.high and level.seeds == pytest.approx((7 / 8, 3 / 4))


def test_what_only_one_has_scored_is_no_pair_and_no_zero():
    control, cell = verdicts([[1], [1], [1], [1]]), verdicts([[np.nan], [1], [0], [1]])
    found = effects([control], {"cell": [cell]}, trained=False)["cell"]
    assert found.pairs == 3 and found.counts == {"won": 0, "lost": 1, "tied": 2}
    assert level_of([cell]).outputs == 3 and level_of([cell]).planned == 4
    nothing = verdicts([[np.nan]] * 4)
    assert effects([control], {"cell": [nothing]}, trained=False) == {"cell": None}


def test_cells_may_differ_in_how_outputs_are_made_and_in_nothing_else():
    control = verdicts(np.ones((4, 1)))
    assert effects([control], {"c": [verdicts(np.ones((4, 1)), **{"generate.upscale": 2.0})]}, trained=False)["c"] is not None
    with pytest.raises(DataError, match=r"got different measurements \(score\[0\].threshold: nothing in the control, 0.5 in the cell\)"):
        effects([control], {"c": [verdicts(np.ones((4, 1)), **{"score[0].threshold": 0.5})]}, trained=False)


def test_seeds_are_clusters_of_a_prompt_and_never_mixed():
    runs = [verdicts(np.eye(4)[:, :2], seed=seed) for seed in (0, 3)]
    joined = join(runs)
    assert len(joined.table) == 16 and len({row.prompt for row in joined.table.values()}) == 4


def test_a_trained_cell_needs_seeds_and_its_interval_holds_their_spread():
    rng = np.random.default_rng(0)
    base = [verdicts(rng.random((40, 2)) < 0.5, seed=s) for s in range(3)]
    # Prompts agree on the fall within a seed, seeds do not agree at all.
    moved = [verdicts(np.full((40, 2), v), seed=s) for s, v in enumerate((0.0, 1.0, 0.4))]
    plain, trained = (effects(base, {"c": moved}, trained=t)["c"] for t in (False, True))
    assert trained.wider_by_seeds and not plain.wider_by_seeds
    assert trained.high - trained.low > 3 * (plain.high - plain.low) and trained.p >= plain.p and trained.low < 0 < trained.high
    alone = effects(base[:1], {"c": moved[:1]}, trained=True)["c"]
    assert (alone.low, alone.high, alone.p) == (None, None, None) and alone.delta != 0


def _grid(rng, *, cells, shift, prompts=60, seeds=3, training=0.0):
    """Control and cells over shared prompts of their own difficulty; one cell is shifted."""
    hard = rng.normal(0, 1, (prompts, 1))

    def runs(move):
        made = []
        for seed in range(seeds):
            own = rng.normal(0, training) if training else 0.0
            p = 1 / (1 + np.exp(-(hard + 0.5 + move + own)))
            made.append(verdicts(rng.random((prompts, 2)) < p, seed=seed))
        return made

    return runs(0.0), {f"c{i}": runs(shift if i == 0 else 0.0) for i in range(cells)}


def test_a_planted_effect_is_found_and_a_null_is_not_declared():
    """40 grids of 4 cells: with a fall of about 14 points in one cell, and with none in any."""
    rng, found, false, covered = np.random.default_rng(7), 0, 0, 0
    for _ in range(40):
        control, cells = _grid(rng, cells=4, shift=-0.8)
        made = effects(control, cells, trained=False)
        found += made["c0"].p_holm < 0.05 and made["c0"].high < 0
        false += any(made[name].p_holm < 0.05 for name in ("c1", "c2", "c3"))
        covered += sum(made[name].low <= 0 <= made[name].high for name in ("c1", "c2", "c3"))
    assert found >= 34
    # Nominal: 5% of grids have one false alarm, 95% of null intervals hold 0; the bounds are three standard errors away.
    assert false <= 6 and covered / 120 >= 0.89


def test_a_null_between_trainings_is_not_declared():
    """Trainings that differ by luck alone: prompts would call it an effect, seeds must not."""
    rng, by_prompts, by_seeds = np.random.default_rng(11), 0, 0
    for _ in range(40):
        control, cells = _grid(rng, cells=1, shift=0.0, training=0.7)
        by_prompts += effects(control, cells, trained=False)["c0"].p_holm < 0.05
        by_seeds += effects(control, cells, trained=True)["c0"].p_holm < 0.05
    assert by_prompts >= 8 and by_seeds <= 6


def test_another_scale_is_kept():
    control = verdicts(np.full((6, 1), 30.0) + np.arange(6)[:, None], scale=(0.0, 1.0))
    level = level_of([replace(control, headline="mean")])
    assert level.low > 25 and level.high > level.value

"""Understanding: which rule judges which benchmark, sums worked by hand and against the replayed rules, the mini suites and their control."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evals.datasets.shapes_understanding import FAMILIES, ShapesUnderstandingDataset
from evals.errors import DataError, PluginError
from evals.metrics import understanding as sums
from evals.metrics.aggregate import Row, macro_over_tasks
from evals.scorers.understanding import UnderstandingScorer
from evals.scorers.understanding_rules import JUDGED, RULES
from evals.types import Outcome, Output, Sample
from evals.understanding import hallusion, mme, pope
from evals.understanding.choice import options_of

CHOICE = {"options": {"A": "a teddy bear", "B": "a rabbit", "C": "a cat", "D": "a dog"}, "answer": "B"}


def judged(benchmark, row, text, rule=None):
    scorer = UnderstandingScorer(roles={}, benchmark=benchmark, rule=rule)
    sample = Sample(sample_id="x", task="t", prompt="p", metadata=row)
    score = scorer.score(sample, Output(sample_id="x", task="t", repeat=0, seed=0, outcome=Outcome.OK, text=text), None)
    return score.values.get("correct"), score.outcome.value


@pytest.mark.parametrize("benchmark", RULES)
def test_every_rule_of_every_benchmark_passes_its_self_check(benchmark):
    for rule in set(RULES[benchmark]) - {JUDGED}:
        UnderstandingScorer(roles={}, benchmark=benchmark, rule=rule).canary()


@pytest.mark.parametrize(
    ("benchmark", "rule", "row", "text", "wanted"),
    [
        # The table of the protocol: answers whose worth depends on the benchmark alone.
        ("scienceqa", None, CHOICE, "(B)", (0.0, "ok")),
        ("ai2d", None, CHOICE, "(B)", (1.0, "ok")),
        ("seedbench", None, CHOICE, "B) text", (1.0, "ok")),
        ("scienceqa", None, CHOICE, "B) text", (0.0, "ok")),
        ("ai2d", None, CHOICE, " B ", (0.0, "ok")),
        ("realworldqa", None, CHOICE, "The answer is B", (1.0, "ok")),
        ("realworldqa", None, {"answer": "seven"}, "Seven.", (1.0, "ok")),
        # Undecided is an outcome, not a random choice and not a zero.
        ("mmbench", None, CHOICE, "A or B", (None, "undecided")),
        ("mmbench", "lmms", CHOICE, "A or B", (0.0, "ok")),
        ("mmbench", None, CHOICE, "a rabbit", (1.0, "ok")),
        # The published static mode reads the option's text before the extractor would take the article for option A.
        ("mmbench", "lmms", {**CHOICE, "answer": "D"}, "A dog is in the picture", (1.0, "ok")),
        ("mmmu", None, CHOICE, "DNA polymerase", (0.0, "ok")),
        ("mmmu", "2023", CHOICE, "DNA polymerase", (None, "undecided")),
        ("mmmu", None, {"question_type": "open", "answer": "4"}, "x=4", (1.0, "ok")),
        ("mmmu", None, {"question_type": "open", "answer": "4"}, "There are 14 items", (0.0, "ok")),
        ("pope", None, {"answer": "Yes"}, "I cannot tell", (1.0, "ok")),
        ("pope", "vlmevalkit", {"answer": "Yes"}, "I cannot tell", (None, "undecided")),
        ("mme", None, {"answer": "Yes"}, "y", (0.0, "ok")),
        ("mme", "lmms", {"answer": "Yes"}, "y", (1.0, "ok")),
        ("hallusion", None, {"answer": "No", "gt_answer": "0"}, "No.", (1.0, "ok")),
        ("textvqa", None, {"answer": "10", "answers": ["10"] * 10}, "10.", (1.0, "ok")),
        ("textvqa", "vlmevalkit", {"answer": "10", "answers": ["10"] * 10}, "10.", (0.0, "ok")),
        ("textvqa", None, {"answer": "red", "answers": ["red"] * 2 + ["blue"] * 8}, "red", (0.6, "ok")),
        ("docvqa", None, {"answer": "abcdef", "answers": ["abcdef"]}, "abcxyz", (0.5, "ok")),
        ("ocrbench", None, {"answer": "cafe", "answers": ["cafe"], "question_type": "Regular Text Recognition"}, "ｃａｆｅ", (1.0, "ok")),
        ("mathvista", None, {"answer": "[1, 2]", "question_type": "free_form", "answer_type": "list"}, "about 3", (None, "undecided")),
    ],
)
def test_the_official_rule_is_the_default_and_another_can_be_named(benchmark, rule, row, text, wanted):
    assert judged(benchmark, row, text, rule) == wanted


def test_wrong_settings_and_rows_are_told():
    with pytest.raises(PluginError, match='got mmu; expected one of .*Did you mean "mmmu"'):
        UnderstandingScorer(roles={}, benchmark="mmu")
    with pytest.raises(PluginError, match="rule: got 2024; expected one of current, 2023 for mmmu"):
        UnderstandingScorer(roles={}, benchmark="mmmu", rule="2024")
    with pytest.raises(DataError, match="got no answer"):
        judged("mmmu", {}, "A")
    with pytest.raises(DataError, match="got no 'answers'"):
        judged("docvqa", {"answer": "x"}, "A")


def row(value, task="t", outcome=None, **metadata):
    outcome = outcome or (Outcome.OK if value is not None else Outcome.UNDECIDED)
    sample_id = json.dumps([task, metadata], sort_keys=True)
    return Row(sample_id, task, (), outcome, value, metadata=metadata, sample_id=sample_id)


KEYS = {"value": "correct", "task": "*", "kind": "headline", "seed": 0}


def test_pope_is_the_mean_f1_of_the_splits():
    rng = np.random.default_rng(0)
    asked, rows = [], []
    for i in range(90):
        split, meant, said = ("random", "popular", "adversarial")[i % 3], rng.random() < 0.5, rng.random() < 0.6
        asked.append({"answer": "Yes" if meant else "No", "prediction": "Yes" if said else "No", "category": split})
        rows.append(row(float(meant == said), split, answer=asked[-1]["answer"], images=[f"{i // 6}.png"], n=i))
    found = sums.pope_f1(rows, **KEYS)
    assert found.value == pytest.approx(pope.mean_f1(asked)) and found.low < found.value < found.high
    parts = {m.name: m.value for m in sums.pope_parts(rows, **KEYS)}
    splits = pope.official_by_split(asked).values()
    assert parts["yes ratio"] == pytest.approx(sum(s["Yes ratio"] for s in splits) / 3)
    assert parts["precision"] == pytest.approx(sum(s["Precision"] for s in splits) / 3)
    assert sums.pope_f1([row(None, "random", answer="Yes")], **KEYS).value is None


def test_mme_sums_its_subtasks_and_pairs():
    rng = np.random.default_rng(1)
    asked, rows = [], []
    for category in (*mme.PERCEPTION, *mme.COGNITION):
        for image in range(5):
            for answer in ("Yes", "No"):
                hit = rng.random() < 0.7
                asked.append({"question_id": f"{category}/{image}", "category": category, "answer": answer, "prediction": answer if hit else "Maybe"})
                rows.append(row(float(hit), category, question_id=f"{category}/{image}", answer=answer))
    wanted = mme.totals(mme.subtask_scores(asked))
    for metric in (sums.mme_perception(rows, **KEYS), sums.mme_cognition(rows, **KEYS)):
        assert metric.value == pytest.approx(wanted[metric.name]) and metric.low < metric.value < metric.high
    # A subtask of which no image is judged leaves no sum of the others.
    lost = [row(None, "OCR", question_id="OCR/0", answer="Yes")] + [r for r in rows if r.task != "OCR"]
    assert sums.mme_perception(lost, **KEYS).value is None and sums.mme_perception(lost, **KEYS).outcomes["undecided"] == 1


def test_a_question_of_mmbench_is_right_when_every_rotation_is():
    rows = [row(1.0, index="7"), row(1.0, index="1000007"), row(1.0, index="8"), row(0.0, index="1000008"), row(None, index="2000008"),
            row(1.0, index="9"), row(None, index="1000009")]  # fmt: skip
    found = sums.mmbench_circular(rows, **KEYS)
    # 7 is right; 8 has a decided wrong rotation, which decides; 9 stays open.
    assert (found.value, found.n, found.n_expected, found.outcomes) == (0.5, 2, 3, {"ok": 2, "undecided": 1})


def test_hallusion_accuracies_are_the_replayed_ones():
    rng = np.random.default_rng(2)
    asked, rows = [], []
    for i in range(60):
        place = {"category": ("VD", "VS")[i % 2], "subcategory": ("chart", "math")[i // 30], "set_id": str(i % 5), "figure_id": str(i % 3)}
        hit = bool(rng.random() < 0.8)
        asked.append({**place, "question_id": str(i % 4), "judge": "1" if hit else "0"})
        rows.append(row(float(hit), **place, question_id=str(i % 4), n=i))
    found = {m.name: 100 * m.value for m in sums.hallusion_accuracies(rows, **KEYS)}
    assert found == pytest.approx(hallusion.official(asked))


def test_ocrbench_counts_what_is_right():
    found = sums.number_right([row(1.0, n=1), row(0.0, n=2), row(1.0, n=3), row(None, n=4)], **KEYS)
    assert (found.value, found.n, found.n_expected) == (2.0, 3, 4) and 0 <= found.low < 2 < found.high <= 3


@pytest.mark.parametrize("family", FAMILIES)
def test_mini_questions_are_reproducible_and_their_answers_stand_beside_them(family, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    first = ShapesUnderstandingDataset(family=family, questions=12)
    samples = list(first.load())
    assert samples == list(ShapesUnderstandingDataset(family=family, questions=12).load()) and len(samples) == 12
    assert {tag for s in samples for tag in s.tags} == {"seen", "unseen"}
    assert all((first.root / s.image).is_file() for s in samples)
    if family == "yes-no":
        by_image = {s.image: {t.target for t in samples if t.image == s.image} for s in samples}
        assert set(map(frozenset, by_image.values())) == {frozenset({"yes", "no"})}
    if family == "choice":
        assert all(s.metadata["options"][s.target] in s.prompt for s in samples)
    blind = ShapesUnderstandingDataset(family=family, questions=12, blind=True)
    assert [s.prompt for s in blind.load()] == [s.prompt for s in samples] and blind.root != first.root
    pictures = {(blind.root / s.image).read_bytes() for s in samples}
    assert len(pictures) == 1


@pytest.mark.parametrize("settings", [{"family": "poems"}, {"family": "choice", "questions": 0}, {"family": "yes-no", "questions": 3}])
def test_mini_settings_that_cannot_be_used(settings):
    with pytest.raises(DataError, match="shapes-understanding: "):
        ShapesUnderstandingDataset(**settings)


def test_the_bundled_checkpoint_answers_and_the_blank_canvas_does_not(tmp_path, monkeypatch, cli):
    monkeypatch.setenv("UNIAR_EVAL_DATA", str(tmp_path / "data"))
    values = {}
    for suite in ("mmbench", "mathvista"):
        for profile in ("mini", "mini-blind"):
            out = tmp_path / f"{suite}-{profile}"
            result = cli("run", suite, "--profile", profile, "--set", "data.questions=20", "--out", str(out), "--no-report")
            found = json.loads(Path(out, "results.json").read_text())
            assert result.exit_code == 0 and found["status"] == "complete" and "mini" in found["title"], result.output
            values[suite, profile] = found["headline"]["value"]
    assert values["mmbench", "mini"] >= 0.9 > 0.6 > values["mmbench", "mini-blind"]
    assert values["mathvista", "mini"] >= 0.9 > 0.6 > values["mathvista", "mini-blind"]


def test_sums_of_the_suites_reproduce_the_recorded_ones():
    """The golden aggregates through the metrics that the suites name, not only through the rules below them."""
    golden = Path(__file__).parents[2] / "data" / "golden" / "scorers"

    def cases(name):
        return [(case["inputs"]["rows"], case["expected"]) for case in json.loads((golden / f"{name}.json").read_text())["cases"]]

    for rows, expected in cases("mmbench_circular"):
        scored = [row(judged("mmbench", {**r, "options": options_of(r)}, r["prediction"])[0], **r) for r in rows]
        found = sums.mmbench_circular(scored, **KEYS)
        hits = expected["vlmevalkit_hits"]
        # Recorded under exact matching, where undecided is wrong: decided questions are the same, open ones count apart.
        assert found.n_expected == len(hits) and (found.value or 0.0) * found.n == pytest.approx(sum(hits.values()))
    for rows, expected in cases("mmstar"):
        scored = [row(judged("mmstar", {"answer": r["answer"]}, r["prediction"])[0], r["l2_category"], **r) for r in rows]
        assert macro_over_tasks(scored, **KEYS).value == pytest.approx(expected["metrics"]["average"])
        parts = {m.task: m.value for m in sums.mmstar_categories(scored, **KEYS)}
        assert parts == pytest.approx({name: value for name, value in expected["metrics"].items() if name != "average"})

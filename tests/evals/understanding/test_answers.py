"""Yes/no and free-text benchmarks: recordings of the official code, hand-worked cases, and the known bugs of the harnesses by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from evals.errors import DataError, PluginError
from evals.parity import replay
from evals.understanding import anls, chartqa, hallusion, mathvista, mme, ocrbench, pope, textvqa, yes_no
from evals.understanding.punctuation import process_punctuation

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "scorers"
NAMES = (
    "anls", "chartqa_relaxed", "hallusion_aggregate", "mathvista", "mme_aggregate", "ocrbench", "pope_aggregate", "textvqa_accuracy",
    "yes_no_parse",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_recordings(name):
    found = replay(GOLDEN / f"{name}.json")
    assert found.total >= 100 and found.mismatches == ()


def rows(*pairs, **fields):
    return [{"answer": a, "prediction": p, "category": "random", **fields} for a, p in pairs]


def test_pope_an_unreadable_answer_in_each_evaluation():
    asked = rows(("Yes", "Yes"), ("No", "I see a cat"), ("Yes", "I see a cat"))
    # Official: everything that is not no is yes. VLMEvalKit: not yes, and wrong either way. lmms-eval: wrong, in no ratio.
    assert pope.official(asked) == pytest.approx({"Accuracy": 2 / 3, "Precision": 2 / 3, "Recall": 1.0, "F1 score": 0.8, "Yes ratio": 1.0})
    assert pope.vlmevalkit(asked)["Overall"] == pytest.approx({"Overall": 200 / 3, "acc": 100 / 3, "precision": 100.0, "recall": 50.0})
    assert pope.lmms(asked)["accuracy"] == pytest.approx(1 / 3) and pope.lmms(asked)["recall"] == 1.0


def test_pope_lmms_bug_the_yes_ratio_counts_the_ground_truth():
    asked = rows(("No", "yes"), ("No", "yes"))
    assert pope.lmms(asked)["yes_ratio"] == 0.0 and pope.official(asked)["Yes ratio"] == 1.0


def test_pope_official_bug_division_by_zero_is_a_zero_ratio_here():
    assert pope.official(rows(("No", "no")))["Precision"] == 0.0
    assert pope.official([])["Accuracy"] == 0.0


def test_pope_a_row_counts_in_every_split_that_it_names():
    found = pope.vlmevalkit(rows(("Yes", "Yes"), category="random,popular") + rows(("No", "Yes"), category="popular"))
    assert {name: own["acc"] for name, own in found.items()} == pytest.approx({"Overall": 200 / 3, "random": 100.0, "popular": 50.0})


def test_mme_by_hand():
    def image(name, *hits):
        return [{"question_id": name, "category": "count", "answer": "Yes", "prediction": "Yes" if hit else "No"} for hit in hits]

    # The spec's example: two images, both and one of the questions right: 75 + 50.
    assert mme.subtask_scores(image("a", True, True) + image("b", True, False)) == {"count": 125.0}
    assert mme.totals({"count": 125.0, "code_reasoning": 50.0, "made up": 9.0}) == {"perception": 125.0, "cognition": 50.0}
    with pytest.raises(DataError, match="image c: got 3 questions; expected two"):
        mme.subtask_scores(image("c", True, True, True))


def test_hallusion_unclear_answers_and_the_missing_picture():
    def row(category, figure, question, judge, subcategory="chart"):
        return {
            "category": category,
            "subcategory": subcategory,
            "set_id": "0",
            "figure_id": figure,
            "question_id": question,
            "judge": judge,
        }

    asked = [row("VS", "0", "0", "2"), row("VS", "1", "0", "1"), row("VD", "1", "0", "2", "math"), row("VD", "1", "1", "1", "math")]
    # Unclear is right where there is no picture; figure 0 of VS is no figure; the math figure has a wrong answer.
    assert hallusion.official(asked) == {"aAcc": 75.0, "fAcc": 50.0, "qAcc": pytest.approx(200 / 3)}
    assert hallusion.vlmevalkit(asked) == {"aAcc": 50.0, "fAcc": pytest.approx(100 / 3), "qAcc": pytest.approx(100 / 3)}


def test_textvqa_the_normalisers_part_where_the_spec_says():
    assert textvqa.vqa_accuracy("red,green", ["red green"] * 10) == 0.0
    assert textvqa.vqa_accuracy("red,green", ["red green"] * 10, flavour="vlmevalkit") == 1.0
    assert textvqa.vqa_accuracy("10.", ["10"] * 10) == 1.0
    assert textvqa.vqa_accuracy("10.", ["10"] * 10, flavour="vlmevalkit") == 0.0
    with pytest.raises(PluginError, match="got vqa; expected one of evalai, vlmevalkit"):
        textvqa.normalize("x", flavour="vqa")


def test_textvqa_evalai_bug_a_flag_in_the_place_of_a_count_leaves_the_33rd_full_stop():
    assert process_punctuation("a" + ".a" * 33, any_stop=True).count(".") == 1


@pytest.mark.parametrize(
    ("text", "official"),
    [
        ("The two dogs", "2 dogs"),
        ("1,000", "1000"),
        ("a.m.", "am"),
        ("half/half", "half half"),
        ("dont", "don't"),
        ("U.S.A.", "usa"),
        ("5.a", "5a"),
    ],
)
def test_textvqa_normal_forms_of_the_spec(text, official):
    assert textvqa.normalize(text) == official


@pytest.mark.parametrize(
    ("prediction", "target", "right"),
    [("14.7", "14", True), ("14.71", "14", False), ("0.0", "0", False), ("50%", "0.5", True), ("50", "50%", False), ("95", "100", True),
     ("1,000", "1000", False), ("blue ", "Blue", False), ("-5", "-5.2", True), ("nan", "nan", False)],
)  # fmt: skip
def test_chartqa_relaxed(prediction, target, right):
    assert chartqa.relaxed_correctness(prediction, target) is right


def test_chartqa_a_list_in_the_answer_is_read_and_never_evaluated(tmp_path):
    assert chartqa.relaxed_line(" blue ", "['red', 'blue']") and not chartqa.relaxed_line("3", "[1, 2]")
    bomb = f"[open({str(tmp_path / 'x')!r}, 'w')]"
    assert chartqa.targets_of(bomb) == [bomb] and not (tmp_path / "x").exists()


def test_chartqa_reads_a_text_that_python_would_warn_of_in_silence():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert chartqa.targets_of("12.0the") == ["12.0the"] and chartqa.targets_of(" [1]") == ["1"]
    assert told == []


@pytest.mark.parametrize(
    ("prediction", "answers", "value"),
    [("itc limited.", ["ITC Limited"], 11 / 12), ("12/05/1998", ["12/05/1999"], 0.9), ("no", ["yes"], 0.0), ("1234", ["$1,234"], 2 / 3),
     ("abcxyz", ["abcdef"], 0.5), ("", [""], 1.0), ("x", ["y", "x"], 1.0)],
)  # fmt: skip
def test_anls(prediction, answers, value):
    assert anls.anls(prediction, answers) == pytest.approx(value)


def test_anls_divides_by_the_raw_length():
    # Blanks are collapsed for the distance, not for the length.
    assert anls.normalized_distance("a    b", "a b c") == pytest.approx(2 / 6)


def test_ocrbench_lmms_bug_counts_live_in_a_module_ours_are_return_values():
    assert [ocrbench.contains("x", ["x"]) for _ in range(2)] == [True, True]
    assert not [name for name, value in vars(ocrbench).items() if isinstance(value, (list, set))]
    # Full-width text is folded in one harness only; formulas keep their case.
    assert ocrbench.contains("ｃａｆｅ", ["cafe"]) and not ocrbench.contains("ｃａｆｅ", ["cafe"], fold_width=False)
    assert not ocrbench.contains("X^2", ["x ^ 2"], formula=True) and ocrbench.contains("x^2", "x ^ 2", formula=True)


def test_mathvista_vlmevalkit_bug_a_list_or_text_is_never_right():
    line = {
        "question_type": "free_form",
        "answer_type": "list",
        "choices": None,
        "precision": None,
        "answer": "[1, 2]",
        "answer_option": None,
    }
    assert mathvista.vlmevalkit_check(line, "[1, 2]", prefetch=False) is False
    assert mathvista.is_correct(mathvista.normalize("[1, 2]", line), line["answer"])


@pytest.mark.parametrize(
    ("kind", "text", "precision", "normal"),
    [("integer", "18.9", None, "18"), ("integer", "inf", None, None), ("integer", "1,000", None, None), ("float", "3.456", 2, "3.46"),
     ("float", "nan", 1, "nan"), ("float", "3.6", None, "4"), ("list", "[1,2]", None, "[1,2]")],
)  # fmt: skip
def test_mathvista_normal_forms(kind, text, precision, normal):
    problem = {"question_type": "free_form", "answer_type": kind, "choices": None, "precision": precision}
    assert mathvista.normalize(text, problem) == normal


def test_yes_no_rules_part():
    rules = (yes_no.vlmevalkit, yes_no.lmms_mme, yes_no.mme_official, yes_no.pope_official)
    assert [rule("y") for rule in rules] == ["Unknown", "yes", "other", "yes"]
    assert [rule("It is not") for rule in rules] == ["Unknown", "other", "other", "no"]


def test_pope_papers_report_the_mean_of_the_splits():
    asked = rows(("Yes", "Yes"), category="random,popular") + rows(("No", "Yes"), category="popular")
    assert [round(own["F1 score"], 4) for own in pope.official_by_split(asked).values()] == [1.0, 0.6667]
    assert pope.mean_f1(asked) == pytest.approx(5 / 6) and pope.official(asked)["F1 score"] == pytest.approx(2 / 3)
    assert pope.mean_f1([]) == 0.0


@pytest.mark.parametrize(("reply", "judgement"), [("Correct", "1"), ("This is INCORRECT, not correct", "0"), ("unclear", "2"), ("", "2")])
def test_hallusion_reads_a_judge(reply, judgement):
    assert hallusion.read_judgement(reply) == judgement


def test_ocrbench_sums_by_group_and_anew_each_time():
    asked = [("Handwriting Recognition", 1.0), ("Digit String Recognition", 1.0), ("Doc-oriented VQA", 0.0), (ocrbench.FORMULA, 1.0)]
    wanted = {"Text Recognition": 2.0, "Scene Text-centric VQA": 0.0, "Doc-oriented VQA": 0.0, "Key Information Extraction": 0.0}
    for _ in range(2):
        assert ocrbench.score(asked) == {**wanted, ocrbench.FORMULA: 1.0, "Final Score": 3.0}
    with pytest.raises(DataError, match="got Poetry; expected one of Regular Text Recognition"):
        ocrbench.score([("Poetry", 1.0)])

"""Multiple choice and MMMU: recordings of the official code, the worked examples of the protocol, and the harnesses' known bugs by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evals.parity import replay
from evals.understanding import choice, mmbench, mmmu, mmstar
from evals.understanding.verdict import Verdict, verdict

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "scorers"
PETS = {"A": "teddy bear", "B": "rabbit", "C": "cat", "D": "dog"}


@pytest.mark.parametrize(
    "name",
    [
        "choice_scorers",
        "mcq_inference",
        "mmbench_circular",
        "mmmu_aggregate",
        "mmmu_multi_choice_parse",
        "mmmu_open",
        "mmstar",
        "realworldqa",
    ],
)
def test_recordings(name: str) -> None:
    found = replay(GOLDEN / f"{name}.json")
    assert found.total >= 100
    assert found.mismatches == ()


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("The answer is B.", "B"),
        ("a cute rabbit", "B"),
        ("A or B", None),
        ("A dog is in the picture", "D"),
        ("B because rabbits have long ears and it hops", "B"),
        ("Z", "Z"),
        ("", None),
        ("b", None),
        ("A A", "A"),
        ("B one two three", "B"),
        ("B one two three four", None),
        ("my answer is   ***c", "C"),
        ("The answer is E", None),
        ("Sorry, I can't help with images of people yet. B", "Z"),
        ("cat or dog", None),
        ("C or D, Z", None),
        ("a cat, " + "and so on " * 5, None),
    ],
)
def test_inference(answer: str, letter: str | None) -> None:
    assert choice.infer(answer, PETS) == letter


def test_inference_takes_options_of_any_case_and_leaves_them_as_they_are() -> None:
    options = {"A": "Teddy Bear", "B": "RABBIT"}
    assert choice.infer("the rabbit", options) == "B"
    # VLMEvalKit lower-cases the caller's options in place.
    assert options == {"A": "Teddy Bear", "B": "RABBIT"}


def test_a_failed_call_is_no_answer_even_if_an_option_stands_in_its_message() -> None:
    assert choice.infer("Failed to obtain answer via API", {"A": "API", "B": "the answering machine"}) is None


def test_only_the_first_place_of_a_letter_counts() -> None:
    assert choice.infer_option("B it is, I am quite sure: B", PETS) is None
    assert choice.infer_option("quite sure: B it is, B", PETS) == "B"


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("", None),
        ("  ", None),
        ("...", None),
        ("B", "B"),
        ("'(C).'", "C"),
        ("the one is (B) or (D) then", "D"),
        ("(B) beats D. here", "B"),
        ("it is B: yes, D) no", "B"),
        ("surely D then C", "C"),
        ("正确答案：C", "C"),
        ("我选B吧", "B"),
        ("nothing", None),
        ("Not NASA", "A"),
    ],
)
def test_extractor(response: str, letter: str | None) -> None:
    assert choice.extract_letter(response, "ABCD") == letter


def test_lmms_bug_the_extractor_decides_what_is_open_and_reads_letters_of_later_words() -> None:
    long = "The correct answer is **B**. Here is why: it has A big ear and more"
    assert (choice.extract_letter("A or B"), choice.infer("A or B", PETS)) == ("A", None)
    assert (choice.extract_letter(long), choice.infer(long, PETS)) == ("A", "B")
    assert choice.extract_letter("A dog is in the picture") == "A"


@pytest.mark.parametrize(
    ("response", "credits"),
    [
        ("B", (1, 1, 1, 1)),
        ("B. text", (1, 1, 1, 1)),
        ("(B)", (0, 0, 1, 1)),
        ("**B**", (0, 0, 1, 1)),
        ("B) text", (0, 1, 0, 1)),
        ("B: text", (0, 1, 0, 1)),
        (" B ", (1, 1, 0, 1)),
        ("The answer is B", (0, 0, 0, 1)),
        ("b", (1, 1, 1, 0)),
        ("b. text", (0, 1, 0, 0)),
        ("  B. text", (1, 1, 1, 1)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_letter_rules_of_four_benchmarks(response: str, credits: tuple[int, ...]) -> None:
    rules = (choice.scienceqa_right, choice.seed_right, choice.ai2d_right, choice.realworldqa_right)
    assert tuple(int(rule(response, "B")) for rule in rules) == credits


@pytest.mark.parametrize(
    ("response", "gold", "right"),
    [
        ("Downhill.", "Downhill", True),
        (" 2.. ", "2", True),
        ("2 cars", "2", False),
        ("(a)", "a", False),
        ("(A)", "a", True),
        ("one", "1", False),
    ],
)
def test_realworldqa(response: str, gold: str, right: bool) -> None:
    assert choice.realworldqa_right(response, gold) is right


def rotations(options: list[str], key: int, answers: list[str], base: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Rows of one question, the options moved up by one in each; `answers` are what was said of each."""
    rows = []
    for k, said in enumerate(answers):
        turned = options[k:] + options[:k]
        answer = choice.letters(len(options))[(key - k) % len(options)]
        rows.append(
            {
                **dict(zip("ABCD", turned, strict=False)),
                "D": float("nan"),
                "index": base + k * 1_000_000,
                "answer": answer,
                "prediction": said,
                **fields,
            }
        )
    return rows


COLOURS = ["red", "blue", "green"]


def test_circular_is_right_only_if_every_rotation_is() -> None:
    # Key: green, which is C, B and A in turn.
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "B", "green"])) == {1: Verdict.RIGHT}
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "B", "B"])) == {1: Verdict.WRONG}
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "B", "a colour"])) == {1: Verdict.UNDECIDED}
    # A decided wrong one settles it, before any judge is asked.
    asked: list[int] = []

    def judge(row: Any) -> str | None:
        asked.append(row["index"])
        return "B"

    assert mmbench.circular(rotations(COLOURS, 2, ["?", "A", "?"]), settle=judge) == {1: Verdict.WRONG}
    assert asked == []
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "?", "?"]), settle=judge) == {1: Verdict.WRONG}
    assert asked == [1_000_001, 2_000_001]
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "?", "A"]), settle=judge) == {1: Verdict.RIGHT}


def test_a_judge_without_an_answer_does_not_hide_a_later_wrong_rotation() -> None:
    # Key: green, which is C, B and A in turn; the judge reads nothing in the second rotation and B in the third.
    said = {1_000_001: None, 2_000_001: "B"}
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "?", "?"]), settle=lambda row: said[row["index"]]) == {1: Verdict.WRONG}
    said[2_000_001] = "A"
    assert mmbench.circular(rotations(COLOURS, 2, ["C", "?", "?"]), settle=lambda row: said[row["index"]]) == {1: Verdict.UNDECIDED}


def test_an_undecided_question_is_never_drawn_at_random() -> None:
    rows = rotations(COLOURS, 2, ["?", "?", "?"])
    assert {mmbench.circular(rows)[1] for _ in range(20)} == {Verdict.UNDECIDED}
    assert mmbench.circular(rows)[1].credit is None
    assert mmbench.circular(rows)[1].exact == 0.0


def test_circular_groups_by_g_index_and_needs_the_unrotated_row() -> None:
    rows = rotations(COLOURS, 2, ["C", "B", "A"])
    assert mmbench.circular(rows[1:]) == {}
    named = [{**row, "index": 7 + k, "g_index": 7} for k, row in enumerate(rows)]
    assert mmbench.circular(named) == {7: Verdict.RIGHT}
    assert mmbench.circular([*named[:2], {**named[2], "prediction": "B"}]) == {7: Verdict.WRONG}


def test_mmbench_table_by_split_with_abbreviated_groups() -> None:
    rows = rotations(COLOURS, 2, ["C", "B", "A"], category="ocr", split="dev", **{"l2-category": "logic_reasoning"})
    rows += rotations(COLOURS, 0, ["C", "C", "B"], base=2, category="art", split="dev", **{"l2-category": "logic_reasoning"})
    rows += rotations(COLOURS, 0, ["?", "C", "B"], base=3, category="art", split="test", **{"l2-category": "attribute_reasoning"})
    found = mmbench.circular(rows)
    table = mmbench.accuracy(rows, {base: one.exact for base, one in found.items()})
    assert {name: table["dev"][name] for name in ("Overall", "LR", "ocr", "art")} == {"Overall": 0.5, "LR": 0.5, "ocr": 1.0, "art": 0.0}
    assert table["test"]["Overall"] == table["test"]["AR"] == 0.0
    assert math.isnan(table["test"]["LR"]) and math.isnan(table["dev"]["AR"])
    # Without a verdict a question is in no mean.
    assert math.isnan(mmbench.accuracy(rows, {base: one.credit for base, one in found.items()})["test"]["Overall"])


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A dog", "A"),
        ("A dog is here", "D"),
        ("(B).", "B"),
        (":C,", "C"),
        ("**C**", None),
        ("E", "E"),
        ("A or B it may be", None),
        ("A cat, maybe B.", "B"),
        ("None of these is a cat " * 20, "C"),
    ],
)
def test_lmms_inference(answer: str, letter: str | None) -> None:
    assert mmbench.infer_lmms(answer, PETS) == letter


def test_mmbench_lmms_bug_an_article_is_taken_for_option_a() -> None:
    people = ["A tall man", "A woman", "A child"]
    rows = rotations(people, 1, ["B. A woman", "A. A woman", "C. A woman"])
    assert mmbench.circular(rows) == {1: Verdict.RIGHT}
    assert mmbench.circular_lmms_static(rows) == {1: Verdict.WRONG}


def test_lmms_static_mode_asks_the_extractor_and_stays_open_without_a_letter() -> None:
    assert mmbench.circular_lmms_static(rotations(COLOURS, 2, ["**C**", "**B**", "**A**"])) == {1: Verdict.RIGHT}
    assert mmbench.circular_lmms_static(rotations(COLOURS, 2, ["C", "B", "?"])) == {1: Verdict.UNDECIDED}
    assert mmbench.circular_lmms_static(rotations(COLOURS, 2, ["C", "?", "**B**"])) == {1: Verdict.WRONG}


@pytest.mark.parametrize(
    ("answer", "letter", "extractor"),
    [
        ("A dog is in the picture", "D", "A"),
        ("**C**", "C", "C"),
        ("A or B it may be", "A", "A"),
        ("nothing of it", None, None),
        ("E", "E", None),
    ],
)
def test_lmms_static_mode_tries_its_own_inference_before_the_extractor(answer: str, letter: str | None, extractor: str | None) -> None:
    assert (mmbench.infer_lmms_static(answer, PETS), choice.extract_letter(answer, "ABCD")) == (letter, extractor)


def test_lmms_static_mode_knows_no_fifth_option() -> None:
    assert mmbench.infer_lmms_static("the fish", {**PETS, "E": "fish"}) is None


def test_verdicts_are_told_apart() -> None:
    assert [verdict(letter, "A") for letter in ("A", "B", "Z", None)] == [Verdict.RIGHT, Verdict.WRONG, Verdict.WRONG, Verdict.UNDECIDED]
    assert [one.credit for one in Verdict] == [1.0, 0.0, None]


CELL = ["the cell membrane", "mitochondria", "nucleus", "DNA polymerase"]


@pytest.mark.parametrize(
    ("response", "current", "first"),
    [
        ("B", "B", "B"),
        ("(B)", "B", "B"),
        ("B.", "B", "B"),
        ("The answer is B.", "B", "B"),
        ("(A) or (B)? (B)", "B", "B"),
        ("DNA polymerase is the answer", "A", None),
        ("**B**", None, None),
        ("b", None, None),
        ("B. mitochondria", "B", None),
        ("It may be A or C or so", "C", "C"),
        ("this is of course the nucleus or mitochondria", "B", "B"),
        ("of course the nucleus it is, not mitochondria!", "B", "B"),
        ("nucleus", None, None),
        ("one two three four five six", None, None),
    ],
)
def test_mmmu_options(response: str, current: str | None, first: str | None) -> None:
    assert (mmmu.parse_choice(response, CELL), mmmu.parse_choice(response, CELL, form="2023")) == (current, first)


def test_mmmu_official_bug_the_random_option_is_drawn_only_on_demand_and_by_its_seed() -> None:
    assert {mmmu.parse_choice("?", CELL) for _ in range(20)} == {None}
    drawn = [mmmu.parse_choice("?", CELL, seed=seed) for seed in range(40)]
    assert drawn == [mmmu.parse_choice("?", CELL, seed=seed) for seed in range(40)]
    assert set(drawn) == set("ABCD")
    assert mmmu.parse_choice("B", CELL, seed=1) == "B"
    assert not mmmu.choice_right("A", None)


def test_mmmu_refuses_an_unknown_form() -> None:
    with pytest.raises(ValueError, match="2024"):
        mmmu.parse_choice("B", CELL, form="2024")


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("1.06", "The ratio is 1.06.", True),
        ("4", "x=4", True),
        ("4", "There are 14 items", False),
        ("C", "The answer is C.", True),
        ("1/64", "so the probability is 1/64", True),
        ("24.32", "about 24.3", False),
        ("5", "5 apples", True),
        (["4", "four"], "it is four", True),
        ("12.97", "12.974", True),
        ("Transformation", "Transformation", True),
        ("7", "the result is 3 = 7", True),
        ("7", "7 = x\nso it is 3", False),
        ("3", "the answer is ;\nit could be 3", True),
    ],
)
def test_mmmu_open(gold: str | list[str], response: str, right: bool) -> None:
    assert mmmu.open_right(gold, mmmu.parse_open(response)) is right


def test_mmmu_equals_sign_counts_from_the_last_line_only() -> None:
    assert mmmu.parse_open("a = 3\nb = 4") == [4.0]
    assert mmmu.parse_open("a = 3\nnothing") == ["a = 3\nnothing", 3.0]


def test_mmmu_a_tail_of_punctuation_is_none_and_an_empty_one_gives_way_to_the_next() -> None:
    assert mmmu.parse_open("the answer is ;\nit could be 3") == [3.0]
    assert mmmu.parse_open("the result is final \nso 3") == ["is final", 3.0]


def test_mmmu_lmms_bug_open_answers_are_never_counted() -> None:
    for gold in ("4", "Transformation", "12.97"):
        assert mmmu.open_right(gold, mmmu.parse_open(gold))


def test_mmmu_vlmevalkit_bug_an_open_key_that_is_a_letter_can_not_be_met() -> None:
    # There an open question becomes option A against "Other Answers", yet a key that is itself a letter stays: C is read as A.
    assert choice.infer("C", {"A": "C", "B": "Other Answers"}) == "A"
    assert mmmu.open_right("C", mmmu.parse_open("C"))


def test_mmmu_accuracy_by_subject_and_domain() -> None:
    credits = {"validation_Art_1": 1.0, "validation_Art_Theory_1": 0.0, "validation_Art_Theory_2": 1.0, "dev_Math_3": 0.0}
    found = mmmu.accuracy(credits)
    assert found.overall == 0.5
    assert found.subjects == {"Art": 1.0, "Art_Theory": 0.5, "Math": 0.0}
    assert found.domains == {"Art and Design": pytest.approx(2 / 3), "Science": 0.0}
    assert math.isnan(mmmu.accuracy({}).overall)
    assert len({name for names in mmmu.DOMAINS.values() for name in names}) == 30
    with pytest.raises(ValueError, match="Art_1"):
        mmmu.subject_of("Art_1")


def test_mmstar_is_a_mean_of_means_and_not_of_questions() -> None:
    rows = [({"category": "math", "l2_category": group}, credit) for group, credit in [("x", 1.0), ("x", 1.0), ("x", 1.0), ("y", 0.0)]]
    rows.append(({"category": "logic", "l2_category": "z"}, 1.0))
    assert mmstar.summary(rows) == {"math": 0.5, "logic": 1.0, "average": pytest.approx(2 / 3)}
    assert mmstar.right("I choose B", "b ") and not mmstar.right("b", "B")

"""Which rule of `evals.understanding` judges an answer of which benchmark; the official one is the default.

Each rule takes the sample's metadata (the benchmark's row) and the model's words, and says what it read, what that is worth, and by
which step. Worth None is an answer that the rule cannot read: undecided, never a guess and never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from evals.understanding import anls, chartqa, choice, hallusion, mathvista, mmbench, mmmu, mmstar, ocrbench, textvqa, yes_no

Row = Mapping[str, Any]


JUDGED = "judge"
"""The rule under which a judge reads every answer."""


class Reading(NamedTuple):
    """What a rule made of an answer."""

    credit: float | None
    """0 to 1; None is undecided."""
    read: str
    """What was extracted; empty when nothing was."""
    step: str
    """The rule that decided."""


Rule = Callable[[Row, str], Reading]


def _options(row: Row) -> dict[str, str]:
    return dict(row.get("options") or {})


def _inferred(row: Row, text: str) -> Reading:
    letter = choice.infer(text, _options(row))
    by = "letter" if letter is not None and choice.infer_option(text, _options(row)) == letter else "option text"
    return _compared(letter, row, f"VLMEvalKit inference by {by}")


def _lmms_static(row: Row, text: str) -> Reading:
    return _compared(mmbench.infer_lmms_static(text, _options(row)), row, "lmms-eval static mode")


def _compared(letter: str | None, row: Row, step: str) -> Reading:
    if letter is None:
        return Reading(None, "", f"{step}: no option found")
    return Reading(float(letter == row["answer"]), letter, step)


def _right(rule: Callable[[str, str], bool], step: str) -> Rule:
    return lambda row, text: Reading(float(rule(text, row["answer"])), text.strip(), step)


def _mmmu(form: mmmu.Form) -> Rule:
    def rule(row: Row, text: str) -> Reading:
        if row.get("question_type", "multiple-choice") == "open":
            parsed = mmmu.parse_open(text)
            return Reading(
                float(mmmu.open_right(row.get("answers") or row["answer"], parsed)), ", ".join(map(str, parsed)), "MMMU open answer"
            )
        letter = mmmu.parse_choice(text, list(_options(row).values()), form=form)
        return _compared(letter, row, f"MMMU parser, {form} form")

    return rule


def _yes_no(read: Callable[[str], str], step: str) -> Rule:
    def rule(row: Row, text: str) -> Reading:
        found = read(text)
        return Reading(float(found.lower() == row["answer"].strip().lower()), found, step)

    return rule


def _vlmevalkit_yes_no(row: Row, text: str) -> Reading:
    found = yes_no.vlmevalkit(text)
    if found == yes_no.UNKNOWN:
        return Reading(None, "", "VLMEvalKit: neither yes nor no alone")
    return Reading(float(found.lower() == row["answer"].strip().lower()), found, "VLMEvalKit yes/no")


def _hallusion(row: Row, text: str) -> Reading:
    found = hallusion.read_answer(text)
    gold = str(row.get("gt_answer", row["answer"])).strip().lower()
    return Reading(float(found == {"yes": "1", "no": "0"}.get(gold, gold)), found, "the authors' text-only variant")


def _asked(row: Row, text: str) -> Reading:
    return Reading(None, "", "every answer is asked of the judge")


def _textvqa(flavour: str) -> Rule:
    def rule(row: Row, text: str) -> Reading:
        worth = textvqa.vqa_accuracy(text, row["answers"], flavour=flavour)
        return Reading(worth, textvqa.normalize(text, flavour=flavour), f"VQA accuracy, normaliser {flavour}")

    return rule


def _chartqa(row: Row, text: str) -> Reading:
    return Reading(float(chartqa.relaxed_correctness(text, row["answer"])), text, "relaxed accuracy, 5%")


def _anls(row: Row, text: str) -> Reading:
    return Reading(anls.anls(text, row["answers"]), text, f"ANLS, threshold {anls.THRESHOLD:g}")


def _ocrbench(fold: bool) -> Rule:
    def rule(row: Row, text: str) -> Reading:
        formula = row.get("question_type") == ocrbench.FORMULA
        return Reading(float(ocrbench.contains(text, row["answers"], formula=formula, fold_width=fold)), text, "contains a reference")

    return rule


def _mathvista(row: Row, text: str) -> Reading:
    problem = {"choices": None, "precision": None, **row}
    extracted = mathvista.quick_extraction(text, problem)
    if extracted is None:
        return Reading(None, "", "no rule extracts an answer; the benchmark asks a language model here")
    normal = mathvista.normalize(extracted, problem)
    return Reading(float(mathvista.is_correct(normal, row["answer"], strip=True)), str(normal), "rule extraction")


def chosen(row: Row, option: str) -> Reading:
    """Compare an option that was chosen by likelihood, by its letter or word, with the key; an empty one is a tie."""
    if not option:
        return Reading(None, "", "by likelihood: two options share the highest")
    key = str(row.get("answer_option") or row["answer"])
    return Reading(float(option.lower() == key.strip().lower()), option, "option of the highest likelihood")


RULES: dict[str, dict[str, Rule]] = {
    "mmmu": {"current": _mmmu("current"), "2023": _mmmu("2023")},
    "mmbench": {"vlmevalkit": _inferred, "lmms": _lmms_static},
    "mmstar": {"official": _right(mmstar.right, "extraction by priority, A to D"), "vlmevalkit": _inferred},
    "seedbench": {"official": _right(choice.seed_right, "first character"), "vlmevalkit": _inferred},
    "ai2d": {"official": _right(choice.ai2d_right, "leading letter, else the whole answer"), "vlmevalkit": _inferred},
    "scienceqa": {"official": _right(choice.scienceqa_right, "letter alone or before a period"), "vlmevalkit": _inferred},
    "realworldqa": {"official": _right(choice.realworldqa_right, "letter, else the words"), "vlmevalkit": _inferred},
    "pope": {"official": _yes_no(yes_no.pope_official, "no in the first sentence, else yes"), "vlmevalkit": _vlmevalkit_yes_no},
    "mme": {
        "official": _yes_no(yes_no.mme_official, "first four characters"),
        "lmms": _yes_no(yes_no.lmms_mme, "first four characters, stripped"),
        "vlmevalkit": _vlmevalkit_yes_no,
    },
    "hallusion": {"official": _hallusion, JUDGED: _asked, "vlmevalkit": _vlmevalkit_yes_no},
    "textvqa": {"evalai": _textvqa("evalai"), "vlmevalkit": _textvqa("vlmevalkit")},
    "chartqa": {"official": _chartqa},
    "docvqa": {"official": _anls},
    "infovqa": {"official": _anls},
    "ocrbench": {"lmms": _ocrbench(True), "vlmevalkit": _ocrbench(False)},
    "mathvista": {"official": _mathvista},
}
"""Benchmark -> rule's name -> rule; the first is the default."""

"""Golden files of published scoring functions, replayed and compared.

A golden file is `{name, source, notes, cases}`, a case `{id, inputs, expected}`, recorded by running the official code.
`GOLDEN` says which of our functions answers for a file and how close it must come; it is found by the file's `name`,
so that cases held elsewhere replay as well. To add a benchmark, add a line.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.registry import suggest


@dataclass(frozen=True, slots=True)
class Golden:
    """How one kind of golden file is replayed."""

    target: str
    """`module:function`, inputs -> what `expected` holds."""
    tolerance: float = 1e-9
    """Absolute, for floats; all else must be equal."""
    unordered: bool = False
    """`expected` is a list sorted by a score that may tie within the tolerance: rows are paired, not zipped."""
    allowance: str | None = None
    """`module:function`, (inputs, got, expected) -> whether a difference is one that the file's notes allow."""


_HERE = "evals.replay_geneval"
_REWARDS = "evals.replay_rewards"
_TEXT = "evals.replay_text"
_ANSWERS = "evals.replay_answers"
_CHOICES = "evals.replay_understanding"
GOLDEN: dict[str, Golden] = {
    "geneval_prompts": Golden(f"{_HERE}:prompts"),
    "geneval_relative_position": Golden(f"{_HERE}:relative_position"),
    "geneval_iou": Golden(f"{_HERE}:iou"),
    "geneval_evaluate_image": Golden(f"{_HERE}:evaluate_image"),
    "geneval_summary": Golden(f"{_HERE}:summary"),
    "geneval_color_crop": Golden(f"{_HERE}:color_crop"),
    "geneval_color_classifier": Golden(f"{_HERE}:color_classifier", tolerance=1e-3),
    "mask2former_instance_postprocess": Golden(
        f"{_HERE}:instance_postprocess", tolerance=1e-5, unordered=True, allowance=f"{_HERE}:borderline_masks"
    ),
    "cv2_resize_linear": Golden(f"{_HERE}:resize"),
    "uniar_geneval_reward": Golden(f"{_REWARDS}:geneval_reward"),
    "uniar_ocr_reward": Golden(f"{_REWARDS}:ocr_reward"),
    "uniar_ocr_join": Golden(f"{_REWARDS}:ocr_join"),
    "uniar_unified_reward": Golden(f"{_REWARDS}:unified_reward"),
    "uniar_safe_extract_score": Golden(f"{_REWARDS}:extract_score"),
    "longtext_score": Golden(f"{_TEXT}:longtext_score"),
    "oneig_alignment": Golden("evals.replay_oneig:alignment"),
    "oneig_text": Golden(f"{_TEXT}:oneig_text"),
    "oneig_text_units": Golden(f"{_TEXT}:oneig_text_units"),
    "dpg_bench": Golden("evals.replay_dpg:dpg_bench"),
    "wise_parse": Golden("evals.replay_wise:parse"),
    "wise_aggregate": Golden("evals.replay_wise:aggregate"),
    "t2icompbench_2d_position": Golden("evals.replay_compbench:position_2d"),
    "t2icompbench_3d_position": Golden("evals.replay_compbench:position_3d"),
    "t2icompbench_numeracy_duplicate": Golden("evals.replay_compbench:numeracy_duplicate"),
    "t2icompbench_3in1": Golden("evals.replay_compbench:three_in_one"),
    "imgedit_scores": Golden("evals.replay_editing:imgedit_scores"),
    "gedit_viescore_parse": Golden("evals.replay_editing:gedit_parse"),
    "gedit_statistics": Golden("evals.replay_editing:gedit_statistics"),
    "anls": Golden(f"{_ANSWERS}:anls"),
    "chartqa_relaxed": Golden(f"{_ANSWERS}:chartqa_relaxed"),
    "choice_scorers": Golden(f"{_CHOICES}:choice_scorers"),
    "hallusion_aggregate": Golden(f"{_ANSWERS}:hallusion_aggregate"),
    "mathvista": Golden(f"{_ANSWERS}:mathvista_case"),
    "mcq_inference": Golden(f"{_CHOICES}:mcq_inference"),
    "mmbench_circular": Golden(f"{_CHOICES}:mmbench_circular"),
    "mme_aggregate": Golden(f"{_ANSWERS}:mme_aggregate"),
    "mmmu_aggregate": Golden(f"{_CHOICES}:mmmu_aggregate"),
    "mmmu_multi_choice_parse": Golden(f"{_CHOICES}:mmmu_choice"),
    "mmmu_open": Golden(f"{_CHOICES}:mmmu_open"),
    "mmstar": Golden(f"{_CHOICES}:mmstar_rows"),
    "ocrbench": Golden(f"{_ANSWERS}:ocrbench_case"),
    "pope_aggregate": Golden(f"{_ANSWERS}:pope_aggregate"),
    "realworldqa": Golden(f"{_CHOICES}:realworldqa"),
    "textvqa_accuracy": Golden(f"{_ANSWERS}:textvqa_accuracy"),
    "yes_no_parse": Golden(f"{_ANSWERS}:yes_no_parse"),
}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One case that came out otherwise."""

    case_id: Any
    where: str
    """Path of the first difference inside `expected`; empty for the whole."""
    got: Any
    expected: Any


@dataclass(frozen=True, slots=True)
class Replay:
    """A golden file's outcome."""

    name: str
    source: str
    total: int
    mismatches: tuple[Mismatch, ...]

    @property
    def matched(self) -> int:
        """Cases that agree."""
        return self.total - len(self.mismatches)


def difference(got: Any, expected: Any, *, tolerance: float, unordered: bool = False) -> tuple[str, Any, Any] | None:
    """First place where two JSON values differ, as (path, got, expected); None when they agree.

    Args:
        got: ours.
        expected: recorded; `{"__float__": "nan"}` and the like stand for non-finite floats.
        tolerance: absolute, wherever either side is a float.
        unordered: pair the rows of two lists freely.
    """
    if isinstance(expected, dict) and set(expected) == {"__float__"}:
        expected = float(expected["__float__"])
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            if key not in got or key not in expected:
                return f".{key}", got.get(key, "(absent)"), expected.get(key, "(absent)")
            below = difference(got[key], expected[key], tolerance=tolerance)
            if below is not None:
                return f".{key}{below[0]}", *below[1:]
        return None
    if isinstance(expected, list) and isinstance(got, list):
        if len(got) != len(expected):
            return ".length", len(got), len(expected)
        left = list(got)
        for index, want in enumerate(expected):
            tries = left if unordered else got[index : index + 1]
            found = [difference(one, want, tolerance=tolerance) for one in tries]
            if None not in found:
                path, *pair = found[0] if not unordered else ("", left, want)
                return f"[{index}]{path}", *pair
            if unordered:
                left.pop(found.index(None))
        return None
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (got, expected))
    if numbers and (isinstance(got, float) or isinstance(expected, float)):
        if got == expected or (math.isnan(got) and math.isnan(expected)) or abs(got - expected) <= tolerance:
            return None
        return "", got, expected
    return None if type(got) is type(expected) and got == expected else ("", got, expected)


def read_golden(path: Path) -> dict[str, Any]:
    """Read and check a golden file.

    Raises:
        DataError: missing, not JSON, not of the shape above, or of a name that nothing here answers for.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: got {error.strerror}; expected a golden file. Check the path.") from error
    except ValueError as error:
        raise DataError(f"{path}: got no JSON ({error}); expected a golden file. Fetch it again.") from error
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not isinstance(data.get("cases"), list):
        raise DataError(f"{path}: got JSON without name and cases; expected both. Fetch it again.")
    for index, case in enumerate(data["cases"]):
        if not isinstance(case, dict) or not {"id", "inputs", "expected"} <= set(case):
            raise DataError(f"{path}: cases[{index}]: got a part; expected id, inputs and expected. Fetch it again.")
    if data["name"] not in GOLDEN:
        near = suggest(data["name"], GOLDEN)
        raise DataError(f"{path}: name: got {data['name']}; expected one of the {len(GOLDEN)} that can be replayed.{near}")
    if not data["cases"]:
        raise DataError(f"{path}: cases: got none; expected at least one. Nothing would be checked.")
    return data


def _decoded(value: Any) -> Any:
    # Inputs spell non-finite floats as `expected` does.
    if isinstance(value, dict):
        return float(value["__float__"]) if set(value) == {"__float__"} else {key: _decoded(below) for key, below in value.items()}
    return [_decoded(below) for below in value] if isinstance(value, list) else value


def _load(target: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def replay(path: Path) -> Replay:
    """Run every case of a golden file through our function; a case that it cannot read differs.

    Raises:
        DataError: see `read_golden`; or no case has inputs of its kind.
    """
    data = read_golden(path)
    golden = GOLDEN[data["name"]]
    function = _load(golden.target)
    allowed = _load(golden.allowance) if golden.allowance else lambda *_: False
    mismatches = []
    unread: list[Exception] = []
    for case in data["cases"]:
        try:
            got = function(_decoded(case["inputs"]))
        except Exception as error:
            # One odd case must not hide what the others say.
            unread.append(error)
            mismatches.append(Mismatch(case["id"], "(raised)", repr(error), case["expected"]))
            continue
        found = difference(got, case["expected"], tolerance=golden.tolerance, unordered=golden.unordered)
        if found is not None and not allowed(case["inputs"], got, case["expected"]):
            mismatches.append(Mismatch(case["id"], *found))
    if len(unread) == len(data["cases"]):
        raise DataError(
            f"{path}: case {data['cases'][0]['id']}: inputs: got what {golden.target} cannot read ({unread[0]!r}); expected the "
            f"fields of {data['name']}. Fetch it again."
        ) from unread[0]
    return Replay(data["name"], str(data.get("source", "")), len(data["cases"]), tuple(mismatches))

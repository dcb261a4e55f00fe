"""What judges of edits are told: read out of the benchmarks' own files, or the mini world's rubrics below.

Sources: ImgEdit 547185d, `prompts.json` (nine rubrics) and `Benchmark/UGE/UGE_bench.py`; Step1X-Edit 570eba6,
`GEdit-Bench/viescore/vie_prompts.py`. The official texts are read where they lie, neither copied nor run.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evals.datasets.local import data_file, read_json
from evals.errors import DataError
from evals.scorers import imgedit_rules

EDIT_SLOT, INSTRUCTION_SLOT = "<edit_prompt>", "<instruction>"
PROMPTS = ("prompts.json", "Benchmark/Basic/prompts.json", "Basic/prompts.json")
UGE_SCRIPT = ("UGE_bench.py", "Benchmark/UGE/UGE_bench.py", "UGE/UGE_bench.py")
VIE_PROMPTS = ("vie_prompts.py", "viescore/vie_prompts.py", "GEdit-Bench/viescore/vie_prompts.py")
_CONTEXT, _EDIT_RULE = "_context_no_delimit", "_prompts_0shot_two_image_edit_rule"
_SC, _PQ = "_prompts_0shot_tie_rule_SC", "_prompts_0shot_rule_PQ"


def imgedit_rubrics(folder: str | None = None) -> dict[str, str]:
    """Return the nine rubrics, edit type -> text with the slot `<edit_prompt>`.

    Args:
        folder: a copy of the benchmark; None looks under the data root.

    Raises:
        DataError: the file is not there, not JSON, or lacks a type or a slot.
    """
    path = data_file("imgedit", *PROMPTS, folder=folder)
    data = read_json(path, dict, "a table of edit type and rubric")
    for name in imgedit_rules.TYPES:
        if not isinstance(data.get(name), str) or EDIT_SLOT not in data[name]:
            raise DataError(f"{path}: {name}: got no rubric with {EDIT_SLOT}; expected one of each edit type. Fetch the file again.")
    return {name: data[name] for name in imgedit_rules.TYPES}


def uge_rubric(folder: str | None = None) -> str:
    """Return the common rubric of the UGE suite, with the slot `<edit_prompt>`.

    Raises:
        DataError: the script is not there, or holds no such text.
    """
    path = data_file("imgedit", *UGE_SCRIPT, folder=folder)
    for text in _texts(path).values():
        if EDIT_SLOT in text:
            return text
    raise DataError(f"{path}: got no text with {EDIT_SLOT}; expected the UGE rubric. Fetch the file again.")


class GEditRubric(NamedTuple):
    """The two questions of VIEScore's task `tie`."""

    sc: str
    """About source and edited image, with the slot `<instruction>`."""
    pq: str
    """About the edited image alone."""


def gedit_rubric(folder: str | None = None) -> GEditRubric:
    """Return the official questions, put together as the official class does.

    Raises:
        DataError: the file is not there, or lacks one of the four texts.
    """
    path = data_file("gedit", *VIE_PROMPTS, folder=folder)
    texts = _texts(path)
    for name in (_CONTEXT, _EDIT_RULE, _SC, _PQ):
        if name not in texts:
            raise DataError(f"{path}: got no text {name}; expected VIEScore's prompts. Fetch Step1X-Edit 570eba6.")
    if INSTRUCTION_SLOT not in texts[_SC]:
        raise DataError(f"{path}: {_SC}: got no {INSTRUCTION_SLOT}; expected a slot for the instruction. Fetch Step1X-Edit 570eba6.")
    return GEditRubric("\n".join((texts[_CONTEXT], texts[_EDIT_RULE], texts[_SC])), "\n".join((texts[_CONTEXT], texts[_PQ])))


def _texts(path: Path) -> dict[str, str]:
    # Top-level texts of a Python file, from its syntax tree: foreign code is read, never run.
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: got no readable Python ({error}); expected the benchmark's own file. Fetch it again.") from error
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


PAIR_OPENING = "Two pictures of flat shapes, before and after an edit."
SINGLE_OPENING = "One picture of flat shapes, made by an edit."


def _mini(names: Sequence[str]) -> str:
    lines = "\n".join(f"{name}: A number from 1 to 5." for name in names)
    return (
        f'{PAIR_OPENING}\nThe edit asked for: "{EDIT_SLOT}"\n'
        "Score three things from 1 to 5: whether what was asked for was done, whether every shape is cleanly drawn, and whether "
        "everything else stayed as it was. The second and third score must not be higher than the first.\n"
        f"Reply in this form:\nBrief reasoning: at most 20 words.\n{lines}\n"
    )


MINI_IMGEDIT: dict[str, str] = {name: _mini(imgedit_rules.NAMES[name]) for name in imgedit_rules.TYPES}
"""ImgEdit-mini's rubrics, in the official reply format."""
_MINI_FORM = 'Reply with JSON alone: {"score": [FIRST, SECOND], "reasoning": "..."}'
MINI_GEDIT = GEditRubric(
    f"{PAIR_OPENING}\n"
    "Score two things from 0 to 10: how far what was asked for was done, and how far everything else stayed as it was.\n"
    f'{_MINI_FORM}\nThe edit asked for: "{INSTRUCTION_SLOT}"\n',
    f"{SINGLE_OPENING}\n"
    f"Score two things from 0 to 10: how cleanly the shapes are drawn, and how free the ground is of marks.\n{_MINI_FORM}\n",
)
"""GEdit-mini's two questions, in the official reply format."""

"""The published tables of the understanding benchmarks: file names, splits, picture columns, and official field -> our key.

Sources: VLMEvalKit e8e78f0 (TSV files, their columns); its dataset classes at other commits (MD5; that of MMMU was replaced once);
lmms-eval 75571cf (folders, splits and fields of the parquet files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Names = tuple[str, ...]
"""Official names of one thing, of which the first that a row has counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One benchmark."""

    tsv: str
    """Published TSV file."""
    md5: str
    """Of that file."""
    split: str
    """Of the parquet files: `SPLIT-00000-of-00001.parquet`."""
    config: str | None = None
    """Folder of the parquet files, where a repository holds several sets."""
    tsv_split: str | None = None
    """Value of the TSV's column `split` that is the same set; None: the file is the set."""
    index: Names = ("index",)
    """The official id; without one, rows are counted."""
    question: Names = ("question",)
    answer: Names = ("answer",)
    answers: Names = ()
    """References, a list; without one, the answer alone."""
    options: Names = ()
    """A column with a list of options, or one column an option; else the columns A, B, C, ..."""
    task: Names = ()
    """The group that is reported; without one, the benchmark's name."""
    images: tuple[Names, ...] = (("image",), ("images",), ("image_path",))
    """Choices of picture columns."""
    own: Mapping[str, Names] = field(default_factory=dict)
    """Key of the metadata -> official names."""


_NUMBERED = tuple(f"image_{number}" for number in range(1, 8))
_USUAL = (("image",), ("images",), ("image_path",))

TABLES: dict[str, Table] = {
    "mmmu": Table(
        tsv="MMMU_DEV_VAL.tsv",
        md5="585e8ad75e73f75dcad265dfd0417d64",
        split="validation",
        tsv_split="validation",
        index=("id", "index"),
        options=("options",),
        task=("category", "subject"),
        images=(_NUMBERED, *_USUAL),
        own={"id": ("id", "index"), "question_type": ("question_type",)},
    ),
    "mmbench": Table(
        tsv="MMBench_DEV_EN.tsv",
        md5="b6caf1133a01c6bb705cf753bb527ed8",
        split="dev",
        config="en",
        task=("l2-category", "L2-category", "category"),
        own={"g_index": ("g_index",), "category": ("category",), "l2-category": ("l2-category", "L2-category"), "split": ("split",)},
    ),
    "mmstar": Table(
        tsv="MMStar.tsv",
        md5="e1ecd2140806c1b1bbf54b43372efb9e",
        split="val",
        task=("l2_category", "l2-category", "category"),
        own={"category": ("category",), "l2_category": ("l2_category", "l2-category")},
    ),
    "seedbench": Table(
        tsv="SEEDBench_IMG.tsv",
        md5="68017231464752261a2526d6ca3a10c0",
        split="test",
        index=("question_id", "index"),
        options=("choice_a", "choice_b", "choice_c", "choice_d"),
        task=("data_type", "category"),
        own={"data_type": ("data_type",), "question_id": ("question_id",), "category": ("category",)},
    ),
    "ai2d": Table(
        tsv="AI2D_TEST.tsv",
        md5="0f593e0d1c7df9a3d69bf1f947e71975",
        split="test",
        options=("options",),
        task=("category",),
        own={"category": ("category",)},
    ),
    "scienceqa": Table(
        tsv="ScienceQA_TEST.tsv",
        md5="e42e9e00f9c59a80d8a5db35bc32b71f",
        split="test",
        config="ScienceQA-IMG",
        options=("choices",),
        task=("subject", "category"),
        own={"subject": ("subject",), "category": ("category",), "grade": ("grade",)},
    ),
    "realworldqa": Table(tsv="RealWorldQA.tsv", md5="92321028d2bc29040284b6674721e48f", split="test"),
    "pope": Table(
        tsv="POPE.tsv",
        md5="c12f5acb142f2ef1f85a26ba2fbe41d5",
        split="test",
        index=("question_id", "index"),
        own={"category": ("category",), "question_id": ("question_id", "index")},
    ),
    "mme": Table(
        tsv="MME.tsv",
        md5="b36b43c3f09801f5d368627fb92187c3",
        split="test",
        index=("question_id", "image_path", "index"),
        task=("category",),
        images=(("image",), ("images",)),
        own={"category": ("category",), "question_id": ("question_id", "image_path")},
    ),
    "hallusion": Table(
        tsv="HallusionBench.tsv",
        md5="0c23ac0dc9ef46832d7a24504f2a0c7c",
        split="image",
        answer=("gt_answer", "answer"),
        task=("category",),
        own={
            "category": ("category",),
            "subcategory": ("subcategory", "l2-category"),
            "set_id": ("set_id",),
            "figure_id": ("figure_id",),
            "question_id": ("question_id",),
            "visual_input": ("visual_input",),
            "gt_answer_details": ("gt_answer_details",),
        },
    ),
    "textvqa": Table(
        tsv="TextVQA_VAL.tsv",
        md5="b233b31f551bbf4056f2f955da3a92cd",
        split="validation",
        index=("question_id", "index"),
        answer=("answers", "answer"),
        answers=("answers", "answer"),
        own={"question_id": ("question_id",)},
    ),
    "chartqa": Table(
        tsv="ChartQA_TEST.tsv",
        md5="c902e0aa9be5582a7aad6dcf52734b42",
        split="test",
        task=("type", "split"),
        own={"type": ("type", "split")},
    ),
    "docvqa": Table(
        tsv="DocVQA_VAL.tsv",
        md5="d5ee77e1926ff10690d469c56b73eabf",
        split="validation",
        config="DocVQA",
        index=("questionId", "index"),
        answer=("answers", "answer"),
        answers=("answers", "answer"),
        own={"questionId": ("questionId",)},
    ),
    "infovqa": Table(
        tsv="InfoVQA_VAL.tsv",
        md5="2342e9c225222f0ef4dec545ebb126fe",
        split="validation",
        config="InfographicVQA",
        index=("questionId", "index"),
        answer=("answers", "answer"),
        answers=("answers", "answer"),
        own={"questionId": ("questionId",)},
    ),
    "ocrbench": Table(
        tsv="OCRBench.tsv",
        md5="e953d98a987cc6e26ef717b61260b778",
        split="test",
        answers=("answer",),
        own={"question_type": ("question_type", "category"), "dataset": ("dataset",)},
    ),
    "mathvista": Table(
        tsv="MathVista_MINI.tsv",
        md5="f199b98e178e5a2a20e7048f5dcb0464",
        split="testmini",
        index=("pid", "index"),
        options=("choices",),
        images=(("decoded_image",), *_USUAL),
        own={
            "question_type": ("question_type",),
            "answer_type": ("answer_type",),
            "precision": ("precision",),
            "unit": ("unit",),
            "query": ("query",),
            "answer_option": ("answer_option",),
        },
    ),
}
"""By the benchmark's name in suites."""

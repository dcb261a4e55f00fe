"""What `uniar-eval data` knows of each benchmark: which files, from where, which revision, how many rows, under which licence.

Facts come from the benchmarks' repositories at the named commits. What we could not check says "unknown"; nothing is guessed.
Nothing is bundled: files come from the source (`fetching`) or from a copy of it (`adopting`), and are checked (`checking`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evals.datasets.understanding_tables import TABLES
from evals.errors import DataError
from evals.registry import suggest

UNKNOWN = "unknown: check at the source"
GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of a benchmark."""

    name: str
    """Relative path under the benchmark's data folder; what a dataset asks `data_file` for."""
    remote: tuple[str, ...] = ()
    """Paths at the source, tried in this order; empty: the same as `name`."""
    sha256: str | None = None
    """None: unknown; the first fetch records it."""
    kind: str = "binary"
    """`jsonl`, `json`, `csv`, `lines`, `text` or `binary`."""
    rows: int | None = None
    """Rows, entries or lines it must have."""
    fields: tuple[str, ...] = ()
    """What each row must have."""
    language: str | None = None
    """`en` or `zh`: what the prompts are written in."""
    prompt: str | None = None
    """Field that `language` speaks of."""
    images: tuple[str, ...] = ()
    """Folders that the rows' pictures may lie in, by `image_field`; the first that holds the first one counts."""
    image_field: str = "id"

    @property
    def places(self) -> tuple[str, ...]:
        """Paths at the source."""
        return self.remote or (self.name,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """Many files of a benchmark that nobody lists by name."""

    name: str
    """Relative folder under the benchmark's data folder; `.`: each of `remote` under its own name."""
    remote: tuple[str, ...]
    """Folders in a copy of the source, the first that is there (all of them for the name `.`); `.` is the copy's root."""
    suffixes: tuple[str, ...]
    count: int | None = None
    """Files it must hold."""
    archive: str | None = None
    """File at a hub source that holds the folder; None: the git source's own archive."""
    start: str = ""
    """What the files' own names begin with (one split of several)."""

    def holds(self, name: str) -> bool:
        """Whether a file of the data folder is one of this folder's."""
        homes = self.remote if self.name == "." else (self.name,)
        return self.takes(name) and any(name.startswith(f"{home}/") for home in homes)

    def takes(self, path: str) -> bool:
        """Whether a file is wanted, wherever it lies."""
        return path.lower().endswith(self.suffixes) and path.rpartition("/")[2].startswith(self.start)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A repository at a revision."""

    kind: str
    """`git` (github.com) or `hub` (a dataset of huggingface.co)."""
    repository: str
    revision: str
    """Commit; `main` where the benchmark names none (the lock file then records what was fetched)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One entry of the catalogue."""

    name: str
    title: str
    source: Source
    files: tuple[File, ...] = ()
    folders: tuple[Folder, ...] = ()
    folder_source: Source | None = None
    """Where `folders` come from, when it is another place."""
    licence: str = UNKNOWN
    size: str = UNKNOWN
    max_bytes: int = GIB
    """Most bytes that a fetch or a copy may write."""
    note: str = ""


def _git(repository: str, revision: str) -> Source:
    return Source(kind="git", repository=repository, revision=revision)


def _compbench() -> Iterator[File]:
    base = "examples/dataset"
    for category in ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex"):
        yield File(name=f"{base}/{category}_val.txt", kind="lines", rows=300, language="en")
    for name in ("new_objects", "complex_val_spatial", "complex_val_action"):
        yield File(name=f"{base}/{name}.txt", kind="lines")


def _oneig() -> Iterator[File]:
    yield File(name="OneIG-Bench.csv", kind="csv", rows=1120, fields=("category", "id", "prompt_en"), language="en", prompt="prompt_en")
    yield File(name="OneIG-Bench-ZH.csv", kind="csv", rows=1320, fields=("category", "id", "prompt_cn"), language="zh", prompt="prompt_cn")
    for end in ("", "_zh"):
        yield File(name=f"scripts/text/text_content{end}.csv", kind="csv", rows=200, fields=("id", "text_content"))
    for end in ("", "_zh"):
        for name in ("anime", "human", "object", *(("multilingualism",) if end else ())):
            yield File(name=f"scripts/alignment/Q_D/{name}{end}.json", kind="json", fields=("question", "dependency"))
    for end in ("", "_zh"):
        yield File(name=f"scripts/reasoning/gt_answer{end}.json", kind="json", rows=225)
    # Most rows name no style.
    yield File(name="scripts/style/style.csv", kind="csv", fields=("id",))


def _wise() -> Iterator[File]:
    fields = ("Prompt", "Explanation", "prompt_id")
    for part, legacy, verified in (
        ("cultural_common_sense", 400, 400),
        ("spatio-temporal_reasoning", 300, 240),
        ("natural_science", 300, 360),
    ):
        places = (f"WISE_legacy/data/{part}.json", f"data/{part}.json")
        yield File(name=places[0], remote=places, kind="json", rows=legacy, fields=fields, language="en", prompt="Prompt")
        name = f"data_verified/{part}_verified.json"
        yield File(name=name, kind="json", rows=verified, fields=fields, language="en", prompt="Prompt")
    # The judges' rubrics stand in the scripts; they are read as text.
    yield File(name="WISE_legacy/gpt_eval.py", remote=("WISE_legacy/gpt_eval.py", "gpt_eval.py"), kind="text")
    yield File(name="vllm_eval.py", kind="text")


def _understanding() -> Iterator[Benchmark]:
    lmms = "lmms-lab-encoder"
    for name, title, repository, place, gib in (
        ("mmmu", "MMMU, validation", f"{lmms}/MMMU", ".", 4),
        ("mmbench", "MMBench, English, dev", f"{lmms}/MMBench", "en", 4),
        ("mmstar", "MMStar", "Lin-Chen/MMStar", ".", 4),
        ("seedbench", "SEED-Bench, images and videos", f"{lmms}/SEED-Bench", "data", 60),
        ("ai2d", "AI2D, test", f"{lmms}/ai2d", "data", 4),
        ("scienceqa", "ScienceQA, test questions with an image", f"{lmms}/ScienceQA", "ScienceQA-IMG", 4),
        ("realworldqa", "RealWorldQA", f"{lmms}/RealWorldQA", "data", 4),
        ("pope", "POPE, three splits", f"{lmms}/POPE", "data", 4),
        ("mme", "MME", f"{lmms}/MME", "data", 4),
        ("hallusion", "HallusionBench, questions with an image", f"{lmms}/HallusionBench", "data", 4),
        ("textvqa", "TextVQA, validation", f"{lmms}/textvqa", "data", 8),
        ("chartqa", "ChartQA, test", f"{lmms}/ChartQA", "data", 4),
        ("docvqa", "DocVQA, validation", f"{lmms}/DocVQA", "DocVQA", 8),
        ("infovqa", "InfographicVQA, validation", f"{lmms}/DocVQA", "InfographicVQA", 8),
        ("ocrbench", "OCRBench", "echo840/OCRBench", "data", 4),
        ("mathvista", "MathVista, testmini", "AI4Math/MathVista", "data", 4),
    ):
        table = TABLES[name]
        start = "" if name == "mmstar" else f"{table.split}-"
        own, remote = ("data", (".",)) if place == "." else (place, (place,))
        yield Benchmark(
            name=name,
            title=f"{title} (Parquet)",
            source=Source(kind="hub", repository=repository, revision="main"),
            folders=(Folder(name=own, remote=remote, suffixes=(".parquet",), start=start),),
            max_bytes=gib * GIB,
            note=f"The hub names no release: the one that was fetched is recorded. VLMEvalKit's {table.tsv} is read as well.",
        )


_LONGTEXT = ("category", "length", "prompt", "text", "text_length", "prompt_id")
_UNIAR = ("idx", "prompt", "meta")
_TABLE = (
    Benchmark(
        name="geneval",
        title="GenEval prompts (the suite makes them itself; these files prove it)",
        source=_git("djghosh13/geneval", "af4902f"),
        files=(
            File(
                name="prompts/evaluation_metadata.jsonl",
                sha256="5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13",
                kind="jsonl",
                rows=553,
                fields=("tag", "include", "prompt"),
            ),
            File(
                name="prompts/generation_prompts.txt",
                sha256="55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680",
                kind="lines",
                rows=553,
            ),
            File(
                name="prompts/object_names.txt",
                remote=("prompts/object_names.txt", "evaluation/object_names.txt", "object_names.txt"),
                sha256="608f6a0e5c8ca1c7a92b818430141fe268c85b7930b50f4160f1d65893b5bacd",
                kind="lines",
                rows=80,
            ),
        ),
    ),
    Benchmark(
        name="uniar-prompts",
        title="UniAR's own prompt files: GenEval short and rewritten, LongText, OneIG text, ImgEdit",
        source=_git("ShareLab-SII/UniAR", "09341a0"),
        files=tuple(
            File(name=f"{name}.jsonl", remote=(f"eval/prompts/{name}.jsonl",), kind="jsonl", rows=rows, fields=fields)
            for name, rows, fields in (
                ("geneval", 553, _UNIAR),
                ("geneval_long", 553, _UNIAR),
                ("longtext", 160, ("prompt", "meta")),
                ("oneig", 200, ("prompt", "meta")),
                ("imgedit", 737, ("meta",)),
            )
        ),
    ),
    Benchmark(
        name="longtext",
        title="LongText-Bench, English and Chinese",
        source=_git("X-Omni-Team/X-Omni", "2b8237b"),
        files=tuple(
            File(
                name=name,
                remote=(f"textbench/{name}",),
                kind="jsonl",
                rows=160,
                fields=_LONGTEXT,
                language=language,
                prompt="text",
            )
            for name, language in (("text_prompts.jsonl", "en"), ("text_prompts_zh.jsonl", "zh"))
        ),
    ),
    Benchmark(
        name="oneig",
        title="OneIG-Bench prompts, texts to write, alignment questions, answers and styles, English and Chinese",
        source=_git("OneIG-Bench/OneIG-Benchmark", "41b49831e79e6dde5323618c164da1c4cf0f699d"),
        files=tuple(_oneig()),
    ),
    Benchmark(
        name="dpg",
        title="DPG-Bench prompts and questions",
        source=_git("TencentQQGYLab/ELLA", "3c228f1"),
        files=(
            File(
                name="dpg_bench.csv",
                remote=("dpg_bench/dpg_bench.csv", "dpg_bench.csv"),
                kind="csv",
                fields=("item_id", "text", "proposition_id", "dependency", "tuple", "question_natural_language"),
            ),
        ),
        folders=(Folder(name="prompts", remote=("dpg_bench/prompts", "prompts"), suffixes=(".txt",), count=1065),),
        note="Copies of dpg_bench.csv that mirrors hold were found corrupt: check what you get.",
    ),
    Benchmark(
        name="wise",
        title="WISE prompts, legacy (the paper's) and verified",
        source=_git("PKU-YuanGroup/WISE", "eb51174"),
        files=tuple(_wise()),
    ),
    Benchmark(
        name="compbench",
        title="T2I-CompBench validation prompts",
        source=_git("Karine-Huang/T2I-CompBench", "1b70949"),
        files=tuple(_compbench()),
        licence="MIT (License.txt of the repository)",
    ),
    Benchmark(
        name="imgedit",
        title="ImgEdit-Bench: instructions, rubrics and source images",
        source=_git("PKU-YuanGroup/ImgEdit", "547185d"),
        files=(
            File(
                name="Benchmark/Basic/basic_edit.json",
                kind="json",
                rows=737,
                fields=("id", "prompt", "edit_type"),
                language="en",
                prompt="prompt",
                images=("Benchmark/singleturn", "singleturn", "images", "original_images", "Benchmark"),
            ),
            File(name="Benchmark/Basic/prompts.json", kind="json", rows=9),
            File(name="Benchmark/UGE/UGE_edit.json", kind="json", rows=47, fields=("id", "prompt")),
            File(name="Benchmark/UGE/UGE_bench.py", kind="text"),
        ),
        folders=(
            Folder(
                name=".",
                remote=("Benchmark", "singleturn", "hard", "UGE", "images", "original_images"),
                suffixes=(".jpg", ".jpeg", ".png"),
                archive="Benchmark.tar",
            ),
        ),
        folder_source=Source(kind="hub", repository="sysuyy/ImgEdit", revision="main"),
        max_bytes=20 * GIB,
        note="The hub names no release: the revision that was fetched is recorded. Folders inside Benchmark.tar are taken as they are.",
    ),
    Benchmark(
        name="gedit",
        title="GEdit-Bench: instructions and images, English and Chinese (Parquet), and the judge's rubric",
        source=_git("stepfun-ai/Step1X-Edit", "570eba6ebda0c45c013983a483afbf2fd12bfcbc"),
        files=(
            File(
                name="GEdit-Bench/viescore/vie_prompts.py",
                remote=("GEdit-Bench/viescore/vie_prompts.py", "viescore/vie_prompts.py", "vie_prompts.py"),
                kind="text",
            ),
        ),
        folders=(Folder(name="data", remote=("data", "."), suffixes=(".parquet",)),),
        folder_source=Source(kind="hub", repository="stepfun-ai/GEdit-Bench", revision="main"),
        max_bytes=20 * GIB,
        note="The hub names no release: the revision that was fetched is recorded.",
    ),
    *_understanding(),
)
CATALOGUE: dict[str, Benchmark] = {entry.name: entry for entry in _TABLE}
"""By name."""


def benchmark(name: str) -> Benchmark:
    """Return an entry of the catalogue.

    Raises:
        DataError: no such benchmark, with the nearest name.
    """
    if name not in CATALOGUE:
        raise DataError(f'data: got "{name}"; no such benchmark.{suggest(name, CATALOGUE)} (uniar-eval data list)')
    return CATALOGUE[name]

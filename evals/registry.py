"""Kind + name -> plugin. Three places are searched: files a suite names, installed entry points, the table below.

Built-ins are `"module:object"` strings, so listing them imports nothing and an editable install cannot go stale.
A name found twice is an error that prints both origins; a plugin that fails to import is listed as broken, and is an
error when it is named. What a plugin must look like is in `evals/protocols.py`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import PluginError

GROUPS = {
    "model": "uniar_eval.models",
    "dataset": "uniar_eval.datasets",
    "detector": "uniar_eval.detectors",
    "color": "uniar_eval.colors",
    "judge": "uniar_eval.judges",
    "ocr": "uniar_eval.ocr",
    "vqa": "uniar_eval.vqa",
    "embedder": "uniar_eval.embedders",
    "depth": "uniar_eval.depths",
    "phrases": "uniar_eval.phrases",
    "scorer": "uniar_eval.scorers",
    "metric": "uniar_eval.metrics",
    "reporter": "uniar_eval.reporters",
    "command": "uniar_eval.commands",
}
"""Kind -> entry-point group."""

ROLES = ("detector", "color", "judge", "ocr", "vqa", "embedder", "depth", "phrases")
"""Kinds that a suite names under `roles` and that a scorer is given."""

BUILTIN: dict[str, dict[str, str]] = {
    "model": {
        "images": "evals.models.folder:ImageFolderModel",
        "text-renderer": "evals.models.text_renderer:TextRendererModel",
        "uniar": "evals.models.uniar:UniARModel",
    },
    "dataset": {
        "dpg": "evals.datasets.dpg:DpgDataset",
        "shapes-dpg": "evals.datasets.shapes_dpg:ShapesDpgDataset",
        "gedit": "evals.datasets.gedit:GEditDataset",
        "imgedit": "evals.datasets.imgedit:ImgEditDataset",
        "imgedit-multiturn": "evals.datasets.imgedit:ImgEditMultiTurnDataset",
        "imgedit-uge": "evals.datasets.imgedit:ImgEditUgeDataset",
        "shapes-edit": "evals.datasets.shapes_edit:ShapesEditDataset",
        "shapes-compbench": "evals.datasets.shapes_compbench:ShapesCompBenchDataset",
        "compbench": "evals.datasets.compbench:CompBenchDataset",
        "longtext": "evals.datasets.longtext:LongTextDataset",
        "oneig-text": "evals.datasets.oneig_text:OneIGTextDataset",
        "text-mini": "evals.datasets.text_mini:TextMiniDataset",
        "shapes-wise": "evals.datasets.shapes_wise:ShapesWiseDataset",
        "wise": "evals.datasets.wise:WiseDataset",
        "geneval": "evals.datasets.geneval:GenEvalDataset",
        "image-folder": "evals.datasets.reconstruction:ImageFolderDataset",
        "shapes-reconstruction": "evals.datasets.reconstruction:ShapesReconstructionDataset",
        "geneval-rewritten": "evals.datasets.geneval_rewritten:GenEvalRewrittenDataset",
        "oneig-alignment": "evals.datasets.oneig_alignment:OneIGAlignmentDataset",
        "oneig": "evals.datasets.oneig:OneIGDataset",
        "shapes-oneig": "evals.datasets.shapes_oneig:ShapesOneIGDataset",
        "shared-context": "evals.datasets.shared_context:SharedContextDataset",
        "shapes-understanding": "evals.datasets.shapes_understanding:ShapesUnderstandingDataset",
        "understanding": "evals.datasets.understanding:UnderstandingDataset",
        "shapes-geneval": "evals.datasets.shapes:ShapesGenEvalDataset",
    },
    "detector": {
        "mask2former": "evals.perception.mask2former:Mask2FormerDetector",
        "shapes": "evals.perception.shapes:ShapesDetector",
    },
    "color": {
        "open-clip": "evals.perception.clip_color:OpenClipColor",
        "shapes": "evals.perception.shapes:ShapesColor",
    },
    "judge": {
        "local": "evals.judges.local:LocalJudge",
        "openai": "evals.judges.openai:OpenAIJudge",
        "shapes": "evals.judges.shapes:ShapesJudge",
    },
    "ocr": {
        "rapidocr": "evals.perception.ocr_rapid:RapidOcr",
        "vlm": "evals.perception.ocr_vlm:VlmOcr",
    },
    "scorer": {
        "dpg": "evals.scorers.dpg:DpgScorer",
        "gedit": "evals.scorers.gedit:GEditScorer",
        "imgedit": "evals.scorers.imgedit:ImgEditScorer",
        "imgedit-uge": "evals.scorers.imgedit:ImgEditUgeScorer",
        "compbench-complex": "evals.scorers.compbench:ComplexScorer",
        "compbench-numeracy": "evals.scorers.compbench:NumeracyScorer",
        "compbench-spatial-3d": "evals.scorers.compbench:Spatial3dScorer",
        "compbench-spatial-2d": "evals.scorers.compbench:Spatial2dScorer",
        "compbench-clip": "evals.scorers.compbench:ClipScorer",
        "compbench-attribute": "evals.scorers.compbench:AttributeScorer",
        "compbench": "evals.scorers.compbench:CompBenchScorer",
        "longtext": "evals.scorers.longtext:LongTextScorer",
        "oneig-text": "evals.scorers.oneig_text:OneIGTextScorer",
        "geneval": "evals.scorers.geneval:GenEvalScorer",
        "understanding": "evals.scorers.understanding:UnderstandingScorer",
        "oneig-alignment": "evals.scorers.oneig_alignment:OneIGAlignmentScorer",
        "oneig-reasoning": "evals.scorers.oneig_reasoning:OneIGReasoningScorer",
        "oneig-style": "evals.scorers.oneig_style:OneIGStyleScorer",
        "oneig-diversity": "evals.scorers.oneig_diversity:OneIGDiversityScorer",
        "shared-context": "evals.scorers.shared_context:SharedContextScorer",
        "similarity": "evals.scorers.similarity:SimilarityScorer",
        "distribution": "evals.scorers.distribution:DistributionScorer",
        "codes": "evals.scorers.codes:CodesScorer",
        "clipscore": "evals.scorers.clipscore:ClipScoreScorer",
        "hpsv2": "evals.scorers.hpsv2:HpsScorer",
        "imagereward": "evals.scorers.imagereward:ImageRewardScorer",
        "aesthetic": "evals.scorers.aesthetic:AestheticScorer",
        "wise": "evals.scorers.wise:WiseScorer",
    },
    "metric": {
        "clamped_mean": "evals.metrics.preference:clamped_mean",
        "hpsv2_overall": "evals.metrics.preference:hpsv2_overall",
        "hpsv2_styles": "evals.metrics.preference:hpsv2_styles",
        "dpg_categories": "evals.metrics.dpg:dpg_categories",
        "dpg_overall": "evals.metrics.dpg:dpg_overall",
        "gedit_average": "evals.metrics.editing:gedit_average",
        "gedit_intersection": "evals.metrics.editing:gedit_intersection",
        "imgedit_item_mean": "evals.metrics.editing:imgedit_item_mean",
        "imgedit_type_mean": "evals.metrics.editing:imgedit_type_mean",
        "longtext_groups": "evals.metrics.text:longtext_groups",
        "longtext_score": "evals.metrics.text:longtext_score",
        "oneig_text_parts": "evals.metrics.text:oneig_text_parts",
        "oneig_text_score": "evals.metrics.text:oneig_text_score",
        "wise_overall": "evals.metrics.wise:wise_overall",
        "pope_f1": "evals.metrics.understanding:pope_f1",
        "pope_parts": "evals.metrics.understanding:pope_parts",
        "mme_perception": "evals.metrics.understanding:mme_perception",
        "mme_cognition": "evals.metrics.understanding:mme_cognition",
        "pairs_right": "evals.metrics.understanding:pairs_right",
        "mmbench_circular": "evals.metrics.understanding:mmbench_circular",
        "mmstar_categories": "evals.metrics.understanding:mmstar_categories",
        "hallusion_accuracies": "evals.metrics.understanding:hallusion_accuracies",
        "number_right": "evals.metrics.understanding:number_right",
        "oneig_alignment": "evals.metrics.oneig:oneig_alignment",
        "oneig_reasoning": "evals.metrics.oneig:oneig_reasoning",
        "oneig_style": "evals.metrics.oneig:oneig_style",
        "oneig_styles": "evals.metrics.oneig:oneig_styles",
        "agreement_by_kind": "evals.metrics.shared_context:agreement_by_kind",
        "best_of_n": "evals.metrics.shared_context:best_of_n",
        "macro_over_tasks": "evals.metrics.aggregate:macro_over_tasks",
        "mean": "evals.metrics.aggregate:mean_over_outputs",
        "pass_at_k": "evals.metrics.tries:pass_at_k",
    },
    "vqa": {
        "shapes": "evals.perception.shapes_vqa:ShapesVqa",
        "blip": "evals.perception.blip_vqa:BlipVqa",
    },
    "embedder": {
        "open-clip": "evals.perception.clip_similarity:ClipSimilarity",
    },
    "depth": {
        "dpt": "evals.perception.dpt_depth:DptDepth",
    },
    "phrases": {
        "shapes": "evals.perception.shapes_vqa:ShapesPhrases",
        "spacy": "evals.perception.phrases:SpacyPhrases",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One known plugin, not yet imported."""

    kind: str
    name: str
    target: str
    """`module:object`, or `PLUGINS` of a file."""
    origin: str
    """Where it comes from, in words."""
    file: Path | None = None
    """Set for a plugin out of a suite's own file."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the nearest known name, or an empty string.

    >>> suggest("genevl", ["geneval", "dpg"])
    ' Did you mean "geneval"?'
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


class Registry:
    """The plugins that one suite can name.

    Args:
        files: Python files of the suite (already confined to its folder); each has `PLUGINS`, a table
            `{kind: {name: factory}}`. They are run as soon as a name is looked up: a suite is code you trust.
        installed: entry points by kind; None asks the installed packages.
    """

    def __init__(self, files: Sequence[Path] = (), *, installed: Sequence[Entry] | None = None) -> None:
        self._files = tuple(files)
        self._installed = tuple(installed) if installed is not None else None
        self._tables: dict[Path, dict[str, dict[str, Any]]] = {}

    def entries(self, kind: str) -> list[Entry]:
        """Return all plugins of a kind by name, a name found twice twice."""
        found = [
            Entry(kind=kind, name=name, target="PLUGINS", origin=f"file {path}", file=path)
            for path in self._files
            for name in self._table(path).get(kind, {})
        ]
        installed = _entry_points(kind) if self._installed is None else [e for e in self._installed if e.kind == kind]
        found += installed
        found += [
            Entry(kind=kind, name=name, target=target, origin="built-in")
            for name, target in BUILTIN.get(kind, {}).items()
        ]
        return sorted(found, key=lambda entry: entry.name)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, each once."""
        return sorted({entry.name for entry in self.entries(kind)})

    def load(self, kind: str, name: str) -> Any:
        """Return the factory of a plugin.

        Raises:
            PluginError: no such name (with the nearest one), a name found twice, or a plugin that fails to import.
        """
        found = [entry for entry in self.entries(kind) if entry.name == name]
        if not found:
            raise PluginError(f'got "{name}"; no such {kind}.{suggest(name, self.names(kind))} (uniar-eval ls {kind}s)')
        if len(found) > 1:
            origins = " and ".join(f"{entry.origin} ({entry.target})" for entry in found)
            raise PluginError(f'got "{name}"; this {kind} is defined twice, by {origins}. Remove or rename one.')
        return self._resolve(found[0])

    def problem(self, entry: Entry) -> str | None:
        """Return why a listed plugin cannot be used, or None when it can."""
        try:
            self.load(entry.kind, entry.name)
        except PluginError as error:
            return str(error)
        return None

    def _resolve(self, entry: Entry) -> Any:
        if entry.file is not None:
            return self._table(entry.file)[entry.kind][entry.name]
        module, _, attribute = entry.target.partition(":")
        try:
            thing: Any = importlib.import_module(module)
            for part in attribute.split(".") if attribute else ():
                thing = getattr(thing, part)
        # A plugin is foreign code: whatever its import raises is told as its own fault, by name.
        except Exception as error:
            raise PluginError(
                f'got "{entry.name}"; this {entry.kind} is broken, because {_told(error)} '
                f"({entry.origin}, {entry.target})."
            ) from error
        return thing

    def _table(self, path: Path) -> dict[str, dict[str, Any]]:
        if path not in self._tables:
            self._tables[path] = _run_file(path)
        return self._tables[path]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _entry_points(kind: str) -> list[Entry]:
    from importlib.metadata import entry_points

    found: dict[tuple[str, str, str], Entry] = {}
    for point in entry_points(group=GROUPS[kind]):
        origin = f"package {point.dist.name} {point.dist.version}" if point.dist else "installed package"
        entry = Entry(kind=kind, name=point.name, target=point.value, origin=origin)
        # An editable install and a checkout on the path can show the same distribution twice.
        found.setdefault((point.name, point.value, origin), entry)
    return list(found.values())


def _run_file(path: Path) -> dict[str, dict[str, Any]]:
    import hashlib
    import importlib.util
    import sys

    # The path is part of the module's name, so two suites may each have a `plugin.py`.
    module_name = f"uniar_eval_local_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while the class body runs.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise PluginError(f"{path}: the plugin file is broken, because {_told(error)}.") from error
    table = getattr(module, "PLUGINS", None)
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise PluginError(f"{path}: PLUGINS: got {type(table).__name__}; expected a table {{kind: {{name: factory}}}}.")
    unknown = sorted(set(table) - set(GROUPS))
    if unknown:
        raise PluginError(
            f'{path}: PLUGINS: got kind "{unknown[0]}"; expected one of {", ".join(GROUPS)}.'
            f"{suggest(str(unknown[0]), GROUPS)}"
        )
    return table

"""OneIG alignment: recordings, the rule by hand, official files in the official layout, a scripted judge, and the mini world."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from evals.datasets.oneig_alignment import OneIGAlignmentDataset
from evals.datasets.shapes_oneig import ShapesOneIGDataset, graph_of
from evals.errors import DataError, PluginError
from evals.metrics.aggregate import Row
from evals.metrics.oneig import oneig_alignment
from evals.parity import replay
from evals.protocols import Reply
from evals.scorers import oneig_alignment_rules as rules
from evals.scorers.oneig_alignment import OneIGAlignmentScorer
from evals.types import Outcome, Output, Sample

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "scorers" / "oneig_alignment.json"


def test_recordings():
    found = replay(GOLDEN)
    assert found.total == 150 and found.mismatches == ()


@pytest.mark.parametrize(
    ("dependencies", "answers", "official"),
    [
        ({"1": [0], "2": [1], "3": [2]}, ("No", "Yes", "Yes"), 1 / 3),
        ({"1": [0], "2": [1]}, ("Yes.", "Yes"), 0.0),
        # A condition may come later in the list, and there may be several.
        ({"1": [2], "2": [0], "3": [1, 2]}, ("Yes", "No", "Yes"), 0.0),
        ({"1": [0], "2": [0]}, ("yes", "YES"), 0.0),
        ({}, ("Yes", "No"), 0.5),
        # A parent that is not asked takes nothing away.
        ({"1": [7], "2": [1]}, ("Yes", "Yes"), 1.0),
    ],
)
def test_the_rule_by_hand(dependencies, answers, official):
    yes = {str(i): rules.read_exact(answer) for i, answer in enumerate(answers, 1)}
    assert rules.image_score(yes, dependencies) == pytest.approx(official)
    assert rules.prompt_score([]) is None and rules.prompt_score([1.0, 0.5]) == 0.75


class Judge:
    """Replies by question."""

    name, concurrency = "scripted", 1

    def __init__(self, **replies):
        self.replies, self.asked = replies, []

    def identity(self):
        return {"judge": self.name}

    def ask(self, question, images=(), **settings):
        self.asked.append((question, settings))
        self.seen = images
        reply = self.replies[question.partition(".")[0]]
        return reply if isinstance(reply, Reply) else Reply(text=reply, version="1")


SAMPLE = Sample(
    sample_id="anime-001", task="anime", prompt="p", metadata={"questions": {"1": "One", "2": "Two"}, "dependencies": {"1": [0], "2": [1]}}
)


def judged(judge, image=None, sample=SAMPLE):
    output = Output(sample_id="anime-001", task="anime", repeat=0, seed=0, outcome=Outcome.OK)
    return OneIGAlignmentScorer(roles={"judge": judge}).score(sample, output, image or Image.new("RGB", (8, 8), (9, 9, 9)))


def test_both_policies_stand_beside_each_other():
    judge = Judge(One="Yes", Two="yes.")
    score = judged(judge)
    assert score.values == {"score": 0.5, "strict": 1.0} and "not: Two" in score.reason
    assert judge.asked[0] == ("One. Please answer 'Yes' or 'No' only.", {"max_tokens": 128, "images_first": True})
    unsure = judged(Judge(One="Yes", Two="Perhaps"))
    assert unsure.values == {"score": 0.5} and unsure.evidence["outcomes"] == {"strict": "judge_unparsed"}


def test_the_judge_sees_what_jpeg_leaves():
    noise = Image.effect_noise((32, 32), 80).convert("RGB")
    seen = []
    for quality in (75, None):
        judge = Judge(One="Yes", Two="Yes")
        output = Output(sample_id="anime-001", task="anime", repeat=0, seed=0, outcome=Outcome.OK)
        OneIGAlignmentScorer(roles={"judge": judge}, jpeg_quality=quality).score(SAMPLE, output, noise)
        seen.append(judge.seen[0].tobytes())
    assert seen[0] != noise.tobytes() == seen[1]


def test_what_failed_is_no_zero():
    lost = judged(Judge(One="Yes", Two=Reply(outcome=Outcome.JUDGE_ERROR, error="no reply came")))
    assert (lost.outcome, lost.values, lost.reason) == (Outcome.JUDGE_ERROR, {}, "no reply came")
    black = judged(Judge(), Image.new("RGB", (8, 8)))
    assert black.outcome is Outcome.NOT_APPLICABLE and "entirely black" in black.reason
    # (0, 0, 1) is grey 0 and yet not black.
    assert judged(Judge(One="Yes", Two="No"), Image.new("RGB", (8, 8), (0, 0, 1))).values == {"score": 0.5, "strict": 0.5}
    with pytest.raises(DataError, match="got no questions"):
        judged(Judge(), sample=Sample(sample_id="anime-001", task="anime", prompt="p"))
    other = Sample(sample_id="anime-001", task="anime", prompt="p", metadata={"category": "Knowledge_Reasoning"})
    assert judged(Judge(), sample=other).outcome is Outcome.NOT_APPLICABLE
    with pytest.raises(PluginError, match="got no judge"):
        OneIGAlignmentScorer(roles={})
    with pytest.raises(PluginError, match="jpeg_quality: got 0"):
        OneIGAlignmentScorer(roles={"judge": Judge()}, jpeg_quality=0)
    OneIGAlignmentScorer(roles={"judge": Judge()}).canary()


def test_the_mean_is_over_prompts_not_over_images():
    rows = [Row("p", "anime", (), Outcome.OK, v, sample_id="p") for v in (1.0, 1.0, 1.0)]
    rows += [Row("q", "human", (), Outcome.OK, 0.0, sample_id="q"), Row("q", "human", (), Outcome.NOT_APPLICABLE, None, sample_id="q")]
    found = oneig_alignment(rows, value="score", task="*", kind="headline", seed=0)
    assert (found.value, found.n, found.n_expected) == (0.5, 4, 5)


def files(folder, *, zh=False, **graphs):
    folder.mkdir(exist_ok=True)
    end, column = ("_zh", "prompt_cn") if zh else ("", "prompt_en")
    words = "一个女人" if zh else "A woman."
    with (folder / f"OneIG-Bench{'-ZH' if zh else ''}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["category", "id", column, "class"])
        for category, number in (("Portrait", "000"), ("Anime_Stylization", "0"), ("Text_Rendering", "000"), ("Multilingualism", "001")):
            writer.writerow([category, number, words, "None"])
    for name in ("anime", "human", "multilingualism"):
        entry = {"question": json.dumps({"1": "Is it?", "2": "Is it red?"}), "dependency": json.dumps({"1": [0], "2": [1]})}
        path = folder / "scripts/alignment/Q_D" / f"{name}{end}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(graphs.get(name, {"000": entry, "001": entry})), "utf-8")
    return str(folder)


def test_official_files_become_samples(tmp_path):
    samples = list(OneIGAlignmentDataset(folder=files(tmp_path)).load())
    assert [(s.sample_id, s.task) for s in samples] == [("human-000", "human"), ("anime-000", "anime")]
    row = samples[0].metadata
    assert (row["questions"], row["dependencies"]) == ({"1": "Is it?", "2": "Is it red?"}, {"1": [0], "2": [1]})
    assert row["category"] == "Portrait"
    chinese = list(OneIGAlignmentDataset(language="zh", folder=files(tmp_path, zh=True)).load())
    assert [s.sample_id for s in chinese] == ["human-000", "anime-000", "multilingualism-001"]


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        ({}, "human.json: got no prompt 000"),
        ({"000": {"question": "{}", "dependency": "{}"}}, "human.json: 000: question: got none"),
        ({"000": {"question": "{1", "dependency": "{}"}}, "human.json: 000: question: got no JSON"),
        ({"000": {"question": '{"1": "a"}', "dependency": '{"1": 5}'}}, "expected lists of question numbers"),
        ([], "got a list; expected prompts with questions"),
    ],
)
def test_question_files_that_do_not_fit(tmp_path, graph, told):
    with pytest.raises(DataError, match=told):
        list(OneIGAlignmentDataset(folder=files(tmp_path, human=graph)).load())


def test_graphs_of_the_mini_world():
    row = {"include": [{"class": "star", "count": 1}, {"class": "ring", "count": 1, "position": ["above", 0]}]}
    assert graph_of(row) == (
        {"1": "Is there a star?", "2": "Is there a ring?", "3": "Is the ring above the star?"}, {"1": [0], "2": [0], "3": [2, 1]}
    )  # fmt: skip
    assert graph_of({"include": [{"class": "ring", "count": 3}]})[0] == {"1": "Is there a ring?", "2": "Are there three rings?"}
    assert len(list(ShapesOneIGDataset(prompts_per_task=2).load())) == 12


def test_the_bundled_checkpoint_and_the_control_with_shuffled_images(tmp_path, cli):
    run, shuffled = tmp_path / "run", tmp_path / "shuffled"
    arguments = ("run", "oneig-alignment", "--profile", "mini", "--no-report")
    arguments += ("--set", "data.prompts_per_task=2", "--set", "generate.repeats=1")
    assert cli(*arguments, "--out", str(run)).exit_code == 0
    folders = sorted((run / "images").iterdir())
    for folder, other in zip(folders, folders[5:] + folders[:5], strict=True):
        shutil.copytree(folder, shuffled / "images" / other.name)
    assert cli(*arguments, "--model", f"images:{shuffled}", "--out", str(tmp_path / "control")).exit_code == 0
    own, control = (json.loads((folder / "results.json").read_text())["headline"] for folder in (run, tmp_path / "control"))
    assert own["value"] >= 0.9 and control["value"] <= 0.5 and own["n"] == control["n"] == 12

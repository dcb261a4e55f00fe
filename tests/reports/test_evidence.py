"""What a verdict rests on, on the page: character differences, questions, a judge's words, the path from answer to verdict."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest
from PIL import Image

from reports.evidence import MAX_DIFF, MAX_ROWS, blocks, difference

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).parent / "boards.py")
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)

EVIL = "<script>window.pwned=1</script>\u202eevil"
REPLY = {"reply": "Prompt Compliance: 4", "version": "judge-1", "address": "ab" * 32}
KINDS = {
    "diff": ({"read": EVIL, "cleaned": "x", "compared": "lemn cottons", "wanted": "lemon cotton", "language": "en"}, {}),
    "words": ({"read": "b a", "compared": ["a", "b"], "wanted": ["a", "c"]}, {}),
    "quote": ({**REPLY, "scores": {"score": [4.0]}, "outcomes": {}}, {}),
    "rubrics": ({"replies": {"sc": [REPLY, {**REPLY, "reply": None, "note": "cut at 10 tokens"}], "pq": [REPLY]}}, {}),
    "tries": ({"replies": [{**REPLY, "reply": EVIL}]}, {}),
    "questions": ({"answers": [{"id": 1, "question": "Is there a cat?", "official": True, **REPLY, "yes": True}]}, {}),
    "witnesses": ({"questions": [{"question": "how many?", "context": "1", "re-encoded": "0", "detector": None, "meant": "1"}]}, {}),
    "options": (
        {"answer": "B", "read": "B", "rule": "likelihood", "expected": "A", "likelihoods": {"A": -2.0, "B": -0.5}},
        {"options": {"A": "red", "B": EVIL}},
    ),
}


@pytest.mark.parametrize("seed", range(20))
def test_a_difference_holds_both_texts(seed):
    draw = random.Random(seed)
    wanted, got = ("".join(draw.choices("abc 字", k=draw.randrange(40))) for _ in range(2))
    runs = difference(wanted, got)
    assert "".join(text for op, text in runs if op != "+") == wanted and "".join(text for op, text in runs if op != "-") == got
    assert all(text for _, text in runs)


def test_each_kind_of_evidence_has_its_form():
    found = {name: blocks(*given) for name, given in KINDS.items()}
    assert found["diff"][0][0][2] == [["=", "lem"], ["-", "o"], ["=", "n cotton"], ["+", "s"]] and found["diff"][1] == {"language": "en"}
    assert found["words"][0][0][2] == [["=", "a "], ["-", "c"], ["+", "b"]]
    assert found["quote"] == ([["quote", "judge-1 said", "Prompt Compliance: 4", ""]], {"scores": {"score": [4.0]}})
    assert [b[1] for b in found["rubrics"][0]] == ["sc · judge-1 said, reply 1 of 2", "sc · judge-1 said, reply 2 of 2", "pq · judge-1 said"]
    assert found["rubrics"][0][1][2:] == ["nothing", "cut at 10 tokens"]
    kind, title, headers, rows = found["questions"][0][0]
    assert (kind, title, headers) == ("table", "Questions, answered by judge-1", ["question", "official", "reply", "yes"])
    assert rows == [["Is there a cat?", "yes", "Prompt Compliance: 4", "yes"]]
    assert found["witnesses"][0][0][2:] == [
        ["question", "A in context", "B from pixels", "C detector", "D meant"], [["how many?", "1", "0", "", "1"]]
    ]  # fmt: skip
    path, options = found["options"][0]
    assert path[2] == [["Answer", "B"], ["Read as", "B"], ["By", "likelihood"], ["Key", "A"]]
    assert options[3] == [["B", EVIL.replace("\u202e", "⟦U+202E⟧"), "-0.500"], ["A", "red", "-2.000"]]
    assert all(rest in ({}, {"language": "en"}, {"scores": {"score": [4.0]}}) for _, rest in found.values())


def test_what_is_not_known_stays_as_it_is():
    odd = {"detections": [1], "answers": "none", "questions": [1], "wanted": 3, "compared": None, "likelihoods": 5, "cosine": 0.5}
    assert blocks(odd, {}) == ([], {"detections": [1], "answers": "none", "questions": [1], "wanted": 3, "cosine": 0.5})
    long = {"wanted": "a" * (MAX_DIFF + 1), "compared": "b"}
    assert blocks(long, {}) == ([], long)
    many = [{"question": f"{i}?", "reply": "yes"} for i in range(MAX_ROWS + 5)]
    ((_, title, _, rows),) = blocks({"answers": many}, {})[0]
    assert title == f"Questions, first {MAX_ROWS} of {MAX_ROWS + 5}" and len(rows) == MAX_ROWS


@pytest.fixture(scope="module")
def page(builder, tmp_path_factory):
    """A run whose first outputs carry each kind of evidence; the last is an answer about a picture."""
    from reports.render import HtmlReporter

    run = builder.build_run(tmp_path_factory.mktemp("run") / "x", prompts_per_task=2, repeats=1, troubles=False)
    file = run / "scores" / "geneval.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    for row, sample, (evidence, metadata) in zip(rows, samples, KINDS.values(), strict=False):
        row["evidence"], sample["metadata"] = evidence, metadata
    # The question's picture is kept in the run, and the output is words alone.
    asked = samples[len(KINDS) - 1]
    asked["image"] = "asked.png"
    kept = run / "sources" / f"{asked['sample_id']}.png"
    kept.parent.mkdir()
    Image.new("RGB", (64, 48), "teal").save(kept)
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    for line in journal:
        if line["sample_id"] == asked["sample_id"]:
            line.update(image=None, image_sha256=None, text="B")
    for name, lines in (("scores/geneval.jsonl", rows), ("samples.jsonl", samples), ("journal.jsonl", journal)):
        (run / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = [(sample["sample_id"], kind) for sample, kind in zip(samples, KINDS, strict=False)]
    return HtmlReporter().write(run), {kind: name for name, kind in names}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_every_kind_is_shown_harmlessly_at_every_width(browse, page, width, scheme):
    file, names = page
    seen = {}
    for kind, name in names.items():
        view = browse(file, width=width, scheme=scheme, hash_=f"#sample={name}/0")
        view.locator("#panel").wait_for()
        seen[kind] = view.locator("#panel-scores").inner_text()
        assert view.evaluate("(b => b.scrollWidth - b.clientWidth)(document.querySelector('.panel-body'))") <= 0, kind
        assert view.evaluate("window.pwned") is None
        if width != 2560:
            assert helpers.faults(view) == [], kind
        view.close()
    assert "struck through: wanted, not read" in seen["diff"] and "<script>" in seen["diff"] and "⟦U+202E⟧evil" in seen["diff"]
    assert "Prompt Compliance: 4" in seen["quote"] and "cut at 10 tokens" in seen["rubrics"] and "<script>" in seen["tries"]
    assert "Is there a cat?" in seen["questions"] and "A in context" in seen["witnesses"] and "-0.500" in seen["options"]


def test_a_difference_does_not_need_colour(browse, page):
    file, names = page
    view = browse(file, hash_=f"#sample={names['diff']}/0")
    for tag, line, text in (("del", "line-through", "o"), ("ins", "underline", "s")):
        node = view.locator(f".diff {tag}")
        assert node.inner_text() == text and line in node.evaluate("e => getComputedStyle(e).textDecorationLine")


def test_an_answer_is_shown_beside_the_picture_it_is_about(browse, page):
    file, names = page
    view = browse(file, hash_=f"#sample={names['options']}/0")
    stage = view.locator(".stage img")
    assert stage.evaluate("i => [i.naturalWidth, i.naturalHeight]") == [64, 48] and stage.get_attribute("alt").startswith("Asked about: ")
    assert view.locator("#panel-source img").count() == 0
    view.keyboard.press("Escape")
    card = view.locator(".card:has-text('“B”')")
    assert card.count() == 1 and card.locator("img").count() == 1

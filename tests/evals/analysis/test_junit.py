"""JUnit XML and Markdown: valid by a schema, and harmless whatever a name holds."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from evals.analysis.gate import gate
from evals.analysis.junit import xml
from evals.analysis.told import gate_lines, gate_markdown

SCHEMA = xmlschema.XMLSchema(Path(__file__).parents[2] / "data" / "junit.xsd")
HOSTILE = "</failure><script>alert(1)</script> | `x` [a](http://b) \x00\x1b[31m\u202e \ud800 \uffff @all <img src=x> #1"


def right(n, of=60):
    return {task: [[float(at < n)] * 2 for at in range(of)] for task in "ab"}


@pytest.fixture
def every(verdicts):
    """A verdict of each kind."""
    base = verdicts(right(40))
    gone = right(200, 400)
    for at in range(60):
        gone["a"][at][0] = "refused"
    return {
        "pass": gate(verdicts(right(41)), base, margins={"toy.*": 0.2}),
        "regression": gate(verdicts(right(20)), base, margins={"toy.a": 0.01}),
        "inconclusive": gate(verdicts(right(40)), base),
        "incomplete": gate(verdicts(right(40), status="incomplete", reasons=("a: 3 missing of 120.",)), base),
        "invalid": gate(verdicts(right(40), seed=4), base),
        "gaps": gate(verdicts(gone), verdicts(right(200, 400))),
    }


COUNTS = {  # tests, failures, errors, skipped
    "pass": (3, 0, 0, 0), "regression": (2, 2, 0, 0), "inconclusive": (1, 0, 0, 1), "incomplete": (1, 0, 1, 0),
    "invalid": (1, 0, 1, 0), "gaps": (1, 0, 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", COUNTS)
def test_junit_is_valid_and_counts_what_is_in_it(every, kind):
    found = every[kind]
    assert found.verdict == ("invalid" if kind == "gaps" else kind)
    document = xml(found)
    SCHEMA.validate(document.decode())
    suite = ElementTree.fromstring(document).find("testsuite")
    assert tuple(int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")) == COUNTS[kind]
    assert len(suite.findall("testcase")) == COUNTS[kind][0]


def test_the_schema_refuses_what_is_no_report(every):
    document = xml(every["pass"]).decode()
    for before, after in ((" classname=", " class="), (' tests="3"', ' tests="three"'), (' name="uniar-eval gate toy"', "")):
        assert not SCHEMA.is_valid(document.replace(before, after))


def test_the_failure_says_what_and_where(every):
    failure = ElementTree.fromstring(xml(every["regression"])).find(".//failure")
    assert failure.get("type") == "regression" and "toy.overall: worse by 0.3333" in failure.get("message")
    assert "0 won, 80 lost, 160 tied" in failure.text and "lost: a-0020/0, a-0020/1" in failure.text and "and 60 more" in failure.text
    error = ElementTree.fromstring(xml(every["incomplete"])).find(".//error")
    assert "a: 3 missing of 120." in error.get("message")


def test_hostile_names_are_text(verdicts):
    base = verdicts({HOSTILE: [[1.0, 1.0]] * 60, "b": [[1.0, 1.0]] * 60}, model=HOSTILE, title=HOSTILE)
    run = verdicts({HOSTILE: [[0.0, 0.0]] * 60, "b": [[1.0, 1.0]] * 60}, model=HOSTILE, title=HOSTILE)
    found = gate(run, base, margins={"toy.*": 0.01})
    document = xml(found)
    SCHEMA.validate(document.decode())
    assert len(ElementTree.fromstring(document).findall(".//testcase")) == 3
    page = gate_markdown(found)
    assert "<script" not in page and "<img" not in page and "[a](" not in page and "http://" not in page and "\x00" not in page
    assert page.count("<") == page.count("<details>") + page.count("</details>") + page.count("<summary>") + page.count("</summary>")
    assert "\x1b" not in page and "\u202e" not in page and not any("\x1b" in line or "\u202e" in line for line in gate_lines(found))
    # A bar in a name makes no further column.
    heads = [line.replace("\\|", "") for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in heads} == {8, 10}


@pytest.mark.parametrize("kind", COUNTS)
def test_markdown_and_text_tell_the_verdict(every, kind):
    found = every[kind]
    assert gate_lines(found)[-1] == f"{found.verdict.upper()} (exit code {found.exit_code})"
    page = gate_markdown(found)
    assert found.verdict.capitalize() in page.splitlines()[0]
    assert ("| toy.overall | 0.667 |" in page) == (kind in ("pass", "regression", "inconclusive"))

"""A gate's verdict as JUnit XML, which GitHub, GitLab and Jenkins show beside the unit tests.

The form is the one that Ant and Surefire made common: `testsuites` > `testsuite` > `testcase` with `failure` (regression), `error` (not
judged) or `skipped` (inconclusive). Times are 0, so that equal verdicts are equal files.
"""

from __future__ import annotations

from xml.etree import ElementTree

from evals.analysis import gate

_CONTROLS = {code: None for code in (*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF) if code not in (0x09, 0x0A, 0x0D)}
"""Characters that XML 1.0 cannot hold."""


def xml(found: gate.Verdict) -> bytes:
    """Return the document, UTF-8."""
    cases = [_case(found, check) for check in found.checks] if _judged(found) else [_unjudged(found)]
    counts = {kind: str(sum(case.find(kind) is not None for case in cases)) for kind in ("failure", "error", "skipped")}
    numbers = {"tests": str(len(cases)), "failures": counts["failure"], "errors": counts["error"]}
    name = _clean(f"uniar-eval gate {found.baseline.suite}")
    root = ElementTree.Element("testsuites", {"name": name, **numbers, "time": "0"})
    suite = ElementTree.SubElement(root, "testsuite", {"name": name, **numbers, "skipped": counts["skipped"], "time": "0"})
    facts = ElementTree.SubElement(suite, "properties")
    for key, text in _facts(found).items():
        ElementTree.SubElement(facts, "property", {"name": key, "value": _clean(text)})
    suite.extend(cases)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _judged(found: gate.Verdict) -> bool:
    return bool(found.checks) and found.verdict != gate.INVALID


def _facts(found: gate.Verdict) -> dict[str, str]:
    return {
        "verdict": found.verdict,
        "alpha": f"{found.alpha:g}",
        "run": str(found.run.path),
        "model": found.run.model,
        "baseline": str(found.baseline.path),
        "baseline model": found.baseline.model,
        "protocol": found.baseline.protocol,
    }


def _case(found: gate.Verdict, check: gate.Check) -> ElementTree.Element:
    case = _testcase(found, f"{check.metric} falls by less than {check.margin:g}")
    message = _clean(f"{check.metric}: {check.reason}")
    if check.verdict == gate.REGRESSION:
        ElementTree.SubElement(case, "failure", {"type": gate.REGRESSION, "message": message}).text = _clean(_detail(found, check))
    elif check.verdict == gate.INCONCLUSIVE:
        ElementTree.SubElement(case, "skipped", {"message": message})
    elif check.verdict != gate.PASS:
        ElementTree.SubElement(case, "error", {"type": check.verdict, "message": message})
    if check.verdict != gate.REGRESSION:
        ElementTree.SubElement(case, "system-out").text = _clean(_detail(found, check))
    return case


def _unjudged(found: gate.Verdict) -> ElementTree.Element:
    case = _testcase(found, "the run can be judged")
    message = _clean(found.reasons[0] if found.reasons else found.verdict)
    ElementTree.SubElement(case, "error", {"type": found.verdict, "message": message}).text = _clean("\n".join(found.reasons))
    return case


def _testcase(found: gate.Verdict, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"classname": _clean(f"uniar-eval.{found.baseline.suite}"), "name": _clean(name), "time": "0"})


def _detail(found: gate.Verdict, check: gate.Check) -> str:
    lines = [check.reason]
    if check.delta is not None:
        delta = check.delta
        lines.append(f"baseline {delta.first:.4f}, run {delta.second:.4f}, difference {delta.delta:+.4f}")
        if delta.low is not None and delta.high is not None:
            lines.append(f"95% interval {delta.low:+.4f} to {delta.high:+.4f}, {delta.prompts} prompts, {delta.pairs} pairs")
        lines.append(", ".join(f"{count} {name}" for name, count in delta.counts.items()))
    if found.lost:
        lines.append(
            f"lost: {', '.join(found.lost)}{'' if len(found.lost) == found.n_lost else f' and {found.n_lost - len(found.lost)} more'}"
        )
    return "\n".join(lines)


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)

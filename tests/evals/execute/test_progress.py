"""Progress: a bar on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io

import pytest

from evals.execute.progress import Progress, describe, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking(step: float):
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


def test_plain_lines_are_few():
    stream = io.StringIO()
    bar = Progress("generate", 100, stream, clock=ticking(1.0))
    for _ in range(100):
        bar.step()
    bar.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10 and "\r" not in stream.getvalue()
    assert lines[0] == "generate 10/100 (10%), 1.0/s, 1 min 30 s left"
    assert lines[-1] == "generate 100/100 (100%), 1.0/s, took 1 min 40 s"


def test_terminal_gets_one_line():
    stream = Terminal()
    bar = Progress("generate", 4, stream, clock=ticking(1.0))
    for i in range(4):
        bar.step(failed=i == 0)
    bar.close()
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().count("\r") == 4
    assert stream.getvalue().rpartition("\r")[2].startswith("█" * 24) and "1 failed" in stream.getvalue()


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "1 min 30 s"), (7260, "2 h 1 min")])
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_no_rate_yet():
    assert describe("score", 0, 3, 0.0) == "score 0/3 (0%), 0.0/s, 0 s left"

"""Whole runs judged over HTTP: a bad day of the server, typed and shown; a kill in the middle; the replay of both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evals.judges.canary import QUESTION

DATA = Path(__file__).parents[2] / "data" / "harness"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any) -> Callable[..., list[str]]:
    """Arguments of `uniar-eval run` on the judged toy suite with the server as judge, in a folder of its own."""
    for name in ("judged.yaml", "judged_plugins.py"):
        shutil.copy(DATA / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    settings = {"model": "judge-x", "base_url": server.url, "backoff": 0.002, "retries": 3, "concurrency": 3, "timeout": 0.8}

    def arguments(out: str, *more: str, role: str = "judge=openai") -> list[str]:
        given = [part for key, value in settings.items() for part in ("--set", f"roles.judge.{key}={value}")]
        return ["run", "judged.yaml", "--model", "lighten", "--out", out, "--no-report", "--role", role, *given, *more]

    return arguments


def _found(out: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows = (Path(out) / "scores" / "grey.jsonl").read_text().splitlines()
    return json.loads((Path(out) / "results.json").read_text()), [json.loads(row) for row in rows]


def test_a_bad_day_is_typed_counted_and_mended_by_the_next_call(
    command: Callable[..., list[str]], cli: Callable[..., Result], server: Any, chat_reply: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    server.texts = {f"lighten {i}": f"grey: {40 * i + 10}" for i in range(6)}
    no_json: dict[str, Any] = {"raw": b"<html>busy</html>"}
    server.by_question = {
        "lighten 0": [{"status": 429, "json": {}, "headers": {"Retry-After": "0.05"}}],
        "lighten 1": [{"delay": 30.0}],
        "lighten 2": [{"status": 500, "json": {}}, {"half": True}],
        "lighten 3": [{"json": chat_reply(None, refusal="I do not rate pictures.")}],
        "lighten 4": [no_json] * 4,
        "lighten 5": [{"status": 400, "json": {"error": {"code": "content_filter", "message": "blocked"}}}],
    }
    first = cli(*command("out"))
    assert first.exit_code == 3 and "Incomplete" in first.output, first.output
    results, scores = _found("out")
    assert [score["outcome"] for score in scores] == ["ok", "ok", "ok", "refused", "judge_error", "refused"]
    assert "I do not rate pictures" in scores[3]["reason"] and "no usable reply after 4 requests" in scores[4]["reason"]
    headline = results["headline"]
    assert (headline["n"], headline["n_expected"]) == (3, 6)
    assert headline["outcomes"] == {"ok": 3, "refused": 2, "judge_error": 1}
    assert headline["value"] == pytest.approx((10 + 50 + 90) / 3 / 255), "what failed is no zero"
    spent = results["judges"]["judge"]
    assert (spent["replies"], spent["requests"]) == (7, len(server.requests)) and len(server.requests) == 1 + 2 + 2 + 3 + 1 + 4 + 1

    before = len(server.requests)
    assert cli(*command("out")).exit_code == 0
    assert [request["messages"][-1]["content"][0]["text"] for request in server.requests[before:]] == [QUESTION, "lighten 4"]
    results, scores = _found("out")
    assert results["headline"]["outcomes"] == {"ok": 4, "refused": 2}

    sent = len(server.requests)
    monkeypatch.delenv("OPENAI_API_KEY")

    def no(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("a socket was opened")

    with monkeypatch.context() as silent:
        silent.setattr(socket, "socket", no)
        silent.setattr(socket, "create_connection", no)
        replayed = cli(*command("again", "--role", "judge=replay:out"))
    assert replayed.exit_code == 0, replayed.output
    assert _found("again")[1] == scores and _found("again")[0]["headline"] == results["headline"]
    assert len(server.requests) == sent
    kept = [path for path in Path("out").rglob("*") if path.is_file()]
    assert kept and not any(key.encode() in path.read_bytes() for path in kept), "the key is nowhere in the run"


def test_a_missing_key_stops_before_anything_is_made(
    command: Callable[..., list[str]], cli: Callable[..., Result], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    result = cli(*command("out"))
    assert result.exit_code == 2 and "got no OPENAI_API_KEY in the environment" in result.stderr
    assert not Path("out").exists() and server.requests == []


def test_a_blind_judge_stops_before_a_single_score(command: Callable[..., list[str]], cli: Callable[..., Result], server: Any) -> None:
    server.default = {"text": "I see no image."}
    result = cli(*command("out"))
    assert result.exit_code == 3 and "expected the word red" in result.stderr
    assert not Path("out").exists() and len(server.requests) == 1


def test_a_killed_run_goes_on_and_bills_nothing_twice(command: Callable[..., list[str]], server: Any) -> None:
    count = 20
    server.texts = {f"lighten {i}": f"grey: {i}" for i in range(count)}
    server.default = {"delay": 0.05}
    program = [
        sys.executable,
        "-c",
        "from evals.cli.main import main; main()",
        *command("out", "--set", f"data.samples={count}", "--set", "roles.judge.timeout=20"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while sum(server.answered.values()) < 8 and time.monotonic() < end and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "killed in the middle"
    time.sleep(0.2)
    answered = dict(server.answered)
    kept = {
        json.loads(row)["request"]["question"] for row in Path("out/judge/ledger.jsonl").read_bytes().splitlines() if row.endswith(b"}")
    }
    assert 2 < len(kept) <= len(answered) < count + 1
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    billed = {question: times for question, times in server.answered.items() if question != QUESTION}
    assert set(billed) == set(server.texts), "no loss"
    assert all(times == 1 for question, times in billed.items() if question in kept), "nothing kept was billed again"
    assert sum(billed.values()) <= count + 3, "at most what was under way"
    results, scores = _found("out")
    assert [score["outcome"] for score in scores] == ["ok"] * count and results["headline"]["n"] == count

"""The ledger: nothing is billed twice, a replay opens no socket and gives the same replies, a changed image misses loudly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.errors import CanaryError, ModelError, StoreError
from evals.judges import pictures
from evals.judges.kept import LedgerJudge
from evals.judges.ledger import Ledger
from evals.judges.openai import OpenAIJudge
from evals.protocols import Judge, Reply
from evals.types import Outcome

RED = Image.new("RGB", (8, 8), (255, 0, 0))
ALMOST = RED.copy()
ALMOST.putpixel((3, 3), (254, 0, 0))


class Scripted:
    """Says what the script says next, then its own count; keeps what it was asked."""

    name = "scripted"
    concurrency = 4

    def __init__(self, *script: Reply | Exception, delay: float = 0.0, **identity: Any) -> None:
        self.script = list(script)
        self.delay = delay
        self.calls: list[tuple[str, int]] = []
        self._identity = {"judge": "scripted", **identity}

    def identity(self) -> dict[str, Any]:
        return self._identity

    def ask(self, question: str, images: Sequence[Image.Image] = (), **settings: Any) -> Reply:
        self.calls.append((question, settings.get("attempt", 0)))
        time.sleep(self.delay)
        said = self.script.pop(0) if self.script else Reply(text=f"reply {len(self.calls)}", version="v1", seconds=0.1 * len(self.calls))
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any socket is a failure."""

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def _live(path: Path, judge: Any) -> LedgerJudge:
    return LedgerJudge(judge, ledger=Ledger(path))


def _replay(path: Path, judge: Any) -> LedgerJudge:
    return LedgerJudge(judge, ledger=Ledger(path, read_only=True), replay=True)


def test_a_kept_reply_is_not_asked_again(tmp_path: Path) -> None:
    path, inner = tmp_path / "judge" / "ledger.jsonl", Scripted()
    judge = _live(path, inner)
    assert isinstance(judge, Judge)
    first = judge.ask("How good?", [RED])
    assert judge.ask("How good?", [RED.convert("RGBA")]) == first, "the pixels count, not the mode"
    again = _live(path, other := Scripted())
    assert again.ask("How good?", [RED]) == first and other.calls == []
    assert first.address and first.version == "v1"
    assert (judge.asked, judge.from_ledger, again.asked, again.from_ledger) == (1, 1, 0, 1)


def test_everything_that_decides_a_reply_is_in_the_key(tmp_path: Path) -> None:
    judge = _live(tmp_path / "l.jsonl", inner := Scripted())
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("Q", [RED]), {}),
        (("q", [RED]), {}),
        (("Q", [ALMOST]), {}),
        (("Q", [RED, ALMOST]), {}),
        (("Q", [ALMOST, RED]), {}),
        (("Q",), {}),
        (("Q", [RED]), {"system": ""}),
        (("Q", [RED]), {"max_tokens": 5}),
        (("Q", [RED]), {"images_first": True}),
        (("Q", [RED]), {"attempt": 1}),
    ]
    replies = [judge.ask(*given, **settings) for given, settings in calls]
    other = LedgerJudge(Scripted(temperature=0.5), ledger=judge.ledger)
    replies.append(other.ask("Q", [RED]))
    assert len({reply.address for reply in replies}) == len(replies) == len(inner.calls) + 1
    assert [judge.ask(*given, **settings) for given, settings in calls] == replies[:-1]
    assert pictures.address(Image.new("RGB", (4, 2))) != pictures.address(Image.new("RGB", (2, 4)))


@pytest.mark.parametrize("outcome", [Outcome.JUDGE_ERROR, Outcome.REFUSED])
def test_a_failure_is_kept_and_the_next_run_asks_again_but_a_refusal_stands(tmp_path: Path, outcome: Outcome) -> None:
    path = tmp_path / "l.jsonl"
    failed = _live(path, inner := Scripted(Reply(outcome=outcome, error="no.", attempts=6)))
    first = failed.ask("Q", [RED])
    assert (first.outcome, first.error) == (outcome, "no.")
    # Equal questions of one run get equal replies, or a replay could not tell them apart.
    assert failed.ask("Q", [RED]) == first and len(inner.calls) == 1
    assert _replay(path, Scripted()).ask("Q", [RED]) == first
    resumed = _live(path, inner := Scripted())
    second = resumed.ask("Q", [RED])
    assert len(inner.calls) == (1 if outcome is Outcome.JUDGE_ERROR else 0)
    assert _replay(path, Scripted()).ask("Q", [RED]) == second
    assert len(Ledger(path).entries()) == 1 + len(inner.calls)


def test_two_threads_that_ask_the_same_ask_once(tmp_path: Path) -> None:
    judge = _live(tmp_path / "l.jsonl", inner := Scripted(delay=0.1))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: judge.ask(f"Q{n % 2}", [RED]), range(16)))
    assert sorted(inner.calls) == [("Q0", 0), ("Q1", 0)]
    assert len({reply.address for reply in replies}) == 2


def test_an_error_of_every_question_reaches_all_and_is_not_kept(tmp_path: Path) -> None:
    judge = _live(tmp_path / "l.jsonl", Scripted(ModelError("no key"), ModelError("no key"), ModelError("no key"), delay=0.05))
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(judge.ask, "Q", [RED]) for _ in range(3)]
    assert [type(future.exception()) for future in futures] == [ModelError] * 3
    judge.judge.script.clear()  # type: ignore[attr-defined]
    assert judge.ask("Q", [RED]).outcome is Outcome.OK
    assert judge.totals()["replies"] == 1


def test_replay_opens_no_socket_and_is_equal_to_the_last_bit(
    tmp_path: Path, server: Any, judge: Any, chat_reply: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.jsonl"
    server.script = [
        {"text": "4/5 é 图 \ud83d"},
        {"status": 500, "json": {}},
        {"text": "3.0000000000000004"},
        {"json": chat_reply(None, refusal="No.")},
        {"json": chat_reply("cut", finish_reason="length")},
        {"status": 400, "json": {"error": {"message": "bad image"}}},
        {"json": chat_reply(None, finish_reason="content_filter")},
    ]
    settings: dict[str, Any] = {"prompt_price": 0.1, "completion_price": 0.7, "temperature": 0.2}
    live = _live(path, judge(**settings))
    asked = [(f"Q{n}", [RED], {"attempt": n % 3}) for n in range(6)]
    replies = [live.ask(question, images, **more) for question, images, more in asked]
    assert [reply.outcome.value for reply in replies] == ["ok", "ok", "refused", "ok", "judge_error", "refused"]
    assert replies[1].attempts == 2 and replies[0].cost == (100 * 0.1 + 7 * 0.7) / 1e6
    sent = len(server.requests)
    written = path.read_bytes()
    request.getfixturevalue("no_socket")
    monkeypatch.delenv("OPENAI_API_KEY")
    silent = _replay(path, OpenAIJudge(model="judge", base_url="http://localhost:9/v1", concurrency=2, **settings))
    with pytest.raises(AssertionError, match="a socket was opened"):
        OpenAIJudge(model="judge", base_url="http://localhost:9/v1", api_key_env=None).ask("Q")
    silent.canary()
    assert [silent.ask(question, images, **more) for question, images, more in asked] == replies
    assert [repr(silent.ask(question, images, **more)) for question, images, more in asked] == [repr(reply) for reply in replies]
    missed = silent.ask("Q0", [ALMOST], attempt=0)
    assert (missed.outcome, missed.text, missed.attempts) == (Outcome.JUDGE_ERROR, None, 0)
    assert len(server.requests) == sent and path.read_bytes() == written
    assert silent.totals() == live.totals()


@pytest.mark.parametrize(
    ("judge", "given", "settings", "says"),
    [
        (Scripted(), ("Q", [ALMOST]), {}, "changed: the image."),
        (Scripted(), ("Q!", [RED]), {}, "changed: the question."),
        (Scripted(temperature=1.0), ("Q", [RED]), {}, "changed: the judge or its settings."),
        (Scripted(), ("Q", [RED]), {"max_tokens": 9}, "changed: max_tokens."),
        (Scripted(), ("Q!", [ALMOST]), {}, "changed: the question and the image."),
        (Scripted(seed=1), ("Q!", [ALMOST]), {}, "the image, the question or the judge's settings changed."),
    ],
)
def test_a_replay_that_misses_says_what_changed(tmp_path: Path, judge: Any, given: Any, settings: Any, says: str) -> None:
    path = tmp_path / "ledger.jsonl"
    _live(path, Scripted()).ask("Q", [RED])
    reply = _replay(path, judge).ask(*given, **settings)
    assert reply.outcome is Outcome.JUDGE_ERROR and says in reply.error
    assert "ledger.jsonl has no reply to this question about this image" in reply.error and judge.calls == []


def test_a_replay_without_a_ledger_or_with_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="got no such file; expected the judge ledger"):
        Ledger(tmp_path / "none.jsonl", read_only=True)
    with pytest.raises(StoreError, match="got no ledger"):
        LedgerJudge(Scripted(), replay=True).ask("Q")
    empty = tmp_path / "l.jsonl"
    Ledger(empty)
    assert "the ledger is empty" in _replay(empty, Scripted()).ask("Q").error


def test_replies_before_attach_are_written_with_it(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    _live(path, Scripted()).ask("old")
    judge = LedgerJudge(inner := Scripted())
    early = judge.ask("early")
    judge.attach(path)
    judge.attach(path)
    assert judge.ask("early") == early and judge.ask("old").text == "reply 1" and len(inner.calls) == 1
    assert [entry.request["question"] for entry in Ledger(path).entries()] == ["old", "early"]
    with pytest.raises(StoreError, match="got a second ledger"):
        judge.attach(tmp_path / "other.jsonl")


def test_canary_is_live_each_time_and_its_reply_is_kept(tmp_path: Path, server: Any, judge: Any) -> None:
    path = tmp_path / "l.jsonl"
    for run in (1, 2):
        kept = LedgerJudge(judge())
        kept.canary()
        kept.attach(path)
        assert len(server.requests) == run == kept.totals()["replies"]
    server.default = {"text": "blue"}
    with pytest.raises(CanaryError, match="expected the word red"):
        _live(path, judge()).canary()
    LedgerJudge(Scripted()).canary()


def test_a_torn_last_line_is_cut_off_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    judge = _live(path, Scripted())
    judge.ask("one")
    judge.ask("two")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:50])
    assert [entry.request["question"] for entry in Ledger(path, read_only=True).entries()] == ["one"]
    again = _live(path, inner := Scripted())
    again.ask("one")
    again.ask("two")
    assert inner.calls == [("two", 0)] and len(path.read_bytes().splitlines()) == 2
    for old, new in (("reply 1", "reply 9"), ('"one"', '"ONE"'), ('"ok"', '"refused"'), ("v1", "v2")):
        path.write_bytes(lines[0].replace(old.encode(), new.encode()) + lines[1])
        with pytest.raises(StoreError, match=r"l\.jsonl:1: got a content that is not what its address says"):
            Ledger(path)
    for broken in (b"{}\n", b"3\n", b"{\n", lines[0].replace(b'"attempts"', b'"tries"')):
        path.write_bytes(broken)
        with pytest.raises(StoreError, match=r"l\.jsonl:1: "):
            Ledger(path)


def test_totals(tmp_path: Path) -> None:
    told = [
        Reply(text="a", version="v1", prompt_tokens=10, completion_tokens=1, cost=0.5, seconds=1.0, attempts=3),
        Reply(text="b", version="v2", prompt_tokens=20, completion_tokens=2, cost=0.25, seconds=0.5),
        Reply(outcome=Outcome.JUDGE_ERROR, error="x", attempts=6, seconds=2.0),
    ]
    judge = _live(tmp_path / "l.jsonl", Scripted(*told))
    assert judge.totals() == {
        "replies": 0, "outcomes": {}, "requests": 0, "prompt_tokens": None, "completion_tokens": None, "cost": None, "seconds": 0,
        "versions": {},
    }  # fmt: skip
    for question in "abca":
        judge.ask(question)
    assert judge.totals() == {
        "replies": 3, "outcomes": {"judge_error": 1, "ok": 2}, "requests": 10, "prompt_tokens": 30, "completion_tokens": 3, "cost": 0.75,
        "seconds": 3.5, "versions": {"v1": 1, "v2": 1},
    }  # fmt: skip


def test_a_ledger_that_cannot_be_written_stops_the_asking(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="expected a file that the judge's replies can be kept in"):
        Ledger(blocked / "l.jsonl")


def test_no_secret_is_written(tmp_path: Path, server: Any, judge: Any, key: str) -> None:
    path = tmp_path / "l.jsonl"
    server.script = [{}, {"status": 400, "json": {"error": {"message": f"odd header Bearer {key}"}}}, {"status": 500, "raw": key.encode()}]
    kept = _live(path, judge(retries=0))
    replies = [kept.ask(f"Q{n}", [RED]) for n in range(3)]
    assert [reply.outcome.value for reply in replies] == ["ok", "judge_error", "judge_error"]
    text = path.read_text()
    assert key not in text and server.url not in text and "127.0.0.1" not in text
    assert key not in json.dumps(kept.identity()) and "[key]" in text


ASKER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from evals.judges.kept import LedgerJudge
from evals.judges.ledger import Ledger
from evals.judges.openai import OpenAIJudge

url, path = sys.argv[1:]
judge = LedgerJudge(OpenAIJudge(model="judge", base_url=url, concurrency=3), ledger=Ledger(path))
with ThreadPoolExecutor(3) as pool:
    texts = list(pool.map(lambda n: judge.ask(f"question {n}", [Image.new("RGB", (4, 4), (n, 0, 0))]).text, range(24)))
assert texts == ["red"] * 24, texts
"""


def test_a_killed_process_goes_on_and_nothing_kept_is_billed_twice(tmp_path: Path, server: Any) -> None:
    path = tmp_path / "judge" / "ledger.jsonl"
    server.default = {"delay": 0.04}
    command = [sys.executable, "-c", ASKER, server.url, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment) as process:
        try:
            end = time.monotonic() + 30
            while sum(server.answered.values()) < 9 and time.monotonic() < end:
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    # What the server still had in work when its client died is answered into the void.
    time.sleep(0.2)
    kept = {entry.request["question"] for entry in Ledger(path, read_only=True).entries()}
    assert 3 <= len(kept) < 24, "killed in the middle"
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == 0
    assert set(server.answered) == {f"question {n}" for n in range(24)}, "no loss"
    assert {server.answered[question] for question in kept} == {1}, "what was kept was not asked again"
    assert sum(server.answered.values()) <= 24 + 3, "at most what was under way"
    assert all(count <= 2 for count in server.answered.values())
    assert {entry.request["question"] for entry in Ledger(path).entries()} == set(server.answered)
    assert Ledger(path).totals()["replies"] == 24


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    judge = _live(path, Scripted(delay=0.001))
    start = threading.Barrier(8)

    def many(worker: int) -> None:
        start.wait()
        for n in range(10):
            judge.ask(f"{worker} {n} {'x' * 5000}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    assert len(Ledger(path).entries()) == 80

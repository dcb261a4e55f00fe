"""The judge over HTTP, against a scripted server: what is sent, and what becomes of every kind of bad day."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from evals.errors import CanaryError, ModelError, PluginError
from evals.judges import chat
from evals.judges.openai import OpenAIJudge
from evals.judges.pace import Pace, backoff, retry_after
from evals.judges.reading import evidence, first_unusable, unusable
from evals.protocols import Judge, Reply
from evals.types import Outcome

Build = Callable[..., OpenAIJudge]
RED = Image.new("RGB", (9, 6), (255, 0, 0))
BLUE = Image.new("RGB", (9, 6), (0, 0, 255))


def _pixels(part: dict[str, Any]) -> tuple[str, tuple[int, int], Any]:
    head, _, data = part["image_url"]["url"].partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    return head, image.size, image.convert("RGB").getpixel((4, 3))


def test_request_holds_the_words_the_images_and_only_the_settings_given(server: Any, judge: Build, key: str) -> None:
    one = judge(temperature=0.0, seed=42, max_tokens=512)
    assert isinstance(one, Judge)
    reply = one.ask("Which?", [RED, BLUE], system="Be brief.", attempt=2)
    sent = server.requests[0]
    assert sent["path"] == "/v1/chat/completions"
    assert server.headers[0]["Authorization"] == f"Bearer {key}"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    text, first, second = sent["messages"][1]["content"]
    assert text == {"type": "text", "text": "Which?"}
    assert _pixels(first) == ("data:image/png", (9, 6), (255, 0, 0))
    assert _pixels(second) == ("data:image/png", (9, 6), (0, 0, 255))
    assert {name: sent[name] for name in sent if name not in ("messages", "path")} == {
        "model": "judge", "temperature": 0.0, "seed": 44, "max_tokens": 512,
    }  # fmt: skip
    assert (reply.text, reply.outcome, reply.version, reply.attempts) == ("red", Outcome.OK, "judge-2026-01-01 fp_1", 1)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cost) == (100, 7, None)
    one.ask("Which?", [RED], images_first=True, max_tokens=9)
    assert [part["type"] for part in server.requests[1]["messages"][0]["content"]] == ["image_url", "text"]
    assert server.requests[1]["max_tokens"] == 9
    one.ask("No picture?")
    assert server.requests[2]["messages"][0]["content"] == "No picture?"


def test_jpeg_extra_fields_and_a_cost(server: Any, judge: Build) -> None:
    one = judge(
        image_format="jpeg:90", max_tokens=5, max_tokens_key="max_completion_tokens", extra={"reasoning_effort": "low"},
        prompt_price=2.5, completion_price=10.0,
    )  # fmt: skip
    reply = one.ask("?", [RED])
    assert _pixels(server.requests[0]["messages"][0]["content"][1])[0] == "data:image/jpeg"
    assert (server.requests[0]["max_completion_tokens"], server.requests[0]["reasoning_effort"]) == (5, "low")
    assert "max_tokens" not in server.requests[0] and "temperature" not in server.requests[0]
    assert reply.cost == pytest.approx((100 * 2.5 + 7 * 10.0) / 1e6)
    assert repr(judge(temperature=0).identity()) == repr(judge(temperature=0.0).identity())
    assert one.identity() == {
        "judge": "openai", "model": "judge", "max_completion_tokens": 5, "extra": {"reasoning_effort": "low"}, "image_format": "jpeg:90",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"status": 429, "json": {"error": {"code": "rate_limit_exceeded", "message": "slow down"}}}, id="429"),
        pytest.param({"status": 408, "json": {}}, id="408"),
        pytest.param({"status": 500, "raw": b"<html>Internal Server Error</html>"}, id="500"),
        pytest.param({"status": 503, "json": {"error": "worker died"}}, id="503"),
        pytest.param({"half": True}, id="half-body"),
        pytest.param({"drop": True}, id="dropped"),
        pytest.param({"raw": b'{"model": "judge", "choices": [{"mess'}, id="half-json"),
        pytest.param({"raw": b"Bad gateway, but with 200"}, id="no-json"),
        pytest.param({"raw": b"[]"}, id="no-table"),
        pytest.param({"json": {"model": "judge", "choices": []}}, id="no-choice"),
        pytest.param({"json": {"error": {"code": 503, "message": "upstream"}}}, id="error-in-200"),
        pytest.param({"raw": b"not gzip", "headers": {"Content-Encoding": "gzip"}}, id="bad-gzip"),
        pytest.param({"delay": 30.0}, id="timeout"),
        pytest.param({"drip": 0.02}, id="drip"),
    ],
)
def test_what_may_pass_is_asked_again(server: Any, judge: Build, bad: dict[str, Any]) -> None:
    slow = "delay" in bad or "drip" in bad
    settings = {"timeout": 0.3} if slow else {}
    server.script = [bad, bad]
    reply = judge(**settings).ask("?")
    assert (reply.outcome, reply.text, reply.attempts) == (Outcome.OK, "red", 3)
    server.script = [bad] * 2
    reply = judge(retries=1, **settings).ask("?")
    assert (reply.outcome, reply.text, reply.attempts) == (Outcome.JUDGE_ERROR, None, 2)
    assert "no usable reply after 2 requests; the last: " in reply.error
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("step", "outcome", "says"),
    [
        ({"refusal": "I cannot rate that."}, Outcome.REFUSED, 'the judge declined: "I cannot rate that"'),
        ({"finish_reason": "content_filter", "text": "The im"}, Outcome.REFUSED, "content filter stopped"),
        ({"text": None, "finish_reason": "tool_calls"}, Outcome.JUDGE_ERROR, "no text (finish_reason 'tool_calls')"),
        ({"text": "", "finish_reason": "length"}, Outcome.JUDGE_ERROR, "raise max_tokens"),
        ({"text": "half an ans", "finish_reason": "length"}, Outcome.OK, "cut at max_tokens"),
        ({"text": ""}, Outcome.OK, ""),
    ],
)
def test_a_whole_response_is_typed_and_not_asked_again(
    server: Any, judge: Build, chat_reply: Any, step: dict[str, Any], outcome: Outcome, says: str
) -> None:
    text = step.pop("text", None)
    server.script = [{"json": chat_reply(text, **step)}]
    reply = judge().ask("?")
    assert (reply.outcome, reply.attempts, len(server.requests)) == (outcome, 1, 1)
    assert says in reply.error and bool(says) == bool(reply.error)
    assert reply.prompt_tokens == 100, "it was billed, whatever it says"
    if outcome is Outcome.OK:
        assert reply.text == text


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (400, {"code": "content_policy_violation", "message": "Your request was rejected."}, Outcome.REFUSED),
        (400, {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, Outcome.REFUSED),
        (400, {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, Outcome.REFUSED),
        (400, {"code": "data_inspection_failed", "message": "Input data may contain..."}, Outcome.REFUSED),
        (403, {"code": 403, "message": "flagged", "metadata": {"flagged_input": "..."}}, Outcome.REFUSED),
        (400, {"code": "invalid_image", "message": "The image is too small."}, Outcome.JUDGE_ERROR),
        (413, {"message": "Payload too large"}, Outcome.JUDGE_ERROR),
        (422, {"message": "Unexpected fields"}, Outcome.JUDGE_ERROR),
    ],
)
def test_an_error_of_one_question(server: Any, judge: Build, status: int, error: dict[str, Any], outcome: Outcome) -> None:
    server.script = [{"status": status, "json": {"error": error}}]
    one = judge()
    reply = one.ask("bad")
    assert (reply.outcome, reply.text, reply.attempts) == (outcome, None, 1)
    assert f"status {status}" in reply.error and error.get("message", "").rstrip(".") in reply.error
    assert one.ask("good").outcome is Outcome.OK


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"status": 401, "json": {"error": {"message": "Incorrect API key provided: {KEY}"}}}, "does not take the key in OPENAI_API_KEY"),
        ({"status": 403, "json": {"error": {"message": "{KEY} may not use this"}}}, "[key] may not use this"),
        ({"status": 404, "json": {"error": {"message": "The model does not exist", "code": "model_not_found"}}}, 'model: got "judge"'),
        ({"status": 400, "json": {"error": {"message": "no", "code": "model_not_found"}}}, "expected a model that it serves"),
        ({"status": 429, "json": {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}}, "account with credit"),
        ({"status": 402, "json": {"error": {"message": "Insufficient balance"}}}, "account with credit"),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}, "json": {}}, "base_url: got a redirection"),
    ],
)
def test_what_hits_every_question_stops_at_once(server: Any, judge: Build, key: str, step: dict[str, Any], says: str) -> None:
    if "error" in step["json"]:
        step["json"]["error"]["message"] = step["json"]["error"]["message"].replace("{KEY}", key)
    server.default = step
    with pytest.raises(ModelError) as caught:
        judge().ask("?")
    assert says in str(caught.value) and key not in str(caught.value) and "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_missing_or_broken_key_is_told_before_anything_is_sent(
    server: Any, judge: Build, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="got no OPENAI_API_KEY in the environment; expected the server's key"):
        judge().ask("?")
    with pytest.raises(ModelError, match="got no MY_KEY"):
        judge(api_key_env="MY_KEY", canary=False).canary()
    monkeypatch.setenv("MY_KEY", f"{key}\nX-Evil: 1")
    with pytest.raises(ModelError) as caught:
        judge(api_key_env="MY_KEY").ask("?")
    assert key not in str(caught.value)
    assert server.requests == []
    assert judge(api_key_env=None).ask("?").outcome is Outcome.OK
    assert "Authorization" not in server.headers[0]


def test_a_server_that_is_not_there(judge: Build, server: Any) -> None:
    server.close()
    reply = judge(retries=2).ask("?")
    assert (reply.outcome, reply.attempts) == (Outcome.JUDGE_ERROR, 3)
    assert "ConnectError" in reply.error


def test_the_key_shows_in_no_error_of_a_question(server: Any, judge: Build, key: str) -> None:
    server.default = {"status": 400, "json": {"error": {"message": f"header Bearer {key} is odd"}}}
    reply = judge().ask("?")
    assert key not in repr(reply) and "[key]" in reply.error
    server.default = {"status": 500, "json": {"error": {"message": f"{key}"}}}
    assert key not in repr(judge(retries=1).ask("?"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base_url": "ftp://x"}, 'base_url: got "ftp://x"'),
        ({"base_url": "localhost:8000"}, "expected an address such as"),
        ({"base_url": "http://me:hush@host/v1"}, "Use api_key_env"),
        ({"base_url": "https://host/v1?key=hush"}, "Use api_key_env"),
        ({"api_key_env": "sk-hush"}, "expected the name of the environment variable"),
        ({"image_format": "jpeg"}, 'image_format: got "jpeg"'),
        ({"image_format": "jpeg:101"}, "expected png, or jpeg:QUALITY"),
        ({"concurrency": 0}, "concurrency: got 0; expected at least 1"),
        ({"retries": -1}, "retries: got -1"),
        ({"timeout": 0}, "timeout: got 0; expected more than 0"),
        ({"requests_per_minute": 0}, "requests_per_minute: got 0"),
        ({"max_tokens": 0}, "max_tokens: got 0"),
        ({"prompt_price": -1.0}, "prompt_price: got -1.0"),
        ({"max_tokens_key": "length"}, 'max_tokens_key: got "length"'),
        ({"extra": {"model": "other"}}, 'extra: got "model"'),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(PluginError) as caught:
        OpenAIJudge(**{"model": "judge", **settings})
    assert says in str(caught.value) and "hush" not in str(caught.value)


def test_threads_are_bounded_and_nothing_is_lost(server: Any, judge: Build, chat_reply: Any) -> None:
    server.default = {"delay": 0.02}
    # Every second answer fails at first; the question comes back in the reply, so a mix-up would show.
    server.script = [{"status": 500 if n % 2 else 429, "json": {}, "delay": 0.01} for n in range(12)]
    one = judge(concurrency=3, retries=12)
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda n: one.ask(f"question {n}"), range(24)))
    assert [reply.outcome for reply in replies] == [Outcome.OK] * 24
    assert server.most_at_once == 3
    assert server.answered == {f"question {n}": 1 for n in range(24)}
    assert sum(reply.attempts for reply in replies) == len(server.requests) == 36


def test_retry_after_stops_all_threads(server: Any, judge: Build) -> None:
    server.script = [{"status": 429, "json": {}, "headers": {"Retry-After": "0.4"}}]
    one = judge(concurrency=4)
    first = threading.Thread(target=one.ask, args=("first",))
    first.start()
    while not server.requests:
        time.sleep(0.005)
    time.sleep(0.1)
    assert one.ask("second").attempts == 1
    first.join()
    assert server.times[1] - server.times[0] > 0.35, "the second thread waited, too"
    assert server.answered == {"first": 1, "second": 1}


def test_a_wait_of_hours_is_not_waited_for(server: Any, judge: Build) -> None:
    server.script = [{"status": 429, "json": {}, "headers": {"Retry-After": "7200"}}]
    reply = judge().ask("?")
    assert (reply.outcome, reply.attempts) == (Outcome.JUDGE_ERROR, 1)
    assert "asks to wait 7200 s" in reply.error


def test_rate_is_one_for_all_threads() -> None:
    now, left, lock = [0.0], [], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            now[0] += seconds

    pace = Pace(120, clock=lambda: now[0], sleep=sleep)
    for _ in range(5):
        pace.enter()
        left.append(now[0])
    assert left == [0.0, 0.5, 1.0, 1.5, 2.0]
    pace.hold(10.0)
    pace.enter()
    pace.enter()
    assert now[0] == 12.5


def test_backoff_grows_is_spread_and_is_the_same_in_every_run() -> None:
    waits = [backoff("a", n, first=1.0) for n in range(12)]
    assert waits == [backoff("a", n, first=1.0) for n in range(12)]
    assert all(0.5 * min(60, 2.0**n) <= wait <= min(60, 2.0**n) for n, wait in enumerate(waits))
    assert len({backoff(str(n), 0, first=1.0) for n in range(50)}) == 50


def test_retry_after_forms() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    told = {
        "3": 3.0, "0": 0.0, "1.5": 1.5, "-1": None, "soon": None, "inf": None, "nan": None,
        "Thu, 01 Jan 2026 00:01:00 GMT": 60.0, "Wed, 31 Dec 2025 00:00:00 GMT": 0.0,
    }  # fmt: skip
    assert {text: retry_after({"retry-after": text}, now=lambda: at) for text in told} == told
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({}) is None


@pytest.mark.parametrize("content", [b"", b"null", b"[" * 100_000, b'{"choices": [null]}', b'{"choices": [{"message": 3}]}', b"\xff"])
def test_any_bytes_are_read_as_something(content: bytes) -> None:
    assert chat.read(200, content).kind is chat.Kind.AGAIN
    assert chat.read(500, content).kind is chat.Kind.AGAIN
    assert chat.read(400, content).kind is chat.Kind.FAILED


def test_text_in_parts_is_joined(chat_reply: Any) -> None:
    import json

    parts = [{"type": "text", "text": "4"}, {"type": "image"}, {"type": "text", "text": "/5"}]
    assert chat.read(200, json.dumps(chat_reply(parts)).encode()).text == "4/5"


def test_canary(server: Any, judge: Build) -> None:
    server.default = {"text": "It is Red."}
    judge().canary()
    _, size, pixel = _pixels(server.requests[0]["messages"][0]["content"][1])
    assert (size, pixel) == ((224, 224), (255, 0, 0))
    server.default = {"text": "I was hired to say blue, so I hesitated."}
    with pytest.raises(CanaryError, match=r'got "I was hired .*expected the word red'):
        judge().canary()
    server.default = {"status": 400, "json": {"error": {"message": "this model reads no images"}}}
    with pytest.raises(CanaryError, match="this model reads no images"):
        judge().canary()
    before = len(server.requests)
    judge(canary=False).canary()
    assert len(server.requests) == before


def test_reading_helpers() -> None:
    good, cut = Reply(text=""), Reply(text="4", error="cut", version="v", address="a")
    bad, none = Reply(outcome=Outcome.JUDGE_ERROR), Reply()
    assert unusable(good) is None and unusable(cut) is None
    assert unusable(bad) == (Outcome.JUDGE_ERROR, "The judge's reply is judge_error.")
    assert unusable(none) == (Outcome.JUDGE_ERROR, "The judge's reply has no text.")
    assert first_unusable([good, Reply(outcome=Outcome.REFUSED, error="no"), bad]) == (Outcome.REFUSED, "no")
    assert first_unusable([good, cut]) is None
    assert evidence(good) == {"reply": "", "version": "", "address": ""}
    assert evidence(cut) == {"reply": "4", "version": "v", "address": "a", "note": "cut"}

"""A real server, `transformers serve`, with a tiny model of random weights: the judge talks to it and gets typed replies.

Starting the server takes about 10 s on one core (most of it is importing torch and transformers).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from evals.errors import CanaryError
from evals.judges.kept import LedgerJudge
from evals.judges.ledger import Ledger
from evals.judges.local import LocalJudge
from evals.judges.openai import OpenAIJudge
from evals.types import Outcome

NOISE = Image.linear_gradient("L").resize((60, 40)).convert("RGB")


@pytest.fixture(scope="module")
def served(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the running server, up to and with /v1."""
    program = Path(sys.executable).with_name("transformers")
    assert program.exists(), "the extra `test` installs transformers[serving]"
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}
    # A free port can be taken by somebody else before the server has it: then once more.
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [str(program), "serve", str(tiny_vlm), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
            try:
                if _healthy(process, f"http://127.0.0.1:{port}/health", seconds=120):
                    yield f"http://127.0.0.1:{port}/v1"
                    return
            finally:
                process.kill()
        if "address already in use" not in log.read_text("utf-8", "replace"):
            break
    pytest.fail(f"transformers serve did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")


def _healthy(process: subprocess.Popen[bytes], url: str, *, seconds: float) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            with opener.open(url, timeout=2) as response:
                if response.status == 200:
                    return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    return False


def _judge(served: str, model: Path | str, **settings: object) -> OpenAIJudge:
    given = {"model": str(model), "base_url": served, "api_key_env": None, "temperature": 0.0, "max_tokens": 12, "concurrency": 2}
    return OpenAIJudge(**{**given, **settings})  # type: ignore[arg-type]


def test_replies_are_those_of_the_same_weights_in_this_process(
    served: str, tiny_vlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    over_http = _judge(served, tiny_vlm)
    here = LocalJudge(model=str(tiny_vlm), device="cpu", max_tokens=12)
    judge = LedgerJudge(over_http, ledger=Ledger(tmp_path / "ledger.jsonl"))
    asked = [("How good?", [NOISE], None), ("How good?", [NOISE, NOISE.rotate(90)], "Be brief."), ("No picture.", [], None)]
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda a: judge.ask(a[0], a[1], system=a[2]), asked))
    for (question, images, system), reply in zip(asked, replies, strict=True):
        expected = here.ask(question, images, system=system)
        assert (reply.outcome, reply.attempts) == (Outcome.OK, 1)
        assert (reply.text or "").strip() == (expected.text or "").strip()
        assert (reply.prompt_tokens, reply.completion_tokens) == (expected.prompt_tokens, expected.completion_tokens)
        assert reply.version == str(tiny_vlm)
    totals = judge.totals()
    assert totals["replies"] == totals["requests"] == 3 and totals["completion_tokens"] > 0
    over_http.close()


def test_what_the_server_will_not_do_is_typed(served: str, tiny_vlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    other = _judge(served, "somebody/else")
    reply = other.ask("?")
    assert reply.outcome is Outcome.JUDGE_ERROR and "pinned" in reply.error and reply.attempts == 1
    with pytest.raises(CanaryError, match="pinned"):
        other.canary()
    field = _judge(served, tiny_vlm, extra={"no_such_field": 1})
    reply = field.ask("?")
    assert reply.outcome is Outcome.JUDGE_ERROR and "no_such_field" in reply.error and "status 422" in reply.error
    nonsense = _judge(served, tiny_vlm)
    with pytest.raises(CanaryError, match="expected the word red"):
        nonsense.canary()
    for judge in (other, field, nonsense):
        judge.close()

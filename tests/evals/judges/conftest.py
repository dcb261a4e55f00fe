"""A scripted chat-completions server on a free port of this machine, and judges that talk to it without real waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

KEY = "sk-test-5f3c9a1e7b"


class ChatServer:
    """Answers with what the script of the question says next, then the script of all, then `default`.

    It keeps every request and counts every whole answer by its question; `texts` are what a plain answer says.
    """

    def __init__(self) -> None:
        self.script: list[dict[str, Any]] = []
        self.by_question: dict[str, list[dict[str, Any]]] = {}
        self.texts: dict[str, str] = {}
        self.default: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered: dict[str, int] = {}
        self.times: list[float] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append({"path": self.path, **body})
                    outer.headers.append(dict(self.headers.items()))
                    outer.times.append(time.monotonic())
                    script = outer.by_question.get(question_of(body)) or outer.script
                    step = script.pop(0) if script else outer.default
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                try:
                    self._play(step, body)
                finally:
                    with outer._lock:
                        outer._now -= 1

            def _play(self, step: dict[str, Any], body: dict[str, Any]) -> None:
                outer._stop.wait(step.get("delay", 0.0))
                data = step.get(
                    "raw", json.dumps(step.get("json", reply(step.get("text", outer.texts.get(question_of(body), "red"))))).encode()
                )
                if step.get("drop"):
                    self.close_connection = True
                    return
                try:
                    self.send_response(step.get("status", 200))
                    for name, value in step.get("headers", {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    half = len(data) // 2
                    if step.get("half"):
                        self.wfile.write(data[:half])
                        self.close_connection = True
                        return
                    if "drip" in step:
                        for byte in data:
                            self.wfile.write(bytes([byte]))
                            self.wfile.flush()
                            if outer._stop.wait(step["drip"]):
                                return
                    else:
                        self.wfile.write(data)
                except OSError:
                    self.close_connection = True
                    return
                if step.get("status", 200) == 200:
                    with outer._lock:
                        asked = question_of(body)
                        outer.answered[asked] = outer.answered.get(asked, 0) + 1

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def question_of(body: dict[str, Any]) -> str:
    """The text of a request's user message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


def reply(text: str | None, **changes: Any) -> dict[str, Any]:
    """A whole response of a server; `finish_reason` and `refusal` go where they belong."""
    message = {"role": "assistant", "content": text, "refusal": changes.pop("refusal", None)}
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish_reason", "stop")}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    return {"model": "judge-2026-01-01", "system_fingerprint": "fp_1", "choices": [choice], "usage": usage, **changes}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A fresh server; the key is in the environment, no proxy stands between."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    found = ChatServer()
    yield found
    found.close()


@pytest.fixture
def judge(server: ChatServer) -> Iterator[Callable[..., Any]]:
    """Build a judge that asks the server, with waits of milliseconds; closed at the end."""
    from evals.judges.openai import OpenAIJudge

    made = []

    def build(**settings: Any) -> OpenAIJudge:
        made.append(OpenAIJudge(**{"model": "judge", "base_url": server.url, "backoff": 0.002, "timeout": 5.0, **settings}))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def key() -> str:
    """The secret that must never show."""
    return KEY


@pytest.fixture
def chat_reply() -> Callable[..., dict[str, Any]]:
    """`reply(text, **changes)`: a whole response of a server."""
    return reply


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole LLaVA of 50,000 random weights, its processor and a tokenizer of single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("vlm") / "tiny-llava"
    letters = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, bos_token="<s>", eos_token="</s>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"}
    )
    template = (
        "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
        "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=16,
        initializer_range=0.5,
    )
    words = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Wide, so that what is said depends on every word and pixel.
        initializer_range=0.5,
    )
    config = LlavaConfig(
        initializer_range=0.5,
        vision_config=vision,
        text_config=words,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        image_seq_length=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

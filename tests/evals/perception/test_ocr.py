"""OCR: PP-OCR on real renderings through the suite, the reading order, and a VLM behind a server that is started here."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from evals.errors import CanaryError, ModelError, PluginError, RoleError
from evals.models import text_renderer
from evals.perception.ocr_canary import WORD, canary_image, check_reading
from evals.perception.ocr_rapid import RapidOcr, in_reading_order
from evals.perception.ocr_vlm import INSTRUCTION, NO_TEXT, VlmOcr
from evals.protocols import Ocr, TextLine

CHINESE = any(path.is_file() for path in text_renderer.CHINESE_FONTS)


@pytest.fixture(scope="module")
def rapid() -> RapidOcr:
    return RapidOcr()


# -- PP-OCR ----------------------------------------------------------------------------------------------------------


def test_it_reads_the_canary_with_place_and_confidence(rapid: RapidOcr) -> None:
    assert isinstance(rapid, Ocr)
    rapid.canary()
    (line,) = rapid.read(canary_image())
    assert line.text == WORD and line.score > 0.9
    left, top, right, bottom = line.box
    assert 0 <= left < 64 and 192 < right <= 256 and top < 128 < bottom
    assert rapid.read(canary_image()) == [line]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_any_mode_and_colour_is_read(rapid: RapidOcr, mode: str) -> None:
    assert [line.text for line in rapid.read(canary_image().convert(mode))] == [WORD]


def test_a_reader_that_reads_otherwise_or_makes_text_up_fails_the_canary() -> None:
    class Says:
        name = "says"

        def __init__(self, *texts: str) -> None:
            self.texts = list(texts)

        def read(self, image: Image.Image) -> list[TextLine]:
            return [TextLine(self.texts.pop(0))]

    check_reading(Says(WORD.upper(), " "))
    with pytest.raises(CanaryError, match='ocr says: canary: got "harbour27"; expected "Harbor 27"'):
        check_reading(Says("Harbour 27"))
    with pytest.raises(CanaryError, match='got "harbor27" on an empty canvas'):
        check_reading(Says(WORD, WORD))


def test_settings_out_of_range_and_absent_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="threads: got 0; expected 1 to 64"):
        RapidOcr(threads=0)
    import rapidocr

    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ModelError, match=r"got no PP-OCRv6_det_small.onnx in .*pip install rapidocr onnxruntime"):
        RapidOcr()


def test_reading_order() -> None:
    def line(text: str, x: float, y: float, height: float = 10) -> TextLine:
        return TextLine(text, 1.0, (x, y, x + 20, y + height))

    lines = [line("d", 0, 40), line("c", 60, 3), TextLine("z"), line("a", 0, 0), line("b", 30, -2, 14), line("e", 5, 49)]
    assert "".join(one.text for one in in_reading_order(lines)) == "abcdez"
    assert in_reading_order([]) == []


def run(cli: Callable[..., Result], folder: Path, *arguments: str) -> dict[str, Any]:
    result = cli("run", "longtext", "--out", str(folder), "--no-report", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads((folder / "results.json").read_text())


def test_clean_writing_is_read_exactly_and_noise_costs(cli: Callable[..., Result], tmp_path: Path) -> None:
    few = ("--profile", "mini", "--set", "data.prompts=5")
    clean = run(cli, tmp_path / "clean", "--model", "text-renderer:size=384", *few)
    exact = next(m["value"] for m in clean["metrics"] if m["name"] == "prompt_accuracy")
    assert clean["headline"]["value"] >= 0.97 and exact >= 0.97 and clean["headline"]["coverage"] == 1.0
    noisy = run(cli, tmp_path / "noisy", "--model", "text-renderer:size=384,noise=1.5", *few)
    assert noisy["headline"]["value"] < clean["headline"]["value"] - 0.3


@pytest.mark.skipif(not CHINESE, reason="no font with Chinese: apt-get install fonts-wqy-microhei")
def test_clean_chinese_is_read_exactly(cli: Callable[..., Result], tmp_path: Path) -> None:
    found = run(cli, tmp_path / "zh", "--model", "text-renderer:size=384", "--profile", "mini-zh", "--set", "data.prompts=3")
    assert found["headline"]["value"] >= 0.97


# -- a VLM -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | int], list[dict[str, Any]]]]:
    """Address, replies still to give (a text, or a status), and the requests that came."""
    replies: list[str | int] = []
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            reply = replies.pop(0)
            message = {"role": "assistant", "content": reply}
            body = {"model": "reader-1", "choices": [{"message": message, "finish_reason": "stop"}]} if isinstance(reply, str) else {}
            data = json.dumps(body).encode()
            self.send_response(200 if isinstance(reply, str) else reply)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}/v1", replies, requests
    service.shutdown()
    service.server_close()
    thread.join()


def reader(address: str, **settings: Any) -> VlmOcr:
    judge = {"use": "openai", "model": "reader", "base_url": address, "api_key_env": None, "retries": 0}
    return VlmOcr(judge=judge, **settings)


def test_a_vlm_transcribes_greedily_with_the_image_first(server: Any) -> None:
    address, replies, requests = server
    replies += ["Open\n 24 h ", f" {NO_TEXT}\n", f"Open\n{NO_TEXT}", "x"]
    ocr = reader(address)
    assert isinstance(ocr, Ocr)
    assert [line.text for line in ocr.read(canary_image())] == ["Open", " 24 h "]
    assert ocr.read(canary_image(""), max_tokens=128) == []
    # Only a whole reply says that there is no text: what stands beside other text is the benchmark's to clean.
    assert "\n".join(line.text for line in ocr.read(canary_image())) == f"Open\n{NO_TEXT}"
    reader(address, instruction="Read!", max_tokens=7).read(canary_image())
    first, second, _, last = requests
    image, text = first["messages"][-1]["content"]
    assert (image["type"], text) == ("image_url", {"type": "text", "text": INSTRUCTION})
    sent = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].partition(",")[2])))
    assert sent.convert("RGB").tobytes() == canary_image().tobytes()
    assert [r["max_tokens"] for r in (first, second, last)] == [1024, 128, 7] and first["temperature"] == 0
    assert last["messages"][-1]["content"][1]["text"] == "Read!"


def test_a_vlm_that_fails_raises_with_its_outcome_and_one_that_does_not_read_fails_the_canary(server: Any) -> None:
    address, replies, _ = server
    replies += [500, WORD, NO_TEXT, "A photo of a harbor."]
    ocr = reader(address)
    with pytest.raises(RoleError) as caught:
        ocr.read(canary_image())
    assert caught.value.outcome == "judge_error" and "500" in str(caught.value)
    ocr.canary()
    with pytest.raises(CanaryError, match=r'ocr vlm: canary: got "aphotoofaharbor\."'):
        ocr.canary()


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        ("openai", "judge: got 'openai'; expected a table"),
        ({"model": "x"}, "expected a table such as {use: openai, model: NAME}"),
        ({"use": "opnai", "model": "x"}, 'got "opnai"; no such judge. Did you mean "openai"?'),
        ({"use": "openai"}, "judge: got no model; expected it"),
        ({"use": "openai", "model": "x", "modle": 1}, "judge: got the key modle; expected some of model"),
    ],
)
def test_settings_of_the_reader_are_checked(judge: Any, told: str) -> None:
    with pytest.raises(PluginError) as caught:
        VlmOcr(judge=judge)
    assert told in str(caught.value)


def test_a_run_read_by_a_vlm_is_replayed_without_a_server(server: Any, cli: Callable[..., Result], tmp_path: Path) -> None:
    address, replies, requests = server
    replies += [WORD, NO_TEXT, "Orange Forest", "refused text"]
    suite = tmp_path / "vlm.yaml"
    suite.write_text(
        "suite: vlm\ntitle: VLM\nversion: 1\nprofiles:\n  mini:\n    protocol: {name: vlm}\n"
        "    data: {dataset: text-mini, prompts: 2}\n    generate: {repeats: 1, height: 64, width: 64}\n    roles:\n      ocr:\n"
        "        use: vlm\n        judge: {use: openai, model: reader, api_key_env: null, concurrency: 1, retries: 0, "
        f"base_url: '{address}'}}\n"
        "    score: [{scorer: longtext}]\n    report: {value: accuracy, headline: longtext_score}\n"
    )
    call = ("run", str(suite), "--profile", "mini", "--model", "text-renderer:size=96", "--no-report", "--out", str(tmp_path / "run"))
    assert cli(*call).exit_code == 0
    first = (tmp_path / "run/scores/longtext.jsonl").read_bytes()
    assert len(requests) == 4 and replies == []
    (tmp_path / "run/scores/longtext.jsonl").unlink()
    shutil.rmtree(tmp_path / "run/scores/cache")
    result = cli(*call, "--role", "ocr=replay")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run/scores/longtext.jsonl").read_bytes() == first and len(requests) == 4

"""The judge in this process, on a tiny model of random weights: it talks nonsense, but the same nonsense each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from evals.errors import CanaryError, ModelError, PluginError
from evals.judges.local import LocalJudge
from evals.protocols import Judge
from evals.types import Outcome

RED = Image.new("RGB", (60, 40), (255, 0, 0))
NOISE = Image.linear_gradient("L").resize((60, 40)).convert("RGB")


def _judge(folder: Path, **settings: object) -> LocalJudge:
    return LocalJudge(**{"model": str(folder), "device": "cpu", "dtype": "float32", "max_tokens": 12, **settings})  # type: ignore[arg-type]


def test_greedy_reply_is_the_models_own(tiny_vlm: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    judge = _judge(tiny_vlm)
    assert isinstance(judge, Judge)
    reply = judge.ask("What?", [NOISE], system="Be brief.")
    processor = AutoProcessor.from_pretrained(tiny_vlm)
    model = AutoModelForImageTextToText.from_pretrained(tiny_vlm, dtype=torch.float32)
    inputs = processor(text="system: Be brief.\nuser: What?<image>\nassistant: ", images=[NOISE], return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert reply.text == processor.decode(tokens, skip_special_tokens=True)
    assert (reply.outcome, reply.prompt_tokens, reply.completion_tokens) == (Outcome.OK, inputs["input_ids"].shape[1], len(tokens))
    assert reply.version.startswith("tiny-llava@sha256:") and reply.seconds >= 0
    assert judge.ask("What?", [NOISE], system="Be brief.").text == reply.text
    others = [judge.ask("What?", [RED], system="Be brief."), judge.ask("What?", [NOISE]), judge.ask("Who?", [NOISE], system="Be brief.")]
    assert reply.text not in [other.text for other in others], "it looks, and it reads"


def test_order_limit_and_text_alone(tiny_vlm: Path) -> None:
    judge = _judge(tiny_vlm)
    after, before = judge.ask("What?", [RED]), judge.ask("What?", [RED], images_first=True)
    assert after.prompt_tokens == before.prompt_tokens and after.text != before.text
    short = judge.ask("What?", [RED], max_tokens=1)
    assert short.completion_tokens == 1 and short.outcome is Outcome.OK and "cut at max_tokens" in short.error
    alone = judge.ask("What?")
    assert alone.outcome is Outcome.OK and alone.prompt_tokens == after.prompt_tokens - 4


def test_draws_come_from_the_seed_the_question_and_the_try(tiny_vlm: Path) -> None:
    judge = _judge(tiny_vlm, temperature=1.5, top_p=0.99)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = judge.ask("What?", [RED])
    assert torch.equal(torch.rand(1), expected), "a judge moves nobody else's draws"
    assert judge.ask("What?", [RED]).text == first.text
    assert _judge(tiny_vlm, temperature=1.5, top_p=0.99).ask("What?", [RED]).text == first.text
    others = [judge.ask("What?", [RED], attempt=1), judge.ask("Who?", [RED]), judge.ask("What?", [NOISE])]
    others.append(_judge(tiny_vlm, temperature=1.5, top_p=0.99, seed=1).ask("What?", [RED]))
    assert first.text not in [reply.text for reply in others]


def test_identity_needs_no_weights() -> None:
    assert LocalJudge(model="no/where", temperature=0.0).identity() == {
        "judge": "local", "model": "no/where", "dtype": "auto", "max_tokens": 512,
    }  # fmt: skip
    drawn = LocalJudge(model="no/where", temperature=0.5, revision="abc", chat_template_kwargs={"enable_thinking": False}).identity()
    assert (drawn["temperature"], drawn["seed"], drawn["revision"]) == (0.5, 0, "abc")
    assert drawn["chat_template_kwargs"] == {"enable_thinking": False}


def test_canary_catches_a_judge_that_talks_nonsense(tiny_vlm: Path) -> None:
    with pytest.raises(CanaryError, match="expected the word red"):
        _judge(tiny_vlm).canary()
    _judge(tiny_vlm, canary=False).canary()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dtype": "int8"}, "dtype: got int8; expected one of auto, float32"),
        ({"max_tokens": 0}, "max_tokens: got 0"),
        ({"temperature": -1.0}, "temperature: got -1.0"),
        ({"top_p": 0.0}, "top_p: got 0.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        _judge(Path("x"), **settings)


def test_absent_weights_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got org/name; expected a folder .* Run `hf download org/name`"):
        LocalJudge(model="org/name", canary=False).canary()
    with pytest.raises(ModelError, match="Copy a vision-language model to a folder"):
        LocalJudge(model=str(tmp_path)).ask("?")


def test_damaged_checkpoints_are_refused(tiny_vlm: Path, tmp_path: Path) -> None:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(tiny_vlm, tmp_path / name))

    cut = copied("cut")
    weights = load_file(cut / "model.safetensors")
    lost = sorted(weights)[3]
    del weights[lost]
    save_file(weights, cut / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="without 1 weights"):
        _judge(cut).ask("?")

    pickled = copied("pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        _judge(pickled).ask("?")

    mute = copied("mute")
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="without a chat template"):
        _judge(mute).ask("?")


def test_a_question_that_fails_alone_is_typed(tiny_vlm: Path) -> None:
    # The image's own token in the words: the processor finds more places than images.
    reply = _judge(tiny_vlm).ask("What is <image> in <image>?", [RED])
    assert reply.outcome is Outcome.JUDGE_ERROR and reply.text is None and reply.error.startswith("judge local: ")

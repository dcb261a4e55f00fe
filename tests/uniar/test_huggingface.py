"""The Hugging Face door: generate, padding, checkpointing, LoRA, loading; and what importing leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from uniar import UniARForConditionalGeneration

# peft, and releases before 6, use the older of transformers' two names.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:`{name}` is deprecated and will be removed in v6:FutureWarning")
    for name in ("gradient_checkpointing_enable", "is_gradient_checkpointing")
]

GENERATE = {"max_new_tokens": 4, "pad_token_id": 0, "return_dict_in_generate": False}


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(seed=3)


def _pixels(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows * columns, 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(seed))


def _row(text: list[int], tokens: int) -> list[int]:
    return [5, 62, *[60] * tokens, 63, *text]


# Two rows of different length with images of different size, 1 x 2 and 2 x 2 visual tokens.
FIRST = {"ids": _row([7, 8], 2), "grid": [1, 2, 4], "pixels": _pixels(2, 4, 1)}
SECOND = {"ids": _row([9, 10, 11, 12], 4), "grid": [1, 4, 4], "pixels": _pixels(4, 4, 2)}


def _inputs(*rows: dict) -> dict[str, torch.Tensor]:
    width = max(len(r["ids"]) for r in rows)
    return {
        "input_ids": torch.tensor([[0] * (width - len(r["ids"])) + r["ids"] for r in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(r["ids"])) + [1] * len(r["ids"]) for r in rows]),
        "pixel_values": torch.cat([r["pixels"] for r in rows]),
        "image_grid_thw": torch.tensor([r["grid"] for r in rows]),
    }


def _greedy_by_hand(model, row: dict, steps: int) -> list[int]:
    ids = list(row["ids"])
    for _ in range(steps):
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), pixel_values=row["pixels"], image_grid_thw=torch.tensor([row["grid"]]))
        ids.append(int(out.logits[0, -1].argmax()))
    return ids[len(row["ids"]) :]


@pytest.mark.parametrize("row", [FIRST, SECOND])
def test_greedy_generation_is_the_argmax_of_the_forward(model, row):
    out = model.generate(**_inputs(row), do_sample=False, **GENERATE)
    assert out[0, len(row["ids"]) :].tolist() == _greedy_by_hand(model, row, 4)


def test_the_image_is_seen(model):
    other = SECOND | {"pixels": _pixels(4, 4, 9)}
    with torch.no_grad():
        a, b = (model(**_inputs(r)).logits[0, -1] for r in (SECOND, other))
    assert (a - b).abs().max() > 1e-3


def test_left_padding_changes_nothing(model):
    batch = model.generate(**_inputs(FIRST, SECOND), do_sample=False, **GENERATE)
    for i, row in enumerate((FIRST, SECOND)):
        assert batch[i, -4:].tolist() == _greedy_by_hand(model, row, 4)
    with torch.no_grad():
        together, alone = model(**_inputs(FIRST, SECOND)).logits, model(**_inputs(FIRST)).logits
    assert torch.allclose(together[0, -len(FIRST["ids"]) :], alone[0], atol=1e-4)


def test_several_returns_a_row_keep_their_images(model):
    # With top_k 1 sampling is greedy, so every copy must answer about its own image.
    out = model.generate(**_inputs(FIRST, SECOND), do_sample=True, top_k=1, num_return_sequences=2, **GENERATE)
    assert out.shape[0] == 4
    for i, row in enumerate((FIRST, FIRST, SECOND, SECOND)):
        assert out[i, -4:].tolist() == _greedy_by_hand(model, row, 4)


def test_sampling_draws(model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        out = model.generate(**_inputs(FIRST), do_sample=True, top_k=0, temperature=5.0, num_return_sequences=2, **GENERATE)
        torch.manual_seed(0)
        again = model.generate(**_inputs(FIRST), do_sample=True, top_k=0, temperature=5.0, num_return_sequences=2, **GENERATE)
    assert torch.equal(out, again)
    assert not torch.equal(out[0], out[1])


def _gradients(model) -> tuple[float, dict[str, torch.Tensor]]:
    inputs = _inputs(FIRST, SECOND)
    labels = inputs["input_ids"].masked_fill((inputs["input_ids"] == 60) | (inputs["attention_mask"] == 0), -100)
    model.zero_grad()
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_changes_nothing(tiny_model):
    model = tiny_model().train()
    loss, gradients = _gradients(model)
    model.gradient_checkpointing_enable()
    loss_again, again = _gradients(model)
    assert loss_again == pytest.approx(loss, abs=1e-6)
    assert gradients.keys() == again.keys()
    assert "model.visual.patch_embed.proj.weight" in gradients
    assert all(torch.allclose(gradients[n], again[n], atol=1e-5) for n in gradients)
    assert model.model.visual.gradient_checkpointing


def test_lora_attaches_and_learns(tiny_model):
    from peft import LoraConfig, get_peft_model

    model = tiny_model()
    frozen = {n: p.clone() for n, p in model.named_parameters()}
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])).train()
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    inputs = _inputs(FIRST)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == 60, -100)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = tuned(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert 0 < sum(p.numel() for p in trained) < sum(p.numel() for p in frozen.values())
    merged = dict(tuned.merge_and_unload().named_parameters())
    assert torch.equal(merged["lm_head.weight"], frozen["lm_head.weight"])
    query = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged[query], frozen[query])


@pytest.mark.parametrize("settings", [{"dtype": torch.bfloat16}, {"device_map": "cpu"}, {"dtype": torch.bfloat16, "device_map": "cpu"}])
def test_loading_settings(golden, settings):
    model = UniARForConditionalGeneration.from_pretrained(golden, **settings)
    wanted = settings.get("dtype", torch.float32)
    assert model.dtype == wanted
    assert {p.dtype for p in model.parameters()} == {wanted}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert model.model.visual.bsq.basis.dtype == torch.int64
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert torch.isfinite(logits).all()


_IMPORT = """
import sys
import uniar
assert uniar.__version__ and "load" in dir(uniar)
heavy = {"torch", "transformers", "diffusers", "numpy", "PIL"} & set(sys.modules)
assert not heavy, heavy
uniar.UniARForConditionalGeneration, uniar.UniARVisionModel, uniar.UniAR
from transformers.models.auto import modeling_auto, configuration_auto
from transformers import CONFIG_MAPPING
assert not [k for k in CONFIG_MAPPING.keys() if "uniar" in k.lower()]
for name in vars(modeling_auto):
    table = getattr(modeling_auto, name)
    extra = getattr(table, "_extra_content", None)
    assert not extra, (name, extra)
assert not CONFIG_MAPPING._extra_content
"""


def test_importing_is_light_and_registers_nothing():
    ran = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_an_unknown_name_is_an_attribute_error():
    import uniar

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        uniar.nothing  # noqa: B018

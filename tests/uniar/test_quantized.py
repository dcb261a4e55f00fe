"""A quantisation config of transformers works as it is: int8 weights by torchao, for answers and for rollouts."""

from __future__ import annotations

import pytest
import torch

from uniar import UniARForConditionalGeneration
from uniar.generation.codes import Prefix, generate_codes

# torchao talks about its own later versions while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def test_int8_weights_answer_and_roll_out(golden):
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    wanted = TorchAoConfig(Int8WeightOnlyConfig())
    small = UniARForConditionalGeneration.from_pretrained(golden, quantization_config=wanted, dtype=torch.bfloat16)
    full = UniARForConditionalGeneration.from_pretrained(golden)
    gate = small.model.language_model.layers[0].mlp.gate_proj.weight
    assert type(gate).__module__.startswith("torchao")
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        error = (small(input_ids=ids).logits.float() - full(input_ids=ids).logits).abs().max()
    # Not equal (it is quantised), and near: logits reach about 2.
    assert 0 < error < 0.2
    out = small.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert out.shape == (1, 7)

    start = [small.config.vision_start_token_id]
    prefixes = [Prefix(input_ids=torch.tensor([*row, *start])) for row in ([5, 6], [7])]
    codes = generate_codes(small, prefixes, rows=2, columns=2, seeds=[1, 2])
    alone = generate_codes(small, prefixes[1:], rows=2, columns=2, seeds=[2])
    v = small.config.vision_config
    assert codes.shape == (2, 4, v.num_levels, v.group_size, v.bsq_dim)
    assert torch.equal(codes[1:], alone)

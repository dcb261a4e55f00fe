"""Visual heads: losses are those of the distribution that is drawn from, and each kind models what its module says."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from uniar.errors import ConfigError
from uniar.generation.sampling import uniforms
from uniar.heads import KINDS, VisualHead, build
from uniar.kinds import construct

HIDDEN, SHAPE = 24, (2, 3, 4)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("parallel", {}),
    ("groups", {"size": 1}),
    ("groups", {"size": 4}),
    ("sequential", {"order": "level", "width": 32, "layers": 1}),
    ("sequential", {"order": "patch", "width": 32}),
    ("sequential", {"order": "bit", "width": 64}),
    ("masked", {"steps": 1, "width": 16}),
    ("masked", {"steps": 5, "width": 16}),
    ("masked", {"steps": 24, "width": 16}),
]
IDS = ["-".join(map(str, (kind, *settings.values()))) for kind, settings in CASES]


def made(kind: str, settings: dict[str, Any], shape: tuple[int, int, int] = SHAPE, wide: float = 0.5) -> VisualHead:
    """A head with weights wide enough that bits differ."""
    from uniar.heads.parallel import parallel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        given = (HIDDEN, shape, 1e-6)
        if kind == "parallel":
            head: VisualHead = parallel(*given, mlp=False, norm=True)
        else:
            head = construct(KINDS, kind, *given, settings=settings, where="visual_head")
        for parameter in head.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=wide)
    return head.eval()


def states(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, HIDDEN, generator=torch.Generator().manual_seed(seed))


def numbers(n: int, shape: tuple[int, int, int] = SHAPE, seed: int = 3) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kind", "settings"), CASES, ids=IDS)
def test_shapes_and_determinism(kind, settings):
    head = made(kind, settings)
    drawn = head.draw(states(5), guidance_scale=1.0, temperature=1.0, uniform=numbers(5))
    assert drawn.shape == (5, *SHAPE) and drawn.dtype == torch.uint8 and set(drawn.unique().tolist()) <= {0, 1}
    assert torch.equal(drawn, head.draw(states(5), guidance_scale=1.0, temperature=1.0, uniform=numbers(5)))
    # A token's bits depend on its own state and numbers alone.
    alone = head.draw(states(5)[2:3], guidance_scale=1.0, temperature=1.0, uniform=numbers(5)[2:3])
    assert torch.equal(alone, drawn[2:3])


@pytest.mark.parametrize(("kind", "settings"), CASES, ids=IDS)
def test_loss_trains_every_weight_and_empty_batches_are_fine(kind, settings):
    head = made(kind, settings).train()
    codes = torch.randint(0, 2, (6, *SHAPE), dtype=torch.uint8)
    draws = torch.rand(6, head.learning_draws)
    found = head.nats(states(6), codes, draws)
    assert found.nats.shape == found.right.shape == (6,)
    found.nats.sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in head.parameters())
    none = head.nats(states(0), codes[:0], draws[:0])
    assert none.nats.shape == (0,)


@pytest.mark.parametrize(("kind", "settings"), [c for c in CASES if c[0] != "masked"], ids=[i for i in IDS if "masked" not in i])
def test_probabilities_add_up_to_one(kind, settings):
    shape = (2, 1, 4) if settings.get("size") != 1 else (1, 1, 4)
    head = made(kind, settings, shape)
    m = math.prod(shape)
    every = torch.tensor(list(itertools.product((0, 1), repeat=m)), dtype=torch.uint8).view(-1, *shape)
    with torch.no_grad():
        nats = head.nats(states(1).expand(len(every), -1), every).nats
    assert torch.exp(-nats.double() * m).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("kind", "settings"), [c for c in CASES if c[0] != "masked"], ids=[i for i in IDS if "masked" not in i])
def test_draws_follow_the_loss(kind, settings):
    shape, n = (1, 1, 4), 8000
    settings = settings | ({"size": 2} if settings.get("size") == 4 else {})
    head = made(kind, settings, shape)
    with torch.no_grad():
        drawn = head.draw(states(1).expand(n, -1), guidance_scale=1.0, temperature=1.0, uniform=numbers(n, shape))
        every = torch.tensor(list(itertools.product((0, 1), repeat=4)), dtype=torch.uint8).view(-1, *shape)
        wanted = torch.exp(-4 * head.nats(states(1).expand(16, -1), every).nats)
    index = (drawn.flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1)
    found = torch.bincount(index, minlength=16) / n
    # Four standard errors of the largest share.
    assert (found - wanted).abs().max() < 4 * math.sqrt(0.25 / n)


def test_masked_in_as_many_steps_as_bits_follows_its_own_chain():
    shape, n = (1, 1, 3), 8000
    head = made("masked", {"steps": 3, "width": 16}, shape)
    with torch.no_grad():
        drawn = head.draw(states(1).expand(n, -1), guidance_scale=1.0, temperature=1.0, uniform=numbers(n, shape)).flatten(1)

        def chance(bits: tuple[int, ...]) -> float:
            given, known, total = torch.tensor([bits]), torch.zeros(1, 3, dtype=torch.bool), 1.0
            for _ in range(3):
                margins = head._margins(*head._alone(states(1)), given * known, known)[0]
                at = int(margins.abs().masked_fill(known[0], -1).argmax())
                total *= float(torch.sigmoid(margins[at] if bits[at] else -margins[at]))
                known[0, at] = True
            return total

        for bits in itertools.product((0, 1), repeat=3):
            share = float((drawn == torch.tensor(bits)).all(1).float().mean())
            assert share == pytest.approx(chance(bits), abs=4 * math.sqrt(0.25 / n))


def test_masked_loss_is_that_of_the_masked_bits():
    head = made("masked", {"steps": 2, "width": 16}, (1, 1, 4))
    codes = torch.tensor([[[[1, 0, 1, 1]]]], dtype=torch.uint8)
    # 0.3 of 4 bits: two are masked, those with the smallest numbers.
    draws = torch.tensor([[0.3, 0.9, 0.1, 0.8, 0.2]])
    with torch.no_grad():
        margins = head._margins(*head._alone(states(1)), codes.flatten(1), torch.tensor([[True, False, True, False]]))[0]
        wanted = (nn.functional.softplus(margins[1]) + nn.functional.softplus(-margins[3])) / 2
        assert float(head.nats(states(1), codes, draws).nats) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("kind", "settings"), CASES, ids=IDS)
def test_guidance_moves_away_from_the_unconditional_row(kind, settings):
    head = made(kind, settings)
    both = torch.cat([states(4), states(4)])
    guided = head.draw(both, guidance_scale=3.0, temperature=0.7, uniform=numbers(4))
    # Two equal rows leave nothing to guide by.
    assert torch.equal(guided, head.draw(states(4), guidance_scale=1.0, temperature=0.7, uniform=numbers(4)))
    other = head.draw(torch.cat([states(4), states(4, seed=9)]), guidance_scale=8.0, temperature=0.7, uniform=numbers(4))
    assert not torch.equal(other, guided)


@pytest.mark.parametrize(("kind", "settings"), CASES, ids=IDS)
def test_temperature_zero_takes_the_likelier_value(kind, settings):
    head = made(kind, settings)
    cold = head.draw(states(4), guidance_scale=1.0, temperature=0, uniform=numbers(4))
    assert torch.equal(cold, head.draw(states(4), guidance_scale=1.0, temperature=0, uniform=numbers(4, seed=8)))
    assert torch.equal(cold, head.draw(states(4), guidance_scale=1.0, temperature=1e-6, uniform=numbers(4).clamp(0.01, 0.99)))


def test_groups_of_one_are_the_released_head():
    released, groups = made("parallel", {}), made("groups", {"size": 1})
    groups.load_state_dict({"norm.weight": released[0].weight, "classifier.weight": released[1].weight})
    codes = torch.randint(0, 2, (6, *SHAPE), dtype=torch.uint8)
    torch.testing.assert_close(groups.nats(states(6), codes).nats, released.nats(states(6), codes).nats)


def test_dependent_bits_are_learned_by_the_heads_that_can():
    """Two bits that are equal and otherwise a coin: their joint entropy is one bit, the sum of their marginals two."""
    coin = torch.randint(0, 2, (4096, 1, 1, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    codes = coin.expand(-1, 1, 1, 2).contiguous()
    lost = {}
    for name, kind, settings in (
        ("parallel", "parallel", {}),
        ("groups", "groups", {"size": 2}),
        ("sequential", "sequential", {"order": "bit", "width": 32, "layers": 1}),
        ("masked", "masked", {"steps": 2, "width": 16}),
    ):
        head = made(kind, settings, (1, 1, 2), wide=0.1).train()
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        draws = torch.Generator().manual_seed(6)
        for step in range(150):
            rows = slice(256 * (step % 16), 256 * (step % 16) + 256)
            loss = head.nats(states(1).expand(256, -1), codes[rows], torch.rand(256, head.learning_draws, generator=draws)).nats.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            every = head.draw(states(1).expand(2000, -1), guidance_scale=1.0, temperature=1.0, uniform=numbers(2000, (1, 1, 2)))
        lost[name] = float((every[..., 0] != every[..., 1]).float().mean())
    assert lost["parallel"] == pytest.approx(0.5, abs=0.05)
    assert max(lost["groups"], lost["sequential"], lost["masked"]) < 0.02


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "group", "size": 2}, "visual_head: got 'group'; expected one of groups, masked, sequential. Did you mean 'groups'?"),
        ({"kind": "groups"}, "visual_head.size: got none; expected a value, which groups cannot do without."),
        ({"kind": "groups", "size": 3}, "visual_head.size: got 3; expected a divisor of the 7 bits of a code."),
        ({"kind": "groups", "size": 13}, "visual_head.size: got 13; expected a whole number, 1 to 12."),
        ({"kind": "sequential", "order": "row"}, "visual_head.order: got 'row'; expected one of level, patch, bit."),
        ({"kind": "sequential", "width": 40}, "visual_head.width: got 40; expected a multiple of 32."),
        ({"kind": "masked", "steps": 0}, "visual_head.steps: got 0; expected a whole number, 1 to 56."),
        ({"kind": "masked", "size": 2}, "visual_head.size: got a setting that masked does not have; expected one of steps, width, layers."),
    ],
)
def test_wrong_settings(tiny_model, settings, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        tiny_model(visual_head=settings)


@pytest.mark.parametrize("settings", [{"kind": "groups", "size": 7}, {"kind": "sequential", "width": 32}, {"kind": "masked"}])
def test_a_model_with_another_head_writes_reads_back_and_refuses_what_needs_independent_bits(tiny_model, tmp_path, settings):
    from uniar import UniARForConditionalGeneration
    from uniar.generation.codes import Prefix, generate_codes

    model = tiny_model(visual_head=settings)
    prefixes = [Prefix(input_ids=torch.tensor([5, 6, 62]), unconditional_ids=torch.tensor([6, 62]))] * 2
    options = {"rows": 1, "columns": 2, "seeds": [1, 2], "guidance_scale": 2.0}
    codes = generate_codes(model, prefixes, **options)
    assert codes.shape == (2, 2, 2, 4, 7)
    assert torch.equal(codes, generate_codes(model, prefixes, **options, exact=False))
    with pytest.raises(ConfigError, match=f"visual_head: got {settings['kind']}; independent logits of every bit"):
        generate_codes(model, prefixes, **options, on_logits=lambda step, logits: None)
    model.save_pretrained(tmp_path)
    again = UniARForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert again.config.visual_head == settings
    assert torch.equal(codes, generate_codes(again, prefixes, **options))


def test_a_config_of_the_release_has_no_such_key(tiny_model):
    assert not {"visual_head", "reads_pixels"} & tiny_model().config.to_dict().keys()


def test_build_reads_the_config(tiny_model):
    head = build(tiny_model(visual_head={"kind": "masked", "steps": 3}).config)
    assert (head.kind, head.steps, head.shape, head.bits, head.learning_draws) == ("masked", 3, (2, 4, 7), 56, 57)


def test_uniform_numbers_are_a_samples_own():
    both = uniforms(SHAPE, [torch.Generator().manual_seed(s) for s in (1, 2)], torch.device("cpu"))
    assert torch.equal(both[1:], uniforms(SHAPE, [torch.Generator().manual_seed(2)], torch.device("cpu")))

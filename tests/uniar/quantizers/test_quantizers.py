"""What holds for every kind: round trip to the last bit, gradients, determinism, untouched global draws, capacity."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch

from uniar.quantizers import KINDS, build

CASES = {
    "bsq": ("bsq", {"dim": 7}),
    "lfq": ("lfq", {"dim": 7, "scale": 0.7, "group_bits": 3}),
    "fsq": ("fsq", {"dim": 4, "levels": (8, 5, 4, 3)}),
    "vq": ("vq", {"dim": 4, "size": 16, "decay": 0.5}),
    "residual of vq": ("residual", {"dim": 4, "depth": 3, "inner": "vq", "size": 16, "decay": 0.5}),
    "residual of bsq": ("residual", {"dim": 7, "depth": 3, "inner": "bsq"}),
    "residual of lfq": ("residual", {"dim": 7, "depth": 3, "inner": "lfq", "scale": 0.7}),
    "residual of fsq": ("residual", {"dim": 4, "depth": 3, "inner": "fsq", "levels": (8, 5, 4, 3)}),
    "continuous": ("continuous", {"dim": 5}),
}


@pytest.fixture(params=CASES)
def case(request):
    kind, settings = CASES[request.param]
    return build(kind, **settings)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def trained(quantizer, batches=3, first=0):
    quantizer.train()
    for i in range(first, first + batches):
        quantizer(normal(40, quantizer.dim, seed=i))
    return quantizer


def test_every_kind_is_tested():
    assert {kind for kind, _ in CASES.values()} == set(KINDS)


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("lead", [(), (6,), (2, 3), (3, 1, 4), (0,), (2, 0)])
def test_decode_of_encode_is_forward(case, lead, dtype, fresh):
    quantizer = (case if fresh else trained(case)).eval()
    z = normal(*lead, quantizer.dim, seed=9, dtype=dtype)
    out, codes = quantizer(z), quantizer.encode(z)
    assert torch.equal(codes, out.codes)
    assert codes.shape == (*lead, *quantizer.shape)
    assert out.vectors.shape == z.shape and out.vectors.dtype == dtype
    assert out.loss.shape == () and out.loss.dtype in (torch.float32, dtype) and out.loss.isfinite()
    assert out.loss.dtype != torch.bfloat16
    decoded = quantizer.decode(codes, dtype=dtype)
    assert decoded.dtype == dtype
    assert torch.equal(decoded, out.vectors)
    assert not (codes.requires_grad or decoded.requires_grad)


def test_rows_are_quantized_alone(case):
    z = normal(50, case.dim)
    whole = trained(case).eval().encode(z)
    assert torch.equal(whole[17], case.encode(z[17]))
    assert torch.equal(whole.reshape(5, 10, *case.shape), case.encode(z.reshape(5, 10, -1)))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_the_input(case, training):
    quantizer = trained(case).train(training)
    z = normal(12, quantizer.dim, seed=5).requires_grad_()
    out = quantizer(z)
    (through,) = torch.autograd.grad((out.vectors * normal(12, quantizer.dim, seed=6)).sum(), z)
    assert through.isfinite().all()
    assert (through.abs().sum(-1) > 1e-3).all()


def expected_jacobian(quantizer, z):
    """By the docstrings."""
    inner = getattr(quantizer, "stages", [quantizer])[0]
    if type(inner) is KINDS["bsq"]:
        u = z / z.norm()
        return (torch.eye(len(z)) - torch.outer(u, u)) / z.norm()
    if type(inner) is KINDS["fsq"]:
        half = [(n - 1) * 0.999 / 2 for n in inner.levels]
        shift = torch.tensor([math.tan((n % 2 == 0) * 0.5 / r) for n, r in zip(inner.levels, half, strict=True)])
        return torch.diag((1 - torch.tanh(z + shift) ** 2) * torch.tensor([r / (n // 2) for n, r in zip(inner.levels, half, strict=True)]))
    return torch.eye(len(z))


def test_straight_through_is_what_the_docstring_says(case):
    z = normal(case.dim, seed=3)
    jacobian = torch.autograd.functional.jacobian(lambda x: case.eval()(x).vectors, z)
    assert torch.allclose(jacobian, expected_jacobian(case, z), atol=1e-5)


LOSSES = {
    # Without diversity, which pulls the other way, both entropies make bits certain.
    "bsq": {"gamma": 0.0},
    "lfq": {"entropy_weight": 0.0, "commitment": 1.0},
    "lfq entropy": {"gamma": 0.0, "commitment": 0.0},
    "vq": {},
    "residual of vq": {},
    "residual of bsq": {"gamma": 0.0, "depth": 1},
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_alone_brings_the_input_nearer(name):
    kind, settings = CASES[name.removesuffix(" entropy")]
    quantizer = trained(build(kind, **settings | LOSSES[name])).eval()
    z = (0.3 * normal(30, quantizer.dim, seed=8)).requires_grad_()
    optimizer = torch.optim.SGD([z], lr=5.0)
    distances = []
    for _ in range(6):
        out = quantizer(z)
        with torch.no_grad():
            distances.append((quantizer.bound(z) - out.vectors).pow(2).mean().item())
        optimizer.zero_grad()
        out.loss.backward()
        assert z.grad.isfinite().all() and z.grad.abs().max() > 0
        optimizer.step()
    assert all(a > b for a, b in pairwise(distances))


@pytest.mark.parametrize("name", ["fsq", "residual of fsq", "continuous"])
def test_kinds_without_a_loss_say_zero(name):
    kind, settings = CASES[name]
    assert build(kind, **settings)(normal(9, settings["dim"])).loss.item() == 0.0


def test_equal_seeds_and_data_give_equal_states(case):
    again = copy.deepcopy(case)
    first, second = trained(case, 4).state_dict(), trained(again, 4).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_global_draws_are_untouched():
    before = torch.get_rng_state()
    for kind, settings in CASES.values():
        quantizer = trained(build(kind, **settings))
        quantizer.usage(quantizer.encode(normal(5, quantizer.dim)))
    assert torch.equal(torch.get_rng_state(), before)


def test_only_a_forward_in_training_changes_state(case):
    before = copy.deepcopy(trained(case).state_dict())
    case.encode(normal(8, case.dim, seed=30))
    case(normal(0, case.dim))
    case.eval()(normal(8, case.dim, seed=31))
    assert all(torch.equal(before[k], v) for k, v in case.state_dict().items())


def test_no_kind_has_parameters(case):
    assert list(case.parameters()) == []


@pytest.mark.parametrize(
    "kind, settings, bits",
    [
        ("bsq", {"dim": 1}, 1),
        ("bsq", {"dim": 64}, 64),
        ("lfq", {"dim": 200}, 200),
        ("fsq", {"dim": 4, "levels": (8, 5, 5, 5)}, math.log2(1000)),
        ("fsq", {"dim": 2, "levels": [4, 2]}, 3),
        ("vq", {"dim": 3, "size": 1024}, 10),
        ("vq", {"dim": 3, "size": 3}, 1.584962500721156),
        ("residual", {"dim": 3, "depth": 4, "size": 1024}, 40),
        ("residual", {"dim": 7, "depth": 3, "inner": "bsq"}, 21),
        ("continuous", {"dim": 2}, math.inf),
    ],
)
def test_bits(kind, settings, bits):
    quantizer = build(kind, **settings)
    assert quantizer.bits == pytest.approx(bits, abs=1e-12)
    assert len(quantizer.cardinality) == math.prod(quantizer.shape)


def test_symbols_stay_below_their_cardinality(case):
    symbols = trained(case).eval().encode(3 * normal(500, case.dim)).reshape(500, -1)
    assert symbols.is_floating_point() == math.isinf(case.bits)
    assert symbols.is_floating_point() or (symbols >= 0).all()
    assert (symbols.double() < torch.tensor(case.cardinality)).all()

"""Products through oneDNN beside F.linear: values, gradients, gradients of gradients; and where they are taken."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mulligan.core.memory import keep_freed, map_large
from mulligan.parts import product
from mulligan.parts.layers import Chain, Linear


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """oneDNN for every size and processor; counts its products."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this torch has no oneDNN")
    calls: list[int] = []
    multiply = product._multiply
    monkeypatch.setattr(product, "onednn", lambda: True)
    monkeypatch.setattr(product, "WORTH", 0)
    monkeypatch.setattr(product, "_multiply", lambda *given: calls.append(1) or multiply(*given))
    return calls


def tensors(bias: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = [(6, 10), (4, 10)] + [(4,)] * bias
    return [torch.randn(shape).requires_grad_() for shape in shapes]


ACTIVATIONS = {"none": lambda y: y, "relu": F.relu, "leaky_relu": lambda y: F.leaky_relu(y, 0.2), "tanh": torch.tanh}


@pytest.mark.parametrize("then", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_product_and_its_gradients_are_those_of_linear(everywhere, bias, then):
    given = tensors(bias)
    weights = torch.randn(6, 4)
    results = []
    x, weight, *rest = given
    for ours in (True, False):
        b = rest[0] if bias else None
        y = product.linear(x, weight, b, then) if ours else ACTIVATIONS[then](F.linear(x, weight, b))
        slopes = torch.autograd.grad((y.square() * weights).sum(), given, create_graph=True)
        again = torch.autograd.grad(sum(s.square().sum() for s in slopes), given)
        results.append([y, *slopes, *again])
    assert len(everywhere) >= 6
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for ours in results[0][: 1 + len(given)]:
        assert ours.is_contiguous()


def test_product_without_gradients(everywhere):
    x, weight = tensors(False)
    with torch.no_grad():
        torch.testing.assert_close(product.linear(x, weight), F.linear(x, weight))
    assert everywhere


def test_what_oneDNN_would_do_otherwise_goes_to_torch(everywhere):
    x, weight = tensors(False)
    product.linear(x.double(), weight.double())
    product.linear(x[None], weight)
    product.linear(x, weight[:1])
    with torch.autocast("cpu", torch.bfloat16):
        assert product.linear(x, weight).dtype == torch.bfloat16
    slope = torch.func.grad(lambda w: product.linear(x, w).square().sum())(weight)
    torch.testing.assert_close(slope, torch.autograd.grad(F.linear(x, weight).square().sum(), weight)[0])
    rows = torch.func.vmap(lambda a: product.linear(a[None], weight)[0])(x)
    torch.testing.assert_close(rows, F.linear(x, weight))
    assert not everywhere


def test_chain_is_sequential(everywhere):
    torch.manual_seed(0)
    parts = [
        Linear(5, 6),
        nn.LeakyReLU(0.2),
        nn.BatchNorm1d(6),
        Linear(6, 4),
        nn.LeakyReLU(0.1),
        Linear(4, 3),
        nn.Tanh(),
    ]
    x = torch.randn(8, 5)
    plain = nn.Sequential(*parts)
    torch.testing.assert_close(Chain(*parts)(x), plain(x))
    assert list(Chain(*parts).state_dict()) == list(plain.state_dict())


def test_linear_is_nn_linear():
    torch.manual_seed(0)
    ours = Linear(300, 200)
    torch.manual_seed(0)
    theirs = nn.Linear(300, 200)
    assert isinstance(ours, nn.Linear)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(100, 300)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_the_choice_follows_the_processor(monkeypatch):
    product.onednn.cache_clear()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not product.onednn()
    product.onednn.cache_clear()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(product.Path, "read_text", lambda *_, **__: "vendor_id : GenuineIntel")
    assert not product.onednn()
    product.onednn.cache_clear()
    monkeypatch.setattr(product.Path, "read_text", lambda *_, **__: "vendor_id : AuthenticAMD")
    assert product.onednn() == torch.backends.mkldnn.is_available()
    product.onednn.cache_clear()


def test_asking_the_c_library_is_safe_in_any_order():
    for ask in (keep_freed, map_large, keep_freed, keep_freed):
        ask()
        assert torch.ones(1_000_000).sum() == 1_000_000

"""Dropout, minibatch layers, spectral norm, packing, conditioning."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts import conditioning, layers


def test_dropout_law():
    """Zeros at the stated rate in each of the four 16-bit lanes, the mean kept, neighbours independent."""
    torch.manual_seed(0)
    n = 400_000
    y = layers.Dropout(0.3)(torch.ones(n, dtype=torch.float64))
    kept = round(0.7 * 65536) / 65536
    assert set(y.unique().tolist()) == {0.0, 1 / kept}
    dropped = (y == 0).double()
    for lane in range(4):
        # Five standard deviations of a binomial share.
        assert abs(dropped[lane::4].mean() - (1 - kept)) < 5 * (0.21 / (n / 4)) ** 0.5
    assert abs(y.mean() - 1) < 5 * (0.3 / 0.7 / n) ** 0.5
    both = (dropped[:-1] * dropped[1:]).mean()
    assert abs(both - 0.09) < 0.005


def test_dropout_extremes():
    x = torch.randn(3, 5)
    assert layers.Dropout(0.5).eval()(x) is x
    assert layers.Dropout(0.0)(x) is x
    assert not layers.Dropout(1.0)(x).any()
    assert layers.Dropout(0.5)(x[:, :0]).shape == (3, 0)
    torch.manual_seed(3)
    first = layers.Dropout(0.5)(x)
    torch.manual_seed(3)
    assert torch.equal(first, layers.Dropout(0.5)(x))
    with pytest.raises(UserError, match=r"1\.5"):
        layers.Dropout(1.5)


def test_dropout_gradient_is_its_mask():
    x = torch.randn(1000, requires_grad=True)
    y = layers.Dropout(0.4)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x, y)


def test_minibatch_discrimination():
    torch.manual_seed(0)
    layer = layers.MinibatchDiscrimination(6, kernels=3, dims=2).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (5, 9)
    assert torch.equal(y[:, :6], x)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(layer(x[order]), y[order])
    m = (x @ layer.weight).view(5, 3, 2)
    by_hand = sum(torch.exp(-(m[1, 2] - m[j, 2]).abs().sum()) for j in range(5))
    torch.testing.assert_close(y[1, 8], by_hand)
    torch.testing.assert_close(layer(x[:1].expand(5, 6))[:, 6:], torch.full((5, 3), 5.0, dtype=torch.float64))
    x.requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x[:3],))


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4, 2)])
def test_minibatch_stddev_groups(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    layer = layers.MinibatchStdDev(4)
    y = layer(x)
    assert y.shape == (8, 4, *shape[2:])
    assert torch.equal(y[:, :3], x)
    group = x[[0, 2, 4, 6]]
    expected = group.std(0, correction=0).mean()
    torch.testing.assert_close(y[[0, 2, 4, 6], 3], expected.expand_as(y[:4, 3]), rtol=1e-6, atol=0)
    # Inside a group the order plays no part.
    swapped = layer(x[[2, 1, 0, 3, 4, 5, 6, 7]])
    torch.testing.assert_close(swapped[:, 3], y[:, 3])
    assert torch.autograd.gradgradcheck(layer, (x[:2, :2].clone().requires_grad_(),))


@pytest.mark.parametrize(("n", "group"), [(1, 1), (3, 3), (5, 1), (6, 3), (7, 1), (8, 4)])
def test_minibatch_stddev_any_batch(n, group):
    x = torch.randn(n, 3)
    y = layers.MinibatchStdDev(4)(x)[:, 3]
    expected = (x.view(group, n // group, 3).var(0, correction=0) + 1e-8).sqrt().mean(1).repeat(group)
    torch.testing.assert_close(y, expected)


def _every_kind():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4), nn.Unflatten(1, (4, 1, 1)), nn.ConvTranspose2d(4, 2, 3)
    )


def test_spectral_norm_is_the_largest_singular_value():
    torch.manual_seed(0)
    net = layers.spectral_norm(_every_kind(), iterations=60).double()
    net(torch.randn(2, 2, 4, 4, dtype=torch.float64))
    embedding = layers.spectral_norm(nn.Embedding(5, 3).double())
    for _ in range(60):
        embedding(torch.tensor([1]))
    for layer, axis in ((net[0], 0), (net[2], 0), (net[4], 1), (embedding, 0)):
        matrix = layer.weight.movedim(axis, 0).flatten(1)
        assert torch.linalg.svdvals(matrix)[0].item() == pytest.approx(1, abs=1e-6)


def test_spectral_norm_steps_like_torch():
    torch.manual_seed(0)
    ours, theirs = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    theirs.load_state_dict(ours.state_dict())
    layers.spectral_norm(ours)
    torch.nn.utils.spectral_norm(theirs)
    theirs.weight_u.copy_(ours.parametrizations.weight[0].u)
    theirs.weight_v.copy_(ours.parametrizations.weight[0].v)
    x = torch.randn(2, 3, 5, 5)
    for _ in range(3):
        a, b = ours(x), theirs(x)
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(ours.parametrizations.weight[0].u, theirs.weight_u)
    torch.testing.assert_close(ours.parametrizations.weight[0].v, theirs.weight_v)
    a, b = torch.autograd.grad(a.square().sum(), ours.parametrizations.weight.original)[0], b.square().sum()
    torch.testing.assert_close(a, torch.autograd.grad(b, theirs.weight_orig)[0])


def test_spectral_norm_steps_once_per_training_forward():
    net = layers.spectral_norm(nn.Linear(4, 3))
    norm = net.parametrizations.weight[0]
    state = copy.deepcopy(net.state_dict())
    assert any(key.endswith(".u") for key in state)
    with torch.no_grad():
        net.parametrizations.weight.original.add_(torch.randn(3, 4))
    _ = net.weight
    net.eval()(torch.randn(2, 4))
    assert torch.equal(norm.u, state["parametrizations.weight.0.u"])
    net.train()(torch.randn(2, 4))
    assert not torch.equal(norm.u, state["parametrizations.weight.0.u"])
    stepped = norm.v.clone()
    net.load_state_dict(state)
    assert torch.equal(norm.u, state["parametrizations.weight.0.u"])
    assert not torch.equal(norm.v, stepped)
    assert layers.spectral_norm(net) is net
    assert len(net.parametrizations.weight) == 1


def test_spectral_norm_survives_two_passes_copy_and_seed():
    nets = []
    for _ in range(2):
        torch.manual_seed(5)
        nets.append(layers.spectral_norm(_every_kind()))
    x = torch.randn(2, 2, 4, 4)
    assert torch.equal(nets[0](x), nets[1](x))
    (nets[0](x).sum() + nets[0](x + 1).sum()).backward()
    twin = copy.deepcopy(nets[0])
    assert torch.equal(twin.train()(x), nets[0](x))


def test_spectral_norm_twice_differentiable():
    torch.manual_seed(0)
    norm = layers.SpectralNorm(torch.randn(3, 4, dtype=torch.float64))
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (weight,))
    assert torch.autograd.gradgradcheck(norm, (weight,))


def test_pack_joins_consecutive_samples():
    x = torch.arange(12.0).view(6, 2)
    assert torch.equal(layers.pack(x, 3), torch.arange(12.0).view(2, 6))
    images = torch.randn(4, 3, 2, 5)
    packed = layers.pack(images, 2)
    assert packed.shape == (2, 6, 2, 5)
    assert torch.equal(packed[1, :3], images[2])
    assert torch.equal(packed[1, 3:], images[3])
    assert torch.equal(layers.pack(images, 1), images)
    for n in (4, 0):
        with pytest.raises(UserError, match="6"):
            layers.pack(x, n)


def test_concat_labels():
    y = torch.tensor([2, 0])
    x = torch.randn(2, 1, 3, 4)
    planes = conditioning.concat_labels(x, y, 3)
    assert planes.shape == (2, *conditioning.concat_shape((1, 3, 4), 3))
    assert torch.equal(planes[:, 1:].mean((2, 3)), F.one_hot(y, 3).float())
    assert torch.equal(conditioning.concat_labels(x[:, 0, 0], y, 3)[:, 4:], F.one_hot(y, 3).float())


def test_conditional_batch_norm():
    torch.manual_seed(0)
    norm = conditioning.ConditionalBatchNorm2d(2, 3).double()
    x, y = torch.randn(4, 2, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(norm(x, y), F.batch_norm(x, None, None, training=True))
    with torch.no_grad():
        norm.embed.weight[1] = torch.tensor([2.0, 3.0, 5.0, 7.0])
    plain = F.batch_norm(x, None, None, training=True)[1]
    torch.testing.assert_close(
        norm(x, y)[1], plain * torch.tensor([2.0, 3.0])[:, None, None] + torch.tensor([5.0, 7.0])[:, None, None]
    )

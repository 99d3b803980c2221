"""Networks: shapes, algebra, conditioning, derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.nets import dcgan, mlp, resnet
from mulligan.nets.heads import Discriminator
from mulligan.parts import layout
from mulligan.parts.layers import spectral_norm
from mulligan.parts.penalties import slope

SIZES = [(8, 8), (28, 28), (32, 32), (64, 64), (64, 96)]


def _pair(kind, shape, classes=0):
    if kind == "mlp":
        return mlp.Generator(3, shape, widths=(4,), classes=classes), mlp.Body(shape, widths=(4,))
    if kind == "dcgan":
        return dcgan.Generator(3, shape, width=2, classes=classes), dcgan.Body(shape, width=2)
    return resnet.Generator(3, shape, width=4, classes=classes), resnet.Body(shape, width=4)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [*SIZES, (5, 6)])
@pytest.mark.parametrize("kind", ["mlp", "dcgan", "resnet"])
def test_shapes_of_every_size(kind, size, channels):
    torch.manual_seed(0)
    shape = (channels, *size)
    G, body = (net.double() for net in _pair(kind, shape))
    x = G(torch.randn(3, 3, dtype=torch.float64))
    assert x.shape == (3, *shape)
    assert x.is_contiguous()
    assert x.abs().max() <= 1
    features = body(x)
    assert features.shape == (3, body.width)
    features.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in G.parameters())


@pytest.mark.parametrize("kind", ["mlp", "dcgan", "resnet"])
def test_labels_reach_every_generator(kind):
    G, _ = _pair(kind, (1, 8, 8), classes=3)
    z = torch.randn(4, 3)
    if kind == "resnet":
        for block in G.blocks:
            nn.init.normal_(block.norm1.embed.weight)
    a, b = (G(z, torch.full((4,), label)) for label in (0, 2))
    assert not torch.allclose(a, b)
    with pytest.raises(UserError, match="3 classes"):
        G(z)


@pytest.mark.parametrize(
    "body", ["mlp", "maxout", "dcgan", "layer", "none", "resnet", "spectral", "stddev", "discrimination"]
)
def test_double_backward_matches_finite_differences(body):
    """The gradient of R1 with respect to one weight, against central differences."""
    torch.manual_seed(0)
    shape = (2, 8, 8)
    bodies = {
        "mlp": lambda: mlp.Body(shape, widths=(6, 5), dropout=0),
        "maxout": lambda: mlp.Body(shape, widths=(6,), dropout=0, maxout=3),
        "dcgan": lambda: dcgan.Body(shape, width=3).eval(),
        "layer": lambda: dcgan.Body(shape, width=3, norm="layer"),
        "resnet": lambda: resnet.Body(shape, width=3),
    }
    made = bodies.get(body, lambda: dcgan.Body(shape, width=3, norm="none"))()
    D = Discriminator(made, minibatch=body if body in ("stddev", "discrimination") else None)
    D = (spectral_norm(D).eval() if body == "spectral" else D).double()
    with torch.no_grad():
        for p in D.parameters():
            p.mul_(3)
    x = torch.randn(3, *shape, dtype=torch.float64)
    weight = next(p for name, p in D.named_parameters() if name.startswith("body") and p.dim() > 1)
    (gradient,) = torch.autograd.grad(slope(D, x)[1].sum(), weight)
    at = gradient.abs().flatten().argmax()
    assert gradient.flatten()[at] != 0
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[tuple(torch.unravel_index(at, weight.shape))] += step
        values.append(slope(D, x)[1].sum().item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient.flatten()[at].item(), rel=1e-5)


def test_dcgan_is_the_textbook_network():
    """The same weights in a plain stack of ConvTranspose2d and Conv2d give the same images and logits."""
    torch.manual_seed(0)
    G, body = dcgan.Generator(5, (3, 64, 64), width=2), dcgan.Body((3, 64, 64), width=2)
    D = Discriminator(body)
    first = nn.ConvTranspose2d(5, 16, 4, 1, 0, bias=False)
    stack: list[nn.Module] = [first]
    for norm, up in zip(G.norms, G.ups, strict=True):
        assert (up.kernel_size, up.stride, up.padding, up.bias) == ((4, 4), (2, 2), (1, 1), None)
        stack += [norm, nn.ReLU(), up]
    last = nn.Conv2d(16, 1, 4)
    with torch.no_grad():
        first.weight.copy_(G.project.weight.t().reshape(5, 16, 4, 4))
        last.weight.copy_(D.head.weight.view(1, 4, 4, 16).permute(0, 3, 1, 2))
        last.bias.copy_(D.head.bias)
    z = torch.randn(4, 5)
    torch.testing.assert_close(G(z), nn.Sequential(*stack, nn.Tanh())(z[:, :, None, None]))
    counts = [up.in_channels for up in G.ups] + [down.out_channels for down in body.downs]
    assert counts == [16, 8, 4, 2, 2, 4, 8, 16]
    downs = [m for d, n in zip(body.downs, body.norms, strict=True) for m in (d, n, nn.LeakyReLU(0.2))]
    assert isinstance(body.norms[0], nn.Identity)
    x = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(D(x), nn.Sequential(*downs, last)(x).flatten())


def test_dcgan_initial_weights():
    torch.manual_seed(0)
    D = Discriminator(dcgan.Body((3, 64, 64), width=16))
    for weight in (D.head.weight, *(d.weight for d in D.body.downs)):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert D.body.norms[3].weight.mean().item() == pytest.approx(1, abs=0.01)
    assert not D.head.bias.any()


@pytest.mark.parametrize("module", [dcgan, resnet])
def test_layout_changes_no_result(module, monkeypatch):
    torch.manual_seed(0)
    G, body = module.Generator(3, (3, 32, 32), width=4).double(), module.Body((3, 32, 32), width=4).double()
    z = torch.randn(2, 3, dtype=torch.float64)
    values = []
    for smallest in (4, 16, 1000):
        monkeypatch.setattr(layout, "SMALLEST", smallest)
        values.append(body(G(z)))
    torch.testing.assert_close(values[0], values[2], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(values[1], values[2], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resnet_shortcuts_are_the_textbook_ones(mode):
    torch.manual_seed(0)
    block = resnet.UpBlock(3, 2, 0, mode).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)

    def up(x):
        return F.interpolate(x, scale_factor=2, mode=mode)

    nn.init.normal_(block.shortcut.bias)
    h = block.conv2(F.relu(block.norm2(block.conv1(up(F.relu(block.norm1(x)))))))
    torch.testing.assert_close(block(x, None), h + block.shortcut(up(x)))
    down = resnet.DownBlock(3, 2, down=True).double()
    nn.init.normal_(down.shortcut.bias)
    h = F.avg_pool2d(down.conv2(F.relu(down.conv1(F.relu(x)))) + down.shortcut(x), 2)
    torch.testing.assert_close(down(x), h)
    first = resnet.DownBlock(3, 2, down=True, first=True).double()
    h = F.avg_pool2d(first.conv2(F.relu(first.conv1(x))), 2) + first.shortcut(F.avg_pool2d(x, 2))
    torch.testing.assert_close(first(x), h)


def test_resnet_is_miyatos_at_32_pixels():
    G, body = resnet.Generator(128, (3, 32, 32), width=6), resnet.Body((3, 32, 32), width=5)
    assert G.base == (6, 4, 4)
    assert [b.conv1.in_channels for b in G.blocks] == [6, 6, 6]
    assert [(b.down, b.conv2.out_channels) for b in body.blocks] == [(True, 5), (True, 5), (False, 5), (False, 5)]
    wide = resnet.Generator(8, (3, 128, 128), width=8)
    assert [b.conv2.out_channels for b in wide.blocks] == [8, 8, 8, 4, 2]
    assert [b.conv2.out_channels for b in resnet.Body((3, 128, 128), width=8).blocks] == [2, 4, 8, 8, 8, 8]
    mean, total = (resnet.Body((1, 8, 8), width=3, pool=pool) for pool in ("mean", "sum"))
    mean.load_state_dict(total.state_dict())
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(total(x), 16 * mean(x))


def test_mlp_order_outputs_and_maxout():
    G = mlp.Generator(3, (2,), widths=(4, 5))
    kinds = [type(m).__name__ for m in G.layers]
    assert kinds == ["Linear", "LeakyReLU", "BatchNorm1d"] * 2 + ["Linear", "Tanh"]
    z = torch.randn(8, 3)
    sigmoid = mlp.Generator(3, (2,), widths=(4,), output="sigmoid", norm=False, activation="relu")
    torch.testing.assert_close(sigmoid(z), 2 * sigmoid.layers[:-1](z).sigmoid() - 1)
    with torch.no_grad():
        sigmoid.layers[-2].weight.mul_(100)
    assert sigmoid(z).abs().max() <= 1
    body = mlp.Body((2, 2), widths=(3,), maxout=5, dropout=0)
    x = torch.randn(4, 2, 2)
    by_hand = torch.stack([body.layers[0].linear(x.flatten(1))[:, i::5] for i in range(5)]).amax(0)
    torch.testing.assert_close(body(x), by_hand)


def test_unknown_names_are_refused():
    for make in (
        lambda: mlp.Generator(2, (2,), output="tan"),
        lambda: mlp.Body((2,), activation="gelu"),
        lambda: dcgan.Body((3, 8, 8), norm="group"),
        lambda: resnet.Generator(2, (3, 8, 8), upsample="cubic"),
        lambda: resnet.Body((3, 8, 8), pool="max"),
        lambda: Discriminator(mlp.Body((2,)), conditioning="film", classes=2),
        lambda: Discriminator(mlp.Body((2,)), conditioning="projection"),
        lambda: Discriminator(mlp.Body((2,)), minibatch="std"),
        lambda: dcgan.Generator(2, (3, 30, 30)),
        lambda: dcgan.Body((3, 30, 30)),
        lambda: resnet.Body((3, 30, 30)),
        lambda: resnet.Generator(2, (3, 8, 8), widths=(4,)),
    ):
        with pytest.raises(UserError):
            make()

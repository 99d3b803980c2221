"""Speed changes no result: each quick path beside the plain one that it stands for."""

import random
import subprocess
import sys
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mulligan.core import engine
from mulligan.core.engine import Engine
from mulligan.core.optimizers import SGD, Adam, RMSprop
from mulligan.experiment import Experiment
from mulligan.nets import dcgan, mlp
from mulligan.nets.heads import Discriminator
from mulligan.parts import critic
from mulligan.parts.fold import Up
from mulligan.parts.layers import Dropout
from mulligan.parts.objectives import bce
from mulligan.parts.stabilize import Stabilize


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_is_torchs_fused_adam_to_the_bit(dtype):
    """Kernels in channels-last layout included, a parameter without a gradient too, and on after a reload."""
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(Discriminator(dcgan.Body((3, 16, 16), width=4)).to(dtype))
    ours = Adam(nets[0].parameters(), 1e-2, (0.5, 0.999))
    theirs = torch.optim.Adam(nets[1].parameters(), lr=1e-2, betas=(0.5, 0.999), fused=True)
    for step in range(6):
        x = torch.randn(5, 3, 16, 16, dtype=dtype)
        for net, optimizer in zip(nets, (ours, theirs)):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            if step == 2:
                net.head.bias.grad = None
            optimizer.step()
        if step == 3:
            state = ours.state_dict()
            ours = Adam(nets[0].parameters(), 1e-2, (0.5, 0.999))
            ours.load_state_dict(state)
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()


def test_adam_with_kernels_in_fast_layout_is_plain_adam():
    """A gradient in another memory order than its weight would be added to the wrong entries."""
    torch.manual_seed(0)
    fast = Discriminator(dcgan.Body((3, 16, 16), width=4)).double()
    plain = Discriminator(dcgan.Body((3, 16, 16), width=4)).double()
    plain.load_state_dict(fast.state_dict())
    for p in plain.parameters():
        p.data = p.data.contiguous()
    assert any(a.stride() != b.stride() for a, b in zip(fast.parameters(), plain.parameters()))
    ours = Adam(fast.parameters(), 1e-2, (0.5, 0.999))
    theirs = torch.optim.Adam(plain.parameters(), lr=1e-2, betas=(0.5, 0.999), foreach=False)
    for _ in range(4):
        x = torch.randn(5, 3, 16, 16, dtype=torch.float64)
        for net, optimizer in ((fast, ours), (plain, theirs)):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_gradient_in_another_memory_order_than_its_weight_moves_the_right_entries():
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    plain = nn.Parameter(weight.detach().contiguous())
    ours, theirs = Adam([weight], 0.1, (0.5, 0.9)), torch.optim.Adam([plain], 0.1, (0.5, 0.9), foreach=False)
    for _ in range(3):
        weight.grad = plain.grad = torch.randn(4, 3, 2, 2)
        ours.step()
        theirs.step()
    torch.testing.assert_close(weight.contiguous(), plain)


def test_a_matrix_with_its_outputs_last_is_moved_as_any_other():
    """The whole way: product, gradient in the weight's order, Adam's walk through memory, reload."""
    torch.manual_seed(0)
    fast, plain = (mlp.Generator(100, (1, 28, 28), widths=(256, 512)) for _ in range(2))
    plain.load_state_dict(fast.state_dict())
    for weights, net in ((True, fast), (False, plain)):
        for p in net.parameters():
            if p.dim() == 2:
                p.data = p.data.t().contiguous().t() if weights else p.data.contiguous()
    ours = Adam(fast.parameters(), 1e-3, (0.5, 0.999))
    theirs = torch.optim.Adam(plain.parameters(), lr=1e-3, betas=(0.5, 0.999), foreach=False)
    for step in range(4):
        z = torch.randn(64, 100)
        for net, optimizer in ((fast, ours), (plain, theirs)):
            optimizer.zero_grad()
            net(z).square().mean().backward()
            optimizer.step()
        if step == 1:
            ours.load_state_dict(deepcopy(ours.state_dict()))
    assert any(not p.is_contiguous() for p in deepcopy(fast).parameters()), "a copy keeps the order"
    for a, b in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_moments_saved_in_another_memory_order_are_put_into_the_weights_own():
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    plain = nn.Parameter(weight.detach().contiguous())
    ours, theirs = Adam([weight], 0.1, (0.5, 0.9)), torch.optim.Adam([plain], 0.1, (0.5, 0.9), foreach=False)
    for step in range(3):
        gradient = torch.randn(4, 3, 2, 2)
        weight.grad, plain.grad = gradient.contiguous(memory_format=torch.channels_last), gradient
        ours.step()
        theirs.step()
        if step == 0:
            ours.load_state_dict(deepcopy(theirs.state_dict()))
    torch.testing.assert_close(weight, plain)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (RMSprop, torch.optim.RMSprop, {"alpha": 0.9, "foreach": False}),
        (SGD, torch.optim.SGD, {"momentum": 0.9, "fused": True}),
    ],
)
def test_rmsprop_and_sgd_are_torchs_to_the_bit(ours, theirs, settings):
    results = []
    for kind in (ours, theirs):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(5, 3))
        optimizer = kind([weight], lr=0.1, **settings)
        for step in range(4):
            weight.grad = torch.randn(5, 3)
            optimizer.step()
            if step == 1:
                optimizer.load_state_dict(deepcopy(optimizer.state_dict()))
        results.append(weight.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_no_optimizer_loads_torchs_compiler(kind):
    program = (
        "import sys, torch; from mulligan.core.engine import Optim, build_optimizer\n"
        "weight = torch.nn.Parameter(torch.ones(3)); weight.grad = torch.ones(3)\n"
        f"optimizer = build_optimizer([weight], Optim(0.1, kind={kind!r}))\n"
        "optimizer.step(); optimizer.load_state_dict(optimizer.state_dict()); optimizer.step()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 0), ((1, 8, 12), 0), ((3, 5, 7), 0), ((3, 16, 16), 4)])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_folded_generator_makes_the_same_pictures(shape, classes, norm, batch):
    torch.manual_seed(0)
    G = dcgan.Generator(7, shape, width=8, classes=classes, norm=norm)
    for layer in G.modules():  # statistics as after training
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.2, 3)
            nn.init.normal_(layer.bias)
    G.eval()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    z, y = torch.randn(batch, 7), torch.arange(batch) % classes if classes else None
    with torch.no_grad():
        torch.testing.assert_close(G.folded()(z, y), G(z, y), rtol=0, atol=1e-5)
        torch.testing.assert_close(G.double().folded()(z.double(), y), G(z.double(), y), rtol=0, atol=1e-12)
    G.float()
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())


@pytest.mark.parametrize("channels", [3, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_up_is_the_transposed_convolution(channels, bias):
    layer = nn.ConvTranspose2d(6, channels, 4, 2, 1, bias=bias).double()
    for n, height, width in ((1, 4, 4), (2, 3, 5), (9, 8, 8)):
        x = torch.randn(n, 6, height, width, dtype=torch.float64)
        torch.testing.assert_close(Up(layer)(x), layer(x), rtol=1e-10, atol=1e-12)


def test_a_run_samples_as_its_sampler_does_and_notices_new_weights(tmp_path):
    from benchmarks.sampling import experiment

    run = experiment(str(tmp_path), side=16)
    assert isinstance(run, Experiment)
    for _ in range(2):
        x = run.sample(5, seed=3)
        with torch.no_grad():
            torch.testing.assert_close(x, run.sampler.decode(run.latents(5, 3)), rtol=0, atol=1e-5)
            run.sampler.G.project.weight.mul_(1.5)
    assert not torch.equal(run.sample(5, seed=3), x)
    assert not x.is_inference(), "samples are ordinary tensors, fit for training on them"


def test_dropout_mask_is_the_comparison_of_its_draws():
    x = torch.randn(33, 7, dtype=torch.float64)
    torch.manual_seed(4)
    y = Dropout(0.3)(x)
    torch.manual_seed(4)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = round(0.7 * 65536)
    mask = draws[: x.numel()].view(x.shape) < kept - 32768
    assert torch.equal(y, x * mask.to(x.dtype).mul_(65536 / kept))


def test_a_round_is_seeded_as_by_the_public_seeders():
    engine = Engine("cpu", seed=11)
    engine.seed_round(5, 2)
    found = random.random(), np.random.rand(), torch.rand(3)
    random.seed("11 2 5")
    np.random.seed(random.getrandbits(32))
    torch.manual_seed(random.getrandbits(63))
    assert found[:2] == (random.random(), np.random.rand())
    assert torch.equal(found[2], torch.rand(3))
    states = []
    for number, shard in ((5, 2), (5, 2), (6, 2), (5, 3)):
        engine.seed_round(number, shard)
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1])
    assert not any(torch.equal(a, b) for a, b in pairwise(states[1:]))


def test_losses_from_logits_are_the_textbook_ones():
    logits = torch.randn(50, dtype=torch.float64)
    for target in (0.0, 0.9, 1.0):
        plain = F.binary_cross_entropy(logits.sigmoid(), torch.full_like(logits, target))
        torch.testing.assert_close(bce(logits, target), plain)


def test_freed_memory_is_kept_from_the_first_round_on(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(engine, "map_large", lambda: asked.append("map"))
    monkeypatch.setattr(engine, "keep_freed", lambda: asked.append("keep"))
    ours = Engine("cpu")
    assert asked == ["map"]
    ours.settle()
    ours.settle()
    assert asked == ["map", "keep"]


@pytest.mark.parametrize("stabilize", [Stabilize(), Stabilize(r1=0.3, r2=0.2, lazy=1)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_batches_judged_in_turn_or_in_one_pass_are_judged_alike(monkeypatch, stabilize, norm):
    """Large batches of pictures go through D one after the other, small ones share a pass."""
    found = []
    for full, passes in ((4, 1), (3, 2)):
        monkeypatch.setattr(critic, "FULL", full)
        torch.manual_seed(0)
        judge = critic.Critic(Discriminator(dcgan.Body((1, 16, 16), width=4, norm=norm)), stabilize).double()
        seen = []
        judge.D.register_forward_hook(lambda D, x, y, seen=seen: seen.append(len(x[0])))
        real, fake = torch.randn(2, 4, 1, 16, 16, dtype=torch.float64)
        logits = judge.judge(real, fake)
        assert seen == [8 // passes] * passes
        (logits[0].sin().sum() + logits[1].cos().sum() + logits[2]).backward()
        found.append([*logits[:2], torch.as_tensor(logits[2]), *[p.grad for p in judge.parameters()], *judge.buffers()])
    torch.testing.assert_close(*found)


def test_points_share_a_pass_in_batches_of_any_size():
    judge = critic.Critic(Discriminator(mlp.Body((2,), widths=(4,))), Stabilize())
    seen = []
    judge.D.register_forward_hook(lambda D, x, y: seen.append(len(x[0])))
    judge.judge(torch.randn(500, 2), torch.randn(500, 2))
    assert seen == [1000]


def test_gradients_norm_is_that_of_all_entries_in_any_order_of_memory():
    """Small and large ones, kernels with channels last, a transposed matrix, one entry spread out; nan and inf."""
    torch.manual_seed(0)
    grads = [
        torch.randn(300, 300),
        torch.randn(300, 400).t(),
        torch.randn(7),
        torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last),
        torch.randn(70, 30, 8, 8).contiguous(memory_format=torch.channels_last),
        torch.randn(()).expand(5, 6),
        torch.randn(()),
        torch.empty(0),
    ]
    plain = torch.cat([g.double().flatten() for g in grads]).norm()
    assert engine.gradient_norm(grads) == pytest.approx(float(plain), rel=1e-5)
    assert engine.gradient_norm([]) == 0.0
    assert engine.gradient_norm([torch.zeros(3)]) == 0.0
    for spoiled, value in ((0, torch.nan), (2, torch.nan), (1, torch.inf), (3, -torch.inf)):
        sick = [g.clone() for g in grads]
        sick[spoiled][(1,) * sick[spoiled].dim()] = value
        assert not torch.tensor(engine.gradient_norm(sick)).isfinite()

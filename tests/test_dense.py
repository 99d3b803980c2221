"""Fully connected networks written out, beside autograd: chains, slopes of objectives, whole rounds, and where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulligan.core.clock import Clock
from mulligan.core.engine import Engine
from mulligan.core.game import Batch, Turn
from mulligan.core.stream import Stream
from mulligan.parts import objectives, product
from mulligan.parts.dense import dense
from mulligan.parts.layers import Chain, Dropout, Linear
from mulligan.parts.stabilize import Stabilize
from mulligan.zoo import find
from mulligan.zoo.image.classic import Classic
from mulligan.zoo.image.gan import MLP

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
WRITTEN = [o for o in objectives.OBJECTIVES.values() if o.slopes] + [
    objectives.smoothed(objectives.nonsaturating, 0.9, 0.1),
    objectives.smoothed(objectives.least_squares, 0.9),
]


@pytest.mark.parametrize("objective", WRITTEN, ids=[o.name for o in WRITTEN])
def test_slopes_of_the_objectives_are_those_of_autograd(objective):
    torch.manual_seed(0)
    real, fake = (torch.randn(7, dtype=torch.float64).mul_(3).requires_grad_() for _ in range(2))
    assert objective.slopes is not None
    theirs = torch.autograd.grad(objective.d(real, fake), (real, fake))
    for ours, other in zip(objective.slopes.d(real.detach(), fake.detach()), theirs, strict=True):
        torch.testing.assert_close(ours, other, **CLOSE)
    torch.testing.assert_close(
        objective.slopes.g(fake.detach()), torch.autograd.grad(objective.g(fake, fake), fake)[0], **CLOSE
    )


def test_who_has_slopes_written_out():
    have = {o.name for o in objectives.OBJECTIVES.values() if o.slopes}
    assert have == {"minimax", "nonsaturating", "least_squares", "hinge", "wasserstein"}


LAYERS: dict[str, Callable[[], list[nn.Module]]] = {
    "generator": lambda: [Linear(5, 8), nn.LeakyReLU(0.2), nn.BatchNorm1d(8), Linear(8, 6), nn.Tanh()],
    "discriminator": lambda: [Linear(5, 8), nn.LeakyReLU(0.2), Dropout(0.3), Linear(8, 6), nn.ReLU(), nn.Linear(6, 1)],
    "dropout first": lambda: [Dropout(0.4), Linear(5, 7), Dropout(0.3), nn.BatchNorm1d(7), Dropout(0.2)],
    "dropout after tanh": lambda: [Linear(5, 8), nn.Tanh(), Dropout(0.5), Linear(8, 3), nn.Identity()],
}


@pytest.mark.parametrize("batches", [1, 2, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_a_chain_and_its_gradients_are_those_of_autograd(name, batches, monkeypatch):
    """Values for all batches, gradients of the last one; the running statistics too."""
    masks, draw = [], Dropout.mask
    monkeypatch.setattr(Dropout, "mask", lambda layer, x: masks.append(draw(layer, x)) or masks[-1])
    torch.manual_seed(0)
    plain, ours = (Chain(*LAYERS[name]()).double() for _ in range(2))
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(4 * batches, 5, dtype=torch.float64)
    kept = x.clone()
    chain = dense(ours)
    assert chain is not None

    with torch.no_grad():
        y, tape = chain.forward(x, batches)
        slope = torch.randn_like(y[-4:])
        gradients = {id(p): g for p, g in chain.backward(tape, slope.clone())}
        of_x = chain.through(tape, slope.clone())
    assert torch.equal(x, kept)

    again = iter([mask for i in range(batches) for mask in [drawn.chunk(batches)[i] for drawn in masks]])
    monkeypatch.setattr(Dropout, "mask", lambda *_: next(again))
    parts = []
    for part in x.chunk(batches):
        part = part.clone().requires_grad_()
        parts.append((part, plain(part)))
    torch.testing.assert_close(y, torch.cat([out for _, out in parts]), **CLOSE)
    last, out = parts[-1]
    wanted = torch.autograd.grad(out, [last, *plain.parameters()], slope)
    torch.testing.assert_close(of_x, wanted[0], **CLOSE)
    for p, other in zip(ours.parameters(), wanted[1:], strict=True):
        torch.testing.assert_close(gradients[id(p)], other, **CLOSE)
    for a, b in zip(ours.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def test_a_chain_by_onednn_is_that_of_torch(monkeypatch: pytest.MonkeyPatch):
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    torch.manual_seed(0)
    layers = [Linear(5, 8), nn.LeakyReLU(0.2), Linear(8, 6), nn.ReLU(), Linear(6, 3), nn.Tanh()]
    layers[0].weight.data = layers[0].weight.data.t().contiguous().t()
    chain, x = dense(layers), torch.randn(4, 5)
    assert chain is not None
    found = []
    for library in (False, True):
        monkeypatch.setattr(product, "onednn", lambda library=library: library)
        monkeypatch.setattr(product, "WORTH", 0)
        with torch.no_grad():
            y, tape = chain.forward(x)
            slope = torch.ones_like(y)
            gradients = [g for _, g in chain.backward(tape, slope)]
            found.append([y, chain.through(tape, slope), *gradients])
            assert gradients[-2].stride() == layers[0].weight.stride()
    for ours, other in zip(*found, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 1),
        nn.Linear(5, 5, bias=False),
        nn.BatchNorm1d(5, affine=False),
        nn.BatchNorm1d(5, momentum=None),
        nn.BatchNorm1d(5, track_running_stats=False),
        nn.LeakyReLU(0.1),
        nn.Sigmoid(),
        Dropout(0.0),
        Dropout(1.0),
        nn.Dropout(0.5),
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 5)),
    ],
    ids=str,
)
def test_other_layers_are_not_written_out(layer):
    assert dense([Linear(5, 5), layer]) is None


def test_a_batch_of_one_has_no_statistics():
    chain = dense([Linear(5, 5), nn.BatchNorm1d(5)])
    assert chain is not None
    with pytest.raises(ValueError, match="more than one sample"):
        chain.forward(torch.randn(2, 5), 2)


class Points:
    """100 rows of points, or of small pictures, in float64."""

    classes: tuple[str, ...] = ()

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.rows = torch.rand(100, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: Tensor) -> Batch:
        return {"x": self.rows[indices]}


def plan(name: str, source: Points, **arguments: Any):
    torch.manual_seed(0)
    recipe = find(name)
    return recipe.plan(source, {**recipe.arguments({}), "batch": 8, **arguments})


def rounds(made: Any, source: Points, way: Callable[[Any], Callable[..., Iterator[Turn]]]) -> list[dict[str, Any]]:
    """Five rounds with given latents, so that both ways see the same; what was seen in each turn."""
    game = made.game.double()
    engine, stream, clock = Engine("cpu", 0), Stream(source, 8, seed=0), Clock(budget=1000)
    engine.adopt(game, made.optims)
    law = torch.Generator().manual_seed(1)
    queue = torch.randn(1000, game.sampler.latent, generator=law, dtype=torch.float64)
    at = 0

    def latents(n: int, generator: torch.Generator | None = None) -> Tensor:
        nonlocal at
        at += n
        return queue[at - n : at]

    game.sampler.latents = latents
    seen = []
    for number in range(5):
        clock.round = number
        torch.manual_seed(number)
        for turn in way(game)(stream, clock):
            loss = engine.backward(turn)
            seen.append({"player": turn.player, "loss": loss, "norm": engine.step(turn.player, loss)[1], **turn.stats})
    seen.append({name: value.clone() for name, value in game.state_dict().items()})
    return seen


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("gan", {}),
        ("gan", {"critic_turns": 3}),
        ("gan", {"stabilize": Stabilize(label_smoothing=0.1)}),
        ("gan", {"mlp": MLP(activation="relu", norm=False, activation_d="relu", dropout=0.0)}),
        ("lsgan", {"width": 8}),
        ("wgan", {"width": 8}),
    ],
    ids=["gan", "three turns", "smoothed", "plain", "lsgan", "wgan"],
)
def test_rounds_written_out_are_the_rounds_of_play(name, arguments):
    """Losses, logits, gradients' norms and, after five rounds, every weight and statistic, in float64."""
    for shape in ((2,), (1, 4, 4)) if name == "gan" else ((2,),):  # the others have convolutions for pictures
        _alike(name, arguments, Points(*shape))


def _alike(name: str, arguments: dict[str, Any], source: Points) -> None:
    ours = rounds(plan(name, source, **arguments), source, lambda game: game.turns)
    theirs = rounds(plan(name, source, **arguments), source, lambda game: game.play)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            if key == "player":
                assert one[key] == other[key]
            else:
                torch.testing.assert_close(
                    one[key], other[key], rtol=1e-7, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}"
                )


def test_gradients_written_out_are_clipped_as_others():
    """The engine changes them in place, and each to the same length."""
    source, found = Points(2), []
    for way in ("turns", "play"):
        made = plan("gan", source)
        made = replace(made, optims={player: replace(o, clip_gradient=0.01) for player, o in made.optims.items()})
        found.append(rounds(made, source, lambda game, way=way: getattr(game, way))[-1])
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-7, atol=1e-9)


def test_these_rounds_are_written_out_and_keep_no_graph():
    source = Points(1, 4, 4)
    game = plan("gan", source).game.double()
    turns = list(game.turns(Stream(source, 8), Clock()))
    assert [turn.player for turn in turns] == ["D", "G"]
    for turn in turns:
        assert turn.gradients is not None
        assert not turn.loss.requires_grad


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(
            ("gan", {"stabilize": Stabilize(**{key: value})})
            for key, value in {
                "instance_noise": 0.1,
                "minibatch": "stddev",
                "packing": 2,
                "feature_matching": 1.0,
                "historical_averaging": 0.1,
                "r1": 1.0,
                "r2": 1.0,
                "gp": 1.0,
                "dragan": 1.0,
                "lecam": 0.1,
                "spectral_norm": True,
            }.items()
        ),
        ("gan", {"shared_fake": True}),
        ("gan", {"mlp": MLP(maxout=2)}),
        ("gan", {"mlp": MLP(output="sigmoid")}),
        ("r3gan", {}),
        ("unrolled", {}),
        ("infogan", {}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_whatever_is_not_written_out_is_played(name, arguments):
    source = Points(1, 4, 4) if "mlp" in arguments else Points(2)
    game = plan(name, source, **arguments).game.double()
    stream = Stream(source, 8)
    assert all(turn.gradients is None for turn in game.turns(stream, Clock(budget=100)))


@pytest.mark.parametrize("way", ["hook", "eval", "bf16", "frozen", "gradient hook"])
def test_who_listens_in_or_changes_the_mode_gets_the_plain_round(way):
    source = Points(1, 4, 4)
    game = plan("gan", source).game.double()
    calls: list[int] = []
    if way == "hook":
        assert next(game.turns(Stream(source, 8), Clock())).gradients is not None
        game.sampler.G.layers[0].register_forward_hook(lambda *_: calls.append(1))
    if way == "eval":
        game.sampler.G.layers[2].eval()
    if way == "frozen":
        game.sampler.G.layers[0].weight.requires_grad_(False)
    if way == "gradient hook":
        game.sampler.G.layers[0].weight.register_hook(lambda g: g)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16"):
        assert next(game.turns(Stream(source, 8), Clock())).gradients is None
    assert bool(calls) == (way == "hook")


def test_a_game_of_ones_own_is_played_as_it_says():
    class Own(Classic):
        def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
            for turn in super().play(data, clock):
                yield replace(turn, loss=2 * turn.loss)

    source = Points(1, 4, 4)
    game = plan("gan", source).game
    game.__class__ = Own
    assert all(turn.gradients is None for turn in game.double().turns(Stream(source, 8), Clock()))


def test_gradients_handed_over_are_shared_out_and_added():
    source = Points(2)
    made = plan("gan", source)
    engine = Engine("cpu", 0)
    engine.adopt(made.game, made.optims)
    weight, *_ = engine.owned["D"]
    gradient = torch.ones_like(weight)
    for _ in range(2):
        assert engine.backward(Turn("D", torch.tensor(3.0), gradients=[(weight, gradient)]), 0.5) == 1.5
    assert torch.equal(weight.grad, gradient)
    with pytest.raises(ValueError, match="doesn't own"):
        engine.backward(Turn("G", torch.tensor(3.0), gradients=[(weight, gradient)]))

"""R3GAN on the paper's networks: what it draws, what `net` builds, labels, and runs from before `net`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mulligan
from mulligan import UserError
from mulligan.core.game import Game
from mulligan.experiment import Described
from mulligan.zoo import find
from mulligan.zoo.image.r3gan import Networks

from .test_recipes import pictures, small

PAPER = {"widths": (8, 6), "blocks": (2,), "groups": (4, 3), "taps": (1.0, 2.0, 1.0)}


def built(shape: tuple[int, ...] = (3, 8, 8), classes: tuple[str, ...] = (), **arguments: Any) -> Game:
    made = find("r3gan")
    given = {"latent": 6, "width": 8, **arguments}
    return made.plan(Described(shape, classes, 10), made.arguments(given)).game


def test_networks_begin_with_the_numbers_that_they_had_before_net():
    torch.manual_seed(3)
    game = built((3, 16, 24))
    torch.manual_seed(3)
    basis, linear = torch.randn(8, 4, 6), nn.Linear(6, 8, bias=False)
    nn.init.normal_(linear.weight, std=6**-0.5)
    first = nn.Conv2d(8, 16, 1, bias=False)
    nn.init.normal_(first.weight, std=(2 / 1.04) ** 0.5 * 3**-0.25 / 8**0.5)  # three blocks
    state = game.sampler.state_dict()
    assert torch.equal(state["G.basis"], basis)
    assert torch.equal(state["G.linear.weight"], linear.weight)
    assert torch.allclose(state["G.stages.0.0.linear1.weight"], first.weight)
    assert not state["G.stages.2.0.linear3.weight"].any()
    assert [name for name in game.get_submodule("critic.D").state_dict() if "stages" not in name] == [
        "body.extract.weight", "body.basis.weight", "head.weight", "head.bias",
    ]  # fmt: skip


def test_net_builds_the_networks_of_the_paper_and_d_backwards():
    game = built(net=PAPER)
    G, D = game.get_submodule("sampler.G"), game.get_submodule("critic.D.body")
    assert [len(stage) for stage in G.stages] == [2, 2]  # type: ignore[union-attr]
    shapes = {name: tuple(p.shape) for name, p in G.named_parameters()}
    assert shapes["stages.0.1.linear2.weight"] == (16, 4, 3, 3)
    assert shapes["stages.1.0.linear2.weight"] == (12, 4, 3, 3)
    assert shapes["joints.0.weight"] == (6, 8, 1, 1)
    backwards = {name: tuple(p.shape) for name, p in D.named_parameters()}
    assert backwards["stages.0.0.linear2.weight"] == (12, 4, 3, 3)
    assert backwards["joints.0.weight"] == (8, 6, 1, 1)
    assert G.resampling.taps.shape == (4, 4)  # type: ignore[union-attr]
    assert built().get_submodule("sampler.G.resampling").taps is None


def test_the_filter_changes_the_edges_of_pictures_alone():
    torch.manual_seed(0)
    G = built((1, 8, 8), net={"blocks": (1,)}).get_submodule("sampler.G")
    filtered = built((1, 8, 8), net={"taps": (1.0, 2.0, 1.0)}).get_submodule("sampler.G")
    filtered.load_state_dict(G.state_dict())
    z = torch.randn(2, 6)
    apart = (G(z) - filtered(z)).abs()
    assert apart[..., 1:-1, 1:-1].max() < 1e-5
    assert apart.max() > 1e-2


@pytest.mark.parametrize("net", [PAPER, PAPER | {"conditional": True, "embed": 3, "embed_d": 5}], ids=["plain", "told"])
def test_the_networks_of_the_paper_train_and_sample(net: dict[str, Any], tmp_path: Path):
    data = pictures(tmp_path / "x.npz", (3, 8, 8))
    run = mulligan.train("r3gan", data, out=tmp_path / "run", **small("r3gan", net=net))
    again = mulligan.load(run.path)
    assert torch.equal(run.sample(4, seed=1), again.sample(4, seed=1))
    assert bool(run.sample(4, seed=1).isfinite().all())
    told = net.get("conditional", False)
    assert (len(again.classes) == 3) == told
    if told:
        assert not torch.equal(run.sample(2, seed=1, label=0), run.sample(2, seed=1, label=1))


@pytest.mark.parametrize("family", ["r3gan", "dcgan", "resnet"])
def test_conditional_networks_listen_to_the_label(family: str):
    torch.manual_seed(0)
    game = built(classes=("a", "b"), net={"family": family, "conditional": True}).eval()
    x, y = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    D: Any = game.get_submodule("critic.D")
    assert not torch.allclose(D(x, y), D(x, 1 - y))
    with torch.no_grad():
        for p in game.parameters():
            p.add_(0.1 * torch.randn_like(p))
    z = torch.randn(2, 6)
    assert not torch.allclose(game.sampler.decode(z, y), game.sampler.decode(z, 1 - y))  # type: ignore[operator]


def test_conditional_points_and_a_spectral_norm_of_a_conditional_d():
    points = built((2,), ("a", "b"), net={"conditional": True})
    assert points.sampler(3).shape == (3, 2)
    game = built(classes=("a", "b"), net={"conditional": True}, stabilize={"spectral_norm": True})
    D: Any = game.get_submodule("critic.D")
    assert bool(D(torch.randn(2, 3, 8, 8), torch.tensor([0, 1])).isfinite().all())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"net": {"conditional": True}}, "needs labels and the data has none"),
        ({"net": {"widths": (8, 4, 2)}}, "net.widths: 2 numbers from 1 on are needed, one for each size, not 8 4 2"),
        ({"net": {"blocks": (0,)}}, "net.blocks: 2 numbers from 1 on"),
        ({"net": {"blocks": ()}}, "net.blocks: .* not none"),
        ({"net": {"groups": (3,)}}, "3 groups don't divide the 16 inner channels"),
        ({"net": {"kernel": 2}}, "the kernel odd"),
        ({"net": {"taps": (1.0, 1.0)}}, "odd number of taps"),
        ({"net": {"taps": (0.0,)}}, "a filter without weight"),
        ({"net": {"embed": -1}}, "net.embed is -1"),
        ({"net": {"family": "vit"}}, "net.family is 'vit'"),
        ({"family": "vit"}, "net.family is 'vit'"),
        ({"family": "dcgan", "net": 3}, "net is 3"),
        ({"famly": "dcgan"}, "no argument 'famly'"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(arguments: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        built(**arguments)


@pytest.mark.parametrize("remedy", [{"packing": 2}, {"minibatch": "stddev"}])
def test_remedies_that_compare_samples_leave_a_conditional_d_alone(remedy: dict[str, Any]):
    with pytest.raises(UserError, match=r"net\.conditional: this D"):
        built(classes=("a", "b"), net={"conditional": True}, stabilize=remedy)


def test_family_is_still_understood_where_programs_and_runs_from_before_net_have_it(tmp_path: Path):
    made = find("r3gan")
    assert made.arguments({"family": "dcgan"})["net"] == Networks(family="dcgan")
    assert made.arguments({"family": "dcgan", "net": Networks(blocks=(2,))})["net"] == Networks("dcgan", blocks=(2,))
    data = pictures(tmp_path / "x.npz", (3, 8, 8))
    run = mulligan.train("r3gan", data, out=tmp_path / "run", **small("r3gan", family="dcgan"))
    facts = json.loads((run.path / "recipe.json").read_text())
    kept = {name: value for name, value in facts["arguments"].items() if not name.startswith("net.")}
    (run.path / "recipe.json").write_text(json.dumps(facts | {"arguments": kept | {"family": "dcgan"}}))
    assert torch.equal(mulligan.load(run.path).sample(3, seed=1), run.sample(3, seed=1))

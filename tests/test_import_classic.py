"""The DCGAN of pytorch/examples and mimicry's residual generators come in as runs of ours, with their own pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mulligan
from mulligan import UserError
from mulligan.experiment import Described, Experiment
from mulligan.nets import resnet
from mulligan.weights import mimicry
from mulligan.weights.bring import bring
from mulligan.zoo import find
from tests.parity.compare import compare
from tests.parity.fixture import Fixture, fixture

MIMICRY = {"mimicry_sngan32": "sngan", "mimicry_wgan_gp32": "sngan", "mimicry_cgan_pd32": "projection"}
State = dict[str, Tensor]


def imported(tensors: Any, folder: Path) -> Experiment:
    torch.save(tensors, folder / "netG.pth")
    return bring(folder / "netG.pth", folder / "run")


def refused(tensors: Any, said: str, folder: Path) -> None:
    with pytest.raises(UserError, match=said):
        imported(tensors, folder)
    assert not (folder / "run").exists()


def same(run: Experiment, f: Fixture) -> bool:
    with torch.no_grad():
        x = run.sampler.decode(f["in/z"].flatten(1), f.under("in/").get("y"))
    return compare("out/G_eval", x, f.arrays["out/G_eval"], f.rtol).passed


def randomized(net: nn.Module) -> State:
    """A state whose norms do something."""
    torch.manual_seed(0)
    state = net.state_dict()
    return {k: torch.rand_like(v) + 0.1 if v.is_floating_point() and "weight" not in k else v for k, v in state.items()}


def test_dcgan_of_the_examples_makes_its_pictures(tmp_path: Path):
    f = fixture("dcgan_examples")
    run = imported(f.under("state/G."), tmp_path)
    assert same(run, f)
    assert same(mulligan.load(run.path), f)
    arguments = run.settings()["arguments"]
    assert (arguments["latent"], arguments["width"]) == (f.setting("nz"), f.setting("ngf"))
    assert run.sample(2).shape == (2, 3, 64, 64)


def test_dcgan_of_another_size_and_without_colour_makes_its_pictures(tmp_path: Path):
    """32 pixels in grey: one doubling less, written as the example writes its 64."""

    def up(a: int, b: int, *how: int) -> list[nn.Module]:
        return [nn.ConvTranspose2d(a, b, 4, *how, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    net = nn.Module()
    last = nn.ConvTranspose2d(3, 1, 4, 2, 1, bias=False)
    net.main = nn.Sequential(*up(7, 12, 1, 0), *up(12, 6, 2, 1), *up(6, 3, 2, 1), last, nn.Tanh())
    net.load_state_dict(randomized(net))
    run = imported(net.state_dict(), tmp_path)
    z = torch.randn(3, 7)
    with torch.no_grad():
        assert torch.allclose(run.sampler.decode(z), net.main.eval()(z[:, :, None, None]), atol=1e-5)
    assert run.sample(2).shape == (2, 1, 32, 32)


def test_what_is_no_generator_of_the_examples_is_refused(tmp_path: Path):
    f = fixture("dcgan_examples")
    refused(f.under("state/D."), "is the discriminator of pytorch/examples' dcgan: name the file of the", tmp_path)
    G = f.under("state/G.")
    refused({**G, "main.12.bias": torch.zeros(3)}, "G.ups.3.bias is left over", tmp_path)
    refused({k: v for k, v in G.items() if k != "main.4.weight"}, "G.norms.1.weight is missing", tmp_path)
    refused({**G, "main.12.weight": torch.zeros(6)}, "of no known format", tmp_path)


@pytest.mark.parametrize("name", MIMICRY)
@pytest.mark.parametrize("whole", [True, False], ids=["checkpoint", "state dict"])
def test_a_generator_of_mimicry_makes_its_pictures(name: str, whole: bool, tmp_path: Path):
    f = fixture(name)
    state = f.under("state/G.")
    steps = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-4}]}
    file = {"model_state_dict": state, "optimizer_state_dict": steps, "global_step": 100_000} if whole else state
    run = imported(file, tmp_path)
    assert run.recipe.name == MIMICRY[name]
    assert same(run, f)
    assert same(mulligan.load(run.path), f)
    assert len(run.classes) == f.config["G"].get("num_classes", 0)


def official(G: resnet.Generator) -> State:
    """The entries of our network under mimicry's names."""
    layers = {ours: theirs for theirs, ours in mimicry.LAYERS.items()}
    end = len(G.blocks) + 2
    ends = {"project": "l1", "norm": f"b{end}", "paint": f"c{end}"}

    def name(key: str) -> str:
        if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(.+)", key):
            return f"block{int(match[1]) + 2}.{layers[match[2]]}.{match[3]}"
        layer, entry = key.split(".", 1)
        return f"{ends[layer]}.{entry}"

    return {name(key): value for key, value in G.state_dict().items()}


@pytest.mark.parametrize(("side", "widths"), [(48, (8, 4, 2, 2)), (64, (8, 4, 4, 2, 2)), (128, (4, 4, 4, 2, 2, 2))])
def test_sizes_and_widths_of_mimicry_are_read_off_the_tensors(side: int, widths: tuple[int, ...], tmp_path: Path):
    torch.manual_seed(0)
    G = resnet.Generator(5, (3, side, side), widths=widths, upsample="bilinear").eval()
    run = imported(official(G), tmp_path)
    z = torch.randn(2, 5)
    with torch.no_grad():
        assert torch.allclose(run.sampler.decode(z), G(z), atol=1e-6)
    assert tuple(run.settings()["arguments"]["net.widths"]) == widths


def test_what_is_no_generator_of_mimicry_is_refused(tmp_path: Path):
    for name in MIMICRY:
        D = fixture(name).under("state/D.")
        refused({"model_state_dict": D}, "a discriminator of mimicry: name the file of the generator", tmp_path)
    G = fixture("mimicry_sngan32").under("state/G.")
    hooked = {k + "_orig" if re.fullmatch(r"(l1|block.*c\d)\.weight", k) else k: v for k, v in G.items()}
    refused(hooked, "under a spectral norm", tmp_path)
    refused({**G, "attn1.gamma": torch.zeros(1)}, "G.attn1.gamma is left over", tmp_path)
    refused({k: v for k, v in G.items() if not k.startswith("block3.")}, r"aren't numbered .* \(2, 4\)", tmp_path)
    refused({**G, "l1.weight": torch.zeros(100, 16)}, "100 units of 12 channels are no square", tmp_path)
    refused({k: v for k, v in G.items() if k != "c5.weight"}, "c5.weight is missing", tmp_path)
    refused({**G, "block2.c2.weight": torch.zeros(12)}, "block2.c2.weight is 12, not of 4 sides", tmp_path)


@pytest.mark.parametrize("name", ["sngan", "projection"])
def test_the_new_arguments_change_the_generator_alone(name: str):
    made, data = find(name), Described((3, 16, 16), ("a", "b"), 10)

    def built(**net: Any) -> nn.Module:
        torch.manual_seed(1)
        return made.plan(data, made.arguments({"latent": 4, "width": 8, "net": net})).game.sampler

    plain, smooth, narrow = built(), built(upsample="bilinear"), built(widths=(8, 8, 4))
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), smooth.state_dict().values()))
    z, y = torch.randn(2, 4), torch.tensor([0, 1])
    assert not torch.allclose(plain.decode(z, y), smooth.decode(z, y))  # type: ignore[operator]
    assert narrow.get_submodule("G.paint").in_channels == 4
    with pytest.raises(UserError, match="2 doublings need 3 widths, not 2"):
        built(widths=(8, 8))

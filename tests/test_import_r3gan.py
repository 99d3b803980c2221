"""R3GAN's files come in as runs of ours, which make the official pictures; D comes with them where it fits."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mulligan
from mulligan import UserError
from mulligan.experiment import Experiment
from mulligan.weights.bring import bring
from tests.parity.compare import compare
from tests.parity.fixture import Fixture, fixture

NAMES = ["r3gan_uncond", "r3gan_cond"]
State = dict[str, Tensor]
Pickled = Callable[[Any], bytes]


class Generator(nn.Module):
    """Stands in for R3GAN's modules: plain, with an attribute that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.DataType = torch.bfloat16


def built(state: State) -> Generator:
    root = Generator()
    for name, value in state.items():
        *path, last = name.split(".")
        module: nn.Module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Generator())
            module = module.get_submodule(part)
        if last == "Kernel":
            module.register_buffer(last, value)
        else:
            module.register_parameter(last, nn.Parameter(value))
    return root


@pytest.fixture
def pickled(monkeypatch: pytest.MonkeyPatch) -> Pickled:
    """What pickle writes, our stand-in under the name of theirs."""

    def write(value: Any) -> bytes:
        with monkeypatch.context() as patch:
            for module in ("training", "training.networks"):
                patch.setitem(sys.modules, module, types.ModuleType(module))
            patch.setattr(sys.modules["training.networks"], "Generator", Generator, raising=False)
            patch.setattr(Generator, "__module__", "training.networks")
            return pickle.dumps(value, 4)

    return write


def snapshot(G: State, D: State) -> dict[str, Any]:
    """As their training writes it; the weights of now are others than their average."""
    now, average, judge = built({k: v + 1 for k, v in G.items()}), built(G), built(D)
    steps = torch.optim.Adam(now.parameters()).state_dict()
    return {
        "G": now, "D": judge, "G_ema": average, "training_set_kwargs": {"path": "photos"}, "cur_nimg": 25_000,
        "G_opt_state": steps,
    }  # fmt: skip


def made(run: Experiment, f: Fixture) -> Tensor:
    c = f.under("in/").get("c")
    with torch.no_grad():
        return run.sampler.decode(f["in/z"], None if c is None else c.argmax(1))


def judged(run: Experiment, f: Fixture) -> Tensor:
    from safetensors.torch import load_file

    D = run.plan.game.get_submodule("critic.D")
    D.load_state_dict(load_file(run.path / "critic.safetensors"))
    c = f.under("in/").get("c")
    with torch.no_grad():
        return D.eval()(f["in/real"], None if c is None else c)


def same(key: str, ours: Tensor, f: Fixture) -> bool:
    return compare(f"out/{key}", ours, f.arrays[f"out/{key}"], f.rtol).passed


@pytest.mark.parametrize("name", NAMES)
def test_an_official_pickle_makes_the_official_pictures_and_logits(name: str, tmp_path: Path, pickled: Pickled):
    f = fixture(name)
    file = tmp_path / "network.pkl"
    file.write_bytes(pickled(snapshot(f.under("state/G."), f.under("state/D."))))
    run = bring(file, tmp_path / "run")
    assert same("fake", made(run, f), f)
    assert same("real_logits", judged(run, f), f)
    assert same("fake", made(mulligan.load(tmp_path / "run"), f), f)
    arguments = run.settings()["arguments"]
    theirs = f.setting("G")
    assert arguments["latent"] == theirs["NoiseDimension"]
    assert arguments["net.widths"] == theirs["WidthPerStage"]
    assert arguments["net.blocks"] == theirs["BlocksPerStage"]
    assert arguments["net.groups"] == theirs["CardinalityPerStage"]
    assert arguments["net.taps"] == [1, 2, 1]
    assert "training" not in sys.modules


def test_labels_are_asked_for_by_number(tmp_path: Path, pickled: Pickled):
    f = fixture("r3gan_cond")
    file = tmp_path / "network.pkl"
    file.write_bytes(pickled(snapshot(f.under("state/G."), f.under("state/D."))))
    run = bring(file, tmp_path / "run")
    assert run.classes == ("0", "1", "2", "3")
    assert not torch.equal(run.sample(2, label=0, seed=1), run.sample(2, label="3", seed=1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "G_ema."])
def test_a_state_dict_makes_the_official_pictures(name: str, prefix: str, tmp_path: Path):
    f = fixture(name)
    torch.save({f"{prefix}{key}": value for key, value in f.under("state/G.").items()}, tmp_path / "G.pt")
    run = bring(tmp_path / "G.pt", tmp_path / "run")
    assert same("fake", made(run, f), f)
    assert not (run.path / "critic.safetensors").exists()


def test_a_module_alone_makes_the_official_pictures(tmp_path: Path, pickled: Pickled):
    f = fixture("r3gan_uncond")
    (tmp_path / "G.pkl").write_bytes(pickled(built(f.under("state/G."))))
    assert same("fake", made(bring(tmp_path / "G.pkl", tmp_path / "run"), f), f)


def test_a_discriminator_of_other_networks_is_left_out(tmp_path: Path, pickled: Pickled):
    f, other = fixture("r3gan_uncond"), fixture("r3gan_cond")
    (tmp_path / "network.pkl").write_bytes(pickled(snapshot(f.under("state/G."), other.under("state/D."))))
    run = bring(tmp_path / "network.pkl", tmp_path / "run")
    assert same("fake", made(run, f), f)
    assert not (run.path / "critic.safetensors").exists()


def changed(f: Fixture, **more: Any) -> State:
    state = {k: v.clone() for k, v in f.under("state/G.").items()}
    for name, value in more.items():
        key = next(key for key in state if name in key)
        if value is None:
            del state[key]
        else:
            state[key] = value(state[key])
    return state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Kernel": lambda k: k.flip(0).roll(1, 0)}, "filters aren't one and the same"),
        ({"Kernel": lambda k: torch.zeros(4, 4)}, "filters aren't one and the same"),
        ({"Kernel": lambda k: torch.ones(100_000, 1)}, "filters aren't one and the same"),
        ({"Basis": lambda b: b.repeat(1, 2, 2)}, "doubles 8×8 pixels 1 times: ours begin with 4 to 7"),
        ({"Basis": None}, "basis is missing"),
        ({"MainLayers.1.Layers.1.LinearLayer3": None}, "stages.1.0.linear3.weight is missing"),
        ({"MainLayers.0.Layers.2.LinearLayer1": None}, "doesn't fit its network: G.stages.0.1.linear1.weight"),
        ({"AggregationLayer": lambda a: a[:, :, 0, 0]}, "paint.weight is 3×12, not of 4 sides"),
        ({"LinearLayer2": lambda a: a[:, :3]}, "can't be built|don't divide|doesn't fit"),
    ],
)
def test_what_our_networks_cannot_be_is_refused_and_leaves_nothing(change: State, said: str, tmp_path: Path):
    f = fixture("r3gan_uncond")
    torch.save(changed(f, **change), tmp_path / "G.pt")
    with pytest.raises(UserError, match=said):
        bring(tmp_path / "G.pt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_discriminator_alone_names_the_file_that_is_wanted(tmp_path: Path, pickled: Pickled):
    D = fixture("r3gan_uncond").under("state/D.")
    torch.save(D, tmp_path / "D.pt")
    (tmp_path / "D.pkl").write_bytes(pickled({"D": built(D), "cur_nimg": 1}))
    for file in ("D.pt", "D.pkl"):
        with pytest.raises(UserError, match="a discriminator of R3GAN: name the file with its generator"):
            bring(tmp_path / file, tmp_path / "run")
    assert not (tmp_path / "run").exists()

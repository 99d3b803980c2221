"""Fine-tuning: what is loaded and what isn't, what stays frozen, and how such a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mulligan
from mulligan.core.errors import UserError
from mulligan.parts.freezing import freeze
from mulligan.weights.bring import bring
from mulligan.zoo import find
from tests.parity.fixture import fixture

from . import helpers
from .official_pickles import pickled
from .test_import_nvidia import built
from .test_recipes import NAMES, pictures, small

SIZE = {"net": {"latent": 6, "style": 6, "most": 4, "base": 32}, "batch": 4}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    mulligan.train("stylegan2", pictures(folder / "x.npz", (3, 16, 16)), out=folder / "run", images=12, **SIZE)
    return folder / "run"


def tuned(origin: Path, tmp_path: Path, **more: Any) -> mulligan.Experiment:
    tmp_path.mkdir(exist_ok=True)
    arguments = {"batch": 4, "images": 12, "start_from": origin, "out": tmp_path / "run", **more}
    return mulligan.train("stylegan2", pictures(tmp_path / "y.npz", (3, 16, 16)), **arguments)


def critic(run: Path) -> dict[str, torch.Tensor]:
    state = helpers.newest(run)["game"]
    return {k.removeprefix("critic.D."): v for k, v in state.items() if k.startswith("critic.D.")}


def test_networks_and_weights_come_from_the_origin(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tuned(origin, tmp_path, lr=1e-12, lr_d=1e-12)
    said = capsys.readouterr().err
    assert run.settings()["arguments"]["net.most"] == 4
    assert run.described.shape == (3, 16, 16)
    before, after = mulligan.load(origin).sample(3, seed=2), run.sample(3, seed=2)
    assert (before - after).abs().max() < 1e-3
    theirs = critic(origin)
    assert all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in critic(run.path).items())
    assert said.count("tensors loaded (100 % of its numbers)\n") == 2
    assert run.settings()["start"]["from"]["name"] == str(origin)


def test_what_does_not_fit_is_named(origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned(origin, tmp_path, channels=1)
    said = capsys.readouterr().err
    assert "not loaded, so new: G.synthesis.b4.torgb.weight" in said
    assert "not loaded, so new: b16.fromrgb.weight; left over: b16.fromrgb.weight" in said


def test_frozen_layers_stay_and_the_others_learn(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tuned(origin, tmp_path, freeze_d=4)
    assert "frozen in D: b16.fromrgb, b16.skip, b16.conv0, b16.conv1" in capsys.readouterr().err
    before, after = critic(origin), critic(run.path)
    for name in before:
        if name.endswith(("weight", "bias")):
            assert torch.equal(before[name], after[name]) == name.startswith("b16."), name


def test_a_fine_tuned_run_goes_on_bit_for_bit(origin: Path, tmp_path: Path) -> None:
    whole = tuned(origin, tmp_path / "whole", freeze_d=2, images=24)
    tuned(origin, tmp_path / "parts", freeze_d=2, images=12)
    parts = tuned(origin, tmp_path / "parts", freeze_d=2, images=24)
    assert helpers.differences(helpers.newest(whole.path), helpers.newest(parts.path)) == []
    with pytest.raises(UserError, match="--freeze-d: 2 in the run, 3 asked for"):
        tuned(origin, tmp_path / "parts", freeze_d=3, images=36)


def test_an_official_pickle_gives_both_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    g, d = fixture("sg2ada_generator_skip"), fixture("sg2ada_discriminator_resnet")
    G, D = built(g.under("state/"), **g.config), built(d.under("state/"), **d.config)
    file = tmp_path / "network.pkl"
    file.write_bytes(pickled({"G": G, "D": D, "G_ema": G, "training_set_kwargs": {}}))
    size, labels = g.config["img_resolution"], g.config["c_dim"]
    data = pictures(tmp_path / "x.npz", (3, size, size), labels * 4)
    with np.load(data) as held:
        np.savez(data, x=held["x"], y=np.arange(labels * 4) % labels)
    mulligan.train("stylegan2", data, start_from=file, freeze_d=1, batch=4, images=4, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("tensors loaded (100 % of its numbers)") == 2, said
    imported = bring(file, tmp_path / "imported")
    with pytest.raises(UserError, match="holds imported weights, and stays as it is: start from them with --from"):
        mulligan.train("stylegan2", data, out=imported.path, batch=4, images=4)
    mulligan.train("stylegan2", data, start_from=imported.path, batch=4, images=4, out=tmp_path / "second")
    assert capsys.readouterr().err.count("tensors loaded (100 % of its numbers)") == 2


def test_wrong_beginnings_are_refused_and_leave_nothing(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds weights of stylegan2: train stylegan2, not dcgan"):
        mulligan.train("dcgan", "digits", start_from=origin, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"--freeze-d 99: D has \d+ layers"):
        tuned(origin, tmp_path, freeze_d=99)
    with pytest.raises(UserError, match="name them with --from"):
        mulligan.train("dcgan", "digits", freeze_d=1, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"would keep b16\.fromrgb of D as it was drawn"):
        tuned(origin, tmp_path, freeze_d=1, channels=1)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is not a run folder"):
        tuned(tmp_path / "folder", tmp_path)
    with pytest.raises(UserError, match="isn't there"):
        tuned(tmp_path / "nothing.pkl", tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_freeze_the_first_layer_of_its_critic(name: str) -> None:
    from mulligan.auto import resolve
    from mulligan.experiment import Described

    data = Described((1, 16, 16), ("a", "b"), 10)
    recipe = find(name)
    plan = recipe.plan(data, resolve(recipe, recipe.arguments(small(name)), data)[0])
    D = plan.game.get_submodule("critic.D")
    kept = freeze(D, 1, (1, 16, 16))
    assert len(kept) == 1
    frozen = [p for p in D.parameters() if not p.requires_grad]
    assert 0 < len(frozen) < len(list(D.parameters()))

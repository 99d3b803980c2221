"""Pickles in NVIDIA's layout come in as runs of ours, which make the pictures that the official code made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mulligan
from mulligan import UserError
from mulligan.weights.bring import bring
from tests.parity.compare import compare
from tests.parity.fixture import Fixture, fixture

from .official_pickles import Persistent, pickled

PICTURES = {
    "sg2ada_generator_skip": ("img_psi07_const", 0.7),
    "sg2ada_generator_orig_uncond": ("img_const", 1.0),
    "sg2ada_generator_resnet_uncond": ("img_const", 1.0),
    "sg3_generator_T": ("img_psi07", 0.7),
    "sg3_generator_R": ("img_psi07", 0.7),
}


class Generator(Persistent):
    """A module of entries by their dotted names."""


def built(state: dict[str, Tensor], **arguments: Any) -> Generator:
    root = Generator(**arguments)
    for name, value in state.items():
        *path, last = name.split(".")
        module: nn.Module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Generator())
            module = module.get_submodule(part)
        if last in ("weight", "bias", "const", "noise_strength"):
            module.register_parameter(last, nn.Parameter(value))
        else:
            module.register_buffer(last, value)
    return root


def written(path: Path, f: Fixture, **more: Any) -> Path:
    G = built(f.under("state/"), **{**f.config, **more})
    path.write_bytes(pickled({"G": G, "D": None, "G_ema": G, "training_set_kwargs": {"path": "photos"}}))
    return path


@pytest.mark.parametrize("name", PICTURES)
def test_an_official_pickle_makes_the_official_pictures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flag = tmp_path / "executed"
    monkeypatch.setattr(Persistent, "flag", str(flag))
    f = fixture(name)
    bring(written(tmp_path / "network.pkl", f), tmp_path / "run")
    assert not flag.exists()
    run = mulligan.load(tmp_path / "run")
    key, psi = PICTURES[name]
    with torch.no_grad():
        x = run.sampler.G(f["in/z"], f.under("in/").get("c"), psi)
    assert compare(f"out/{key}", x, f.arrays[f"out/{key}"], f.rtol).passed
    assert run.sample(2).shape == (2, *x.shape[1:])
    assert np.isfinite(run.sample(2, seed=1).numpy()).all()


def test_labels_of_an_official_pickle_are_asked_for_by_number(tmp_path: Path):
    bring(written(tmp_path / "network.pkl", fixture("sg2ada_generator_skip")), tmp_path / "run")
    run = mulligan.load(tmp_path / "run")
    assert not torch.equal(run.sample(2, label=0, seed=1), run.sample(2, label=3, seed=1))


def test_what_our_networks_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path):
    f = fixture("sg3_generator_T")
    with pytest.raises(UserError, match="filter_size 5, ours can't"):
        bring(written(tmp_path / "network.pkl", f, filter_size=5), tmp_path / "run")
    with pytest.raises(UserError, match="neither T nor R"):
        bring(written(tmp_path / "network.pkl", f, conv_kernel=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()

"""The recipes of the big image GANs on real sets: a few rounds, in float32 and in bf16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mulligan
from mulligan.core.errors import UserError

from .test_recipes import small

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EMOJI = {"data": DATA / "noto_emoji72" / "noto_emoji72.zip", "size": 32, "channels": 4}
FLOWERS = {"data": DATA / "dandelion2daisy" / "dandelion2daisy.zip", "size": "32x48"}
CIFAR = {"data": "cifar10", "data_root": DATA}
LUNGS = {"data": DATA / "medmnist" / "pneumoniamnist.npz", "size": 32}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("progressive", CIFAR), ("stylegan", EMOJI), ("stylegan2", EMOJI), ("stylegan2", FLOWERS), ("stylegan3", LUNGS),
    ("biggan", CIFAR), ("sagan", LUNGS), ("r3gan", FLOWERS), ("fastgan", EMOJI), ("fastgan", FLOWERS),
]  # fmt: skip


def held(name: str, where: dict[str, Any]) -> dict[str, Any]:
    if not DATA.is_dir():
        pytest.skip("the real sets are not beside this checkout (../shared/data)")
    return {**where, **small(name)}


@pytest.mark.parametrize(("name", "where"), CASES, ids=lambda v: v if isinstance(v, str) else Path(v["data"]).stem)
def test_trains_on_real_pictures(name: str, where: dict[str, Any], tmp_path: Path) -> None:
    run = mulligan.train(name, out=tmp_path / "run", doctor=False, **held(name, where))
    x = run.sample(3, seed=1)
    assert x.shape == (3, *run.described.shape)
    assert bool(x.isfinite().all())
    assert x.std() > 0
    if where is EMOJI:
        assert run.described.shape == (4, 32, 32)
    if where is FLOWERS:
        assert run.described.shape == (3, 32, 48)


@pytest.mark.parametrize(
    "name", ["progressive", "stylegan", "stylegan2", "stylegan3", "biggan", "sagan", "r3gan", "fastgan"]
)
def test_trains_in_bf16(name: str, tmp_path: Path) -> None:
    arguments = small(name, stabilize={"r1": 0.1}) if name not in ("progressive",) else small(name)
    run = mulligan.train(name, "digits", size=16, precision="bf16", out=tmp_path / "run", doctor=False, **arguments)
    assert bool(run.sample(3).isfinite().all())
    assert all(p.dtype == torch.float32 for p in run.sampler.parameters())


@pytest.mark.parametrize("size", [29, 20])
def test_a_size_that_fits_no_network_is_told(size: int, tmp_path: Path) -> None:
    if size == 20:
        run = mulligan.train("stylegan2", "digits", size=size, out=tmp_path / "run", doctor=False, **small("stylegan2"))
        assert run.sample(1).shape[-1] == size
        return
    with pytest.raises(UserError, match="28"):
        mulligan.train("stylegan2", "digits", size=size, out=tmp_path / "run", **small("stylegan2"))

"""One thread, and every cache and settings file in a folder of the test session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: children then compute with the same number of threads, bit for bit

import numpy as np
import pytest
import torch

from mulligan.media import curves

from . import helpers

DRAW = curves.draw_apart

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    os.environ["MULLIGAN_CACHE"] = str(home / "cache")
    os.environ["XDG_CONFIG_HOME"] = str(home / "config")


@pytest.fixture(scope="session", autouse=True)
def _no_curves() -> Iterator[None]:
    """They take longer to draw than most runs here: a test that looks at them asks for `drawn`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw_apart", lambda *_: None)
        yield


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "draw_apart", DRAW)


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    helpers.kill_all()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 grey 8×8 pictures of 3 classes as .npz: few, so that a run of a dozen rounds crosses epochs."""
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    draw = np.random.default_rng(0)
    np.savez(path, x=draw.integers(0, 256, (50, 8, 8), dtype=np.uint8), y=np.arange(50) % 3)
    return path

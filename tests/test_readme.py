"""What the README says, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mulligan
from mulligan.zoo import SHELF

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_lists_every_recipe() -> None:
    assert re.findall(r"^\| `(\w+)` \|", README, re.M) == list(SHELF)


def test_the_gan_of_your_own_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (block,) = re.findall(r"```python\n(# mygan\.py.*?)```", README, re.S)
    (tmp_path / "mygan.py").write_text(block, encoding="utf-8")
    run = mulligan.train(f"{tmp_path}/mygan.py:mygan", "digits", out=tmp_path / "run", images=256)
    assert run.sample(3).shape == (3, 1, 8, 8)


def test_named_files_exist() -> None:
    root = Path(__file__).resolve().parents[1]
    for name in re.findall(r"\]\((docs/[\w.]+)\)", README):
        assert (root / name).is_file(), name

"""The doctor in a training loop that isn't Mulligan's."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mulligan import Doctor, UserError

STEPS, BATCH = 600, 32


def watched(objective: str = "nonsaturating", *, fake: float = 1.0, gap: float = 0.5, **more: Any) -> Doctor:
    """A loop of 600 steps on points; `fake` is the spread of generated ones, `gap` D's margin, with samples."""
    draw = torch.Generator().manual_seed(0)
    doctor = Doctor(objective, every=20, budget=STEPS * BATCH, count=10_000)
    for _ in range(STEPS):
        logits = [torch.randn(BATCH, 1, generator=draw) + shift for shift in (gap / 2, -gap / 2)]
        x, made = torch.randn(BATCH, 2, generator=draw), fake * torch.randn(BATCH, 2, generator=draw)
        doctor.observe(*logits, real=x, fake=made, loss_D=1.3, loss_G=0.7, **more)
    return doctor


def test_a_healthy_loop_is_healthy():
    doctor = watched()
    assert doctor.word == "healthy"
    assert doctor.images == STEPS * BATCH


def test_a_collapse_is_seen_in_the_samples():
    doctor = watched(fake=0.05)
    assert doctor.word == "mode collapse"
    assert doctor.verdict.findings[0].readings[0].value < 0.1


def test_before_the_first_probes_nothing_is_said():
    doctor = Doctor(every=20)
    assert doctor.observe(torch.zeros(8), torch.zeros(8)) == "too early"


def test_logits_alone_tell_a_margin_that_explodes():
    doctor = Doctor("nonsaturating", every=10, budget=10_000)
    for _ in range(200):
        word = doctor.observe(torch.full((8,), 400.0), torch.full((8,), -400.0))
    assert word == "exploding or oscillating training"


def test_held_out_logits_tell_overfitting():
    draw = torch.Generator().manual_seed(0)

    def logits(mean: float) -> Tensor:
        return torch.randn(BATCH, generator=draw) + mean

    doctor = Doctor("hinge", every=10, budget=200 * BATCH, count=10_000)
    for _ in range(200):
        doctor.observe(logits(3.0), logits(-3.0), held_logits=logits(-2.5))
    assert doctor.word == "D overfitting"


@pytest.mark.parametrize(("count", "word"), [(64, "D overfitting"), (50_000, "healthy")])
def test_a_loop_that_trains_on_few_points_overfits_and_one_on_many_does_not(count: int, word: str):
    assert trained(count).word == word


def trained(count: int, steps: int = 1_000, batch: int = 64, width: int = 96) -> Doctor:
    """A plain loop on `count` points of a Gaussian in 16 dimensions; the doctor sees logits only."""
    torch.manual_seed(0)
    data, unseen = torch.randn(count, 16), torch.randn(512, 16)

    def net(*sizes: int) -> nn.Sequential:
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        return nn.Sequential(*layers[:-1])

    G, D = net(16, width, width, 16), net(16, width, width, width, 1)
    optims = [torch.optim.Adam(side.parameters(), lr=1e-3, betas=(0.5, 0.999)) for side in (G, D)]
    doctor = Doctor("nonsaturating", every=50, budget=steps * batch)
    for _ in range(steps):
        x, z = data[torch.randint(count, (batch,))], torch.randn(batch, 16)
        real, fake = D(x), D(G(z).detach())
        loss = softplus(-real).mean() + softplus(fake).mean()
        descend(optims[1], loss)
        descend(optims[0], softplus(-D(G(z))).mean())
        doctor.observe(real, fake, held_logits=D(unseen[torch.randint(512, (batch,))]))
    return doctor


def descend(optim: torch.optim.Optimizer, loss: Tensor) -> None:
    optim.zero_grad()
    loss.backward()
    optim.step()


def test_numbers_that_leave_the_finite_are_seen():
    doctor = Doctor(every=5)
    for step in range(20):
        doctor.observe(torch.zeros(8), torch.zeros(8), loss_D=float("nan") if step > 10 else 1.0)
    assert doctor.word == "non-finite numbers"


def test_the_loop_is_left_as_it_is():
    real, fake = torch.randn(8, 1, requires_grad=True), torch.randn(8, 1, requires_grad=True)
    before = torch.get_rng_state()
    doctor = Doctor(every=1)
    for _ in range(5):
        doctor.observe(real, fake, real=torch.randn(0, 2), fake=torch.randn(0, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert real.grad is None


def test_an_unknown_objective_names_the_known_ones():
    with pytest.raises(UserError, match=r"unknown objective 'wgan'.*wasserstein"):
        Doctor("wgan")


def test_the_lines_of_the_page_run():
    page = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "Doctor(" in block]
    assert len(code.strip().splitlines()) <= 10
    dataset = torch.randn(10_000, 2)
    names: dict[str, Any] = {"dataset": dataset, "loader": dataset.split(64)}
    names |= {"real_logits": torch.randn(64), "fake_logits": torch.randn(64), "fake": torch.randn(64, 2)}
    names |= {"loss_d": torch.tensor(1.0), "loss_g": torch.tensor(1.0)}
    exec(compile(code, "doctor.md", "exec"), names)  # the page's own lines
    assert names["word"] in ("healthy", "watch", "too early")

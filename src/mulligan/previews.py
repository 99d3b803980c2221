"""What a run shows while it trains: sheets, curves, TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .core.errors import UserError
from .core.recipe import Plan
from .core.run import Run
from .media import curves, for_shape
from .parts.samplers import Sampler

SHEET = 64  # samples on a sheet
CURVES_SHARE = 0.01  # of the time may go to drawing the curves while training


def previewer(run: Run, plan: Plan, source: Any) -> Callable[[nn.Module, int], None]:
    """Sheets of the same latents every time, so that one sees learning; the curves beside them."""
    reference = source.gather(torch.arange(min(len(source), 2000)))["x"] if len(source.shape) == 1 else None
    media = for_shape(source.shape, reference)
    classes = int(getattr(plan.game.sampler, "classes", 0))
    due = 0.0
    count = 2000 if reference is not None else classes**2 if 4 <= classes <= 12 else SHEET

    def preview(sampler: Any, images: int) -> None:
        nonlocal due
        z = sampler.latents(count, torch.Generator().manual_seed(0))
        if isinstance(sampler, Sampler):
            y = sampler.in_turn(count)
        else:
            y = torch.arange(count, device=z.device) % classes if classes else None
        with torch.no_grad():
            x = torch.cat(
                [
                    sampler.decode(z[i : i + SHEET], None if y is None else y[i : i + SHEET])
                    for i in range(0, count, SHEET)
                ]
            )
        run.samples.mkdir(parents=True, exist_ok=True)
        media.sheet(x.float().cpu(), run.samples / f"{images:010d}.png")
        begun = time.monotonic()
        if images and (images >= plan.images or begun > due):
            curves.draw_apart(run.rows(), run.curves, [row for row in run.scores() if row.get("training")])
            due = time.monotonic() + (time.monotonic() - begun) / CURVES_SHARE

    return preview


def tensorboard_writer(run: Run) -> Callable[[dict[str, Any]], None]:
    """Scalars for TensorBoard, under `tensorboard/` of the run. Raises UserError where it isn't installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'mulligan[tensorboard]'") from error
    writer = SummaryWriter(str(run.path / "tensorboard"))

    def write(row: dict[str, Any]) -> None:
        with run.tolerant("tensorboard"):
            for name, value in row.items():
                if isinstance(value, (int, float)) and name not in ("round", "images"):
                    writer.add_scalar(name.replace("(", "_").replace(")", ""), value, row["images"])
            writer.flush()

    return write

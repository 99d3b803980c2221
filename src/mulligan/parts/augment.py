"""DiffAugment (Zhao et al. 2020): the same differentiable augmentation for real and fake images.

Every function takes images (N, C, H, W), C of any number, and its random draws; diffaugment draws them.
"""

from difflib import get_close_matches

import torch
from torch import Tensor

from mulligan.core.errors import UserError

POLICIES = ("color", "translation", "cutout")


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """x + (u - 1/2); u uniform in [0, 1), one per sample."""
    return x + (_each(u, x) - 0.5)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """Distance from the mean over channels times 2u; u uniform in [0, 1), one per sample. Grey stays grey."""
    return _stretched(x, x.mean(1, keepdim=True), 2 * _each(u, x))


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """Distance from the sample's mean times (u + 1/2); u uniform in [0, 1), one per sample."""
    return _stretched(x, x.mean((1, 2, 3), keepdim=True), _each(u, x) + 0.5)


def translation(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[h, w] = x[h + rows, w + columns] with zeros outside; integers, one of each per sample."""
    return _shifted(_shifted(x, rows, 2), columns, 3)


def cutout(x: Tensor, rows: Tensor, columns: Tensor, ratio: float = 0.5) -> Tensor:
    """Zeroes a rectangle of ratio times the sides, centred at (rows, columns) and cut off at the borders.

    rows, columns: integers, one of each per sample.
    """
    hole = _band(x, rows, 2, ratio) & _band(x, columns, 3, ratio)
    return x * (~hole).to(x.dtype)


def diffaugment(
    x: Tensor, policy: str = "color,translation,cutout", *, translation_ratio: float = 0.125, cutout_ratio: float = 0.5
) -> Tensor:
    """x (N, C, H, W) after the operations of the policy in its order, each with fresh draws per sample.

    policy: words of POLICIES joined by commas, "" for none; color is brightness, saturation and contrast. Twice
    differentiable with respect to x. UserError, naming the nearest word, for an unknown one.
    """
    for word in parse(policy):
        if word == "color":
            for operation in (brightness, saturation, contrast):
                x = operation(x, torch.rand(len(x), dtype=x.dtype, device=x.device))
        elif word == "translation":
            x = translation(x, *(_shifts(x, side, translation_ratio) for side in x.shape[2:]))
        else:
            x = cutout(x, *(_centres(x, side, cutout_ratio) for side in x.shape[2:]), cutout_ratio)
    return x


def parse(policy: str) -> list[str]:
    """The words of a policy; UserError, naming the nearest word, for an unknown one."""
    words = [word.strip() for word in policy.split(",") if word.strip()]
    for word in words:
        if word not in POLICIES:
            near = get_close_matches(word, POLICIES, 1, 0)[0]
            raise UserError(f"unknown augmentation {word!r}: did you mean {near!r}? Known are {', '.join(POLICIES)}")
    return words


def _each(draws: Tensor, x: Tensor) -> Tensor:
    return draws.to(x.device).reshape(len(x), 1, 1, 1)


def _stretched(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    return (x - mean) * factor + mean


def _shifted(x: Tensor, offsets: Tensor, axis: int) -> Tensor:
    side = x.shape[axis]
    shape = [len(x), 1, 1, 1]
    shape[axis] = side
    source = (offsets.to(x.device).reshape(-1, 1) + torch.arange(side, device=x.device)).view(shape)
    inside = (source >= 0) & (source < side)
    return x.gather(axis, source.clamp(0, side - 1).expand_as(x)) * inside.to(x.dtype)


def _band(x: Tensor, centres: Tensor, axis: int, ratio: float) -> Tensor:
    side = x.shape[axis]
    size = int(side * ratio + 0.5)
    shape = [len(x), 1, 1, 1]
    shape[axis] = side
    start = centres.to(x.device).reshape(-1, 1) - size // 2
    positions = torch.arange(side, device=x.device)
    # The original clamps indices to the image, so a rectangle hanging wholly outside still marks the border line.
    covered = (positions >= start.clamp(0, side - 1)) & (positions <= (start + size - 1).clamp(0, side - 1))
    return covered.view(shape) if size else torch.zeros(shape, dtype=torch.bool, device=x.device)


def _shifts(x: Tensor, side: int, ratio: float) -> Tensor:
    most = int(side * ratio + 0.5)
    return torch.randint(-most, most + 1, (len(x),), device=x.device)


def _centres(x: Tensor, side: int, ratio: float) -> Tensor:
    size = int(side * ratio + 0.5)
    return torch.randint(0, side + (1 - size % 2), (len(x),), device=x.device)

"""Augmentation that doesn't leak (Karras et al. 2020, arXiv:2006.06676, appendix B): geometry, colour, filters, cutout.

Each change is made with probability p, so that G can't tell apart what D was shown and what there is. All of it is
differentiable. `AUGMENTATIONS` are sets of changes by the paper's names.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .filters import downsample, kernel, upsample
from .warp import along, flipped, moved, rotated, scaled, turned

CHANGES = (
    "xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac",
    "brightness", "contrast", "lumaflip", "hue", "saturation", "imgfilter", "noise", "cutout",
)  # fmt: skip
AUGMENTATIONS = {
    "blit": CHANGES[:3], "geom": CHANGES[3:7], "color": CHANGES[7:12], "filter": ("imgfilter",), "noise": ("noise",),
    "cutout": ("cutout",), "bg": CHANGES[:7], "bgc": CHANGES[:12], "bgcf": CHANGES[:13],
}  # fmt: skip
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filters of symlet wavelets (Daubechies 1992)."""
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Of natural pictures, expected in the four bands."""
GREY = torch.ones(3) / 3**0.5


class Draws:
    """Where the numbers of an augmentation come from; a test may put fixed ones in their place."""

    def uniform(self, n: int, *shape: int) -> Tensor:
        """In [0, 1)."""
        return torch.rand(n, *shape)

    def normal(self, n: int, *shape: int) -> Tensor:
        return torch.randn(n, *shape)

    def size(self, n: int) -> Tensor:
        """|N(0, 1)|."""
        return self.normal(n).abs()

    def happens(self, n: int, p: Tensor | float) -> Tensor:
        """True with probability p: (n,)."""
        return torch.rand(n) < p


class Augment(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1], changed. `p` is a buffer; `changes` are names and multipliers of p.

    Colours change in one and three channels, and in the first three of four; UserError elsewhere is the recipe's.
    """

    p: Tensor
    Hz_geom: Tensor
    Hz_fbank: Tensor

    def __init__(self, changes: dict[str, float], p: float = 0.0) -> None:
        super().__init__()
        if unknown := changes.keys() - set(CHANGES):
            raise ValueError(f"unknown changes {', '.join(sorted(unknown))}: they are {', '.join(CHANGES)}")
        self.changes = changes
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("Hz_geom", kernel(SYM6))
        self.register_buffer("Hz_fbank", bank())

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        draws = draws or Draws()
        inverse = self.geometry(x.shape, draws)
        x = x if inverse is None else warped(x, inverse.to(x), self.Hz_geom)
        colours = self.colours(len(x), draws)
        x = x if colours is None else painted(x, colours.to(x))
        return self._corrupted(self._filtered(x, draws), draws)

    def _share(self, name: str) -> Tensor | float:
        return self.p.cpu() * self.changes.get(name, 0.0)

    def _chosen(self, name: str, draws: Draws, n: int, value: Tensor, none: float) -> Tensor:
        """value (n, …) where the change happens, else `none`."""
        happens = draws.happens(n, self._share(name)).view(n, *(1,) * (value.dim() - 1))
        return torch.where(happens, value, torch.as_tensor(none))

    def geometry(self, shape: torch.Size, draws: Draws) -> Tensor | None:
        """From pixels of the result to pixels of the picture, about its centre: (N, 3, 3); None where nothing moves."""
        n, _, height, width = shape
        G, on = torch.eye(3).expand(n, 3, 3), self.changes
        extent = torch.tensor([width, height])
        if "xflip" in on:
            G = G @ flipped(self._chosen("xflip", draws, n, (draws.uniform(n) * 2).floor(), 0))
        if "rotate90" in on:
            G = G @ rotated(self._chosen("rotate90", draws, n, (draws.uniform(n) * 4).floor(), 0) * math.pi / 2)
        if "xint" in on:
            shift = self._chosen("xint", draws, n, (draws.uniform(n, 2) * 2 - 1) * 0.125, 0)
            G = G @ moved(-(shift * extent).round())
        if "scale" in on:
            G = G @ scaled(1 / self._chosen("scale", draws, n, (draws.normal(n, 1) * 0.2).exp2(), 1).expand(n, 2))
        if "rotate" in on:
            G = G @ self._half_turn(n, draws)
        if "aniso" in on:
            s = self._chosen("aniso", draws, n, (draws.normal(n) * 0.2).exp2(), 1)
            G = G @ scaled(torch.stack([1 / s, s], 1))
        if "rotate" in on:
            G = G @ self._half_turn(n, draws)
        if "xfrac" in on:
            G = G @ moved(-self._chosen("xfrac", draws, n, draws.normal(n, 2) * 0.125, 0) * extent)
        return G if on.keys() & set(CHANGES[:7]) else None

    def _half_turn(self, n: int, draws: Draws) -> Tensor:
        """Before and after the stretching, so that both together happen with probability p."""
        share = 1 - (1 - torch.as_tensor(self._share("rotate")).clamp(0, 1)).sqrt()
        angle = (draws.uniform(n) * 2 - 1) * math.pi
        return rotated(torch.where(draws.happens(n, share), angle, torch.tensor(0.0)))

    def colours(self, n: int, draws: Draws) -> Tensor | None:
        """What (R, G, B, 1) is multiplied by: (N, 4, 4); None where no colour changes."""
        C, on, grey = torch.eye(4).expand(n, 4, 4), self.changes, along(GREY)
        if "brightness" in on:
            C = moved(self._chosen("brightness", draws, n, draws.normal(n, 1) * 0.2, 0).expand(n, 3)) @ C
        if "contrast" in on:
            C = scaled(self._chosen("contrast", draws, n, (draws.normal(n, 1) * 0.5).exp2(), 1).expand(n, 3)) @ C
        if "lumaflip" in on:
            flip = self._chosen("lumaflip", draws, n, (draws.uniform(n, 1, 1) * 2).floor(), 0)
            C = (torch.eye(4) - 2 * grey * flip) @ C
        if "hue" in on:
            C = turned(GREY, self._chosen("hue", draws, n, (draws.uniform(n) * 2 - 1) * math.pi, 0)) @ C
        if "saturation" in on:
            s = self._chosen("saturation", draws, n, draws.normal(n, 1, 1).exp2(), 1)
            C = (grey + (torch.eye(4) - grey) * s) @ C
        return C if on.keys() & set(CHANGES[7:12]) else None

    def _filtered(self, x: Tensor, draws: Draws) -> Tensor:
        """Each band of frequencies louder or softer, with the power of the whole kept."""
        if "imgfilter" not in self.changes:
            return x
        n, bands, power = len(x), len(POWER), torch.tensor(POWER)
        gains = torch.ones(n, bands)
        for band in range(bands):
            t = torch.ones(n, bands)
            t[:, band] = self._chosen("imgfilter", draws, n, draws.normal(n).exp2(), 1)
            gains = gains * t / (power * t.square()).sum(1, keepdim=True).sqrt()
        return convolved_each(x, gains.to(x) @ self.Hz_fbank)

    def _corrupted(self, x: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = x.shape
        if "noise" in self.changes:
            sigma = self._chosen("noise", draws, n, draws.size(n) * 0.1, 0).to(x)
            x = x + torch.randn_like(x) * sigma[:, None, None, None]
        if "cutout" in self.changes:
            size = self._chosen("cutout", draws, n, torch.full((n, 2), 0.5), 0)
            centre = draws.uniform(n, 2)
            inside = [
                ((torch.arange(side) + 0.5) / side - centre[:, [i]]).abs() < size[:, [i]] / 2
                for i, side in enumerate((width, height))
            ]
            x = x * ~(inside[1][:, :, None] & inside[0][:, None, :])[:, None].to(x.device)
        return x


def warped(x: Tensor, inverse: Tensor, wavelet: Tensor) -> Tensor:
    """x seen through (N, 3, 3) about its centre: mirrored at the borders, and drawn at twice the size."""
    n, _, height, width = x.shape
    pad = len(wavelet) // 4
    left, right, top, bottom = margins(inverse, height, width, 2 * pad)
    x = F.pad(x, (left, right, top, bottom), mode="reflect")
    inverse = moved(torch.tensor([[(left - right) / 2, (top - bottom) / 2]]).to(x)) @ inverse
    x = upsample(x, wavelet)
    half = moved(torch.full((1, 2), -0.5).to(x))
    double, back = scaled(torch.full((1, 2), 2.0).to(x)), scaled(torch.full((1, 2), 0.5).to(x))
    inverse = half @ double @ inverse @ back @ half.inverse()
    size = (n, x.shape[1], (height + 2 * pad) * 2, (width + 2 * pad) * 2)
    ahead = scaled(torch.tensor([[2 / x.shape[3], 2 / x.shape[2]]]).to(x))
    behind = scaled(torch.tensor([[size[3] / 2, size[2] / 2]]).to(x))
    grid = F.affine_grid((ahead @ inverse @ behind)[:, :2], list(size), align_corners=False)
    x = F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False)
    return downsample(x, wavelet.flip(0), padding=-2 * pad)


def margins(inverse: Tensor, height: int, width: int, beyond: int) -> tuple[int, int, int, int]:
    """Pixels (left, right, top, bottom) that the corners of all pictures reach over the border, and `beyond` more."""
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]]).to(inverse)
    reach = (inverse @ corners)[:, :2].transpose(0, 1).flatten(1)
    low, high = (-reach).max(1).values.tolist(), reach.max(1).values.tolist()

    def over(value: float, half: float, side: int) -> int:
        return min(max(math.ceil(value - half + beyond), 0), side - 1)

    return over(low[0], x, width), over(high[0], x, width), over(low[1], y, height), over(high[1], y, height)


def painted(x: Tensor, colours: Tensor) -> Tensor:
    """x with its colours multiplied by (N, 4, 4); a fourth channel stays, and other numbers of them are all greys."""
    n, channels, height, width = x.shape
    if channels not in (3, 4):
        grey = colours[:, :3].mean(1, keepdim=True)
        return x * grey[:, :, :3].sum(2, keepdim=True)[..., None] + grey[:, :, 3:, None]
    rgb = (colours[:, :3, :3] @ x[:, :3].flatten(2) + colours[:, :3, 3:]).view(n, 3, height, width)
    return rgb if channels == 3 else torch.cat([rgb, x[:, 3:]], 1)


def convolved_each(x: Tensor, filters: Tensor) -> Tensor:
    """x (N, C, H, W) filtered along both axes by its own odd kernel (N, K), mirrored at the borders."""
    n, channels, height, width = x.shape
    pad = filters.shape[1] // 2
    taps = filters[:, None].expand(n, channels, -1).reshape(n * channels, 1, -1)
    x = mirrored(x, pad).reshape(1, n * channels, height + 2 * pad, width + 2 * pad)
    x = F.conv2d(x, taps[:, :, None], groups=n * channels)
    return F.conv2d(x, taps[..., None], groups=n * channels).view(n, channels, height, width)


def mirrored(x: Tensor, pad: int) -> Tensor:
    """Reflection that may go to and fro, for pictures smaller than the padding."""
    while pad > 0:
        step = min(pad, x.shape[2] - 1, x.shape[3] - 1)
        x, pad = F.pad(x, (step,) * 4, mode="reflect"), pad - step
    return x


def bank() -> Tensor:
    """Four filters (4, 43) of bands of frequencies, lowest first, that add up to doing nothing (figure 6)."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    low, high = (_convolved(f[None], f.flip(0))[0] / 2 for f in (low, high))
    rows = torch.eye(len(POWER), 1, dtype=torch.float64)
    for band in range(1, len(POWER)):
        rows = torch.stack([rows, torch.zeros_like(rows)], 2).flatten(1)[:, :-1]
        rows = _convolved(rows, low)
        start = (rows.shape[1] - len(high)) // 2
        rows[band, start : start + len(high)] += high
    return rows.float()


def _convolved(rows: Tensor, f: Tensor) -> Tensor:
    """Full convolution of each row with f."""
    return F.conv1d(rows[:, None], f.flip(0)[None, None], padding=len(f) - 1)[:, 0]

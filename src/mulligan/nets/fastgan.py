"""The networks of FastGAN (Liu et al. 2021, arXiv:2101.04775), for every size that pyramid allows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.parts.excitation import Excitation, Noise
from mulligan.parts.layers import BatchNorm2d, pack
from mulligan.parts.layout import fast_layout, fast_weights
from mulligan.parts.spectral import ONE, Linear, Normalized

from .sizes import pyramid

LEAK = 0.2
SMALL, LARGE = 1, 2
"""Doublings of the base at which D's maps are decoded: 8 and 16 pixels a side, where the base has 4."""
DEEPEST = 4
"""Doublings that a decoder makes at most, 128 pixels from 8 (section 3.2)."""
WIDEST = 128
"""Maps that a decoder halves from at most: it is to be small."""


def counts(width: int, most: int, ups: int) -> list[int]:
    """Feature maps of each size, the smallest first: `width` at the largest, doubled with each halving up to `most`."""
    return [min(width << ups - i, most) for i in range(ups + 1)]


class Conv(Normalized, nn.Conv2d):
    """A convolution with a spectral norm and without bias; `padding` of size // 2 where none is given."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int | None = None) -> None:
        super().__init__(inputs, outputs, size, stride, size // 2 if padding is None else padding, bias=False)
        self.watch(ONE)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.normalized(), self.bias)


class Up(nn.Module):
    """Twice the size: nearest pixels, 3×3, noise, batch norm, gated linear unit (figure 3)."""

    def __init__(self, inputs: int, outputs: int, height: int, width: int) -> None:
        super().__init__()
        self.conv, self.noise = Conv(inputs, 2 * outputs), Noise(height, width)
        self.norm = BatchNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(self.noise(self.conv(doubled(x)))), 1)


class Generator(nn.Module):
    """z (N, latent) to pictures (N, *shape) in [-1, 1].

    One block for each doubling, and a map excites the one that is `reach` doublings larger: 8² excites 128², as in the
    paper, and so on. A picture that hasn't as many shortens it, so that the base excites the last map. `width`, `most`:
    see counts. UserError for sizes that pyramid refuses.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, width: int = 32, most: int = 256, reach: int = DEEPEST
    ) -> None:
        super().__init__()
        rows, columns, ups = pyramid(shape[1], shape[2])
        sizes = counts(width, most, ups)
        self.latent, self.shape, self.reach = latent, tuple(shape), max(min(reach, ups), 1)
        self.base = (2 * sizes[0], rows, columns)
        self.project = Linear(latent, 2 * sizes[0] * rows * columns, ONE, bias=False)
        self.norm = BatchNorm2d(2 * sizes[0])
        self.ups = nn.ModuleList(Up(a, b, rows << i, columns << i) for i, (a, b) in enumerate(pairwise(sizes), 1))
        self.excitations = nn.ModuleList(Excitation(a, b) for a, b in zip(sizes, sizes[self.reach :], strict=False))
        self.paint = Conv(sizes[-1], shape[0])
        fast_weights(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = fast_layout(self.project(z).view(len(z), *self.base))
        maps = [F.glu(self.norm(x), 1)]
        for size, up in enumerate(self.ups, 1):
            x = up(maps[-1])
            if (low := size - self.reach) >= 0:
                x = self.excitations[low](maps[low], x)
            maps.append(x)
        return torch.tanh(self.paint(maps[-1])).contiguous()


class Down(nn.Module):
    """Half the size: 4×4 of stride 2 and 3×3, plus means of four and 1×1, halved (figure 4)."""

    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = Conv(inputs, outputs, 4, 2, 1), normed(outputs, norm)
        self.conv2, self.norm2 = Conv(outputs, outputs), normed(outputs, norm)
        self.short, self.norm3 = Conv(inputs, outputs, 1), normed(outputs, norm)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.norm1(self.conv1(x)), LEAK)
        h = F.leaky_relu(self.norm2(self.conv2(h)), LEAK)
        return (h + F.leaky_relu(self.norm3(self.short(F.avg_pool2d(x, 2))), LEAK)) / 2


class Decoder(nn.Sequential):
    """A map (N, inputs, h, w) to a picture (N, colours, h · 2^ups, w · 2^ups): nearest pixels, 3×3, batch norm and
    gated linear unit for each doubling, then 3×3.

    Without a bound at its end: an augmented picture may leave [-1, 1].
    """

    def __init__(self, inputs: int, colours: int, ups: int) -> None:
        widths = [inputs, *(max(min(inputs, WIDEST) >> i, 8) for i in range(1, ups + 1))]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(a, 2 * b, 3, padding=1, bias=False), BatchNorm2d(2 * b)]
            layers += [nn.GLU(1)]
        super().__init__(*layers, nn.Conv2d(widths[-1], colours, 3, padding=1))


class Discriminator(nn.Module):
    """Pictures (N, *shape) to logits (N,), each the mean over patches; an encoder whose maps decoders can read.

    Maps of 16² and 8² are decoded, and the last one gives the logits of patches, 5×5 of them (section 3.2). A picture
    of 16² has one decoder, of 8² none, instead of three. `packing`: n samples are judged together (Lin et al. 2018):
    logits (N/n,), `shape` that of one picture. `norm`: batch norm, which penalties of slopes must not see. UserError
    for sizes that pyramid refuses.
    """

    separable = True

    def __init__(
        self, shape: tuple[int, int, int], *, width: int = 32, most: int = 256, norm: bool = True, packing: int = 1
    ) -> None:
        super().__init__()
        ups = pyramid(shape[1], shape[2])[2]
        colours, sizes = shape[0] * packing, counts(width, most, ups)[min(ups, SMALL) :][::-1]
        self.shape, self.packing, self.ups, self.width = tuple(shape), packing, ups, sizes[-1]
        self.stem = Conv(colours, sizes[0])
        self.downs = nn.ModuleList(Down(a, b, norm) for a, b in pairwise(sizes))
        self.body, self.norm = Conv(self.width, self.width, 1), normed(self.width, norm)
        self.head = Conv(self.width, 1, 4, padding=0)
        small = Decoder(sizes[-1], colours, min(DEEPEST, ups - SMALL)) if ups > SMALL else None
        large = Decoder(sizes[-2], colours, min(DEEPEST - 1, ups - LARGE)) if ups > LARGE else None
        part = Decoder(sizes[-2], colours, min(DEEPEST, ups - LARGE)) if ups > LARGE else None
        self.small, self.large, self.part = small, large, part
        fast_weights(self)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last two sizes that the encoder goes through, the largest first; one where there is no other."""
        x = F.leaky_relu(self.stem(fast_layout(pack(x, self.packing) if self.packing > 1 else x)), LEAK)
        maps = [x]
        for down in self.downs:
            maps.append(down(maps[-1]))
        return maps[-2:]

    def seen(self, small: Tensor) -> Tensor:
        """What the patches are judged by, (N/packing, width, h, w)."""
        return F.leaky_relu(self.norm(self.body(small)), LEAK)

    def judged(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of patches (N/packing, P), and the maps that decoders read."""
        maps = self.maps(x)
        return self.head(self.seen(maps[-1])).flatten(1), maps

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N/packing, width), the mean over positions."""
        return self.seen(self.maps(x)[-1]).mean((2, 3))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.judged(x)[0].mean(1)

    def painted(self, maps: list[Tensor], x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What each decoder makes of the maps of x, and what it should: whole pictures of low resolution from 8² and
        16², and from a random quarter of 16² the same quarter of x.
        """
        x = pack(x, self.packing) if self.packing > 1 else x
        if self.small is not None:
            yield matched(self.small(maps[-1]), x)
        if self.large is not None and self.part is not None:
            yield matched(self.large(maps[0]), x)
            at = corner(maps[0])
            yield matched(self.part(quarter(maps[0], *at)), quarter(x, *at, self.ups - LARGE))


def doubled(x: Tensor) -> Tensor:
    """x (N, C, H, W) -> (N, C, 2H, 2W), each pixel four times."""
    return F.interpolate(x, scale_factor=2.0)


def normed(count: int, norm: bool) -> nn.Module:
    return BatchNorm2d(count) if norm else nn.Identity()


def corner(x: Tensor) -> tuple[int, int]:
    """Where a random quarter of x (N, C, H, W) starts, the same one for the whole batch."""
    top, left = (int(torch.randint(0, side // 2 + 1, ())) for side in x.shape[2:])
    return top, left


def quarter(x: Tensor, top: int, left: int, ups: int = 0) -> Tensor:
    """(N, C, H/2, W/2) of x from a corner of it that is given in pixels of a map of 2^-ups the size."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    top, left = top << ups, left << ups
    return x[:, :, top : top + height, left : left + width]


def matched(made: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """`made`, and x averaged to its size."""
    return made, F.avg_pool2d(x, x.shape[2] // made.shape[2]) if x.shape[2] > made.shape[2] else x

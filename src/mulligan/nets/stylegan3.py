"""The generator of StyleGAN3 (Karras et al. 2021, arXiv:2106.12423), configurations T and R, under its usual names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.parts.alias_free import filtered_lrelu, lowpass, styled
from mulligan.parts.modulated import Dense, full

from .stylegan2 import Mapping


@dataclass(frozen=True)
class Signal:
    """Features (channels, size, size) as samples of a continuous picture, `rate` of them along its side.

    Frequencies below `cutoff` are meant to be there, and those above cutoff + half are not. Where size exceeds rate,
    the picture goes on beyond its border.
    """

    channels: int
    size: int
    rate: int
    cutoff: float
    half: float


def signals(
    shape: tuple[int, ...], layers: int, critical: int, *, base: int = 32_768, most: int = 512, cutoff: float = 2,
    stopband: float = 2**2.1, beyond: float = 2**0.3, margin: int = 10,
) -> list[Signal]:  # fmt: skip
    """The signal behind each of the layers and behind the one that paints (Karras et al. 2021, figure 4c).

    Cutoffs grow geometrically from `cutoff` to half the resolution, which the last `critical` layers have, and
    stopbands from `stopband` to `beyond` times that. UserError for pictures that are not square or too small, or where
    no layer is left to grow.
    """
    colours, resolution, breadth = shape
    if resolution != breadth:
        raise UserError(f"StyleGAN3 makes square pictures, not {resolution}x{breadth}: crop or resize the images")
    if resolution <= 2 * cutoff:
        raise UserError(f"{resolution} pixels are too few for frequencies that start at {cutoff}: take larger images")
    if not 0 <= critical < layers:
        raise UserError(f"of {layers} layers of StyleGAN3, {critical} can't be critically sampled: take fewer")
    found = []
    for i in range(layers + 1):
        grown, top = min(i / (layers - critical), 1), resolution / 2
        passes, stops = cutoff * (top / cutoff) ** grown, stopband * (top * beyond / stopband) ** grown
        rate = 2 ** math.ceil(math.log2(min(stops * 2, resolution)))
        size = rate + 2 * margin if i < layers - 1 else resolution
        channels = round(min(base / 2 / passes, most)) if i < layers else colours
        found.append(Signal(channels, size, rate, passes, max(stops, rate / 2) - passes))
    return found


class Waves(nn.Module):
    """w (N, style) to features of plane waves, shifted and turned as w says: (N, channels, size, size).

    Frequencies and phases are drawn once (Karras et al. 2021, sections 3.1 and 3.2). `transform`, (3, 3), moves
    the picture on top of that: identity, until someone sets it.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, style: int, signal: Signal) -> None:
        super().__init__()
        self.signal, channels = signal, signal.channels
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = Dense(style, 4)
        with torch.no_grad():  # at the start, no picture is turned or shifted
            self.affine.weight.zero_()
            cast(Tensor, self.affine.bias)[0] = 1
        angle = 2 * math.pi * torch.rand(channels)
        radius = signal.cutoff * torch.rand(channels).sqrt()  # the root: evenly over the area of the disc
        self.register_buffer("freqs", torch.stack([angle.cos(), angle.sin()], 1) * radius[:, None])
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Tensor) -> Tensor:
        place = self.placed(w)
        freqs, phases = self.freqs @ place[:, :, :2], (self.freqs @ place[:, :, 2:]).squeeze(2) + self.phases
        x = self.pixels() @ freqs.mT[:, None] + phases[:, None, None]
        x = (2 * math.pi * x).sin() * self.audible(freqs)[:, None, None]
        return (x @ self.weight.t() / self.signal.channels**0.5).permute(0, 3, 1, 2)

    def placed(self, w: Tensor) -> Tensor:
        """Where each picture takes a point from, (N, 2, 3): its own turn and shift, then the common `transform`."""
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, shift = t[:, 0], t[:, 1], t[:, 2:, None]
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        still = torch.eye(2, device=t.device, dtype=t.dtype).expand(len(t), 2, 2)
        return turn @ torch.cat([still, -shift], 2) @ self.transform

    def audible(self, freqs: Tensor) -> Tensor:
        """Weights of frequencies (..., 2): 1 up to the cutoff, and 0 from half the sampling rate, which can't tell."""
        above = freqs.norm(dim=-1) - self.signal.cutoff
        return (1 - above / (self.signal.rate / 2 - self.signal.cutoff)).clamp(0, 1)

    def pixels(self) -> Tensor:
        """Centres of the pixels as (x, y), (size, size, 2): the picture itself lies within ±1/2."""
        size, like = self.signal.size, self.freqs
        centres = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5 - size / 2) / self.signal.rate
        return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), 2)


class Layer(nn.Module):
    """A modulated convolution and a filtered leaky ReLU (Karras et al. 2021, figure 4b).

    x (N, before.channels, before.size, before.size), w (N, style) -> (N, after.channels, after.size, after.size).
    One that `paints` has a 1x1 convolution and neither demodulation nor nonlinearity. `finer`: how much finer than
    its signals the nonlinearity is sampled; `taps`: of each filter, per factor.
    `decay`: of the average that the magnitude of inputs is divided by.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(
        self, style: int, before: Signal, after: Signal, *, paints: bool = False, size: int = 3, taps: int = 6,
        finer: int = 2, radial: bool = False, clamp: float | None = 256, decay: float = 0.999,
    ) -> None:  # fmt: skip
        super().__init__()
        self.paints, self.size, self.clamp, self.decay = paints, 1 if paints else size, clamp, decay
        self.scale = 1 / (before.channels * self.size**2) ** 0.5
        self.affine = Dense(style, before.channels, start=1.0)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, self.size, self.size))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        rate = max(before.rate, after.rate) * (1 if paints else finer)
        self.up, self.down = rate // before.rate, rate // after.rate
        ups, downs = (1 if paints or factor == 1 else taps * factor for factor in (self.up, self.down))
        self.register_buffer("up_filter", lowpass(ups, before.cutoff, 2 * before.half, rate))
        self.register_buffer("down_filter", lowpass(downs, after.cutoff, 2 * after.half, rate, radial))
        self.padding = self._padding(before.size, after.size, ups + downs - 2)

    def _padding(self, before: int, after: int, filtered: int) -> tuple[int, int, int, int]:
        """What makes `after` pixels of `before`, where the filters take away `filtered`; the centre stays in place."""
        total = (after - 1) * self.down + 1 - (before + self.size - 1) * self.up + filtered
        first = (total + self.up) // 2
        return first, total - first, first, total - first

    def forward(self, x: Tensor, w: Tensor, track: bool = False) -> Tensor:
        if track:
            self.magnitude_ema.copy_(x.detach().float().square().mean().lerp(self.magnitude_ema, self.decay))
        style = self.affine(w) * self.scale if self.paints else self.affine(w)
        x = styled(
            x, self.weight, style, padding=self.size - 1, demodulate=not self.paints, gain=self.magnitude_ema.rsqrt()
        )  # fmt: skip
        gain, slope = (1.0, 1.0) if self.paints else (2**0.5, 0.2)
        return filtered_lrelu(
            x, self.up_filter, self.down_filter, self.bias, self.up, self.down, self.padding, gain, slope, self.clamp
        )  # fmt: skip


class Synthesis(nn.Module):
    """ws (N, count, style) to pictures (N, *shape): waves, `layers` layers, and one that paints, times `scale`.

    T is as it stands here; R has size=1 and radial=True, and twice the channels (Karras et al. 2021, section 3.2).
    """

    def __init__(
        self, style: int, shape: tuple[int, ...], *, layers: int = 14, critical: int = 2, base: int = 32_768,
        most: int = 512, cutoff: float = 2, stopband: float = 2**2.1, beyond: float = 2**0.3, margin: int = 10,
        scale: float = 0.25, size: int = 3, taps: int = 6, finer: int = 2, radial: bool = False,
        clamp: float | None = 256, decay: float = 0.999,
    ) -> None:  # fmt: skip
        super().__init__()
        after = signals(
            shape, layers, critical, base=base, most=most, cutoff=cutoff, stopband=stopband, beyond=beyond,
            margin=margin,
        )  # fmt: skip
        self.shape, self.scale, self.count = shape, scale, layers + 2
        self.names = [f"L{i}_{signal.size}_{signal.channels}" for i, signal in enumerate(after)]
        self.input = Waves(style, after[0])
        for i, name in enumerate(self.names):
            # A critically sampled signal has no room for a filter that is round.
            layer = Layer(
                style, after[max(i - 1, 0)], after[i], paints=i == layers, size=size, taps=taps, finer=finer,
                radial=radial and i < layers - critical, clamp=clamp, decay=decay,
            )  # fmt: skip
            self.add_module(name, layer)

    def layers(self) -> Iterator[Layer]:
        return (cast(Layer, self.get_submodule(name)) for name in self.names)

    def forward(self, ws: Tensor, track: bool = False) -> Tensor:
        """`track` moves the averages of magnitudes."""
        first, *styles = ws.unbind(1)
        x = self.input(first)
        for layer, w in zip(self.layers(), styles, strict=True):
            x = layer(x, w, track)
        return full(x) * self.scale


class Generator(nn.Module):
    """z (N, latent) and conditions c (N, labels) to pictures (N, *shape)."""

    def __init__(self, mapping: Mapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        mapping.count = synthesis.count

    def forward(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None, track: bool = False
    ) -> Tensor:
        """`psi` pulls w towards its average, in the first `cutoff` layers; `track` moves all averages."""
        return self.synthesis(self.mapping(z, c, psi, cutoff, track), track)

    def made(self, ws: Tensor) -> Tensor:
        """Pictures (N, *shape) of ws (N, count, style), to train with: magnitudes are averaged."""
        return self.synthesis(ws, track=True)

    def shown(self, ws: Tensor) -> Tensor:
        """The same to look at."""
        return self.synthesis(ws)

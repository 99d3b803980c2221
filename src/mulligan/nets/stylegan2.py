"""The networks of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958; 2020, arXiv:2006.06676), under their usual names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.parts.filters import TAPS, downsample, kernel, upsample
from mulligan.parts.layers import MinibatchStdDev, pack
from mulligan.parts.layout import fast_layout
from mulligan.parts.modulated import Conv, Dense, Modulated, ToPicture, full, unit

from .sizes import pyramid

Architecture = Literal["orig", "skip", "resnet"]
HALF = 0.5**0.5
"""Both branches of a residual block are scaled by it, so that their sum keeps the variance."""


def channels(base: int, most: int, resolution: int) -> int:
    """Feature maps at a resolution: halved with each doubling, `most` at most."""
    return min(base // resolution, most)


def conditions(c: Tensor, labels: int) -> Tensor:
    """Conditions (N, labels) from class numbers (N,); whatever has numbers of its own stays."""
    return c if c.is_floating_point() else F.one_hot(c, labels).float()


class Mapping(nn.Module):
    """z (N, latent) and conditions c (N, labels) to w, for each of `count` layers: (N, count, width), or (N, width).

    Two normalized inputs, then fully connected layers that learn a hundred times slower (Karras et al. 2019, section
    2). `tracked` is the decay of w_avg, which truncation pulls towards; 0 for none.
    """

    w_avg: Tensor

    def __init__(
        self, latent: int, labels: int, width: int, count: int = 0, *, layers: int = 8, embed: int | None = None,
        hidden: int | None = None, act: str = "lrelu", rate: float = 0.01, tracked: float = 0.995,
    ) -> None:  # fmt: skip
        super().__init__()
        self.latent, self.labels, self.width, self.count = latent, labels, width, count
        self.layers, self.tracked = layers, tracked
        embed = 0 if not labels else width if embed is None else embed
        sizes = [latent + embed, *[width if hidden is None else hidden] * (layers - 1), width]
        if labels:
            self.embed = Dense(labels, embed)
        for i in range(layers):
            self.add_module(f"fc{i}", Dense(sizes[i], sizes[i + 1], act, rate))
        if tracked:
            self.register_buffer("w_avg", torch.zeros(width))

    def forward(
        self, z: Tensor | None, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None,
        track: bool = False,
    ) -> Tensor:  # fmt: skip
        """`psi` pulls w towards its average, in the first `cutoff` layers; `track` moves the average."""
        inputs = [unit(z)] if z is not None and self.latent else []
        if self.labels:
            inputs.append(unit(self.embed(conditions(cast(Tensor, c), self.labels))))
        w = torch.cat(inputs, 1)
        for i in range(self.layers):
            w = self.get_submodule(f"fc{i}")(w)
        w = full(w)
        if track and self.tracked:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, self.tracked))
        return self.truncated(w[:, None].expand(-1, self.count, -1), psi, cutoff) if self.count else w

    def truncated(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w (N, count, width) pulled towards the average (Karras et al. 2019, appendix B)."""
        if psi == 1:
            return w
        pulled = self.w_avg.lerp(w, psi)
        return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], w[:, cutoff:]], 1)


class SynthesisBlock(nn.Module):
    """One resolution: a learned constant or twice the size of what comes in, two convolutions, and a picture."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, style: int, shape: tuple[int, int], colours: int, last: bool, *,
        architecture: Architecture = "skip", act: str = "lrelu", taps: Sequence[float] | None = TAPS,
        clamp: float | None = None, noise: bool = True, size: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        self.inputs, self.architecture, self.convs = inputs, architecture, 2 if inputs else 1
        self.register_buffer("resample_filter", kernel(taps))
        layer: dict[str, Any] = {"size": size, "noise": noise, "act": act, "taps": taps, "clamp": clamp}
        if inputs:
            self.conv0 = Modulated(inputs, outputs, style, shape, up=2, **layer)
        else:
            self.const = nn.Parameter(torch.randn(outputs, *shape))
        self.conv1 = Modulated(outputs, outputs, style, shape, **layer)
        self.paints = last or architecture == "skip"
        if self.paints:
            self.torgb = ToPicture(outputs, colours, style, clamp=clamp)
        if inputs and architecture == "resnet":
            self.skip = Conv(inputs, outputs, 1, bias=False, up=2, taps=taps)

    def forward(self, x: Tensor | None, picture: Tensor | None, ws: Tensor, noise: str) -> tuple[Tensor, Tensor | None]:
        w = iter(ws.unbind(1))
        if x is None:
            y = self.conv1(fast_layout(self.const.expand(len(ws), -1, -1, -1)), next(w), noise)
        elif self.architecture == "resnet":
            y = self.conv1(self.conv0(fast_layout(x), next(w), noise), next(w), noise, HALF) + self.skip(x, HALF)
        else:
            y = self.conv1(self.conv0(fast_layout(x), next(w), noise), next(w), noise)
        picture = None if picture is None else upsample(picture, self.resample_filter)
        if self.paints:
            painted = full(self.torgb(y, next(w)))
            picture = painted if picture is None else picture + painted
        return y, picture


class Synthesis(nn.Module):
    """ws (N, count, style) to pictures (N, *shape)."""

    def __init__(
        self, style: int, shape: tuple[int, ...], *, base: int = 32_768, most: int = 512,
        architecture: Architecture = "skip", act: str = "lrelu", taps: Sequence[float] | None = TAPS,
        clamp: float | None = None, noise: bool = True, size: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        height, breadth, ups = pyramid(shape[1], shape[2])
        self.shape, self.side = shape, min(height, breadth)
        sides, inputs = [self.side << i for i in range(ups + 1)], 0
        self.names = [f"b{side}" for side in sides]
        for i, side in enumerate(sides):
            outputs = channels(base, most, side)
            block = SynthesisBlock(
                inputs, outputs, style, (height << i, breadth << i), shape[0], i == ups,
                architecture=architecture, act=act, taps=taps, clamp=clamp, noise=noise, size=size,
            )  # fmt: skip
            self.add_module(f"b{side}", block)
            inputs = outputs
        self.count = sum(block.convs for block in self.blocks()) + 1

    def blocks(self) -> Iterator[SynthesisBlock]:
        return (cast(SynthesisBlock, self.get_submodule(name)) for name in self.names)

    def forward(self, ws: Tensor, noise: str = "random") -> Tensor:
        """`noise`: "random", "const" (the same for every picture) or "none"."""
        x = picture = None
        at = 0
        for block in self.blocks():
            x, picture = block(x, picture, ws[:, at : at + block.convs + block.paints], noise)
            at += block.convs  # the picture shares its style with the next resolution
        return cast(Tensor, picture)


class Generator(nn.Module):
    """z (N, latent) and conditions c (N, labels) to pictures (N, *shape)."""

    def __init__(self, mapping: Mapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        mapping.count = synthesis.count

    def forward(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None, noise: str = "const"
    ) -> Tensor:
        return self.synthesis(self.mapping(z, c, psi, cutoff), noise)

    def made(self, ws: Tensor) -> Tensor:
        """Pictures (N, *shape) of ws (N, count, style), to train with: with fresh noise."""
        return self.synthesis(ws, "random")

    def shown(self, ws: Tensor) -> Tensor:
        """The same to look at: with one noise for all."""
        return self.synthesis(ws, "const")


class Block(nn.Module):
    """One resolution of D: features and, where the architecture wants them, the picture, at half the size."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, inner: int, outputs: int, colours: int, *, architecture: Architecture = "resnet",
        act: str = "lrelu", taps: Sequence[float] | None = TAPS, clamp: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.architecture = architecture
        self.register_buffer("resample_filter", kernel(taps))
        if not inputs or architecture == "skip":
            self.fromrgb = Conv(colours, inner, 1, act=act, taps=taps, clamp=clamp)
        self.sees = not inputs or architecture == "skip"
        self.conv0 = Conv(inner, inner, 3, act=act, taps=taps, clamp=clamp)
        self.conv1 = Conv(inner, outputs, 3, act=act, down=2, taps=taps, clamp=clamp)
        if architecture == "resnet":
            self.skip = Conv(inner, outputs, 1, bias=False, down=2, taps=taps)

    def forward(self, x: Tensor | None, picture: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.sees:
            seen = self.fromrgb(fast_layout(cast(Tensor, picture)))
            x = seen if x is None else x + seen
            picture = downsample(cast(Tensor, picture), self.resample_filter) if self.architecture == "skip" else None
        x = cast(Tensor, x)
        if self.architecture == "resnet":
            return self.skip(x, HALF) + self.conv1(self.conv0(x), HALF), picture
        return self.conv1(self.conv0(x)), picture


class Epilogue(nn.Module):
    """The smallest resolution: standard deviation inside the batch, a convolution, and two fully connected layers."""

    def __init__(
        self, inputs: int, shape: tuple[int, int], outputs: int, colours: int, *, architecture: Architecture = "resnet",
        group: int | None = 4, features: int = 1, act: str = "lrelu", clamp: float | None = None,
        taps: Sequence[float] | None = TAPS,
    ) -> None:  # fmt: skip
        super().__init__()
        if architecture == "skip":
            self.fromrgb = Conv(colours, inputs, 1, act=act, taps=taps)
        self.mbstd = MinibatchStdDev(group, features) if features else nn.Identity()
        self.conv = Conv(inputs + features, inputs, 3, act=act, clamp=clamp, taps=taps)
        self.fc = Dense(inputs * shape[0] * shape[1], inputs, act)
        self.out = Dense(inputs, outputs)
        self.sees = architecture == "skip"

    def forward(self, x: Tensor, picture: Tensor | None) -> Tensor:
        if self.sees:
            x = x + self.fromrgb(cast(Tensor, picture))
        x = self.conv(self.mbstd(full(x)))
        return self.fc(x.flatten(1))


class Discriminator(nn.Module):
    """Pictures (N, *shape) and conditions c (N, labels) to logits (N,): projection on the mapped condition.

    With `packing` n samples are judged together (Lin et al. 2018): logits (N/n,), `shape` that of one picture.
    """

    separable = True  # the deviation of batches that are side by side is that of each

    def __init__(
        self, shape: tuple[int, ...], labels: int = 0, *, base: int = 32_768, most: int = 512,
        architecture: Architecture = "resnet", act: str = "lrelu", taps: Sequence[float] | None = TAPS,
        clamp: float | None = None, group: int | None = 4, features: int = 1, ending: str = "lrelu",
        mapped: int | None = None, mapping: dict[str, Any] | None = None, packing: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        height, breadth, ups = pyramid(shape[1], shape[2])
        side, inputs, colours, self.packing = min(height, breadth), 0, shape[0] * packing, packing
        sides = [side << i for i in range(ups, 0, -1)]
        self.shape, self.names, self.labels = shape, [f"b{s}" for s in sides], labels
        for s in sides:
            inner, outputs = channels(base, most, s), channels(base, most, s // 2)
            block = Block(
                inputs, inner, outputs, colours, architecture=architecture, act=act, taps=taps, clamp=clamp
            )  # fmt: skip
            self.add_module(f"b{s}", block)
            inputs = outputs
        width = channels(base, most, side)
        mapped = 0 if not labels else width if mapped is None else mapped
        if labels:
            self.mapping = Mapping(0, labels, mapped, **{**(mapping or {}), "tracked": 0.0})
        self.last = f"b{side}"
        epilogue = Epilogue(
            width, (height, breadth), mapped or 1, colours, architecture=architecture, group=group,
            features=features, act=ending, clamp=clamp, taps=taps,
        )  # fmt: skip
        self.add_module(self.last, epilogue)

    @property
    def ending(self) -> Epilogue:
        return cast(Epilogue, self.get_submodule(self.last))

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(N/packing, width), from which the logits are one layer away."""
        h, picture = None, pack(x, self.packing) if self.packing > 1 else x
        for name in self.names:
            h, picture = self.get_submodule(name)(h, picture)
        return self.ending(h, picture)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        y = self.ending.out(self.features(x))
        if not self.labels:
            return y.squeeze(1)
        mapped = self.mapping(None, c)
        if self.packing > 1:
            mapped = mapped.view(-1, self.packing, mapped.shape[1]).mean(1)
        return (y * mapped).sum(1) / mapped.shape[1] ** 0.5

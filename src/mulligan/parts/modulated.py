"""Layers of the StyleGANs: equalized learning rate, activations of unit gain, convolutions that a style modulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bent import bent
from .filters import TAPS, Pair, kernel, resampled
from .layout import fast_slope
from .recording import recording

Activation = Literal["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (F.relu, 2**0.5),
    "lrelu": (lambda x: F.leaky_relu(x, 0.2), 2**0.5),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (F.elu, 1.0),
    "selu": (F.selu, 1.0),
    "softplus": (F.softplus, 1.0),
    "swish": (F.silu, 2**0.5),
}
"""Function, and the gain that keeps the variance about 1 (He et al. 2015)."""
SCALABLE = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}
"""Activations that a gain may come before, with their slope below 0: a factor of the weights costs no pass over x."""
EPS = 1e-8
FEW, LARGE = 64, 64 * 64
"""Channels up to which, and pixels from which, a sample is convolved by itself with weights of its own."""


def activated(
    x: Tensor, bias: Tensor | None = None, act: str = "linear", gain: float | None = None, clamp: float | None = None,
    slope: float | None = None,
) -> Tensor:  # fmt: skip
    """act(x + bias) times its gain, within ±clamp; bias along axis 1, `slope` of leaky ReLU below 0 in place of 0.2."""
    function, usual = ACTIVATIONS[act]
    gain = usual if gain is None else gain
    if bias is not None:
        bias = bias.to(x.dtype).view(1, -1, *(1,) * (x.dim() - 2))
    if act in SCALABLE and gain > 0:
        x = x * gain if gain != 1 else x
        x = x if bias is None else x + bias * gain
        return bent(x, SCALABLE[act] if act != "lrelu" or slope is None else slope, clamp)
    x = function(x if bias is None else x + bias)
    x = x * gain if gain != 1 else x
    return x if clamp is None else x.clamp(-clamp, clamp)


def full(x: Tensor) -> Tensor:
    """x, in float32 where it has half the precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit(x: Tensor) -> Tensor:
    """Rows of x (N, F) with mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()


def modulated(
    x: Tensor, weight: Tensor, style: Tensor, *, noise: Tensor | None = None, up: int = 1, padding: Pair = 0,
    f: Tensor | None = None, flip: bool = True, demodulate: bool = True, gain: float = 1.0,
) -> Tensor:  # fmt: skip
    """x (N, C, H, W) convolved with weights of its own per sample, w' = s w / |s w| (Karras et al. 2020b, eq. 1 and 3).

    weight (O, C, k, k), style (N, C). Scaling weights by input is scaling the input, and dividing them by output is
    dividing the output, so no sample needs weights of its own; their norm is a product of matrices. Where pictures are
    large and channels few, weights of its own cost less than passes over it. `gain` is a factor of the result, to which
    `noise`, anything that broadcasts, is added.
    """
    if up == 1 and x.device.type == "cpu" and x.shape[1] <= FEW and x[0, 0].numel() >= LARGE and not recording():
        kernels = own(weight, style, demodulate, gain).to(x.dtype)
        samples = zip(x.split(1), kernels, strict=True)
        y = fast_slope(torch.cat([resampled(one, w, padding=padding, flip=flip) for one, w in samples]))
        return y if noise is None else y + noise.to(y.dtype)
    weight = weight.to(x.dtype)
    y = fast_slope(resampled(x * style.to(x.dtype)[:, :, None, None], weight, f, up, padding=padding, flip=flip))
    if demodulate:
        power = weight.square().sum((2, 3)).t()
        factors = (style.square() @ power + EPS).rsqrt().mul(gain).to(y.dtype)[:, :, None, None]
        return y * factors if noise is None else torch.addcmul(noise.to(y.dtype), y, factors)
    y = y * gain if gain != 1 else y
    return y if noise is None else y + noise.to(y.dtype)


def grouped(
    x: Tensor, weight: Tensor, style: Tensor, *, noise: Tensor | None = None, up: int = 1, padding: Pair = 0,
    f: Tensor | None = None, flip: bool = True, demodulate: bool = True, gain: float = 1.0,
) -> Tensor:  # fmt: skip
    """The same as the paper writes it: weights for each sample, and one grouped convolution of all of them."""
    n, _, height, width = x.shape
    w = own(weight, style, demodulate, gain).flatten(0, 1).to(x.dtype)
    y = resampled(x.reshape(1, -1, height, width), w, f, up, padding=padding, groups=n, flip=flip)
    y = y.view(n, -1, *y.shape[2:])
    return y if noise is None else y + noise.to(y.dtype)


def own(weight: Tensor, style: Tensor, demodulate: bool, gain: float) -> Tensor:
    """Weights for each sample: (N, O, C, k, k)."""
    w = weight[None] * style[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum((2, 3, 4), keepdim=True) + EPS).rsqrt()
    return w * gain if gain != 1 else w


class Dense(nn.Module):
    """A linear layer with equalized learning rate: weights of variance 1, scaled where they are used.

    (N, inputs) -> (N, outputs), activated. `rate` multiplies the learning rate (Karras et al. 2018, section 4.1).
    """

    def __init__(
        self, inputs: int, outputs: int, act: str = "linear", rate: float = 1.0, start: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.act, self.rate, self.gain = act, rate, rate / inputs**0.5
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), start)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        gain = ACTIVATIONS[self.act][1] if self.act in SCALABLE else 1.0
        bias, rate = self.bias, self.rate * gain
        bias = None if bias is None else (bias * rate if rate != 1 else bias).to(x.dtype)
        x = F.linear(x, (self.weight * (self.gain * gain)).to(x.dtype), bias)
        return activated(x, None, self.act, 1.0 if self.act in SCALABLE else None)


class Conv(nn.Module):
    """A convolution with equalized learning rate that may grow or shrink its input by 2, and an activation."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, *, bias: bool = True, act: str = "linear", up: int = 1,
        down: int = 1, taps: Sequence[float] | None = TAPS, clamp: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.up, self.down, self.padding, self.act, self.clamp = up, down, size // 2, act, clamp
        self.scale, self.usual = 1 / (inputs * size**2) ** 0.5, ACTIVATIONS[act][1]
        self.register_buffer("resample_filter", kernel(taps))
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        f = self.resample_filter if self.up > 1 or self.down > 1 else None
        gain, clamp = self.usual * gain, self.clamp and self.clamp * gain
        if self.act not in SCALABLE:
            x = resampled(
                x, (self.weight * self.scale).to(x.dtype), f, self.up, self.down, self.padding, flip=self.up == 1
            )
            return activated(x, self.bias, self.act, gain, clamp)
        w, bias = (self.weight * (self.scale * gain)).to(x.dtype), None if self.bias is None else self.bias * gain
        x = resampled(x, w, f, self.up, self.down, self.padding, flip=self.up == 1, bias=bias)
        return activated(x, None, self.act, 1.0, clamp)


class Modulated(nn.Module):
    """A 3×3 convolution whose weights a style modulates, with noise and an activation (Karras et al. 2020b, figure 2).

    x (N, C, H, W), w (N, style) -> (N, outputs, up H, up W). `noise`: "random", "const" or "none".
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, style: int, shape: tuple[int, int], *, size: int = 3, up: int = 1,
        noise: bool = True, act: str = "lrelu", taps: Sequence[float] | None = TAPS, clamp: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.up, self.padding, self.act, self.clamp, self.noisy, self.shape = up, size // 2, act, clamp, noise, shape
        self.usual = ACTIVATIONS[act][1]
        self.affine = Dense(style, inputs, start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.register_buffer("resample_filter", kernel(taps))
        if noise:
            self.register_buffer("noise_const", torch.randn(shape))
            self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise: str = "random", gain: float = 1.0) -> Tensor:
        f, added, bias = self.resample_filter if self.up > 1 else None, self._noise(x, noise), self.bias
        gain, clamp, before = self.usual * gain, self.clamp and self.clamp * gain, self.act in SCALABLE
        bias = bias * gain if before else bias
        x = modulated(
            x, self.weight, self.affine(w), noise=bias[:, None, None], up=self.up, padding=self.padding, f=f,
            flip=self.up == 1, gain=gain if before else 1.0,
        )  # fmt: skip
        x = x if added is None else x + (added * gain if before else added).to(x.dtype)
        return activated(x, None, self.act, 1.0 if before else gain, clamp)

    def _noise(self, x: Tensor, how: str) -> Tensor | None:
        if not self.noisy or how == "none":
            return None
        shape = len(x), 1, *self.shape
        noise = self.noise_const if how == "const" else torch.randn(shape, device=x.device)
        return noise * self.noise_strength


class ToPicture(nn.Module):
    """A 1×1 convolution to the channels of the picture, modulated but not demodulated."""

    def __init__(self, inputs: int, channels: int, style: int, size: int = 1, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp, self.scale, self.padding = clamp, 1 / (inputs * size**2) ** 0.5, size // 2
        self.affine = Dense(style, inputs, start=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self.scale
        x = modulated(x, self.weight, style, padding=self.padding, demodulate=False)
        return activated(x, self.bias, clamp=self.clamp)

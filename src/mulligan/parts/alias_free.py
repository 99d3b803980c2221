"""What StyleGAN3 keeps aliases out with: low-pass filters, an activation between them, a convolution of even scale.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv:2106.12423.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mulligan.core.errors import UserError

from .filters import Pair, convolved, filtered
from .modulated import EPS, activated


def lowpass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor | None:
    """A low-pass filter of sum 1 with `taps` taps: (taps,), or (taps, taps) where `radial`. None for a single tap.

    It lets frequencies below `cutoff` pass and stops them over a transition band of `width`, both in the unit of the
    sampling rate `rate`: an ideal filter, sinc or, radial, jinc, under a Kaiser window (Karras et al. 2021, appendix
    C). UserError for a cutoff that the rate can't tell from others.
    """
    if taps == 1:
        return None
    if not 0 < cutoff < rate / 2:
        raise UserError(f"a low-pass filter at {rate} samples needs a cutoff between 0 and {rate / 2}, not {cutoff}")
    window = torch.kaiser_window(taps, False, beta=kaiser_beta(taps, width / rate), dtype=torch.float64)
    places = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    if radial:
        f = jinc(torch.hypot(places[:, None], places), cutoff) * window[:, None] * window
    else:
        f = torch.sinc(2 * cutoff * places) * window
    return (f / f.sum()).float()


def jinc(radius: Tensor, cutoff: float) -> Tensor:
    """The filter of two axes that lets through every frequency inside a circle: J1(2 pi c r) / r, up to a factor."""
    x = 2 * math.pi * cutoff * radius
    centre = x == 0
    return torch.where(centre, 0.5, torch.special.bessel_j1(x) / x.masked_fill(centre, 1))


def kaiser_beta(taps: int, width: float) -> float:
    """Shape of the Kaiser window for a transition band of `width` sampling rates.

    Kaiser's estimates of the attenuation that so many taps reach, and of the shape it takes (Kaiser 1974).
    """
    attenuation = 2.285 * (taps - 1) * 2 * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


def filtered_lrelu(
    x: Tensor, before: Tensor | None, after: Tensor | None, bias: Tensor | None = None, up: int = 1, down: int = 1,
    padding: Pair = 0, gain: float = 2**0.5, slope: float = 0.2, clamp: float | None = None, flip: bool = False,
) -> Tensor:  # fmt: skip
    """Leaky ReLU of x (N, C, H, W) plus bias at `up` times its resolution, and every `down`-th pixel of the result.

    The filter `before` interpolates, `after` takes away the frequencies that the kink added (Karras et al. 2021,
    section 3.2). Values lie within ±clamp before the last filter; `padding` counts pixels of the larger picture.
    """
    x = activated(x, bias)
    x = filtered(x, before, up, padding=padding, flip=flip, gain=up * up)
    x = activated(x, None, "lrelu", gain, clamp, slope)
    return filtered(x, after, down=down, flip=flip)


def styled(
    x: Tensor, weight: Tensor, style: Tensor, *, padding: int = 0, demodulate: bool = True, gain: Tensor | None = None
) -> Tensor:
    """x (N, C, H, W) times `gain`, a scalar, convolved with the weights (O, C, k, k) that style (N, C) scales.

    Demodulation undoes the scale of weights and styles, so both are brought to mean square 1 before it, the styles
    over the whole batch: no sum of squares leaves the range of half precision.
    """
    if demodulate:
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        style = style * style.square().mean().rsqrt()
    scale = style if gain is None else style * gain
    y = convolved(x * scale.to(x.dtype)[:, :, None, None], weight.to(x.dtype), padding=(padding, padding))
    if demodulate:
        power = weight.square().sum((2, 3)).t()
        y = y * (style.square() @ power + EPS).rsqrt().to(y.dtype)[:, :, None, None]
    return y

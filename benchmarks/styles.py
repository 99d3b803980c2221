"""StyleGAN2 beside the reference operations of StyleGAN2-ADA: a training step at 32 pixels, and sampling at 64.

A step is four turns of D and G and one for the length of paths, 128 channels, batch 8. Its opponent does the same work
with the operations as they are usually written: demodulation from weights for each sample, filters and activations of
one operation each, pictures with channels first, a pass for each batch. Sampling, 512 channels, batch 8: its opponent
convolves with weights for each sample, the usual way of evaluation. Opponents have a process of their own.

`--peer PATH` takes the networks of a checkout of stylegan2-ada-pytorch in their place; its code is run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.recipe import Plan
from mulligan.core.stream import Stream
from mulligan.parts import filters, layout, winograd
from mulligan.parts.filters import resampled
from mulligan.parts.modulated import ACTIVATIONS, EPS, Conv, Dense, Modulated, ToPicture, grouped
from mulligan.zoo import find
from mulligan.zoo.image.stylegan2 import path_length

from .common import Apart, compared, finish, interleaved, parser, pictures, stop, timed, trainer

STEP = {"side": 32, "base": 2048, "most": 128, "batch": 8}
SAMPLING = {"side": 64, "base": 32_768, "most": 512, "batch": 8}
BARS = {"step": (1.3, 1.8), "sampling": (2.3, 3.0)}
ROUNDS = 4


def plan(side: int, base: int, most: int, batch: int) -> Plan:
    """The recipe at this size, with a turn for paths every fourth round and no R1 in the rounds that are timed."""
    recipe = find("stylegan2")
    torch.manual_seed(0)
    arguments = {
        "net": {"base": base, "most": most}, "batch": batch, "mixing": 0.9, "stabilize": {"r1": 0.01, "lazy": 1 << 20},
    }  # fmt: skip
    return recipe.plan(pictures(side, 256), recipe.arguments(arguments))


def ours(size: dict[str, int], folder: str) -> Callable[[], float]:
    """Four rounds of the trainer; the path's length is due in one of them."""
    made = trainer(plan(**size), pictures(size["side"], 256), folder)
    made._round()  # R1 is due in the very first round alone

    def step() -> None:
        for _ in range(ROUNDS):
            made._round()

    return timed(step, 1)


def theirs(size: dict[str, int], peer: str) -> Callable[[], float]:
    """The same turns as their loop takes them."""
    made = plan(**size).game
    if peer:
        G, D = networks(peer, size)
    else:
        written_down()
        G, D = made.get_submodule("sampler.G"), made.get_submodule("critic.D")
    return timed(Loop(G.train(), D.train(), size), 1)


class Loop:
    """G's turn, then D's, four times; then one for the length of paths (Karras et al. 2020), on one batch of data."""

    def __init__(self, G: nn.Module, D: nn.Module, size: dict[str, int]) -> None:
        self.G, self.D, self.n, self.average = G, D, size["batch"], deepcopy(G)
        self.stream, self.mean = Stream(pictures(size["side"], 256), size["batch"]), torch.zeros(())
        self.optimizers = {
            net: torch.optim.Adam(net.parameters(), lr=2.5e-3, betas=(0.0, 0.99), eps=1e-8) for net in (G, D)
        }

    def __call__(self) -> None:
        for _ in range(ROUNDS):
            self.turn(self.G, lambda: F.softplus(-self.D(self.made(), None)).mean())
            with torch.no_grad():
                fake = self.made()
            self.turn(self.D, lambda fake=fake: F.softplus(self.D(fake, None)).mean(), self.real)
            with torch.no_grad():
                for ours, live in zip(self.average.parameters(), self.G.parameters(), strict=True):
                    ours.copy_(live.lerp(ours, 0.999))
        self.turn(self.G, self.path)

    def turn(self, player: nn.Module, *losses: Callable[[], Tensor]) -> None:
        for net in (self.G, self.D):
            net.requires_grad_(net is player)
        self.optimizers[player].zero_grad(set_to_none=True)
        for loss in losses:
            loss().backward()
        for p in player.parameters():
            if p.grad is not None:
                torch.nan_to_num(p.grad, nan=0, posinf=1e5, neginf=-1e5, out=p.grad)
        self.optimizers[player].step()

    def real(self) -> Tensor:
        return F.softplus(-self.D(next(self.stream)["x"], None)).mean()

    def styles(self, n: int) -> Tensor:
        mapping: Any = self.G.mapping
        w = mapping(torch.randn(n, 512), None)
        if torch.rand(()) < 0.9:
            cut = int(torch.randint(1, w.shape[1], ()))
            w = torch.cat([w[:, :cut], mapping(torch.randn(n, 512), None)[:, cut:]], 1)
        return w

    def picture(self, w: Tensor) -> Tensor:
        made: Any = self.G.synthesis
        return made(w)

    def made(self) -> Tensor:
        return self.picture(self.styles(self.n))

    def path(self) -> Tensor:
        w = self.styles(self.n // 2)
        penalty, self.mean = path_length(self.picture(w), w, self.mean)
        return 2 * ROUNDS * penalty.mean()


def networks(peer: str, size: dict[str, int]) -> tuple[nn.Module, nn.Module]:
    """G and D of a checkout, without its compiled operations."""
    sys.path.insert(0, peer)
    try:
        from training import networks as made  # type: ignore[import-not-found]
    except ImportError as error:
        stop(f"--peer {peer} is no checkout of stylegan2-ada-pytorch ({error})")
    torch.manual_seed(0)
    inside = {"channel_base": size["base"], "channel_max": size["most"], "num_fp16_res": 0, "conv_clamp": None}
    shape = {"c_dim": 0, "img_resolution": size["side"], "img_channels": 3}
    mapping = {"num_layers": 2}
    G = made.Generator(z_dim=512, w_dim=512, **shape, mapping_kwargs=mapping, synthesis_kwargs=inside)
    D = made.Discriminator(**shape, **inside, epilogue_kwargs={"mbstd_group_size": 4})
    return G, D


def written_down(evaluation: bool = False) -> None:
    """Put the operations as they are usually written in place of ours, in this process."""
    layout.fast_layout.__code__ = (lambda x: x).__code__  # wherever it has been imported to
    winograd.CHANNELS = 1 << 30
    filters._product = lambda x: False  # 1×1 convolutions as convolutions
    filters.fir = lambda x, taps, bias, stride: F.conv2d(  # type: ignore[assignment]
        x, taps.expand(x.shape[1], 1, *taps.shape), bias, stride, groups=x.shape[1]
    )
    convolve = grouped if evaluation else demodulated

    def dense(self: Dense, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.rate
        return usual(F.linear(x, self.weight * self.gain), bias, self.act)

    def conv(self: Conv, x: Tensor, gain: float = 1.0) -> Tensor:
        f, w = self.resample_filter if self.up > 1 or self.down > 1 else None, self.weight * self.scale
        x = resampled(x, w, f, self.up, self.down, self.padding, flip=self.up == 1)
        return usual(x, self.bias, self.act, self.usual * gain, self.clamp and self.clamp * gain)

    def styled(self: Modulated, x: Tensor, w: Tensor, noise: str = "random", gain: float = 1.0) -> Tensor:
        f, added = self.resample_filter if self.up > 1 else None, self._noise(x, noise)
        x = convolve(
            x, self.weight, self.affine(w), noise=added, up=self.up, padding=self.padding, f=f, flip=self.up == 1
        )
        return usual(x, self.bias, self.act, self.usual * gain, self.clamp and self.clamp * gain)

    def painted(self: ToPicture, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self.scale
        return usual(convolve(x, self.weight, style, demodulate=False), self.bias, clamp=self.clamp)

    for kind, forward in ((Dense, dense), (Conv, conv), (Modulated, styled), (ToPicture, painted)):
        kind.forward = forward  # type: ignore[assignment]


def usual(
    x: Tensor, bias: Tensor | None = None, act: str = "linear", gain: float | None = None, clamp: float | None = None
) -> Tensor:
    """Bias, activation, gain and bound, one after the other."""
    if bias is not None:
        x = x + bias.view(1, -1, *(1,) * (x.dim() - 2))
    function, own = ACTIVATIONS[act]
    x, gain = function(x), own if gain is None else gain
    x = x * gain if gain != 1 else x
    return x if clamp is None else x.clamp(-clamp, clamp)


def demodulated(
    x: Tensor, weight: Tensor, style: Tensor, *, noise: Tensor | None = None, up: int = 1, padding: int = 0,
    f: Tensor | None = None, flip: bool = True, demodulate: bool = True,
) -> Tensor:  # fmt: skip
    """Activations scaled, with factors from weights for each sample: the usual way of training."""
    factors = torch.empty(0)
    if demodulate:
        w = weight[None] * style[:, None, :, None, None]
        factors = (w.square().sum((2, 3, 4)) + EPS).rsqrt()[:, :, None, None]
    y = resampled(x * style[:, :, None, None], weight, f, up, padding=padding, flip=flip)
    if demodulate and noise is not None:
        return torch.addcmul(noise, y, factors)
    y = y * factors if demodulate else y
    return y if noise is None else y + noise


def sampling(size: dict[str, int], peer: str, usual: bool) -> Callable[[], float]:
    """Pictures from latents, without slopes."""
    made = plan(**size).game.get_submodule("sampler").eval()
    if peer and usual:
        G = networks(peer, size)[0].eval()
        return timed(torch.no_grad()(lambda: G(torch.randn(size["batch"], 512), None, noise_mode="const")), 1)
    if usual:
        written_down(evaluation=True)
    return timed(torch.inference_mode()(lambda: made(size["batch"])), 1)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=6)
    options.add_argument("--only", choices=BARS, help="one of the two")
    options.add_argument("--peer", default="", help="a checkout of stylegan2-ada-pytorch")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    facts, passed = {}, True
    with tempfile.TemporaryDirectory() as folder:
        works = {
            "step": lambda: {"mulligan": ours(STEP, folder), "reference": Apart(theirs, STEP, given.peer)},
            "sampling": lambda: {
                "mulligan": sampling(SAMPLING, "", False), "reference": Apart(sampling, SAMPLING, given.peer, True)
            },
        }  # fmt: skip
        for name in [given.only] if given.only else works:
            pair = works[name]()
            ratios = compared(f"StyleGAN2, {name}", interleaved(pair, given.slices), "mulligan", "reference")
            bar, aim = BARS[name]
            facts[name] = {**ratios, "bar": bar, "aim": aim}
            passed = passed and ratios["ratio_of_bests"] >= bar
    finish("styles", passed, opponent=(given.peer and "a checkout") or "written down", **facts)


if __name__ == "__main__":
    main()

"""What compares two pictures while one is searched for: their pixels, and what a network sees in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import UserError
from ..experiment import Experiment
from ..metrics.lpips import SMALLEST, Lpips, Net, lpips
from ..parts.layers import MinibatchStdDev

Kind = Literal["auto", "lpips", "critic", "pixels"]
LARGEST = 256
"""Pixels of a side that a network looks at; larger pictures are made smaller (Karras et al. 2020, appendix D)."""
EPSILON = 1e-8


@dataclass
class Looks:
    """A distance between pictures: mean squared pixels, and `weight` times that of what `eyes` see.

    `eyes` maps pictures (n, C, H, W) to vectors (n, F); `name` says in words what is compared.
    """

    name: str = "pixels"
    eyes: Any = None
    weight: float = 0.1

    def of(self, x: Tensor) -> Tensor:
        """Vectors (n, F) of pictures (n, C, H, W) in [-1, 1] whose squared Euclidean distance is the loss."""
        pixels = x.flatten(1) / x[0].numel() ** 0.5
        if self.eyes is None:
            return pixels
        return torch.cat([pixels, self.eyes(_reduced(x)) * self.weight**0.5], 1)


def _reduced(x: Tensor) -> Tensor:
    factor = -(-max(x.shape[2:]) // LARGEST)
    return F.avg_pool2d(x, factor) if factor > 1 and min(x.shape[2:]) >= factor else x


def looks(
    experiment: Experiment, kind: Kind = "auto", weight: float = 0.1,
    net: Net = "vgg", trunk: Path | None = None, heads: Path | None = None,
) -> Looks:  # fmt: skip
    """LPIPS where its heads are named, else the features of the run's own discriminator, else pixels alone.

    net, trunk, heads: those of `metrics.lpips.lpips`. Raises UserError for a kind that this run or these files can't
    have, and for a weight below 0.
    """
    if kind not in ("auto", "lpips", "critic", "pixels"):
        raise UserError(f"--compare {kind!r}: take auto, lpips, critic or pixels")
    if not 0 <= weight < float("inf"):
        raise UserError(f"--perceptual {weight:g}: the weight is a number from 0 (pixels alone) up")
    if heads is None and (kind == "lpips" or trunk is not None):
        raise UserError(
            "LPIPS needs the authors' heads: name lpips/weights/v0.1/vgg.pth of "
            "github.com/richzhang/PerceptualSimilarity with --heads, or take --compare critic or pixels"
        )
    if kind == "pixels" or not weight:
        return Looks()
    if heads is not None and kind in ("auto", "lpips"):
        return _by_lpips(experiment, lpips(net, trunk, heads, experiment.device), weight)
    D = critic(experiment)
    if D is None and kind == "critic":
        raise UserError(
            f"{experiment.path} has no discriminator to compare by (no checkpoint, or imported weights of G alone): "
            "take --compare pixels"
        )
    if D is None:
        return Looks("pixels alone: there are neither heads of LPIPS nor a discriminator")
    return Looks("pixels and the features of the run's own discriminator", Eyes(D, experiment), weight)


def _by_lpips(experiment: Experiment, distance: Lpips, weight: float) -> Looks:
    shape, least = experiment.described.shape, SMALLEST[distance.net]
    if shape[0] not in (1, 3) or min(shape[1:]) < least:
        raise UserError(
            f"LPIPS with {distance.net} compares pictures of 1 or 3 channels and {least} pixels or more, and "
            f"{experiment.path} makes {'×'.join(map(str, shape))}: leave --heads out"
        )
    return Looks(f"pixels and {distance.name}", distance.features, weight)


def critic(experiment: Experiment) -> nn.Module | None:
    """The run's discriminator, in eval mode on its device: of the newest checkpoint, or imported; None without one.

    Raises UserError where its weights are damaged or don't fit the recipe.
    """
    D = dict(experiment.plan.game.named_modules()).get("critic.D")
    if D is None or not hasattr(D, "features") or (state := _weights(experiment)) is None:
        return None
    try:
        D.load_state_dict(state)
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"the discriminator in {experiment.path} doesn't fit its recipe ({why}): take --compare pixels"
        ) from error
    return D.to(experiment.device).eval().requires_grad_(False)


def _weights(experiment: Experiment) -> dict[str, Tensor] | None:
    if experiment.critic_file.is_file():
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(experiment.critic_file)
        except SafetensorError as error:
            raise UserError(f"{experiment.critic_file} is damaged ({error}): take --compare pixels") from error
    if not experiment.checkpoints.newest_first():
        return None
    state, _ = experiment.checkpoints.load()
    inside = "critic.D."
    found = {k.removeprefix(inside): v for k, v in (state or {"game": {}})["game"].items() if k.startswith(inside)}
    return found or None


class Eyes:
    """What a discriminator sees: at each size of its maps the last layer, of unit length at each position.

    So the weights of features don't depend on their scale, as in LPIPS (Zhang et al. 2018, section 3.1). Layers behind
    a standard deviation of the batch are left out: there, the pictures of a batch would depend on each other.
    """

    def __init__(self, D: nn.Module, experiment: Experiment) -> None:
        self.D, self.packing = D, int(getattr(D, "packing", 1))
        self.labelled = getattr(D, "conditioning", "none") == "concat"
        self.device = experiment.device

    def __call__(self, x: Tensor) -> Tensor:
        layers = self.layers(x)
        parts = [F.normalize(h, dim=1, eps=EPSILON).flatten(1) / h[0, 0].numel() ** 0.5 for h in layers]
        return torch.cat(parts, 1) / len(parts) ** 0.5

    def layers(self, x: Tensor) -> list[Tensor]:
        """Maps (n, channels, h, w), the largest first; hidden units (n, width) of a D without maps."""
        # all pictures are looked at under the same label: what is compared is how alike they are
        y = torch.zeros(len(x) * self.packing, dtype=torch.int64, device=x.device) if self.labelled else None
        with self._watched() as seen:
            last = self.D.features(x.repeat_interleave(self.packing, 0), y)  # type: ignore[operator]
        maps = {tuple(h.shape[2:]): h for h in seen if h.dim() == 4 and len(h) == len(x)}
        return list(maps.values()) or [h for h in seen if h.dim() == 2 and len(h) == len(x)] or [last.flatten(1)]

    @contextmanager
    def _watched(self) -> Iterator[list[Tensor]]:
        """What the layers with weights give, in their order."""
        seen: list[Tensor] = []
        mixed: list[bool] = []

        def note(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not mixed:
                seen.append(output)  # as it is: an activation may still change it in place

        def mix(_layer: nn.Module, _inputs: Any) -> None:
            mixed.append(True)

        own = [m for m in self.D.modules() if hasattr(m, "parametrizations") or any(True for _ in m.parameters(False))]
        hooks = [layer.register_forward_hook(note) for layer in own]
        hooks += [m.register_forward_pre_hook(mix) for m in self.D.modules() if isinstance(m, MinibatchStdDev)]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

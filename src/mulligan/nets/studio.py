"""The ResNet discriminators of PyTorch-StudioGAN: BigGAN's body, and a head for each way to tell it the class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts.conditional_norm import AffineNorm, Statistics
from mulligan.parts.conditioning import required
from mulligan.parts.layers import spectral_norm

from . import biggan

RUNNING = Statistics("running", 1e-4)
"""The batch norm of StudioGAN."""
Condition = Literal["W/O", "AC", "PD", "MH", "MD", "2C", "D2DCE"]
Auxiliary = Literal["W/O", "TAC", "ADC"]


class DownBlock(biggan.DownBlock):
    """BigGAN's block. Without spectral norm, batch norms come before both ReLUs and before the shortcut.

    With spectral norm the shortcut sees the rectified input: the ReLU in their code works in place.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool, first: bool, spectral: bool) -> None:
        super().__init__(inputs, outputs, down=down, first=first, norm=None)
        self.spectral = spectral
        if not spectral:
            leads = not isinstance(self.conv_sc, nn.Identity)
            self.bn0 = AffineNorm(inputs, RUNNING) if leads else nn.Identity()
            self.bn1 = nn.Identity() if first else AffineNorm(inputs, RUNNING)
            self.bn2 = AffineNorm(outputs, RUNNING)

    def forward(self, x: Tensor) -> Tensor:
        if self.spectral:
            return super().forward(x if self.first else F.relu(x))
        h = self.conv1(x if self.first else F.relu(self.bn1(x)))
        h = self.pooled(self.conv2(F.relu(self.bn2(h))))
        x = self.bn0(self.pooled(x)) if self.first else self.pooled(self.bn0(x))
        return h + self.conv_sc(x)


class Discriminator(biggan.Body):
    """Pictures (N, colours, H, W) and labels y (N,) to logits (N,), with MH (N, 1 + classes).

    condition: "W/O" none; "AC" a classifier (Odena et al. 2017); "PD" a projection (Miyato & Koyama 2018); "MH" and
    "MD" logits for each class (Kavalerov et al. 2021; Liu et al. 2019); "2C" and "D2DCE" a vector of each picture near
    one of its class (Kang & Park 2020, arXiv:2006.12681; Kang et al. 2021, arXiv:2111.01118). auxiliary: "TAC" a second
    head of the same kind (Gong et al. 2019); "ADC" classes for real and generated pictures apart (Hou et al. 2022).
    embed: width of those vectors. unit: vectors, and with AC the features, have length 1. UserError for unknown names.
    """

    def __init__(
        self, widths: Sequence[int], downs: int, classes: int, *, condition: Condition = "PD",
        auxiliary: Auxiliary = "W/O", embed: int = 0, unit: bool = False, attention: Collection[int] = (),
        colours: int = 3, spectral: bool = True,
    ) -> None:  # fmt: skip
        block = partial(DownBlock, spectral=spectral)
        super().__init__(widths, downs, block, attention=attention, colours=colours, norm=None)
        self.separable = spectral
        self.classes, self.condition, self.auxiliary, self.unit = classes, condition, auxiliary, unit
        checked(condition, auxiliary)
        self.linear1 = nn.Linear(self.width, {"MH": 1 + classes, "MD": classes}.get(condition, 1))
        known = 2 * classes if auxiliary == "ADC" else classes
        match condition:
            case "AC":
                self.linear2 = nn.Linear(self.width, known, bias=False)
            case "PD":
                self.embedding = nn.Embedding(known, self.width)
            case "2C" | "D2DCE":
                self.linear2, self.embedding = nn.Linear(self.width, embed), nn.Embedding(known, embed)
        if auxiliary == "TAC":
            self.linear_mi = nn.Linear(self.width, known if condition == "AC" else embed, bias=condition != "AC")
            if condition != "AC":
                self.embedding_mi = nn.Embedding(known, embed)
        if spectral:
            spectral_norm(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.judged(x, y)["adv_output"]

    def judged(self, x: Tensor, y: Tensor | None = None, fake: bool = False) -> dict[str, Tensor]:
        """All that it says, under the names of the project; `fake` tells ADC that the pictures are generated."""
        h = self.features(x)
        logits = self.linear1(h)
        if self.condition == "MH" or (self.condition == "W/O" and self.auxiliary == "W/O"):
            return {"h": h, "adv_output": logits.squeeze(1)}
        y = required(y, self.classes)
        seen = 2 * y + fake if self.auxiliary == "ADC" else y
        match self.condition:
            case "AC":
                h = F.normalize(h) if self.unit else h
                said = {"cls_output": self.linear2(h)}
            case "PD":
                logits, said = logits + (self.embedding(seen) * h).sum(1, keepdim=True), {}
            case "MD":
                logits, said = logits.gather(1, seen[:, None]), {}
            case "2C" | "D2DCE":
                said = self._vectors(self.linear2(h), self.embedding(seen), "")
            case _:
                said = {}
        if self.auxiliary == "TAC":
            said |= self._second(h, seen)
        return {"h": h, "adv_output": logits.squeeze(1), **said}

    def _second(self, h: Tensor, y: Tensor) -> dict[str, Tensor]:
        if self.condition == "AC":
            return {"mi_cls_output": self.linear_mi(h)}
        return self._vectors(self.linear_mi(h), self.embedding_mi(y), "mi_")

    def _vectors(self, embed: Tensor, proxy: Tensor, prefix: str) -> dict[str, Tensor]:
        if self.unit:
            embed, proxy = F.normalize(embed), F.normalize(proxy)
        return {f"{prefix}embed": embed, f"{prefix}proxy": proxy}


def checked(condition: str, auxiliary: str) -> None:
    """UserError for names, or pairs of them, that make no discriminator."""
    if condition not in get_args(Condition) or auxiliary not in get_args(Auxiliary):
        raise UserError(f"unknown condition {condition!r} with {auxiliary!r}: {', '.join(get_args(Condition))}")
    if auxiliary == "TAC" and condition not in ("AC", "2C", "D2DCE"):
        raise UserError(f"TAC is a second head of AC, 2C or D2DCE, not of {condition}")
    if auxiliary == "ADC" and condition in ("W/O", "MH", "MD"):
        raise UserError(f"ADC needs a condition with classes of its own, not {condition}")

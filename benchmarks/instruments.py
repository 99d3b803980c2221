"""The LeNet of `../shared/weights` as a measuring instrument. Distances on its features are never called FID."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARED = Path(__file__).resolve().parents[2] / "shared"


class LeNet(nn.Module):
    """LeNet-5 as csinva/gan-vae-pretrained-pytorch trained it: 99.08 % on the MNIST test pictures."""

    def __init__(self) -> None:
        super().__init__()
        file = SHARED / "weights" / "mnist_csinva" / "lenet_epoch12.pth"
        if not file.is_file():
            raise SystemExit(f"the measuring instrument {file} isn't there")
        self.weights = torch.load(file, weights_only=True)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Grey pictures (N, 1, H, W) in [-1, 1] to features (N, 84) and class probabilities (N, 10)."""
        parts = [self._some(x[i : i + 500]) for i in range(0, len(x), 500)]
        features, probabilities = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(probabilities)

    def _some(self, x: Tensor) -> tuple[Tensor, Tensor]:
        w = self.weights
        x = F.interpolate((x + 1) / 2, size=(32, 32), mode="bilinear", align_corners=False)
        for name, pool in (("c1", True), ("c3", True), ("c5", False)):
            x = F.relu(F.conv2d(x, w[f"convnet.{name}.weight"], w[f"convnet.{name}.bias"]))
            x = F.max_pool2d(x, 2) if pool else x
        features = F.relu(F.linear(x.flatten(1), w["fc.f6.weight"], w["fc.f6.bias"]))
        return features, F.linear(features, w["fc.f7.weight"], w["fc.f7.bias"]).softmax(1)


def digits_test(count: int = 10_000) -> tuple[Tensor, Tensor]:
    """MNIST test pictures (N, 1, 28, 28) in [-1, 1], and their labels."""
    from mulligan import open_source

    source = open_source("mnist", root=SHARED / "data", split="test", progress=False)
    rows = source.gather(torch.arange(min(count, len(source))))
    return rows["x"].float() / 127.5 - 1, rows["y"]

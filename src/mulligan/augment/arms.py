"""The arms of the study: the same classifier, the same steps and the same seeds, and one thing that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mulligan.metrics.classifier import Augment, accuracy, balanced_accuracy, fit, predict, recall


@dataclass(frozen=True)
class Arm:
    """What is done about the rare class."""

    title: str
    weights: bool = False
    balanced: bool = False
    ordinary: bool = False
    generated: bool = False


ARMS = {
    "plain": Arm("plain"),
    "weights": Arm("class weights", weights=True),
    "oversampling": Arm("oversampling", balanced=True),
    "ordinary": Arm("ordinary augmentation", ordinary=True),
    "oversampling+ordinary": Arm("oversampling + ordinary", balanced=True, ordinary=True),
    "gan": Arm("GAN", generated=True),
    "gan+ordinary": Arm("GAN + ordinary", generated=True, ordinary=True),
}
WITHOUT = tuple(name for name, arm in ARMS.items() if not arm.generated)  # the baselines, the plain one too
WITH = tuple(name for name, arm in ARMS.items() if arm.generated)


@dataclass(frozen=True)
class Pictures:
    """Pictures uint8 (N, C, H, W) and their labels int64 (N,)."""

    x: Tensor
    y: Tensor

    def plus(self, x: Tensor, label: int) -> Pictures:
        """The same and more pictures of one class."""
        return Pictures(torch.cat([self.x, x]), torch.cat([self.y, torch.full((len(x),), label)]))


def run_arm(
    arm: Arm,
    training: Pictures,
    test: Pictures,
    classes: int,
    rare: int,
    *,
    seed: int,
    steps: int,
    flip: bool,
    device: torch.device | str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train the classifier as the arm says and test it: shares in [0, 1]; the precision is None where nothing is named.

    `training` holds the generated pictures already where the arm uses them.
    """
    changes: tuple[Augment, ...] = ("crop", "flip", "mixup") if flip else ("crop", "mixup")
    net = fit(
        training.x,
        training.y,
        classes,
        seed=seed,
        steps=steps,
        augment=changes if arm.ordinary else (),
        class_weights=inverse_frequency(training.y, classes) if arm.weights else None,
        sampling="balanced" if arm.balanced else "plain",
        device=device,
        report=report,
    )
    logits = predict(net, test.x)
    return {
        "balanced_accuracy": balanced_accuracy(logits, test.y, classes),
        "recall": recall(logits, test.y, rare),
        "precision": precision(logits, test.y, rare),
        "accuracy": accuracy(logits, test.y),
        "trained_on": len(training.y),
        "trained_on_rare": int((training.y == rare).sum()),
    }


def inverse_frequency(y: Tensor, classes: int) -> Tensor:
    """Weights (classes,) with which every class counts the same; their mean over the pictures is 1."""
    counts = torch.bincount(y, minlength=classes).double()
    return (len(y) / (classes * counts.clamp(min=1))).float()


def precision(logits: Tensor, y: Tensor, cls: int) -> float | None:
    """Share in [0, 1] of the rows named `cls` that are of it; None where no row is named so."""
    named = logits.argmax(1) == cls
    return float((y[named] == cls).double().mean()) if named.any() else None

"""What a metric is: what it compares, what it needs, what its numbers are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from .extractors import Extractor, Named, suffix
from .seen import Seen

Better = Literal["lower", "higher", ""]


@dataclass
class Case:
    """What is compared: what the extractor has seen of generated, real and held-out real samples, and what else a
    metric may need. `details` takes what is more than a number, such as the shares of classes."""

    fake: Seen
    real: Seen
    held: Seen | None = None
    extractor: Extractor | None = None
    classes: int = 0
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mixture: tuple[Tensor, float] | None = None
    path: Callable[[], float] | None = None
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    partners: Seen | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """A name and which way is better; `official` is the name with the Inception of the FID paper, where it differs."""

    name: str
    better: Better
    official: str = ""


@dataclass(frozen=True)
class Metric:
    """One entry. `needs`: what a case must have, of NEEDS. `by`: whose eyes it takes, which its name tells.

    `floor`: it may be taken between two sets of real samples, too. `settings` go into the protocol.
    """

    key: str
    text: str
    values: tuple[Value, ...]
    measure: Callable[[Case], tuple[float, ...]]
    needs: tuple[str, ...] = ()
    by: Literal["extractor", "perceptual", "either", "none"] = "extractor"
    floor: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def names(self, eyes: Named | None) -> tuple[str, ...]:
        """What its numbers are called: FID, IS and KID only with the official Inception, LPIPS only with its trunk."""
        if eyes is None:
            return tuple(value.name for value in self.values)
        official = eyes.official
        return tuple((value.official or value.name if official else value.name) + suffix(eyes) for value in self.values)


NEEDS = {
    "pictures": "pictures, not points",
    "classes": "an extractor that names classes: labelled data, or the official Inception",
    "labels": "a generator with labels, and labelled real data of the same classes",
    "held-out": "real data that were kept aside: a set with a test split, or --held-out SOURCE",
    "held-labels": "held-out data with labels of the same classes",
    "mixture": "the toys ring and grid, whose modes are known",
    "stacked": "stacked_mnist as the real data",
    "sampler": "a run, not a folder, and features of unrounded pictures: the extractor `own`, or LPIPS by --heads",
    "trunk": "LPIPS: name its heads with --heads, and torchvision's weights with --trunk",
    "pairs": "as many generated as real pictures, in pairs of equal names",
}

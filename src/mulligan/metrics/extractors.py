"""What looks at pictures before a distance is taken: a network whose name and SHA-256 every number carries."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Named(Protocol):
    """Whose eyes a number was taken with."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def preprocessing(self) -> str: ...

    @property
    def official(self) -> bool: ...


class Extractor(Named, Protocol):
    """Pictures to features.

    `name` says what it is ("inception", "mnist", "net.py:Net"), `sha256` which weights and code it has, `preprocessing`
    in words what it does to 8-bit pictures. `official` is True for the Inception of the FID paper with the right
    checksum and for nothing else: only then may a number be called FID, IS or KID.
    """

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 pictures (n, C, H, W), or float32 points (n, d), to features (n, F) and logits (n, K) or None.

        Both float32 on the CPU. The result for a picture doesn't depend on the others in the batch, up to rounding.
        """
        ...


def suffix(eyes: Named) -> str:
    """What follows a metric's name: nothing for the official Inception, else `_mnist@1a2b3c4d` and the like."""
    if eyes.official:
        return "" if eyes.name == "inception" else f"_{eyes.name}"
    return f"_{eyes.name}" if "@" in eyes.name else f"_{eyes.name}@{eyes.sha256[:8]}"

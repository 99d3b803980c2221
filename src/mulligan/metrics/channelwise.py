"""An extractor for one channel that looks at each channel of a picture."""

from __future__ import annotations

from torch import Tensor

from .extractors import Extractor


class Channelwise:
    """Features and logits of the channels side by side: (n, channels × F), (n, channels × K)."""

    official = False

    def __init__(self, inner: Extractor, channels: int) -> None:
        self.inner, self.channels = inner, channels
        self.name, self.sha256 = f"{inner.name}x{channels}", inner.sha256
        self.preprocessing = f"each of {channels} channels by itself; {inner.preprocessing}"

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        features, logits = self.inner(x.flatten(0, 1)[:, None])
        return features.view(len(x), -1), None if logits is None else logits.view(len(x), -1)


def digits_of(logits: Tensor, channels: int = 3) -> Tensor:
    """The class (n, channels) that each channel is named."""
    return logits.view(len(logits), channels, -1).argmax(2)

"""Files <-> tensors <-> something a person can look at: one small object per modality."""

from collections.abc import Sequence

from torch import Tensor

from mulligan.media.decode import BadImage
from mulligan.media.image import Images
from mulligan.media.points import Points

__all__ = ["BadImage", "Images", "Points", "for_shape"]


def for_shape(shape: Sequence[int], reference: Tensor | None = None) -> Images | Points:
    """The media object for items of a shape: (C,H,W) -> Images, (d,) -> Points over `reference`. Raises ValueError."""
    if len(shape) == 3:
        return Images()
    if len(shape) == 1:
        return Points(reference)
    raise ValueError(f"no medium shows items of shape {tuple(shape)}; pictures are (C,H,W), points (d,)")

"""Which image sizes a network that doubles its resolution can make."""

from mulligan.core.errors import UserError


def _split(height: int, width: int) -> tuple[int, int, int] | None:
    side = min(height, width)
    if side < 4:
        return None
    ups = (side // 4).bit_length() - 1
    step = 2**ups
    return None if height % step or width % step else (height // step, width // step, ups)


def _nearby(height: int, width: int) -> list[tuple[int, int]]:
    """The closest size that works below and the closest above, where there is one."""
    found = set()
    for ups in range(max(height, width).bit_length()):
        step = 2**ups
        for h in {height // step * step, -(-height // step) * step, 4 * step}:
            for w in {width // step * step, -(-width // step) * step, 4 * step}:
                if _split(h, w):
                    found.add((h, w))
    nearest = sorted(found, key=lambda size: (abs(size[0] - height) + abs(size[1] - width), size))
    below = [size for size in nearest if size[0] <= height and size[1] <= width]
    above = [size for size in nearest if size[0] >= height and size[1] >= width]
    return below[:1] + above[:1] or nearest[:1]


def pyramid(height: int, width: int) -> tuple[int, int, int]:
    """(base_height, base_width, ups): the size is base * 2**ups with the smaller base side from 4 to 7.

    28 -> (7, 7, 2), 64 x 96 -> (4, 6, 4). UserError, naming sizes nearby, below 4 pixels or where a side is no
    multiple of 2**ups.
    """
    if (found := _split(height, width)) is not None:
        return found
    possible = " or ".join(f"{h}x{w}" for h, w in _nearby(max(height, 1), max(width, 1)))
    raise UserError(
        f"{height}x{width} pixels do not come from a base of 4 to 7 pixels by doubling; resize the images to {possible}"
    )

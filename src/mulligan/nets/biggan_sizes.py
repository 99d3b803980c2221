"""The sizes that BigGAN's networks pass through, where self-attention comes, and how wide they are (appendix B)."""

from __future__ import annotations

from dataclasses import dataclass

from mulligan.core.errors import UserError

from .sizes import pyramid

LARGEST = 64
"""Pixels at most where self-attention comes without being told: it costs their fourth power."""
TABLE = {4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1)}
"""Channels of G from its base on in multiples of the width, by the number of doublings (Brock et al. 2019, table 4)."""


@dataclass(frozen=True)
class Plane:
    """G begins with `base`, height and width, and doubles it `ups` times."""

    base: tuple[int, int]
    ups: int

    @property
    def sizes(self) -> list[int]:
        """Pixels of the smaller side, from the base to the picture."""
        return [min(self.base) << i for i in range(self.ups + 1)]

    def attended(self, wanted: tuple[int, ...]) -> set[int]:
        """Sizes with self-attention: those `wanted`, none of them for 0, half of the picture (64 at most) for ().

        Raises UserError for a size that there isn't.
        """
        if not wanted:
            return set([size for size in self.sizes[1:-1] if size <= LARGEST][-1:])
        if wanted == (0,):
            return set()
        for size in wanted:
            if size not in self.sizes[1:]:
                there = ", ".join(map(str, self.sizes[1:]))
                raise UserError(f"attention at {size} pixels: these networks pass through {there}; 0 is for none")
        return set(wanted)

    def rising(self, attended: set[int]) -> set[int]:
        """The doublings of G that lead to these sizes."""
        return {i for i, size in enumerate(self.sizes[1:]) if size in attended}

    def falling(self, attended: set[int], halvings: int) -> set[int]:
        """The blocks of D, which halves the size so often, that lead to them."""
        return {i for i in range(halvings) if self.sizes[-2 - i] in attended}


def plane(shape: tuple[int, int, int], base: int = 0) -> Plane:
    """The sizes for pictures (C, H, W), from `base` pixels of the smaller side, or from 4 to 7 for 0.

    Raises UserError where they don't come by doubling, or are there from the start.
    """
    height, width, ups = pyramid(shape[1], shape[2]) if not base else _from(base, shape[1], shape[2])
    if not ups:
        raise UserError(f"{shape[1]}x{shape[2]} pixels: these networks double the size, so 8 pixels are the least")
    return Plane((height, width), ups)


def _from(base: int, height: int, width: int) -> tuple[int, int, int]:
    ups = max((min(height, width) // base).bit_length() - 1, 0)
    if min(height, width) != base << ups or height % (1 << ups) or width % (1 << ups):
        raise UserError(
            f"{height}x{width} pixels don't come from a base of {base} by doubling; 0 chooses one that fits"
        )
    return height >> ups, width >> ups, ups


def multiples(ups: int) -> tuple[int, ...]:
    """Channels of G from its base on, in multiples of the width; up to 32 pixels they are the same throughout."""
    return (4,) * (ups + 1) if ups < min(TABLE) else TABLE.get(ups) or (*TABLE[6], *(1,) * (ups - 6))


def multiples_d(ups: int) -> tuple[tuple[int, ...], int]:
    """Those behind the blocks of D, and how many of these halve the size; up to 32 pixels two, as in BigGAN-PyTorch."""
    if ups < min(TABLE):
        return (4, 4, 4, 4), min(ups, 2)
    return (1, 2, 4, 8, 16) if ups == min(TABLE) else multiples(ups)[::-1], ups

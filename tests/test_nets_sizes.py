"""Image sizes."""

import re

import pytest

from mulligan.core.errors import UserError
from mulligan.nets.sizes import pyramid


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((8, 8), (4, 4, 1)),
        ((28, 28), (7, 7, 2)),
        ((32, 32), (4, 4, 3)),
        ((64, 64), (4, 4, 4)),
        ((64, 96), (4, 6, 4)),
        ((96, 64), (6, 4, 4)),
        ((48, 48), (6, 6, 3)),
        ((5, 9), (5, 9, 0)),
        ((1024, 1024), (4, 4, 8)),
    ],
)
def test_pyramid(size, expected):
    assert pyramid(*size) == expected


def test_every_answer_rebuilds_its_size():
    for height in range(4, 70):
        for width in range(4, 70):
            try:
                base_height, base_width, ups = pyramid(height, width)
            except UserError:
                continue
            assert (base_height << ups, base_width << ups) == (height, width)
            assert 4 <= min(base_height, base_width) <= 7


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((30, 30), "28x28 or 32x32"), ((3, 3), "4x4"), ((64, 100), "64x96"), ((0, 9), "4x9"), ((33, 33), "32x32")],
)
def test_refusals_name_sizes_that_work(size, nearest):
    with pytest.raises(UserError, match=nearest) as error:
        pyramid(*size)
    for height, width in re.findall(r"(\d+)x(\d+)", str(error.value).split("resize")[1]):
        pyramid(int(height), int(width))


def test_every_refusal_names_a_size():
    messages = []
    for height in range(40):
        for width in range(40):
            try:
                pyramid(height, width)
            except UserError as error:
                messages.append(str(error))
    assert messages
    assert all(re.search(r"resize the images to \d+x\d+", message) for message in messages)

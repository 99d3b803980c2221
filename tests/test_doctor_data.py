"""Problems of the data: each made on purpose, beside the same data without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.core.game import Batch
from mulligan.data import open_source
from mulligan.doctor import data
from mulligan.doctor.data import Problem, problems

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
COUNT = 1_200


class Table:
    """Rows in memory, which counts how many were asked for."""

    def __init__(self, x: Tensor, y: Tensor | None = None) -> None:
        self.tensors = {"x": x} if y is None else {"x": x, "y": y}
        self.read = 0

    def __len__(self) -> int:
        return len(self.tensors["x"])

    def gather(self, indices: Tensor) -> Batch:
        self.read += len(indices)
        return {name: value[indices] for name, value in self.tensors.items()}


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = COUNT, channels: int = 1, side: int = 16, seed: int = 0) -> Tensor:
    """Smooth random pictures with a dark border, uint8; odd ones are brighter on the left, even ones on the right."""
    coarse = torch.randn(n, channels, 4, 4, generator=draw(seed))
    coarse[1::2, :, :, :2] += 1.5
    coarse[::2, :, :, 2:] += 1.5
    inner = F.interpolate(coarse, size=(side - 4, side - 4), mode="bilinear").sigmoid() * 255
    return F.pad(inner, (2, 2, 2, 2)).round().to(torch.uint8)


def sides(n: int = COUNT) -> Tensor:
    return torch.arange(n) % 2


def points(n: int = COUNT, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two rings, one in the other, and which."""
    y = torch.arange(n) % 2
    angle = 2 * math.pi * torch.rand(n, generator=draw(seed))
    return torch.stack([angle.cos(), angle.sin()], 1) * (1 + y)[:, None], y


def found(x: Tensor, y: Tensor | None = None, classes: int | tuple[str, ...] = 2) -> list[Problem]:
    return problems(Table(x, y), classes)


def only(problems: list[Problem], key: str, level: str) -> Problem:
    assert [(p.key, p.level) for p in problems] == [(key, level)], problems
    return problems[0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_clean_pictures_have_no_problem(channels: int):
    assert found(pictures(channels=channels), sides()) == []


def test_clean_points_have_no_problem():
    assert found(*points()) == []


def test_pictures_of_floats_are_not_measured_as_bytes_nor_as_points():
    assert found(pictures() / 127.5 - 1, sides()) == []


@pytest.mark.parametrize("name", ["digits", "ring", "grid", "swissroll", "moons"])
def test_the_built_in_sets_have_no_problem(name: str):
    source = open_source(name)
    assert problems(source, source.classes) == []


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the data are not beside this checkout")
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_sets_that_many_have_trained_on_have_no_problem(name: str, tmp_path: Path):
    source = open_source(name, root=SHARED, cache=tmp_path, split="test", progress=False)
    assert problems(source, source.classes) == []


@pytest.mark.skipif(not (SHARED / "medmnist").is_dir(), reason="the data are not beside this checkout")
def test_x_rays_have_no_problem(tmp_path: Path):
    source = open_source(SHARED / "medmnist" / "pneumoniamnist.npz", cache=tmp_path, progress=False)
    assert problems(source, source.classes) == []


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    if not (SHARED / "noto_emoji72").is_dir():
        pytest.skip("the data are not beside this checkout")
    path, cache = SHARED / "noto_emoji72" / "noto_emoji72.zip", tmp_path_factory.mktemp("cache")
    return open_source(path, cache=cache, size=(32, 32), progress=False).tensors["x"].clone()


def test_drawings_have_no_problem(drawings: Tensor):
    assert found(drawings) == []


def test_blank_pictures_are_not_called_negatives(drawings: Tensor):
    blank = drawings.clone()
    blank[::10] = 0  # the others have a white background
    only(found(blank), "blank", "watch")


def test_the_same_is_found_every_time_and_the_global_random_state_is_left_alone():
    x, y = pictures(), sides()[torch.randperm(COUNT, generator=draw())]
    x[:100] = 255 - x[:100]
    before = torch.get_rng_state()
    assert found(x, y) == found(x, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_at_most_4096_rows_are_read_and_fewer_large_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "BYTES", 2 << 20)
    many, large = Table(pictures(6_000)), Table(pictures(600, 3, 50))
    problems(many, 0)
    problems(large, 0)
    assert many.read == 4_096 + 1
    assert large.read == data.LEAST + 1


def test_alarms_come_first_and_every_problem_says_what_to_do():
    some = found(pictures(400) // 128, torch.zeros(400).long())
    assert [p.level for p in some] == ["alarm", "alarm", "watch"]
    assert all(p.text and p.healthy and p.advice for p in some)


# ---- duplicates


def test_pictures_that_all_stand_twice_are_an_alarm():
    x = pictures()
    problem = only(found(torch.cat([x, x])), "duplicates", "alarm")
    assert problem.value == 1
    assert "100 % of all 2,400 pictures" in problem.text


def test_doubles_that_were_changed_a_little_are_doubles():
    x = pictures()
    noise = (2 * torch.randn(x.shape, generator=draw(1))).round().int()
    near = (x.int() + noise).clamp(0, 255).to(torch.uint8)
    assert only(found(torch.cat([x, near])), "duplicates", "alarm").value > 0.9


def test_a_few_doubles_are_watched_and_fewer_are_let_be():
    x = pictures()
    assert only(found(torch.cat([x, x[:60]])), "duplicates", "watch").value == pytest.approx(120 / 1260)
    assert found(torch.cat([x, x[:6]])) == []


def test_doubles_of_a_large_set_are_reckoned_from_those_that_were_looked_at():
    x = pictures(10_000)
    problem = only(found(torch.cat([x, x])), "duplicates", "alarm")
    assert "of 4,096 pictures looked at" in problem.text
    assert "in all 20,000 that makes about 100 %" in problem.text
    tenth = only(found(torch.cat([x, x[:1_000]])), "duplicates", "watch")
    assert tenth.value == pytest.approx(2_000 / 11_000, rel=0.3)


def test_one_pair_by_chance_says_nothing_about_a_large_set():
    x = pictures(30_000, side=8)
    x[1] = x[0]
    assert found(x) == []


def test_a_set_of_one_picture_repeated_is_an_alarm():
    assert only(found(pictures(1).expand(COUNT, -1, -1, -1)), "duplicates", "alarm").value == 1


def test_equal_points_are_watched():
    x, _ = points()
    assert only(found(torch.cat([x, x])), "duplicates", "watch").value == 1


# ---- classes and labels


def test_labels_in_another_order_than_the_pictures_are_an_alarm():
    mixed = sides()[torch.randperm(COUNT, generator=draw())]
    problem = only(found(pictures(), mixed), "labels", "alarm")
    assert abs(problem.value) < 0.1


def test_labels_of_points_in_another_order_are_an_alarm():
    x, y = points()
    only(found(x, y[torch.randperm(COUNT, generator=draw())]), "labels", "alarm")


def test_labels_that_are_mostly_wrong_still_say_something():
    wrong = torch.where(torch.rand(COUNT, generator=draw()) < 0.6, 1 - sides(), sides())
    assert found(pictures(), wrong) == []


def test_shuffled_labels_of_few_samples_are_not_judged():
    few = found(pictures(300), sides(300)[torch.randperm(300, generator=draw())])
    only(few, "few", "watch")


def test_labels_that_the_game_does_not_use_are_not_judged():
    mixed = sides()[torch.randperm(COUNT, generator=draw())]
    assert found(pictures(), mixed, 0) == []
    assert found(pictures(), torch.zeros(COUNT).long(), ("all",)) == []


def test_classes_with_few_samples_do_not_keep_the_others_from_being_judged():
    mixed = sides()[torch.randperm(COUNT, generator=draw())]
    mixed[:40] = torch.arange(2, 42)
    assert [p.key for p in found(pictures(), mixed, 42)] == ["labels", "rare class"]
    right = sides()
    right[:40] = torch.arange(2, 42)
    only(found(pictures(), right, 42), "rare class", "watch")


def test_one_class_of_several_is_an_alarm():
    problem = only(found(pictures(), torch.ones(COUNT).long(), ("cat", "dog")), "one class", "alarm")
    assert "are of one class, dog, of 2" in problem.text


def test_a_class_with_nearly_all_samples_is_watched():
    y = (torch.arange(COUNT) % 40 == 1).long()  # one in forty, on the left
    assert only(found(pictures(), y), "one class", "watch").value == pytest.approx(0.975)
    assert found(pictures(), (torch.arange(COUNT) % 10 == 1).long()) == []


def test_classes_without_samples_are_watched():
    problem = only(found(pictures(), sides(), ("a", "b", "c", "d")), "rare class", "watch")
    assert "c with 0, d with 0" in problem.text
    assert problem.value == 2


def test_classes_are_not_missed_among_too_few_rows():
    assert found(pictures(), sides(), COUNT // 20) == []


@pytest.mark.parametrize("wrong", [-1, 2])
def test_labels_outside_the_classes_are_an_alarm(wrong: int):
    y = sides()
    y[:12] = wrong
    problem = only(found(pictures(), y), "labels", "alarm")
    assert problem.value == pytest.approx(0.01)
    assert f"{wrong}, for one" in problem.text


# ---- brightness and colours


@pytest.mark.parametrize(("by", "top"), [(128, 1), (16, 15)])
def test_values_from_0_to_1_or_16_stored_as_bytes_are_an_alarm(by: int, top: int):
    problem = only(found(pictures() // by, sides()), "range", "alarm")
    assert problem.value == top
    assert f"brightest pixel is {top}." in problem.text


def test_one_bright_pixel_does_not_hide_a_wrong_range():
    x = pictures() // 128
    x[0, 0, 8, 8] = 255
    only(found(x), "range", "alarm")


def test_pale_pictures_are_watched_and_their_labels_judged():
    mixed = sides()[torch.randperm(COUNT, generator=draw())]
    assert [(p.key, p.level) for p in found(pictures() // 5, mixed)] == [("labels", "alarm"), ("range", "watch")]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_pictures_of_one_colour_are_watched(value: int):
    x = pictures()
    x[::20] = value
    assert only(found(x), "blank", "watch").value == pytest.approx(0.05)
    x = pictures()
    x[::200] = value
    assert found(x) == []


def test_mostly_blank_pictures_are_an_alarm():
    x = pictures()
    x[::2] = 0
    x[1] = 0
    assert found(x)[0].level == "alarm"


def test_grey_pictures_in_three_channels_are_watched():
    problem = only(found(pictures().expand(-1, 3, -1, -1)), "grey", "watch")
    assert "--channels 1" in problem.advice


def test_a_channel_that_never_changes_is_watched():
    solid = torch.cat([pictures(channels=3), torch.full((COUNT, 1, 16, 16), 255, dtype=torch.uint8)], 1)
    problem = only(found(solid), "channel", "watch")
    assert "Channel 4 of 4 is 255" in problem.text
    assert "--channels 3" in problem.advice


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_negatives_among_pictures_are_watched(share: float, channels: int):
    x = pictures(channels=channels)
    inverted = torch.rand(COUNT, generator=draw()) < share
    x[inverted] = 255 - x[inverted]
    assert only(found(x), "polarity", "watch").value == pytest.approx(share, abs=0.03)


def test_negatives_are_found_without_a_border_too():
    x = pictures(side=20)[:, :, 2:-2, 2:-2]  # fills its frame
    x = x // 2  # and is dark as a whole
    assert found(x) == []
    x[::10] = 255 - x[::10]
    assert only(found(x), "polarity", "watch").value == pytest.approx(0.1, abs=0.03)


def test_few_samples_are_watched():
    assert only(found(pictures(999)), "few", "watch").value == 999
    assert only(found(points(999)[0]), "few", "watch").value == 999
    assert found(pictures(1_000)) == []


# ---- points


def test_points_that_are_not_finite_are_an_alarm():
    x, y = points()
    x[::100, 1] = math.inf
    assert only(found(x, y), "non-finite", "alarm").value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("by", "level"), [(1e4, "alarm"), (100, "watch"), (10, ""), (0.1, ""), (0.01, "watch"), (1e-5, "alarm")]
)
def test_points_far_from_the_scale_of_networks(by: float, level: str):
    assert [(p.key, p.level) for p in found(points()[0] * by)] == ([("scale", level)] if level else [])


def test_a_coordinate_that_does_not_vary_is_watched():
    x = torch.cat([points()[0], torch.full((COUNT, 1), 0.3)], 1)
    assert "number 3" in only(found(x), "constant", "watch").text


def test_a_single_point_over_and_over_is_an_alarm():
    assert ("constant", "alarm") in [(p.key, p.level) for p in found(torch.ones(COUNT, 2))]


def test_coordinates_of_unequal_size_are_watched():
    x = points()[0]
    assert only(found(x * torch.tensor([0.01, 3.0])), "unequal", "watch").value > 100
    assert found(x * torch.tensor([0.1, 3.0])) == []


ODD: dict[str, Callable[[], Tensor]] = {
    "one point": lambda: torch.zeros(1, 2),
    "one picture": lambda: pictures(1),
    "two pictures": lambda: pictures(2),
    "single pixels": lambda: torch.randint(0, 256, (COUNT, 3, 1, 1), generator=draw()).to(torch.uint8),
    "a wide picture": lambda: torch.randint(0, 256, (150, 1, 4, 90), generator=draw()).to(torch.uint8),
    "black": lambda: torch.zeros(200, 1, 8, 8, dtype=torch.uint8),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_odd_data_are_looked_at_without_an_error(make: Callable[[], Tensor]):
    x = make()
    assert all(isinstance(p, Problem) for p in found(x, torch.arange(len(x)) % 2))

"""Features in a file give what features in memory give, and only what is asked for is read."""

from __future__ import annotations

import pytest
import torch

from mulligan import UserError
from mulligan.metrics import bank as banks
from mulligan.metrics import neighbours
from mulligan.metrics.bank import Bank, View, few, some
from mulligan.metrics.distances import (
    frechet,
    frechet_by_class,
    frechet_infinite,
    inception_score,
    kernel_distance,
)
from mulligan.metrics.gaussian import Gaussian
from mulligan.metrics.memorisation import memorisation
from mulligan.metrics.neighbours import nearest


def random(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def banked(rows: torch.Tensor, parts: int = 37) -> Bank:
    bank = Bank(rows.shape[1:], rows.dtype)
    for part in rows.split(parts):
        bank.add(part)
    return bank


@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8, torch.int64])
def test_rows_come_back_as_they_were(dtype, small, monkeypatch):
    """Read one by one, or, of a small bank, all at once."""
    monkeypatch.setattr(banks, "SMALL", small)
    rows = (random(100, 12, 0) * 50).to(dtype).view(100, 3, 4)
    bank = banked(rows, 7)
    assert bank.shape == (100, 3, 4)
    index = torch.tensor([5, 99, 0, 6, 7, 5])
    assert torch.equal(bank[index], rows[index])
    assert torch.equal(torch.cat(list(bank.split(13))), rows)
    view = some(some(bank, torch.arange(50, 100)), torch.tensor([3, 1]))
    assert isinstance(view, View)
    assert torch.equal(view[torch.tensor([1, 0])], rows[torch.tensor([51, 53])])
    assert torch.equal(torch.cat(list(view.split(1))), rows[torch.tensor([53, 51])])


def test_one_number_a_row_and_a_file_that_stays(tmp_path):
    bank = Bank((), torch.int64, tmp_path / "labels")
    bank.add(torch.arange(10))
    bank.flush()
    again = Bank((), torch.int64, tmp_path / "labels")
    assert len(again) == 10
    assert torch.equal(again[torch.tensor([9, 2])], torch.tensor([9, 2]))


def test_distances_of_banks_are_those_of_tensors():
    a, b = random(500, 8, 1), random(400, 8, 2) + 0.3
    A, B = banked(a), banked(b)
    assert frechet(A, B) == pytest.approx(frechet(a, b), rel=1e-12)
    assert kernel_distance(A, B, subsets=5, size=50) == kernel_distance(a, b, subsets=5, size=50)
    assert inception_score(A, 7) == pytest.approx(inception_score(a, 7), rel=1e-12)
    assert frechet_infinite(A, B_gaussian := Gaussian.of(B)) == pytest.approx(frechet_infinite(a, B_gaussian), rel=1e-9)
    labels = torch.arange(500) % 3
    by_class = frechet_by_class(A, labels, B, labels[:400]), frechet_by_class(a, labels, b, labels[:400])
    assert by_class[0] == pytest.approx(by_class[1], rel=1e-12)
    assert memorisation(a, B, A).ratio == memorisation(a, b, a).ratio


def test_nearest_goes_through_a_bank_part_by_part(monkeypatch):
    monkeypatch.setattr(neighbours, "PART", 60)
    a, b = random(90, 8, 1), random(400, 8, 2)
    distance, index = nearest(a, banked(b))
    expected = torch.cdist(a.double(), b.double()).min(1)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(index, expected.indices)


def test_few_is_a_choice_at_random_of_no_more_than_asked():
    bank = banked(torch.arange(1000).float()[:, None])
    assert torch.equal(few(bank, 2000), torch.arange(1000).float()[:, None])
    chosen = few(bank, 100)
    assert len(chosen) == 100
    assert len(chosen.unique()) == 100
    assert 400 < chosen.mean() < 600
    assert torch.equal(few(bank, 100), chosen)


def test_a_full_disk_is_a_message():
    bank = Bank((4,))

    class Full:
        def seek(self, _: int) -> None: ...
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    bank._file = Full()  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"No space left.*TMPDIR"):
        bank.add(torch.zeros(2, 4))


def test_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(5,\).*\(4,\)"):
        Bank((4,)).add(torch.zeros(2, 5))

"""Energy counters, on a folder tree like the one that Linux shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulligan.core.energy import Energy

RANGE = 262_143_328_850  # microjoules, as real packages say


def zone(root: Path, name: str, label: str, energy: int | str, span: int | str | None = RANGE) -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    if span is not None:
        (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder


def spend(folder: Path, energy: int | str) -> None:
    (folder / "energy_uj").write_text(f"{energy}\n")


def test_packages_are_summed_since_construction(tmp_path: Path):
    first, second = (
        zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000),
        zone(tmp_path, "intel-rapl:1", "package-1", 0),
    )
    energy = Energy(tmp_path)
    assert energy.joules() == 0
    spend(first, 7_500_000)
    assert energy.joules() == 2.5
    spend(second, 1_000_000)
    assert energy.joules() == 3.5


def test_only_whole_packages_count(tmp_path: Path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:1", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    (tmp_path / "intel-rapl").mkdir()
    energy = Energy(tmp_path)
    for folder in (package, *others):
        spend(folder, 2_000_000)
    assert energy.joules() == 2


def test_a_counter_may_wrap_around_more_than_once(tmp_path: Path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)
    energy = Energy(tmp_path)
    spend(package, 2_000_000)
    assert energy.joules() == 3
    spend(package, RANGE)
    assert energy.joules() == pytest.approx(RANGE / 1e6 + 1)
    spend(package, 500_000)
    assert energy.joules() == pytest.approx(RANGE / 1e6 + 1.5)


@pytest.mark.parametrize("span", [None, 0, "?"])
def test_a_wrap_of_unknown_size_is_unknown_for_good(tmp_path: Path, span: int | str | None):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000, span)
    energy = Energy(tmp_path)
    assert energy.joules() == 0
    spend(package, 1_000_000)
    assert energy.joules() is None
    spend(package, 9_000_000)
    assert energy.joules() is None


def test_unknown_where_nothing_can_be_read(tmp_path: Path):
    assert Energy(tmp_path).joules() is None
    assert Energy(tmp_path / "missing").joules() is None
    zone(tmp_path, "intel-rapl:0", "package-0", "")
    assert Energy(tmp_path).joules() is None


def test_one_unreadable_package_leaves_the_sum_unknown(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    hidden = zone(tmp_path, "intel-rapl:1", "package-1", 1)
    (hidden / "energy_uj").unlink()
    assert Energy(tmp_path).joules() is None


def test_a_failed_reading_is_made_up_for_by_the_next(tmp_path: Path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    energy = Energy(tmp_path)
    spend(package, "")
    assert energy.joules() is None
    spend(package, 4_000_000)
    assert energy.joules() == 4


def test_this_machine_gives_a_number_or_says_unknown():
    found = Energy().joules()
    assert found is None or found >= 0

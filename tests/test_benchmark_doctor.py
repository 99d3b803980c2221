"""The test set of the doctor: what its cases are, how a kept run is judged, and what the table and the bars count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.doctor import Outcome, folder, healthy_in_truth, judged, table, totals
from benchmarks.doctor_cases import Case, centres, covariance_root, nearness, of_lab, of_modes, points
from benchmarks.doctor_set import CASES, UNEVEN

HEALTHY, IDLE = Case("fine", "ring", (), 4_000), Case("still", "ring", ("idle",), 4_000)
WELL = {
    "probe": 1.0, "auc": 0.6, "r_t": 0.2, "margin": 0.5, "slope": 1.0, "diversity": 1.0, "spread": 1.0,
    "missing": 0.0, "imbalance": 0.05, "distance": 0.01, "wander": 0.05, "moved_D": 0.01,
}  # fmt: skip
Keep = Callable[..., None]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Writes what a training of a case leaves behind, with 20 probes; from `since` on, a share, they say `sick`."""

    def kept(case: Case, since: float = 2.0, sick: dict[str, float] | None = None, settings: str = "") -> None:
        out = folder(tmp_path, case, 0)
        out.mkdir()
        asked: dict[str, Any] = {"arguments": {"images": case.images}, "data": {"count": 50_000, "shape": [2]}}
        (out / "recipe.json").write_text(json.dumps({**asked, "recipe": "toy", "doctor": {}}))
        rows = [
            {"round": 200 * i, "images": case.images * i // 20, **WELL, **(sick or {} if i / 20 >= since else {})}
            for i in range(1, 21)
        ]
        (out / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (out / "truth.json").write_text(json.dumps({"settings": settings or case.settings}))

    return kept


def test_a_healthy_run_is_right_where_no_alarm_is_given(keep: Keep, tmp_path: Path):
    keep(HEALTHY)
    found = judged(tmp_path, HEALTHY, 0)
    assert found
    assert (found.said, found.alarm, found.right) == ("healthy", False, True)


def test_an_alarm_that_has_passed_is_a_false_one(keep: Keep, tmp_path: Path):
    keep(HEALTHY)
    log = folder(tmp_path, HEALTHY, 0) / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text(
        "".join(json.dumps(row | ({"moved_D": 0.0} if 7 <= i < 11 else {})) + "\n" for i, row in enumerate(rows))
    )
    found = judged(tmp_path, HEALTHY, 0)
    assert found
    assert (found.said, found.alarm, found.right) == ("idle", True, False)


def test_the_first_right_alarm_is_the_third_probe_that_shows_it(keep: Keep, tmp_path: Path):
    keep(IDLE, since=0.5, sick={"moved_D": 0.0})
    found = judged(tmp_path, IDLE, 0)
    assert found
    assert (found.said, found.right, found.detected) == ("idle", True, 0.6)


def test_a_run_of_other_settings_is_not_judged(keep: Keep, tmp_path: Path):
    keep(HEALTHY, settings="{}")
    assert judged(tmp_path, HEALTHY, 0) is None


def test_a_run_that_is_not_there_is_not_judged(tmp_path: Path):
    assert judged(tmp_path, HEALTHY, 0) is None


@pytest.mark.parametrize(("kl", "well"), [(0.02, True), (0.4, False)])
def test_a_run_of_even_modes_is_healthy_in_truth(kl: float, well: bool, keep: Keep, tmp_path: Path):
    case = Case("vanilla", "ring", UNEVEN, 4_000)
    keep(case)
    assert healthy_in_truth(tmp_path, case, 0, {"kl": kl}) is well


@pytest.mark.parametrize(("frechet", "well"), [(140.0, True), (160.0, False)])
def test_a_run_as_good_as_the_healthy_one_of_its_seed_is_healthy_in_truth(frechet: float, well: bool, tmp_path: Path):
    healthy = next(case for case in CASES if (case.group, case.name) == ("mnist", "dcgan"))
    out = folder(tmp_path, healthy, 0)
    out.mkdir()
    (out / "truth.json").write_text(json.dumps({"settings": healthy.settings, "frechet": 100.0}))
    fast = Case("fast", "mnist", ("unstable",), 100, beside="dcgan")
    assert healthy_in_truth(tmp_path, fast, 0, {"frechet": frechet}) is well
    assert not healthy_in_truth(tmp_path, fast, 1, {"frechet": frechet})  # that seed has no healthy run


def test_the_table_counts_what_a_case_was_called():
    case = next(case for case in CASES if case.right == ("idle",))
    found = [
        Outcome(case, 0, "idle", True, 0.1),
        Outcome(case, 1, "idle", True, 0.3),
        Outcome(case, 2, "", False, None),
    ]
    assert table(found).splitlines()[2:] == [f"| {case.group} | {case.name} | idle | 2 of 3 | idle 2,  1 | 20 (of 2) |"]


def ill(said: str, at: float | None) -> Outcome:
    return Outcome(IDLE, 0, said, True, at)


def test_all_bars_are_kept():
    assert totals([*[ill("idle", 0.2)] * 9, ill("collapse", 0.2), Outcome(HEALTHY, 0, "healthy", False, None)])[1]


def test_too_few_right_verdicts_are_below_the_bar():
    assert not totals([*[ill("idle", 0.2)] * 8, *[ill("collapse", 0.2)] * 2])[1]


def test_an_illness_that_was_never_seen_counts_as_seen_at_the_end():
    assert not totals([*[ill("idle", 0.2)] * 9, *[ill("idle", None)] * 10])[1]


def test_false_alarms_are_counted_over_healthy_runs_only():
    healthy = [Outcome(HEALTHY, seed, "healthy", False, None) for seed in range(9)]
    words, passed = totals([*[ill("idle", 0.2)] * 90, *healthy, Outcome(HEALTHY, 9, "idle", True, None)])
    assert "false alarms in 10.0% of 10 healthy runs" in words
    assert not passed


def test_runs_that_are_healthy_in_truth_count_against_the_bar_and_are_told_beside_it():
    well = [Outcome(IDLE, seed, "healthy", False, None, well=True) for seed in range(2)]
    words, passed = totals([*[ill("idle", 0.2)] * 8, *well])
    assert "right illness 80.0% of 10" in words
    assert "2 of these runs are healthy in truth, and 2 of them are called so" in words
    assert "right illness in 100.0% of the other 8" in words
    assert not passed


def test_every_case_has_a_folder_of_its_own():
    assert len({folder(Path(), case, 0) for case in CASES}) == len(CASES)


def test_a_budget_counts_the_batches_of_every_turn_of_the_critic():
    case = Case("five", "ring", (), 100, {"batch": 32, "critic_turns": 5})
    assert case.images == 16_000


def test_what_is_right_to_say_is_no_setting_of_the_training():
    assert Case("a", "ring", (), 100).settings == Case("b", "ring", ("idle",), 100).settings
    assert Case("a", "ring", (), 100).settings != Case("a", "ring", (), 200).settings


@pytest.mark.parametrize("law", ["ring", "grid"])
def test_the_law_itself_has_all_modes_evenly(law: str):
    found = of_modes(points(law, 10_000, 0), *centres(law))
    assert found["modes"] == found["of"] == {"ring": 8, "grid": 25}[law]
    assert found["good"] > 0.98
    assert found["kl"] < 0.01


def test_one_point_is_one_mode():
    where, sigma = centres("ring")
    found = of_modes(where[:1].expand(1_000, 2), where, sigma)
    assert (found["modes"], found["good"], round(found["kl"], 2)) == (1, 1, 2.08)


def test_the_law_in_32_dimensions_is_near_itself_and_its_mean_is_not():
    assert of_lab(points("lab32", 10_000, 0))["frechet"] < 0.05
    assert of_lab(torch.zeros(1_000, 32))["frechet"] == pytest.approx(float(covariance_root().square().sum()), rel=1e-3)


def test_copies_are_near_the_training_data_and_fresh_points_are_not():
    train, fresh = points("lab32", 64, 0), points("lab32", 64, 1)
    assert nearness(train, train, fresh) == 0
    assert nearness(points("lab32", 2_000, 2), train, fresh) == pytest.approx(1, abs=0.15)

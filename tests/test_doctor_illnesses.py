"""Each illness on a history made for it, beside a healthy one; and what must not be taken for an illness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mulligan.doctor.bands import BANDS
from mulligan.doctor.cures import asked
from mulligan.doctor.examine import examine
from mulligan.doctor.history import PROBED, Facts, History
from mulligan.doctor.illness import Verdict
from mulligan.doctor.illnesses import SHELF

BUDGET, PROBES = 100_000, 40
HEALTHY: dict[str, float] = {
    "auc": 0.75, "auc_held": 0.75, "r_t": 0.4, "r_v": 0.0, "margin": 1.0, "push": 0.6, "slope": 1.0, "moved_D": 1e-3,
    "diversity": 1.0, "spread": 1.0, "duplicates": 1.0, "missing": 0.0, "imbalance": 0.1, "distance": 0.01,
    "wander": 0.05, "copies": 1.0, "repeats": 1.0, "checkerboard": 1.0, "contrast": 1.0, "obeyed": 1.0,
}  # fmt: skip
Wave = float | Callable[[float], float]


def history(
    events: list[dict[str, Any]] | None = None, facts: dict[str, Any] | None = None, **signals: Wave
) -> History:
    """Forty probes; a signal is a value, or a function of the share of the budget."""
    rows: list[dict[str, Any]] = []
    for i in range(1, PROBES + 1):
        given = {**HEALTHY, **signals}
        values = {name: wave(i / PROBES) if callable(wave) else wave for name, wave in given.items()}
        rows.append({"images": i * BUDGET // PROBES, "round": i * 500, PROBED: 1.0, **values})
    known = {"objective": "nonsaturating", "budget": BUDGET, "count": 60_000, **(facts or {})}
    return History.of([*rows, *(events or [])], Facts(**known))


def verdict(**given: Any) -> Verdict:
    return examine(history(**given))


def late(value: float, before: float, at: float = 0.5) -> Callable[[float], float]:
    return lambda share: value if share > at else before


SICK: dict[str, dict[str, Any]] = {
    "nonfinite": {"events": [{"event": "non-finite", "images": BUDGET, "round": 30_000}]},
    "data": {"events": [{"event": "data", "level": "alarm", "problem": "labels", "value": 0.0, "healthy": "above 0"}]},
    "idle": {"moved_D": 0.0},
    "weak": {"clipped": 0.9, "distance": 0.5, "facts": {"objective": "wasserstein", "clip": 0.01}},
    "vanishing": {"push": late(0.01, 0.6), "auc": 1.0, "facts": {"objective": "minimax"}},
    "unstable": {"wander": late(0.8, 0.05)},
    "overfitting": {"r_v": late(0.9, 0.0)},
    "memorisation": {"copies": late(0.5, 1.0)},
    "overpowering": {"margin": late(30.0, 2.0), "distance": late(0.4, 0.05)},
    "ignored": {"obeyed": 0.0},
    "blank": {"contrast": late(0.02, 1.0)},
    "collapse": {"diversity": late(0.2, 1.0)},
    "dropping": {"missing": late(0.25, 0.0)},
    "unbalanced": {"imbalance": late(0.4, 0.1)},
    "checkerboard": {"checkerboard": 50.0},
}


def test_every_illness_has_a_case():
    assert SICK.keys() == {illness.key for illness in SHELF}


def test_a_healthy_run_is_healthy():
    found = verdict()
    assert (found.word, found.spells, found.watched) == ("healthy", (), ())


@pytest.mark.parametrize("key", SICK)
def test_an_illness_is_named(key: str):
    found = verdict(**SICK[key])
    named = next(illness for illness in SHELF if illness.key == key)
    assert (found.word, found.chief) == (named.name, key)
    assert found.findings[0].readings
    assert all(reading.healthy for reading in found.findings[0].readings)


@pytest.mark.parametrize("key", [key for key in SICK if key not in ("nonfinite", "data")])
def test_it_is_told_since_when_and_only_after_three_probes(key: str):
    (spell, *_) = verdict(**SICK[key]).spells
    assert spell.confirmed - spell.since == 2 * BUDGET // PROBES


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("weak", {"facts": {"objective": "wasserstein", "clip": 0.0}}),  # nothing is clipped
        ("weak", {"distance": 0.02}),  # samples are good: published critics do lie at their bound
        ("vanishing", {"auc": 0.1}),  # G fools D: the loss needn't push
        ("overpowering", {"distance": 0.02, "margin": 9.0}),
    ],
)
def test_half_of_the_evidence_is_no_alarm(key: str, changed: dict[str, Any]):
    assert key not in {spell.key for spell in verdict(**{**SICK[key], **changed}).spells}


class TestNoAlarm:
    def test_an_auc_of_one_where_samples_are_good(self):
        assert not verdict(auc=1.0).spells

    def test_bad_samples_that_get_better_fast_enough(self):
        better: dict[str, Wave] = {
            "distance": lambda share: 2 * 0.01**share, "diversity": lambda share: 1 - 0.8 * 0.01**share,
            "missing": lambda share: 0.9 * 0.01**share, "imbalance": lambda share: 0.9 * 0.02**share, "auc": 1.0,
        }  # fmt: skip
        assert not verdict(**better).spells

    def test_bad_samples_that_get_better_too_slowly_are_one(self):
        slow = verdict(distance=lambda share: 2 * 0.5**share, auc=1.0)
        assert slow.chief == "overpowering"

    def test_the_first_probes(self):
        assert not verdict(diversity=late(1.0, 0.1, at=0.05)).spells

    def test_two_probes(self):
        assert not verdict(r_v=lambda share: 0.9 if 0.5 < share < 0.56 else 0.0).spells

    def test_a_mean_that_hops_with_a_collapsed_generator_is_the_collapse(self):
        assert verdict(wander=1.5, diversity=0.1).chief == "collapse"

    def test_but_a_wasserstein_critic_without_bound_throws_it_about(self):
        assert verdict(wander=1.5, diversity=0.1, facts={"objective": "wasserstein"}).chief == "unstable"

    def test_a_probe_in_which_the_mean_happens_to_stand_still_does_not_end_it(self):
        pausing: Wave = lambda share: 0.05 if round(share * PROBES) % 4 == 0 else 1.0  # noqa: E731
        quiet = verdict(wander=pausing, facts={"objective": "wasserstein"})
        assert len(quiet.spells) == 1
        assert quiet.chief == "unstable"

    def test_a_mean_that_settles_after_a_rough_start(self):
        early = [0.63, 0.57, 0.59, 0.65, 0.33, 0.6, 0.46, 0.32]  # of a healthy DCGAN, from its first probe on
        settles: Wave = lambda share: [*early, *[0.2] * PROBES][round(share * PROBES) - 1]  # noqa: E731
        assert not verdict(wander=settles).spells

    def test_a_mean_that_jumps_now_and_then(self):
        assert not verdict(wander=lambda share: 1.0 if round(share * PROBES) % 3 == 0 else 0.05).spells

    def test_large_margins_of_losses_that_have_no_scale(self):
        for objective in ("wasserstein", "hinge", "least_squares", ""):
            assert not verdict(margin=150.0, distance=0.2, facts={"objective": objective}).spells

    def test_few_data_that_d_does_not_know_by_heart(self):
        assert not verdict(auc=0.6, facts={"count": 100}).spells
        assert verdict(auc=0.95, facts={"count": 100}).chief == "overfitting"


def test_a_critic_is_too_weak_as_long_as_modes_are_missing():
    closer: dict[str, Any] = {"clipped": 0.9, "distance": lambda share: 0.8 * 0.05**share, "missing": 0.4}
    found = verdict(**closer, facts={"objective": "wasserstein", "clip": 0.01})
    assert found.chief == "weak"
    assert "weak" not in {spell.key for spell in verdict(**{**closer, "missing": 0.06}, facts={"clip": 0.01}).spells}


def test_equilibrium_alone_proves_nothing():
    # loss 2 ln 2 and an AUC of one half, with a broken G: not healthy
    found = verdict(auc=0.5, margin=0.0, moved_D=0.0, distance=0.8, diversity=0.3)
    assert found.findings[0].illness.key == "idle"


def test_a_run_that_recovers_keeps_its_time_line():
    found = verdict(diversity=lambda share: 0.2 if 0.3 < share < 0.6 else 1.0)
    assert found.word == "healthy"
    (spell,) = found.spells
    assert (spell.key, spell.until is not None) == ("collapse", True)


def test_gradients_stand_in_for_slopes_in_a_log_without_probes():
    rows = [{"images": i * 100, "grad_G": 1.0 if i < 100 else 100.0, "loss_D": 1.0} for i in range(200)]
    assert examine(History.of(rows, Facts(budget=20_000))).chief == "unstable"


def test_a_run_that_went_on_after_a_break_is_not_broken_for_ever():
    events = [{"event": "non-finite", "images": 20_000, "round": 10_000}]
    found = verdict(events=events)
    assert found.word == "healthy"
    assert [spell.key for spell in found.spells] == ["nonfinite"]


class TestCures:
    ARGUMENTS = asked(
        {"lr": 1e-3, "lr_d": None, "batch": 64, "ema": 0, "images": 1, "stabilize.loss": "", "stabilize.r1": 0.0,
         "stabilize.r2": 0.0, "stabilize.packing": 1, "stabilize.diffaugment": "", "stabilize.gp": 0.0,
         "stabilize.clip_weights": 0.0}, True, "nonsaturating",
    )  # fmt: skip

    @pytest.mark.parametrize("illness", SHELF, ids=lambda illness: illness.key)
    def test_a_ladder_is_there_and_names_its_sources(self, illness: Any):
        assert illness.cures
        assert all(cure.flag for cure in illness.cures)
        assert all(cure.source for cure in illness.cures if cure.change)

    @pytest.mark.parametrize("illness", SHELF, ids=lambda illness: illness.key)
    def test_a_cure_changes_only_arguments_that_are_there(self, illness: Any):
        for cure in illness.cures:
            assert cure.of(self.ARGUMENTS).keys() <= self.ARGUMENTS.keys()
            assert cure.of({}) == {}

    def test_a_cure_that_is_taken_already_changes_nothing(self):
        from mulligan.doctor import cures

        for cure in (cures.RELATIVISTIC, cures.AUGMENT, cures.PACK):
            change = cure.of(self.ARGUMENTS)
            assert change
            assert cure.of({**self.ARGUMENTS, **change}) == {}

    def test_rates(self):
        from mulligan.doctor import cures

        fast = {**self.ARGUMENTS, "lr_d": 1e-2}
        assert cures.EQUAL.of(fast) == {"lr_d": 1e-3}
        assert cures.EQUAL.of(self.ARGUMENTS) == {"lr_d": 2.5e-4}
        assert cures.SLOWER.of(fast) == {"lr": 2.5e-4, "lr_d": 2.5e-3}
        assert cures.THAW.of({**self.ARGUMENTS, "lr_d": 0.0}) == {"lr_d": 1e-3}

    def test_slopes_climb_by_three(self):
        from mulligan.doctor import cures

        first = cures.SLOPES.of(self.ARGUMENTS)
        assert first == {"stabilize.r1": 1.0, "stabilize.r2": 1.0}
        assert cures.SLOPES.of({**self.ARGUMENTS, **first}) == {"stabilize.r1": 3.0, "stabilize.r2": 3.0}


def test_bands_agree_with_themselves():
    for band in BANDS.values():
        assert band.alarm_low <= band.low <= band.high <= band.alarm_high

"""From rows of signals to a verdict, with illnesses made for the test: what agrees, and since when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mulligan.doctor.examine import examine
from mulligan.doctor.history import (
    BASE,
    BLOCKS,
    EARLY,
    LAG,
    LEAST,
    PROBED,
    SETTLED,
    Facts,
    History,
    joined,
    observations,
)
from mulligan.doctor.illness import Finding, Illness, Reading, Sign, Verdict

BUDGET = 10_000
FIRST = int(EARLY * BUDGET)
"""Images from which on is judged."""


def rule(name: str):
    """Watch from 1 on, alarm from 2 on."""

    def judge(h: History, i: int) -> Sign | None:
        value = h.get(i, name)
        if value is None or value < 1:
            return None
        return Sign("alarm" if value >= 2 else "watch", (Reading(name, value, "below 1"),))

    return judge


def illness(name: str, **more: Any) -> Illness:
    return Illness(name, f"ill of {name}", "", "", rule(name), ((name,),), **more)


HEAT, COLD = illness("heat"), illness("cold")


def history(budget: int = BUDGET, **signals: Sequence[float]) -> History:
    """LEAST early observations, and then one of every signal for each value, 100 images apart."""
    length = len(next(iter(signals.values())))
    early = [{"images": 100.0 * i} for i in range(LEAST)]
    later = [{"images": FIRST + 100.0 * i, **{name: v[i] for name, v in signals.items()}} for i in range(length)]
    return History([*early, *later], Facts(budget=budget))


def found(h: History, *shelf: Illness) -> Verdict:
    return examine(h, shelf or (HEAT,))


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1
    return findings[0]


def test_three_observations_that_agree_are_an_alarm():
    verdict = found(history(heat=[0, 2, 2, 2]))
    finding = only(verdict.findings)
    assert (verdict.word, verdict.ill, finding.level) == ("ill of heat", True, "alarm")
    assert (finding.since, finding.confirmed) == (FIRST + 100, FIRST + 300)
    assert not verdict.watched


def test_two_observations_that_agree_are_watched():
    verdict = found(history(heat=[0, 0, 2, 2]))
    assert (verdict.word, verdict.ill) == ("watch", False)
    assert only(verdict.watched).level == "watch"
    assert only(verdict.watched).since == FIRST + 200


def test_two_alarms_and_a_watch_are_no_alarm():
    assert not found(history(heat=[2, 1, 2, 2])).ill


def test_alarms_that_a_healthy_observation_parts_do_not_agree():
    assert not found(history(heat=[2, 2, 0, 2, 2])).ill


def test_an_alarm_stands_as_long_as_the_newest_three_agree():
    assert found(history(heat=[2, 2, 2, 2, 2])).ill
    verdict = found(history(heat=[2, 2, 2, 1]))
    assert (verdict.word, only(verdict.watched).level) == ("watch", "watch")


def test_the_evidence_is_that_of_the_newest_observation():
    assert only(found(history(heat=[2, 3, 4])).findings).readings == (Reading("heat", 4, "below 1"),)


def test_nothing_is_found_in_a_healthy_run():
    assert found(history(heat=[0, 0, 0, 0])) == Verdict("healthy")


def test_a_spell_ends_with_the_observation_that_no_longer_agrees():
    verdict = found(history(heat=[0, 2, 2, 2, 2, 0, 0]))
    (spell,) = verdict.spells
    assert (spell.key, spell.since, spell.until) == ("heat", FIRST + 100, FIRST + 500)
    assert verdict.word == "healthy"


def test_a_spell_that_stands_has_no_end_and_one_that_came_before_has():
    spells = found(history(heat=[2, 2, 2, 0, 2, 2, 2])).spells
    assert [(spell.since, spell.until) for spell in spells] == [(FIRST, FIRST + 300), (FIRST + 400, None)]


def test_two_alarms_make_no_spell():
    assert found(history(heat=[2, 2, 0])).spells == ()


def test_the_gravest_illness_gives_the_word_and_all_are_found():
    h = history(heat=[2, 2, 2], cold=[2, 2, 2])
    assert found(h, COLD, HEAT).word == "ill of cold"
    assert [finding.illness.key for finding in found(h, COLD, HEAT).findings] == ["cold", "heat"]


def test_an_alarm_gives_the_word_before_what_is_only_watched():
    assert found(history(heat=[2, 2, 2], cold=[1, 1, 1]), COLD, HEAT).word == "ill of heat"


def test_the_chief_illness_is_the_gravest_for_the_longest_time():
    h = history(cold=[2, 2, 2, 0, 0, 0, 0, 0, 0], heat=[0, 0, 2, 2, 2, 2, 2, 0, 0])
    assert found(h, COLD, HEAT).chief == "heat"  # alone for four observations, where cold came first for three
    assert found(h, COLD, HEAT).word == "healthy"
    assert found(history(heat=[0, 0])).chief == ""


def test_one_observation_is_enough_for_an_illness_that_shows_at_once():
    sudden = replace(HEAT, at_once=True)
    finding = only(found(history(heat=[0, 0, 2]), sudden).findings)
    assert finding.since == finding.confirmed == FIRST + 200


def test_an_illness_that_shows_at_once_is_seen_in_the_early_observations_too():
    h = History([{"images": 10.0, "heat": 2.0}], Facts(budget=BUDGET))
    assert found(h, replace(HEAT, at_once=True)).word == "ill of heat"
    assert found(h).word == "too early"


def test_early_observations_are_not_judged():
    early = [{"images": 100.0 * i, "heat": 2.0} for i in range(5)]  # up to 400 images: below 5 % of the budget
    assert found(History(early, Facts(budget=BUDGET))).word == "too early"
    later = [{"images": FIRST + 100.0 * i, "heat": 2.0} for i in range(2)]
    assert not found(History(early + later, Facts(budget=BUDGET))).ill  # two judged ones, however many before
    assert found(History([*early, *later, {"images": FIRST + 200.0, "heat": 2.0}], Facts(budget=BUDGET))).ill


def test_without_a_budget_the_first_observations_are_not_judged():
    rows = [{"images": 1000.0 * i, "heat": 2.0} for i in range(LEAST + 3)]
    assert not found(History(rows[:-1])).ill
    assert found(History(rows)).ill


def test_observations_of_the_first_rounds_are_not_judged():
    rows = [{"images": 1000.0 * i, "round": float(r), "heat": 2.0} for i, r in enumerate((10, 50, 100, SETTLED - 1))]
    assert History(rows).start == len(rows)
    assert History([*rows, {"images": 5000.0, "round": float(SETTLED)}]).start == len(rows)


def test_an_empty_history_is_too_early():
    verdict = found(History([]))
    assert (verdict.word, verdict.findings, verdict.spells) == ("too early", (), ())


def test_what_lacks_its_signals_is_impossible_and_says_which():
    two = Illness("both", "", "", "", rule("heat"), (("heat", "wind"), ("rain",)))
    verdict = found(history(heat=[2, 2, 2]), two, COLD, HEAT)
    assert [(ill.key, lacks) for ill, lacks in verdict.impossible] == [("both", "wind or rain"), ("cold", "cold")]
    assert verdict.word == "ill of heat"


def test_one_of_several_groups_of_signals_is_enough():
    either = Illness("either", "ill", "", "", rule("heat"), (("wind",), ("heat",)))
    assert found(history(heat=[2, 2, 2]), either).ill


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "2"])
def test_what_is_no_number_was_not_taken(value: Any):
    h = History([{"images": 1.0, "heat": value}])
    assert h.get(0, "heat") is None
    assert not h.has("heat")


def test_a_signal_that_was_not_taken_between_alarms_parts_them():
    assert not found(history(heat=[2, math.nan, 2, 2])).ill


def test_the_baseline_is_the_median_of_the_first_judged_observations():
    h = history(heat=[4, 8, 6, 100, *[1000] * 5])
    h.rows[LEAST - 1]["heat"] = 5  # the last early one counts
    assert BASE == 4
    assert h.base("heat") == 5.5  # of 5, 4, 8, 6
    assert h.ratio(LEAST + 3, "heat") == 100 / 5.5


def test_what_comes_later_does_not_move_the_baseline():
    values = [4, 8, 6, 5]
    assert history(heat=[*values, *[1000] * 9]).base("heat") == history(heat=[*values, 1]).base("heat")


def test_a_signal_that_was_never_taken_has_no_baseline_and_no_ratio():
    h = history(heat=[1, 1])
    assert h.base("cold") is None
    assert h.ratio(LEAST, "cold") is None


def test_smooth_is_the_median_of_the_newest_values_that_were_taken():
    h = history(heat=[9, 1, math.nan, 4, 8, 2])
    assert h.smooth(LEAST + 5, "heat") == 4  # of 4, 8, 2
    assert h.smooth(LEAST + 3, "heat") == 2.5  # of 1 and 4
    assert h.smooth(LEAST, "cold") is None


def test_back_is_a_tenth_of_the_budget_earlier_if_there_is_such_an_observation():
    h = history(heat=[0] * 30)  # 100 images apart, and a tenth of the budget is 1,000
    assert h.images(h.back(LEAST + 25)) == h.images(LEAST + 25) - LAG * BUDGET
    assert h.back(LEAST - 1) == -1


def test_a_probe_takes_the_means_of_the_lines_before_it():
    log = [
        {"images": 10, "loss_D": 1.0, "grad_G": 2.0},
        {"images": 20, "loss_D": 3.0, "grad_G": 4.0, PROBED: 1.0, "auc": 0.8},
        {"images": 30, "loss_D": 5.0},
        {"images": 40, "loss_D": 7.0, PROBED: 1.0, "auc": 0.6},
        {"images": 50, "loss_D": 99.0},  # no probe has followed it yet
    ]
    first, second = History.of(log, Facts()).rows
    assert first == {"images": 20, "loss_D": 2, "grad_G": 3, PROBED: 1, "auc": 0.8}
    assert second == {"images": 40, "loss_D": 6, PROBED: 1, "auc": 0.6}


def test_a_log_without_probes_is_gathered_in_blocks():
    log = [{"images": 10 * i, "loss_D": float(i)} for i in range(1, 2 * BLOCKS + 1)]
    rows = observations(log)
    assert len(rows) == BLOCKS
    assert rows[0] == {"images": 20, "loss_D": 1.5}
    assert rows[-1]["images"] == 20 * BLOCKS


def test_the_last_block_may_be_shorter():
    rows = observations([{"images": i, "loss_D": 1.0} for i in range(BLOCKS + 1)])
    assert [row["images"] for row in rows][-1] == BLOCKS
    assert len(rows) == BLOCKS // 2 + 1


def test_a_short_log_without_probes_has_an_observation_for_each_line():
    assert len(observations([{"images": i, "loss_D": 1.0} for i in range(7)])) == 7


def test_lines_without_images_are_left_out():
    assert observations([{"loss_D": 1.0}, {"images": 1, "loss_D": 2.0}]) == [{"images": 1, "loss_D": 2}]


def test_a_loss_that_is_no_number_marks_its_observation():
    assert joined([{"images": 1, "loss_D": math.nan}, {"images": 2, "loss_D": 1.0}])["nonfinite"] == 1
    assert "nonfinite" not in joined([{"images": 1, "loss_D": 0.0, "wander": math.nan}])


def test_an_event_of_the_log_is_no_line_but_is_kept():
    stop = {"event": "non-finite", "images": 30}
    h = History.of([{"images": 10, "loss_D": 1.0}, {"event": "started", "seconds": 1}, stop], Facts())
    assert [row.get("nonfinite") for row in h.rows] == [None, 1]
    assert h.events == [{"event": "started", "seconds": 1}, stop]

"""Where each signal is healthy: for the rules, the plots and the words."""

from __future__ import annotations

from dataclasses import dataclass

INF = float("inf")


@dataclass(frozen=True)
class Band:
    """A signal: in words, where it is healthy, and beyond what it alarms on either side.

    `low`/`high` bound what is healthy; `alarm_low`/`alarm_high` what is ill. `relative`: the bounds are multiples of
    the run's own early median.
    """

    text: str
    low: float = -INF
    high: float = INF
    alarm_low: float = -INF
    alarm_high: float = INF
    relative: bool = False

    @property
    def healthy(self) -> str:
        """The healthy range in words."""
        times = " times its early median" if self.relative else ""
        if self.low > -INF and self.high < INF:
            return f"{self.low:g} to {self.high:g}{times}"
        if self.high < INF:
            return f"below {self.high:g}{times}"
        return f"above {self.low:g}{times}" if self.low > -INF else "any"

    def level(self, value: float) -> int:
        """0 healthy, 1 watch, 2 alarm."""
        if value <= self.alarm_low or value >= self.alarm_high:
            return 2
        return int(not self.low <= value <= self.high)


BANDS: dict[str, Band] = {
    "nonfinite": Band("whether a number isn't finite", 0.0, 0.0, -INF, 1.0),
    "auc": Band("how often D ranks a real sample above a generated one", 0.4, 0.97, 0.2, 0.99),
    "auc_held": Band("the same for real samples that were held out", 0.4, 0.97),
    "margin": Band("mean logit of real less that of generated samples", -7.0, 7.0, -200.0, 12.0),
    "r_t": Band("mean sign of D on training data", -0.6, 0.8, -INF, 0.95),
    "r_v": Band("how far D's verdict on held-out data has left that on training data", -INF, 0.5, -INF, 0.7),
    "push": Band("how hard the loss still pushes G, 1 the most", 0.2, INF, 0.1),
    "slope": Band("gradient that G gets at its samples", 0.1, 10.0, 0.01, 100.0, relative=True),
    "grad_G": Band("gradient norm of G", 0.1, 10.0, 0.01, 30.0, relative=True),
    "grad_D": Band("gradient norm of D", -INF, 10.0, -INF, 30.0, relative=True),
    "diversity": Band("distance among generated samples over that among real ones", 0.9, 1.3, 0.7, 2.0),
    "spread": Band("the same for the averaged generator", 0.9, 1.3, 0.7, 2.0),
    "duplicates": Band("distance to the nearest other sample, over that of real ones", 0.9, INF, 0.5),
    "missing": Band("share of the real data in modes that are not generated", -INF, 0.05, -INF, 0.1),
    "imbalance": Band("share of samples that sit in the wrong mode", -INF, 0.2, -INF, 0.25),
    "distance": Band("energy distance to real data, over their spread", -INF, 0.1, -INF, 0.3),
    "wander": Band("how far the generated mean moves between probes, in spreads of the data", -INF, 0.25, -INF, 0.5),
    "copies": Band("distance to training data over that to held-out data", 0.9, INF, 0.7),
    "repeats": Band("distance to training data over that among training data", 0.7, INF, 0.4),
    "checkerboard": Band(
        "power at the frequencies of a checkerboard, over that of real pictures", -INF, 5.0, -INF, 20.0
    ),
    "contrast": Band("contrast inside pictures over that of real ones", 0.5, 2.0, 0.1),
    "obeyed": Band("how well the label that was asked for shows, 1 as in real data", 0.5, INF, 0.2),
    "clipped": Band("share of D's weights that lie at the clipping bound", -INF, 0.4, -INF, 0.5),
    "moved_D": Band("change of D's weights since the last probe, relative", 1e-7, INF, 0.0),
}

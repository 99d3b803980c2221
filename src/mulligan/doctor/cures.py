"""The cures: one change each. An illness has a ladder of them, the likeliest first."""

from __future__ import annotations

from typing import Any

from .illness import Cure

Arguments = dict[str, Any]
POINTS_GAMMA, PICTURES_GAMMA = 0.1, 1.0
"""Where R1 and R2 begin."""


def asked(arguments: Arguments, pictures: bool, objective: str) -> Arguments:
    """A run's arguments as cures take them."""
    gamma = PICTURES_GAMMA if pictures else POINTS_GAMMA
    return {**arguments, "pictures": pictures, "gamma": gamma, "objective": objective}


def _equal_rates(a: Arguments) -> Arguments:
    """D as fast as G, where it is faster; else a quarter of it."""
    if "lr_d" not in a or "lr" not in a:
        return {}
    now = a["lr"] if a["lr_d"] is None else a["lr_d"]
    return {"lr_d": a["lr"] if now > a["lr"] else now / 4}


def _thaw(a: Arguments) -> Arguments:
    return {"lr_d": a["lr"]} if a.get("lr_d") is not None and a["lr_d"] < a.get("lr", 0) else {}


def _slower(a: Arguments, by: float = 4) -> Arguments:
    """Both players `by` times slower; a D with a rate of its own keeps its ratio."""
    if "lr" not in a:
        return {}
    return {"lr": a["lr"] / by, **({"lr_d": a["lr_d"] / by} if a.get("lr_d") else {})}


def _slopes(a: Arguments) -> Arguments:
    """R1 and R2 where there are none, else three times as much; a clipped or gradient-penalized D gives that up."""
    if "stabilize.r1" not in a:
        return {}
    gamma = 3 * a["stabilize.r1"] or a.get("gamma", PICTURES_GAMMA)
    return {"stabilize.r1": gamma, "stabilize.r2": gamma}


def _relativistic(a: Arguments) -> Arguments:
    if "stabilize.loss" not in a or a["stabilize.loss"] == "relativistic":
        return {}
    gamma = a["stabilize.r1"] or a.get("gamma", PICTURES_GAMMA)
    return {"stabilize.loss": "relativistic", "stabilize.r1": gamma, "stabilize.r2": gamma}


def _nonsaturating(a: Arguments) -> Arguments:
    slopes = _slopes(a)
    return {"stabilize.loss": "nonsaturating", **slopes} if slopes and not a["stabilize.loss"] else {}


def _augment(a: Arguments) -> Arguments:
    if "stabilize.diffaugment" not in a or a["stabilize.diffaugment"] or not a.get("pictures", True):
        return {}
    return {"stabilize.diffaugment": "color,translation,cutout"}


def _pack(a: Arguments) -> Arguments:
    return {"stabilize.packing": 4} if a.get("stabilize.packing") == 1 and a.get("batch", 0) % 4 == 0 else {}


def _penalty(a: Arguments) -> Arguments:
    if "stabilize.gp" not in a or a["stabilize.gp"] or a.get("objective") != "wasserstein":
        return {}
    return {"stabilize.clip_weights": 0.0, "stabilize.gp": 10.0 if a.get("pictures", True) else 0.1}


EQUAL = Cure(
    "let D learn no faster than G, or four times slower", "--lr-d", "Heusel et al. 2017, two time scales", _equal_rates
)
THAW = Cure("let D learn as fast as G", "--lr-d", "Goodfellow et al. 2014, Algorithm 1", _thaw)
SLOWER = Cure("let both learn four times slower", "--lr", "Mescheder et al. 2018: finite steps don't converge", _slower)
MUCH_SLOWER = Cure("let both learn ten times slower", "--lr", "Kingma & Ba 2015", lambda a: _slower(a, 10))
SLOPES = Cure(
    "charge D for steep slopes", "--stabilize.r1 1 --stabilize.r2 1", "R1 and R2: Mescheder et al. 2018", _slopes
)
RELATIVISTIC = Cure(
    "pair real with generated samples, and charge D for steep slopes",
    "--stabilize.loss relativistic --stabilize.r1 1 --stabilize.r2 1", "R3GAN: Huang et al. 2024", _relativistic,
)  # fmt: skip
NONSATURATING = Cure(
    "take the loss that doesn't saturate, and charge D for steep slopes",
    "--stabilize.loss nonsaturating --stabilize.r1 1 --stabilize.r2 1", "Goodfellow et al. 2014, section 3",
    _nonsaturating,
)  # fmt: skip
AUGMENT = Cure(
    "augment what D sees, real and generated alike", "--stabilize.diffaugment color,translation,cutout",
    "DiffAugment: Zhao et al. 2020", _augment,
)  # fmt: skip
PACK = Cure("let D judge four samples together", "--stabilize.packing 4", "PacGAN: Lin et al. 2018", _pack)
PENALTY = Cure(
    "charge for slopes instead of clipping D's weights", "--stabilize.clip-weights 0 --stabilize.gp 10",
    "WGAN-GP: Gulrajani et al. 2017", _penalty,
)  # fmt: skip
AVERAGE = Cure(
    "average G's weights", "--ema 20000", "Yazıcı et al. 2019", lambda a: {"ema": 20_000} if a.get("ema") == 0 else {}
)
STOP = Cure("take an earlier checkpoint, and stop there", "mulligan diagnose names it", "early stopping")
LABELS = Cure("check that the labels belong to the pictures", "--data", "")
DATA = Cure("clean the data, and train again", "--data", "")

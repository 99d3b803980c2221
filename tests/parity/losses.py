"""Adversarial losses on fixed logits, LeCam, and the losses of BasicSR."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.parts import auxiliary as aux
from mulligan.parts import objectives as o
from mulligan.parts.penalties import LeCam
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable

# name -> (objective, factor): the fixture's half and sum variants differ from the papers' forms by a factor.
PAIRS = {
    "minimax": (o.minimax, 1.0),
    "lsgan": (o.least_squares, 2.0),
    "tfgan_lsq": (o.least_squares, 1.0),
    "hinge": (o.hinge, 1.0),
    "wasserstein": (o.wasserstein, 1.0),
    "rpgan": (o.relativistic, 1.0),
    "ragan": (o.relativistic_average, 1.0),
    "rals": (o.relativistic_average_least_squares, 1.0),
    "rahinge": (o.relativistic_average_hinge, 1.0),
}


def formulas(f: Fixture) -> Iterator[Value]:
    data = {key: value.double() if value.is_floating_point() else value for key, value in f.under("in/").items()}
    for key in f.under("loss/"):
        if (value := _formula(key, data, f)) is None:
            raise Unusable(f"{f.path}: unknown formula {key!r}")
        yield f"loss/{key}", value


def _formula(name: str, data: dict[str, Tensor], f: Fixture) -> Tensor | None:
    real, fake = data["real"], data["fake"]
    if (value := _auxiliary(name, data)) is not None:
        return value
    if match := re.fullmatch(r"(\w+?)_([DG])(_half|_sum)?", name):
        key, side, variant = match.groups()
        if key in PAIRS:
            objective, factor = PAIRS[key]
            return (
                factor * (0.5 if variant == "_half" else 1) * (objective.d if side == "D" else objective.g)(real, fake)
            )
    if match := re.fullmatch(r"tfgan_modified_([DG])_ls([\d.]+)", name):
        # TF-GAN smooths towards one half.
        target = 1 - float(match[2]) / 2
        return o.smoothed(o.nonsaturating, target).d(real, fake) if match[1] == "D" else o.bce(fake, target)
    if match := re.fullmatch(r"lsgan_([DG])_pearson_(.+)_half", name):
        # The name of D's variant gives a and b, the name of G's c.
        a, b, c = (*map(float, match[2].split("_")), 0.0) if match[1] == "D" else (0.0, 0.0, float(match[2]))
        coded = o.least_squares_coded(a, b, c)
        return (coded.d if match[1] == "D" else coded.g)(real, fake)
    return _smoothed(name, real, fake, f)


def _smoothed(name: str, real: Tensor, fake: Tensor, f: Fixture) -> Tensor | None:
    match = re.fullmatch(r"(minimax|lsgan)_D_(one|two)sided[\d._]+?(_half)?", name)
    if match is None:
        return _odd(name, real, fake)
    target = f.setting("one_sided_real_label")
    other = f.setting("two_sided_fake_label") if match[2] == "two" else 0.0
    objective, factor = PAIRS[match[1]]
    return factor * (0.5 if match[3] else 1) * o.smoothed(objective, target, other).d(real, fake)


def _odd(name: str, real: Tensor, fake: Tensor) -> Tensor | None:
    match name:
        case "nonsat_G":
            return o.nonsaturating.g(real, fake)
        case "tfgan_minimax_G":
            return o.minimax.g(real, fake) - F.softplus(fake.new_tensor(-1.0))
        case "rahinge_G_lecamgan_sic":
            # That code averages the fake logits before the hinge in one of the two terms.
            return (o.margin(fake.mean() - real.mean()) + o.margin(fake - real.mean())) / 2
    return None


def _auxiliary(name: str, data: dict[str, Tensor]) -> Tensor | None:
    real, fake = data["real"], data["fake"]
    match name:
        case "feature_matching_l1":
            return aux.feature_matching_l1(data["emb_real"], data["emb_fake"])
        case "pulling_away_paper":
            return aux.pulling_away(data["emb_real"])
        case "pulling_away_torchgan":
            # Normalises features over the batch, and leaves each sample's similarity to itself in the sum.
            unit, n = F.normalize(data["emb_real"], dim=0), len(data["emb_real"])
            return (unit @ unit.t()).square().sum() / (n * (n - 1))
        case "ebgan_G":
            return fake.abs().mean()
        case "crammer_singer":
            return aux.multiclass_hinge(data["ms_logits"], data["ms_labels"])
        case "infogan_normal_nll":
            return aux.gaussian_nll(data["nll_x"], data["nll_mu"], data["nll_var"])
    if match := re.fullmatch(r"ebgan_D_m(.+)", name):
        return aux.energy_margin(real.abs(), fake.abs(), float(match[1].replace("_", ".")))
    if match := re.fullmatch(r"began_D_k(.+)", name):
        return aux.energy_balance(real.abs(), fake.abs(), float(match[1].replace("_", ".")))
    return None


def lecam(f: Fixture) -> Iterator[Value]:
    module = LeCam(f.setting("decay"), f.setting("start_itr"), f.setting("init")).double()
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    for real, fake in zip(f["in/real"].double(), f["in/fake"].double(), strict=True):
        penalty = module(real, fake)
        rows.append((module.ema_real.clone(), module.ema_fake.clone(), penalty))
    for name, column in zip(("ema_real", "ema_fake", "reg"), zip(*rows, strict=True), strict=True):
        yield f"out/{name}", torch.stack(column)


def super_resolution(f: Fixture) -> Iterator[Value]:
    real, fake = f["in/real"].double(), f["in/fake"].double()
    weight, one, zero = (f.setting(key) for key in ("loss_weight", "real_label_val", "fake_label_val"))
    sides = {
        "vanilla": (o.bce(real, one), o.bce(fake, zero), o.bce(fake, one)),
        "lsgan": tuple(2 * o.squared(x, t) for x, t in ((real, one), (fake, zero), (fake, one))),
        "wgan": (o.wasserstein.d(real, 0 * fake), o.wasserstein.d(0 * real, fake), o.wasserstein.g(real, fake)),
        "wgan_softplus": (F.softplus(-real).mean(), F.softplus(fake).mean(), o.nonsaturating.g(real, fake)),
        "hinge": (o.margin(real), o.margin(-fake), o.hinge.g(real, fake)),
    }
    for mode, (d_real, d_fake, g) in sides.items():
        yield f"loss/{mode}_D_real", d_real
        yield f"loss/{mode}_D_fake", d_fake
        yield f"loss/{mode}_G", weight * g
    # The two terms of D's relativistic average loss, and G's as their mean, weighted.
    yield "loss/esrgan_D_real", o.bce(real - fake.mean(), one) / 2
    yield "loss/esrgan_D_fake", o.bce(fake - real.mean(), zero) / 2
    g = o.relativistic_average.g(real, fake)
    if (one, zero) != (1, 0):
        g = o.bce(real - fake.mean(), zero) + o.bce(fake - real.mean(), one)
    yield "loss/esrgan_G", weight * g / 2

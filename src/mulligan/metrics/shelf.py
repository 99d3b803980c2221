"""The shelf of metrics: each is one entry, features × distance."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.recipe import nearest
from .case import Case, Metric, Value
from .distances import (
    frechet_by_class,
    frechet_infinite,
    inception_score,
    kernel_distance,
    sliced_wasserstein,
)
from .gaussian import frechet_of
from .labels import class_shares, gan_test, gan_train, stacked_modes
from .memorisation import Memorisation, memorisation
from .modes import modes
from .neighbours import prdc, precision_recall
from .pictures import psnr, similarity, ssim
from .seen import NEIGHBOURS, Seen

PR_K, DC_K, SUBSETS, SUBSET, SPLITS, PAIRS = 3, 5, 100, 1000, 10, 1000


def _precision_recall(case: Case) -> tuple[float, ...]:
    return tuple(precision_recall(case.real.near(), case.fake.near(), _k(case, PR_K)))


def _density_coverage(case: Case) -> tuple[float, ...]:
    found = prdc(case.real.near(), case.fake.near(), _k(case, DC_K))
    return found.density, found.coverage


def _k(case: Case, k: int) -> int:
    """The k of the paper, or as many neighbours as a tiny set has."""
    return max(min(k, len(case.real) - 1, len(case.fake) - 1), 1)


def _classes(case: Case) -> tuple[float, ...]:
    """One classifier names both sides, so that its mistakes cancel."""
    assert case.fake.logits is not None
    assert case.real.logits is not None
    found = class_shares(case.fake.logits, int(case.fake.logits.shape[1]), case.real.logits)
    case.details["classes"] = {str(i): round(share, 6) for i, share in enumerate(found.shares)}
    return (found.kl,)


def _intra(case: Case) -> tuple[float, ...]:
    assert case.fake.labels is not None
    assert case.real.labels is not None
    found = frechet_by_class(case.fake.features, case.fake.labels, case.real.features, case.real.labels)
    case.details["intra"] = {str(label): value for label, value in found.items()}
    return (sum(found.values()) / len(found),)


def _mixture(case: Case) -> tuple[float, ...]:
    assert case.mixture is not None
    found = modes(case.fake.features[torch.arange(len(case.fake))], *case.mixture)
    return float(found.found), found.good, found.kl


def _stacked(case: Case) -> tuple[float, ...]:
    assert case.fake.logits is not None
    found = stacked_modes(case.fake.logits)
    return float(found.found), found.kl


def memory(case: Case) -> Memorisation:
    """How generated samples lie between the training and the held-out data, with the worst pairs."""
    assert case.held is not None
    return memorisation(case.fake.near(), case.real.features, case.held.features, seed=case.seed)


def _memorisation(case: Case) -> tuple[float, ...]:
    found = memory(case)
    case.details["memorisation"] = found.worst.tolist()
    return found.share, found.ratio


def _labelled(seen: Seen | None) -> tuple[Tensor, Tensor]:
    assert seen is not None
    assert seen.pictures is not None
    assert seen.labels is not None
    x = seen.pictures[torch.arange(len(seen.pictures))]
    return x, seen.labels[: len(x)]


def _cas(case: Case) -> tuple[float, ...]:
    fake, real, held = _labelled(case.fake), _labelled(case.real), _labelled(case.held)
    found = gan_train(*fake, *real, *held, case.classes, seed=case.seed, device=case.device)
    tested = gan_test(*real, *fake, case.classes, net=found.net)
    return found.fake, found.real, tested


def _paired(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Case], tuple[float, ...]]:
    def work(case: Case) -> tuple[float, ...]:
        fake, real = case.fake.pictures, (case.partners or case.real).pictures
        assert fake is not None
        assert real is not None
        parts = [measure(a / 127.5 - 1, b / 127.5 - 1) for a, b in zip(fake.split(64), real.split(64), strict=True)]
        return (float(torch.cat(parts).clamp(max=100.0).mean()),)  # equal pictures have no finite PSNR

    return work


def _diversity(case: Case) -> tuple[float, ...]:
    assert case.perceptual is not None
    x, draw = case.fake.shown(), torch.Generator().manual_seed(case.seed)
    first = torch.randint(len(x), (PAIRS,), generator=draw)
    second = (first + torch.randint(1, len(x), (PAIRS,), generator=draw)) % len(x)
    parts = [case.perceptual(x[a], x[b]) for a, b in zip(first.split(32), second.split(32), strict=True)]
    return (float(torch.cat(parts).mean()),)


def _walked(case: Case) -> tuple[float, ...]:
    assert case.path is not None
    return (case.path(),)


def _lower(name: str, official: str = "") -> tuple[Value, ...]:
    return (Value(name, "lower", official),)


SHELF: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "fid",
            "Fréchet distance (Heusel et al. 2017)",
            _lower("fd", "fid"),
            lambda c: (frechet_of(c.fake.gaussian(), c.real.gaussian()),),
        ),
        Metric(
            "fid_inf",
            "the same, extrapolated to infinitely many samples (Chong & Forsyth 2020)",
            _lower("fd_inf", "fid_inf"),
            lambda c: (frechet_infinite(c.fake.features, c.real.gaussian(), seed=c.seed).value,),
            settings={"points": 15},
        ),
        Metric(
            "kid",
            "kernel distance, mean of subsets (Bińkowski et al. 2018)",
            _lower("kd", "kid"),
            lambda c: (kernel_distance(c.fake.features, c.real.features, subsets=SUBSETS, size=SUBSET).mean,),
            settings={"subsets": SUBSETS, "size": SUBSET, "seed": 2020},
        ),
        Metric(
            "is",
            "Inception Score (Salimans et al. 2016)",
            (Value("cs", "higher", "is"),),
            lambda c: (inception_score(c.fake.logits, min(SPLITS, len(c.fake))).mean,),  # pyright: ignore[reportArgumentType]
            ("classes",),
            settings={"splits": SPLITS, "seed": 2020},
        ),
        Metric(
            "pr",
            "improved precision and recall (Kynkäänniemi et al. 2019)",
            (Value("precision", "higher"), Value("recall", "higher")),
            _precision_recall,
            settings={"k": PR_K, "most": NEIGHBOURS},
        ),
        Metric(
            "dc",
            "density and coverage (Naeem et al. 2020)",
            (Value("density", ""), Value("coverage", "higher")),
            _density_coverage,
            settings={"k": DC_K, "most": NEIGHBOURS},
        ),
        Metric(
            "mind",
            "sliced Wasserstein-2 distance of features, × 3 F",
            _lower("mind"),
            lambda c: (sliced_wasserstein(c.fake.near(), c.real.near()),),
            settings={"projections": 1000, "most": NEIGHBOURS},
        ),
        Metric(
            "msssim",
            "MS-SSIM of random pairs: high where samples are alike (Odena et al. 2017)",
            _lower("ms_ssim"),
            lambda c: (similarity(c.fake.shown(), PAIRS, c.seed),),
            ("pictures",),
            by="none",
            settings={"pairs": PAIRS},
        ),
        Metric(
            "lpips",
            "LPIPS of random pairs: low where samples are alike (Zhang et al. 2018)",
            (Value("pairs", "higher"),),
            _diversity,
            ("pictures", "trunk"),
            by="perceptual",
            settings={"pairs": PAIRS},
        ),
        Metric(
            "ppl",
            "perceptual path length (Karras et al. 2019)",
            _lower("ppl"),
            _walked,
            ("pictures", "sampler"),
            by="either",
            floor=False,
            settings={"epsilon": 1e-4, "kept": "1 % to 99 %"},
        ),
        Metric(
            "modes",
            "modes of ring and grid within 3 σ, good points, reverse KL in nats (Lin et al. 2018)",
            (Value("modes", "higher"), Value("good", "higher"), Value("reverse_kl", "lower")),
            _mixture,
            ("mixture",),
            by="none",
        ),
        Metric(
            "stacked",
            "modes of 1,000 and KL to uniform in nats (Srivastava et al. 2017)",
            (Value("stacked_modes", "higher"), Value("stacked_kl", "lower")),
            _stacked,
            ("stacked",),
        ),
        Metric(
            "classes",
            "histogram of classes, as KL in nats from the real one",
            _lower("class_kl"),
            _classes,
            ("classes",),
        ),
        Metric(
            "intra",
            "Fréchet distance inside each class, their mean (Miyato & Koyama 2018)",
            _lower("intra_fd", "intra_fid"),
            _intra,
            ("labels",),
        ),
        Metric(
            "memorisation",
            "share nearer to training than to held-out data, and ratio of distances (Meehan et al. 2020)",
            (Value("memorised", ""), Value("memory_ratio", "")),
            _memorisation,
            ("held-out",),
            floor=False,
        ),
        Metric(
            "cas",
            "a classifier trained on generated and tested on real pictures, the same trained on real ones, and one "
            "trained on real and tested on generated ones (Ravuri & Vinyals 2019; Shmelkov et al. 2018)",
            (
                Value("gan_train", "higher"),
                Value("real_train", ""),
                Value("gan_test", "higher"),
            ),
            _cas,
            ("pictures", "labels", "held-out", "held-labels"),
            by="none",
            floor=False,
        ),
        Metric(
            "psnr",
            "PSNR of pairs in dB, 100 at most",
            (Value("psnr", "higher"),),
            _paired(psnr),
            ("pictures", "pairs"),
            by="none",
            floor=False,
        ),
        Metric(
            "ssim",
            "SSIM of pairs (Wang et al. 2004)",
            (Value("ssim", "higher"),),
            _paired(ssim),
            ("pictures", "pairs"),
            by="none",
            floor=False,
        ),
    )
}


def chosen(keys: Iterable[str]) -> list[Metric]:
    """The entries of these keys, once each. Raises UserError with the nearest key for an unknown one."""
    found: dict[str, Metric] = {}
    for key in keys:
        name = key.strip().lower().replace("-", "_")
        if name not in SHELF:
            raise UserError(f"unknown metric {key!r}{nearest(name, SHELF)}; the metrics are: {', '.join(SHELF)}")
        found[name] = SHELF[name]
    if not found:
        raise UserError(f"--metrics is empty; the metrics are: {', '.join(SHELF)}")
    return list(found.values())

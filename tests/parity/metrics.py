"""Fréchet, kernel and neighbour distances, Inception Score and path length against five code bases."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.metrics import distances, neighbours, path
from mulligan.metrics.gaussian import Gaussian, frechet_given, frechet_of
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable

RANKS = 18, 20  # rows of the rank-deficient case, real and generated


def features(f: Fixture) -> Iterator[Value]:
    real, gen = f["in/real"], f["in/gen"]
    a, b = Gaussian.of(real), Gaussian.of(gen)
    kid = {"subsets": f.setting("kid_subsets"), "size": f.setting("kid_subset_size"), "seed": f.setting("rng_seed")}
    for key in f.under("out/"):
        yield f"out/{key}", _value(key, f, a, b, kid)


def _value(key: str, f: Fixture, a: Gaussian, b: Gaussian, kid: dict[str, int]) -> Tensor | float:
    real, gen = f["in/real"], f["in/gen"]
    match key:
        case "mu_real" | "mu_gen":
            return (a if key == "mu_real" else b).mean
        case "cov_real" | "cov_gen":
            return (a if key == "cov_real" else b).covariance()
        case "fid_nvlabs":
            return frechet_of(a, b, unbiased=False)
        case "frechet_given_stats":
            return frechet_given(f["out/mu_real"], f["out/cov_real"], f["out/mu_gen"], f["out/cov_gen"])
        case "kid_first_min_rows":
            n = min(len(real), len(gen))
            return distances.mmd(gen[:n], real[:n])
        case "kid_rbf_sigma3_mean":
            return distances.kernel_distance(gen, real, kernel="rbf", sigma=3.0, **kid).mean
        case "kid_torchfidelity_std":
            return distances.kernel_distance(gen, real, **kid).std
    if key.startswith("fid_rank_deficient"):
        return distances.frechet(real[: RANKS[0]], gen[: RANKS[1]])
    if key.startswith("fid_"):
        return frechet_of(a, b)
    if key.startswith("kid_"):
        return distances.kernel_distance(gen, real, **kid).mean
    if match := re.fullmatch(r"mind_(\d+)", key):
        return distances.sliced_wasserstein(real, gen, int(match[1]), f.setting("rng_seed"))
    return _by_neighbours(key, f)


def _by_neighbours(key: str, f: Fixture) -> float:
    if match := re.fullmatch(r"(tie_)?prdc_k(\d+)_(\w+)", key):
        tie = match[1] or ""
        return getattr(neighbours.prdc(f[f"in/{tie}real"], f[f"in/{tie}gen"], int(match[2])), match[3])
    if match := re.fullmatch(r"(?:prc_torchfidelity|pr_nvlabs_fp(32|16)|tie_pr_k(\d+)_le)_(precision|recall)", key):
        tie = "tie_" if match[2] else ""
        k = int(match[2] or f.setting("prc_neighborhood"))
        found = neighbours.precision_recall(f[f"in/{tie}real"], f[f"in/{tie}gen"], k, half=match[1] == "16")
        return getattr(found, match[3])
    raise Unusable(f"{f.path}: unknown metric {key!r}")


def inception_score(f: Fixture) -> Iterator[Value]:
    for key in f.under("out/"):
        match = re.fullmatch(r"(?:isc|nvlabs)(_shuffle)?_s(\d+)_(mean|std)", key)
        if match is None:
            raise Unusable(f"{f.path}: unknown metric {key!r}")
        seed = f.setting("rng_seed") if match[1] else None
        yield f"out/{key}", getattr(distances.inception_score(f["in/logits"], int(match[2]), seed), match[3])


def path_length(f: Fixture) -> Iterator[Value]:
    for key in f.under("out/"):
        if key == "ppl":
            yield "out/ppl", path.path_length(f["in/dist"])
        elif key == "slerp":
            yield "out/slerp", path.sphere(f["in/z0"], f["in/z1"], f["in/t"][:, None])
        elif match := re.fullmatch(r"dist_([wz])_(full|end)(_f64)?", key):
            yield f"out/{key}", _lengths(f, match[1], match[2], torch.float64 if match[3] else torch.float32)
        else:
            raise Unusable(f"{f.path}: unknown metric {key!r}")


def _lengths(f: Fixture, space: str, sampling: str, dtype: torch.dtype) -> Tensor:
    z0, z1, t, first, second = (f[f"in/{name}"].to(dtype) for name in ("z0", "z1", "t", "W1", "W2"))
    t = t * 0 if sampling == "end" else t

    def mapped(z: Tensor) -> Tensor:
        return torch.tanh(z @ first.T)

    def painted(w: Tensor) -> Tensor:
        return torch.tanh(w @ second.T)

    def seen(x: Tensor) -> Tensor:
        return x / 255

    epsilon = f.setting("epsilon")
    if space == "w":
        return path.path_lengths(painted, seen, mapped(z0), mapped(z1), t, epsilon=epsilon, walk="line")
    return path.path_lengths(lambda z: painted(mapped(z)), seen, z0, z1, t, epsilon=epsilon)

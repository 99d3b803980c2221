"""The trainings themselves: what is healthy, what is ill, and with what."""

from __future__ import annotations

from typing import Any

from .doctor_cases import Case

SLOW: dict[str, Any] = {"schedule": "linear", "ema": 20_000}
PLAIN: dict[str, Any] = {"ema": 20_000}
RPGAN: dict[str, Any] = {"loss": "relativistic", **SLOW}
BOTH: dict[str, Any] = {"r1": 0.1, "r2": 0.1}
WIDE: dict[str, Any] = {"latent": 8, "batch": 256, "ema": 5_000}
UNEVEN = ("unbalanced", "dropping", "collapse")
LEARNT = ("overfitting", "memorisation")
THROWN = ("unstable", "collapse", "overpowering")
ADRIFT = ("unstable", "collapse", "dropping")


def in_the_plane(group: str) -> list[Case]:
    """Ring or grid."""

    def case(name: str, right: tuple[str, ...], steps: int, count: int = 0, **arguments: Any) -> Case:
        return Case(name, group, right, steps, {**PLAIN, **arguments}, count=count)

    quick: dict[str, Any] = {"latent": 2, "schedule": "cosine", "ema": 5_000}
    grid = group == "grid"
    rpgan = {**RPGAN, **quick, "lr": 2e-3} if grid else RPGAN
    vanilla: dict[str, Any] = {"latent": 2, "lr": 2e-3, "ema": 5_000} if grid else WIDE
    return [
        case("rpgan r1 r2", (), 8_000 if grid else 4_000, **rpgan, stabilize=BOTH),
        case("nonsaturating r1", (), 4_000, **SLOW, stabilize={"r1": 0.1}),
        case("wgan-gp", (), 3_000, **SLOW, loss="wasserstein", critic_turns=3, stabilize={"gp": 0.1},
             lr=2e-3 if grid else 1e-3),
        case("pacgan 4", (), 4_000, **quick, batch=256, lr_d=2e-3, stabilize={"packing": 4}),
        case("vanilla", UNEVEN, 3_000, **vanilla),
        case("vanilla, beta 0.9", UNEVEN, 3_000, **WIDE, betas=(0.9, 0.999)),
        case("D lr ×10", ("overpowering", *(UNEVEN if grid else UNEVEN[1:])), 2_500, lr_d=1e-2),
        case("saturating, 5 turns of D ×10", ("vanishing",), 2_500, loss="minimax", critic_turns=5, lr=1e-4, lr_d=1e-3),
        case("G lr ×10", ("unstable", "collapse"), 2_500, lr=1e-2, lr_d=1e-3),
        case("clipped at 0.01", ("weak",), 1_200, loss="wasserstein", optimizer="rmsprop", lr=5e-5, critic_turns=5,
             stabilize={"clip_weights": 0.01}),
        case("wasserstein, unbounded", ("unstable",), 2_500, loss="wasserstein"),
        case("lr 0.1", ("unstable", "collapse"), 2_500, lr=0.1),
        case("sgd lr 0.1", ("nonfinite",), 2_500, lr=0.1, optimizer="sgd", betas=(0.9, 0.999)),
        case("32 points", (*LEARNT, "collapse"), 2_500, count=32),
        case("D frozen", ("idle",), 2_500, lr_d=0.0),
    ]  # fmt: skip


def in_32_dimensions() -> list[Case]:
    """The overfitting lab: few points of a Gaussian in 32 dimensions, or many.

    Without regularization, samples drift about with half the spread of the data, even of 20,000 points.
    """

    def case(name: str, right: tuple[str, ...], count: int = 0, **arguments: Any) -> Case:
        return Case(name, "lab32", right, 2_500, {**PLAIN, **arguments}, count=count)

    return [
        case("20,000, rpgan r1 r2", (), **RPGAN, stabilize={"r1": 1.0, "r2": 1.0}),
        case("20,000", ADRIFT),
        case("512", (*LEARNT, *ADRIFT), 512),
        case("64", LEARNT, 64),
        case("64, r1", LEARNT, 64, stabilize={"r1": 1.0}),
        case("64, rpgan r1 r2", LEARNT, 64, **RPGAN, stabilize={"r1": 1.0, "r2": 1.0}),
        case("64, instance noise 0.5", (*LEARNT, *ADRIFT), 64, stabilize={"instance_noise": 0.5}),
        case("64, label smoothing", LEARNT, 64, stabilize={"label_smoothing": 0.1}),
        case("64, LeCam", LEARNT, 64, stabilize={"lecam": 0.3}),
    ]


def digits() -> list[Case]:
    """MNIST at 28 pixels."""
    dcgan: dict[str, Any] = {"width": 16, "batch": 64, "lr": 1e-3}
    r3gan: dict[str, Any] = {"family": "dcgan", "width": 24, "batch": 32, "latent": 64, "lr": 1e-3}

    def case(
        name: str,
        right: tuple[str, ...],
        recipe: str,
        steps: int,
        count: int = 0,
        shuffled: bool = False,
        beside: str = "",
        **arguments: Any,
    ) -> Case:
        return Case(name, "mnist", right, steps, arguments, recipe, count, shuffled, beside)

    return [
        case("dcgan", (), "dcgan", 1_500, **dcgan),
        case("r3gan", (), "r3gan", 1_000, **r3gan),
        case("D lr ×10", ("overpowering", "collapse"), "dcgan", 1_500, **dcgan, lr_d=1e-2),
        case("saturating, 5 turns of D", ("vanishing",), "toy", 600, loss="minimax", critic_turns=5, batch=32),
        case("64 pictures", ("overfitting",), "dcgan", 1_500, 64, **dcgan),
        case("D frozen", ("idle",), "dcgan", 1_000, **dcgan, lr_d=0.0),
        case("clipped at 0.001", ("weak",), "wgan", 600, width=16, batch=32, critic_turns=5,
             stabilize={"clip_weights": 0.001}),
        case("labels shuffled", ("data", "ignored"), "cgan", 1_000, 0, True, **dcgan),
        case("lr ×200, no average", THROWN, "dcgan", 1_500, **{**dcgan, "lr": 0.2}, ema=0, beside="dcgan"),
        case("lr ×20, no average", THROWN, "r3gan", 1_000, **{**r3gan, "lr": 2e-2}, ema=0, beside="r3gan"),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (*in_the_plane("ring"), *in_the_plane("grid"), *in_32_dimensions(), *digits())

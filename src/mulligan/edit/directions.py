"""SeFa: directions of w along which a generator's pictures change most, from its weights alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..core.errors import UserError
from ..experiment import Experiment
from .files import fingerprint, save_tensors, styled
from .sheet import needs_pictures, sheet
from .styles import needs_styles, parse_layers

STEPS = 7
FAR = 1e4
"""Units at which a layer is asked, where its bias doesn't matter."""
DRAWN = 512
"""Random w whose deviation along a direction is the unit of strength."""
HEADER = "mulligan_directions"


@dataclass(frozen=True)
class Directions:
    """Unit `vectors` (count, style or latent), the largest eigenvalue first, and `eigenvalues` (count,).

    `deviations` (count,) is how far w strays along each, which a strength of 1 moves; `layers` take part, of a styled
    generator.
    """

    vectors: Tensor
    eigenvalues: Tensor
    deviations: Tensor
    layers: tuple[int, ...]


def factorized(A: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The eigenvectors of A^T A with the largest eigenvalues, (count, n) and (count,) (Shen & Zhou 2021, eq. 6 to 8).

    A (m, n) is what the first step of a layer does with w: n · α moves its result by αAn, most along the first one.
    An eigenvector has no sign of its own: its largest entry is positive.
    """
    A = A.double()
    values, vectors = torch.linalg.eigh(A.T @ A)  # in ascending order
    values, vectors = values.flip(0)[:count].clamp(min=0), vectors.flip(1).T[:count]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign(), values


def find_directions(experiment: Experiment, count: int = 5, layers: str = "all") -> Directions:
    """The `count` strongest directions of a run's generator, arXiv:2007.06600.

    Styled: A stacks the affine maps that read w in `layers` (all, coarse, middle, fine or 0-3). Otherwise: what reads
    z directly, which in most generators is the first layer. Raises UserError for a count or layers that can't be, and
    where nothing is found that reads w.
    """
    is_styled = styled(experiment)
    if not is_styled and layers != "all":
        needs_styles(experiment, f"--layers {layers}")
    chosen = parse_layers(layers, needs_styles(experiment, "this")) if is_styled else [0]
    found = readers(experiment)
    stack = [A for layer, A in found if layer in chosen]
    if not stack:
        raise UserError(f"{experiment.path}: no layer of {layers} was found that reads w linearly: take --layers all")
    A = torch.cat(stack)
    if not 1 <= count <= A.shape[1]:
        raise UserError(f"--count {count}: from 1 to {A.shape[1]}, the entries of w")
    vectors, values = factorized(A, count)
    vectors = vectors.float()
    with torch.no_grad():
        z = experiment.latents(DRAWN)
        w = experiment.w(z, experiment.some_labels(DRAWN))
        w = w[:, chosen[0]] if is_styled else w
        deviations = (w.float().cpu() @ vectors.T).std(0)
    return Directions(vectors, values.float(), deviations, tuple(chosen) if is_styled else ())


def readers(experiment: Experiment) -> list[tuple[int, Tensor]]:
    """The linear maps that a generator's w goes through first: the layer of w, and A (outputs, style or latent).

    They are found by looking at what comes in while a picture is made, so no network has to tell. A layer that reads
    some entries of z only, perhaps beside a label, has columns of zeros for the others.
    """
    y = experiment.some_labels(4)
    z = experiment.latents(4)
    z = z * z.square().mean(1, keepdim=True).rsqrt()  # where a network normalizes z first, this one stays as it is
    w = experiment.w(z, y)
    if styled(experiment):
        w = torch.randn(w.shape, generator=torch.Generator().manual_seed(1)).to(w)  # a w of its own for each layer
    sources = list(w.unbind(1)) if w.dim() == 3 else [w]
    found: list[tuple[int, Tensor]] = []
    known: set[nn.Module] = set()

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if x is None or module in known or x.dim() < 2 or len(x) != len(w):
            return
        for layer, source in enumerate(sources):
            place = _columns(x.flatten(1), source)
            if place is not None:
                known.add(module)
                found.append((layer, _matrix(module, x, place, source.shape[1])))
                return

    leaves = [module for module in experiment.sampler.modules() if not any(module.children())]
    hooks = [leaf.register_forward_pre_hook(look) for leaf in leaves if any(True for _ in leaf.parameters(False))]
    try:
        experiment.picture(w, y)
    finally:
        for hook in hooks:
            hook.remove()
    return [(layer, A) for layer, A in found if A.numel()]


def _columns(x: Tensor, source: Tensor) -> Tensor | None:
    """For each entry of x (n, k), which entry of the source (n, d) it is, or -1; None where it is none of it."""
    if x.shape[1] > source.shape[1] + 1024 or not torch.is_floating_point(x):
        return None
    apart = (x.float().T[:, None] - source.float().T[None]).abs().amax(2)
    nearest, place = apart.min(1)
    place = torch.where(nearest < 1e-4, place, -1)
    return place if bool((place >= 0).any()) else None


@torch.no_grad()
def _matrix(module: nn.Module, like: Tensor, place: Tensor, width: int) -> Tensor:
    """The matrix of a linear layer (outputs, width), by what it makes of unit vectors; else empty, as where it ignores
    them. Far out, the odd part of a layer with a leaky ReLU is linear too: its matrix up to a factor."""
    forward: Callable[[Tensor], Tensor] = module.forward  # not its call, which would be looked at
    entries = (place >= 0).nonzero().flatten()
    units = torch.zeros(len(entries), len(place), device=like.device, dtype=like.dtype)
    units[torch.arange(len(entries)), entries] = 1

    def step(far: float) -> Tensor:
        x = far * units.view(len(units), *like.shape[1:])
        return (forward(x) - forward(-x)).flatten(1).double() / (2 * far)

    steps = step(FAR)
    largest = float(steps.abs().max())
    if not largest or not torch.allclose(step(2 * FAR), steps, rtol=1e-3, atol=1e-4 * largest):
        return torch.empty(0)
    A = torch.zeros(steps.shape[1], width, dtype=torch.double)
    A[:, place[entries].cpu()] = steps.T.cpu()
    return A


def moved(w: Tensor, found: Directions, number: int, strengths: Sequence[float]) -> Tensor:
    """w (n, …) moved along direction `number` by each strength, in its deviations: (n, strengths, …)."""
    step = (found.vectors[number] * found.deviations[number]).to(w)
    far = torch.tensor(strengths, device=w.device, dtype=w.dtype)
    many = w[:, None].expand(-1, len(far), *w.shape[1:]).clone()
    if found.layers:
        many[:, :, list(found.layers)] += far[None, :, None, None] * step
    else:
        many += far[None, :, None] * step
    return many


def directions_sheet(
    experiment: Experiment, found: Directions, given: tuple[Tensor, Tensor | None], names: Sequence[str],
    strength: float = 3.0,
) -> Image.Image:  # fmt: skip
    """Each direction with each w of `given` (what `stops` gives) as a row, from -strength to +strength in 7 steps.

    Raises UserError for a strength that isn't above 0.
    """
    needs_pictures(experiment, "a sheet of directions")
    if not 0 < strength < float("inf"):
        raise UserError(f"--strength {strength:g}: a number above 0, such as 3")
    w, y = given
    strengths = torch.linspace(-strength, strength, STEPS).tolist()
    labels = None if y is None else y.repeat_interleave(STEPS, 0)
    rows = [
        list(row)
        for number in range(len(found.vectors))
        for row in experiment.picture(moved(w, found, number, strengths).flatten(0, 1), labels).unflatten(
            0, (-1, STEPS)
        )
    ]
    words = [f"seed {name}" if name.isdecimal() else name for name in names]
    beside = [f"{number + 1}, {word}" for number in range(len(found.vectors)) for word in words]
    breaks = range(len(names) - 1, len(rows) - 1, len(names))
    return sheet(rows, beside, [f"{value:+.3g}" if value else "0" for value in strengths], breaks_below=breaks)


def save_directions(path: Path, found: Directions, experiment: Experiment) -> Path:
    """Write directions, eigenvalues and deviations as safetensors, whole or not at all. Raises UserError."""
    facts = {"format": 1, "run": fingerprint(experiment), "recipe": experiment.settings()["recipe"]}
    facts |= {"layers": list(found.layers), "styled": styled(experiment), "paper": "arXiv:2007.06600"}
    tensors = {"directions": found.vectors, "eigenvalues": found.eigenvalues, "deviations": found.deviations}
    return save_tensors(path, tensors, {HEADER: json.dumps(facts)})

"""What is edited, by name: seeds, files of w, layers and labels, as a user writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment
from .files import SUFFIX, load_w, read_w, save_w, shape_of, styled

__all__ = [
    "labels_of", "load_w", "names_of", "needs_styles", "parse_layers", "parse_seeds", "sampled", "save_w", "stops",
    "styled",
]  # fmt: skip

MOST_SEEDS = 100_000
LAST_SEED, DIGITS = 2**63 - 1, 20
COARSE, MIDDLE = 4 / 18, 8 / 18
"""Where coarse and middle styles end, as shares of the layers: of the 18 that make 1024 pixels, coarse are 0-3 and
middle 4-7 (Karras et al. 2019, section 3.1)."""


def parse_seeds(text: str) -> list[int]:
    """Seeds of `1,5,10-20`, in this order. Raises UserError for anything else, and beyond MOST_SEEDS of them."""
    seeds: list[int] = []
    for word in (part.strip() for part in text.split(",")):
        first, _, last = word.partition("-")
        parts = [first, last] if "-" in word else [first]
        if not all(part.strip().isdecimal() and len(part) <= DIGITS for part in parts):
            raise UserError(f"seeds {text!r}: {word!r} is none; write whole numbers from 0 such as 1,5,10-20")
        low, high = int(first), int(last or first)
        if high < low or high > LAST_SEED:
            raise UserError(f"seeds {text!r}: {word!r} must go up, to {LAST_SEED} at most")
        if len(seeds) + high - low >= MOST_SEEDS:
            raise UserError(f"seeds {text!r} are more than {MOST_SEEDS:,}: for so many pictures take --count")
        seeds += range(low, high + 1)
    return seeds


def parse_layers(text: str, count: int) -> list[int]:
    """Layers of `coarse`, `middle`, `fine`, `all`, or numbers such as 0-3,6, of a generator of `count` layers.

    Raises UserError for unknown words, and for layers that the generator doesn't have.
    """
    ends = round(COARSE * count), round(MIDDLE * count)
    named = {"coarse": (0, ends[0]), "middle": ends, "fine": (ends[1], count), "all": (0, count)}
    found: set[int] = set()
    for word in (part.strip() for part in text.split(",")):
        first, _, last = word.partition("-")
        if word in named:
            low, high = named[word]
        elif first.isdecimal() and (last.isdecimal() or "-" not in word):
            low, high = int(first), int(last or first) + 1
        else:
            raise UserError(f"--layers {text!r}: take coarse, middle, fine, all, or numbers such as 0-3")
        if not 0 <= low < high <= count:
            raise UserError(f"--layers {text!r}: the generator has {count} layers, 0-{count - 1}")
        found |= set(range(low, high))
    return sorted(found)


def labels_in_turn(experiment: Experiment, label: str | None) -> Tensor | None:
    """What samples are told in turn: the classes that are named, with commas between several, or all of them.

    Of a run of numbers, its examples, with the columns that the label sets. None for a run without labels. Raises
    UserError for an unknown label.
    """
    if experiment.columns:
        return experiment.some_labels(len(experiment.sampler.conditions), label)
    if label is None or "," not in label or label in map(str, experiment.classes):
        return experiment.some_labels(len(experiment.classes) if label is None else 1, label)
    numbers = [experiment.label(name.strip()) for name in label.split(",")]
    return torch.tensor(numbers, device=experiment.device)


def sampled(experiment: Experiment, n: int, seed: int = 0, label: str | None = None) -> Tensor:
    """As `Experiment.sample`, where `label` may also be several classes, which samples are told in turn.

    Raises UserError as it does.
    """
    turn = labels_in_turn(experiment, label)
    if n < 1 or turn is None or label is None or experiment.columns:
        return experiment.sample(n, seed, label)
    return experiment.decode(experiment.latents(n, seed), turn[torch.arange(n, device=turn.device) % len(turn)])


def labels_of(experiment: Experiment, seeds: Sequence[int], label: str | None = None) -> Tensor | None:
    """A label for each seed (n,), or numbers (n, k); None for a run without labels.

    Classes that are named go in turn. Where none is, the seed chooses, so that a seed is the same picture everywhere.
    """
    turn = labels_in_turn(experiment, label)
    if turn is None:
        return None
    named = label is not None and not experiment.columns
    places = [place if named else seed for place, seed in enumerate(seeds)]
    return turn[torch.tensor([place % len(turn) for place in places], device=turn.device)]


def stops(experiment: Experiment, given: str | Sequence[int], label: str | None = None) -> tuple[Tensor, Tensor | None]:
    """w (n, …) and labels (n,) or None, of seeds, or of words: seeds such as `1,5,10-20` and files `face.safetensors`.

    Seed s stands for `latents(1, s)`, with the experiment's truncation; a file for every w in it, as it is. A label
    that was saved beside w counts unless one is given. Raises UserError for what can't be read or doesn't fit.
    """
    words = given.split(",") if isinstance(given, str) else [str(seed) for seed in given]
    found: list[tuple[Tensor, Tensor | None]] = []
    place = 0
    for word in (part.strip() for part in words):
        if word.endswith(SUFFIX):
            w, y = read_w(Path(word), experiment)
            told = labels_of(experiment, range(place, place + len(w)), label)
            found.append((w, told if y is None or label is not None else y))
        else:
            seeds = _seeds(word, given)
            named = label is not None and "," in label and not experiment.columns
            y = labels_of(experiment, range(place, place + len(seeds)) if named else seeds, label)
            # one after the other: a seed must give the same w alone and among others, to the last bit
            each = [None] * len(seeds) if y is None else y.split(1)
            w = [experiment.w(experiment.latents(1, seed), told) for seed, told in zip(seeds, each, strict=True)]
            found.append((torch.cat(w), y))
        place += len(found[-1][0])
    ys = [y for _, y in found if y is not None]
    return torch.cat([w for w, _ in found]), torch.cat(ys) if ys else None


def names_of(given: str, count: int) -> list[str]:
    """A short name for each of `count` rows of `stops`: the seed, or the file's name. Raises UserError."""
    words = [part.strip() for part in given.split(",")]
    seeds = {word: [str(seed) for seed in _seeds(word, given)] for word in words if not word.endswith(SUFFIX)}
    rest = count - sum(len(seeds.get(word, ())) for word in words)
    files = sum(word not in seeds for word in words)
    each = rest // max(files, 1)  # a file of several w isn't told apart further
    return [name for word in words for name in seeds.get(word, [Path(word).stem] * each)][:count]


def _seeds(word: str, given: object) -> list[int]:
    try:
        return parse_seeds(word)
    except UserError as error:
        raise UserError(f"{error}, or files of w such as face{SUFFIX}") from error


def needs_styles(experiment: Experiment, what: str) -> int:
    """The number of layers that take styles. Raises UserError where the generator has none."""
    if not styled(experiment):
        raise UserError(
            f"{experiment.path} is a {experiment.recipe.name} run, whose generator has no styles: {what} needs a run "
            "of stylegan, stylegan2 or stylegan3"
        )
    return shape_of(experiment)[0]

"""What decides what each of many samples is, and the latents and labels that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..core.blocks import BLOCK, blocks_of, seed_of
from ..experiment import Experiment
from .files import fingerprint
from .styles import labels_in_turn

FORMAT = 1


@dataclass(frozen=True)
class Wish:
    """What decides what sample number i is; `count` is how many the folder is to hold."""

    run: str
    weights: str
    seed: int
    psi: float
    label: str | None
    count: int

    @classmethod
    def of(cls, experiment: Experiment, seed: int, label: str | None, count: int) -> Wish:
        digest = hashlib.sha256()
        for name, value in sorted(experiment.sampler.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        psi = float(getattr(experiment.sampler, "psi", 1.0))
        return cls(fingerprint(experiment), digest.hexdigest()[:16], seed, psi, label, count)

    def differences(self, there: dict[str, object]) -> list[str]:
        """Each entry in which a note differs, but for the count."""
        mine = {**asdict(self), "format": FORMAT}
        return [
            f"{name}: {str(there.get(name))[:40]} there, {value} asked for"
            for name, value in mine.items()
            if name != "count" and there.get(name) != value
        ]


def size_of(number: int, count: int) -> int:
    """Samples in a block, of `count` in all."""
    return min(BLOCK, count - number * BLOCK)


def drawn(experiment: Experiment, wish: Wish, number: int) -> tuple[Tensor, Tensor | None]:
    """Latents (BLOCK, latent) and labels of a block; the same whatever the count."""
    draw = torch.Generator().manual_seed(seed_of(wish.seed, number))
    z = experiment.sampler.latents(BLOCK, draw)
    turn = labels_in_turn(experiment, wish.label)
    if turn is None:
        return z, None
    if experiment.columns:
        return z, turn[torch.randint(len(turn), (BLOCK,), generator=draw).to(turn.device)]
    if wish.label is None:
        places = torch.multinomial(torch.ones(len(turn)), BLOCK, replacement=True, generator=draw)
    else:
        places = torch.arange(number * BLOCK, (number + 1) * BLOCK) % len(turn)
    return z, turn[places.to(turn.device)]


def table(experiment: Experiment, wish: Wish, count: int) -> Iterator[list[str]]:
    """The rows of labels.csv without the file, names of the columns first; none for a run without labels.

    Numbers and words are those of the data: not scaled, and one column for all words.
    """
    if labels_in_turn(experiment, wish.label) is None:
        return
    table = Words(experiment.columns, experiment.described.scaling)
    yield table.names if experiment.columns else ["label"]
    for number in range(blocks_of(count)):
        y = drawn(experiment, wish, number)[1]
        assert y is not None
        for told in y[: size_of(number, count)].tolist():
            yield table.row(told) if experiment.columns else [str(experiment.classes[told])]


class Words:
    """Scaled numbers as they stood in the table of the data: `age`, and of `colour=red`, `colour=blue` the word."""

    def __init__(self, columns: Sequence[str], scaling: Sequence[Sequence[float]]) -> None:
        self.columns, self.scaling = columns, scaling or [(0.0, 1.0)] * len(columns)
        self.names = list(dict.fromkeys(column.rpartition("=")[0] or column for column in columns))

    def row(self, told: Sequence[float]) -> list[str]:
        best: dict[str, tuple[float, str]] = {}
        for column, value, (mean, spread) in zip(self.columns, told, self.scaling, strict=True):
            name, _, word = column.rpartition("=")
            plain = value * spread + mean
            if not name:
                best[column] = plain, f"{plain:.6g}"
            elif name not in best or plain > best[name][0]:
                best[name] = plain, word
        return [best[name][1] for name in self.names]

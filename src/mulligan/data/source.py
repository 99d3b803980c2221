"""A source: tensors with a name, class names, a fingerprint and remarks for the user."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

EXAMPLES = 256


@dataclass
class Source:
    """Equally long tensors, indexed together. `x` is uint8 (N,C,H,W), often memory-mapped and then read-only
    (change a copy), or float32 (N,d); `y`, where there are labels, is int64 (N,) with the names of `classes`, or
    float32 (N,k) with those of `columns`, whose own numbers are y × scaling[1] + scaling[0] of each."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    scaling: tuple[tuple[float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.tensors["x"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item of `x`: (C,H,W) or (d,)."""
        return tuple(self.tensors["x"].shape[1:])

    @property
    def examples(self) -> tuple[tuple[float, ...], ...]:
        """At most EXAMPLES rows of y, evenly spaced, where it has columns."""
        if not self.columns:
            return ()
        count = min(len(self), EXAMPLES)
        rows = self.tensors["y"][torch.arange(count) * len(self) // count]
        return tuple(tuple(row) for row in rows.tolist())

    def gather(self, indices: Tensor) -> dict[str, Tensor]:
        """A batch of the rows `indices`, int64 (B,), in their raw dtype; always a copy. Raises IndexError."""
        return {key: tensor.index_select(0, indices) for key, tensor in self.tensors.items()}

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"item {i} of {len(self)} in {self.name}")
        row = self.gather(torch.tensor([int(i) % len(self)]))
        return {key: tensor[0] for key, tensor in row.items()}


def fingerprint(digests: Mapping[str, tuple[str, tuple[int, ...], str]]) -> str:
    """sha256 over (dtype, shape, sha256 of the bytes) of each named tensor: the same on every machine."""
    total = hashlib.sha256()
    for name in sorted(digests):
        kind, shape, digest = digests[name]
        total.update(f"{name} {kind} {list(shape)} {digest}\n".encode())
    return total.hexdigest()


def fingerprint_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The fingerprint of tensors held in memory."""
    return fingerprint(
        {
            name: (str(t.dtype).removeprefix("torch."), tuple(t.shape), hashlib.sha256(t.numpy().tobytes()).hexdigest())
            for name, t in tensors.items()
        }
    )

"""What the values of a pickle become: plain ones, and inert stand-ins for everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

STEPS = 2_000_000  # an official checkpoint takes a tenth of it, and a step makes some hundred bytes at most
LETTERS = 2**26  # bytes of text; programs of a few hundred thousand letters are among them
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "BOOL": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1,
}  # fmt: skip
"""Kinds of numbers under safetensors' names, with their bytes."""


class Refused(Exception):
    """What is wrong with a file, for its user."""


class Forbidden(Refused):
    """What a file wants to be run, and isn't."""


class Budget:
    """What a file may cost: steps of work, text, and bytes that are copied. Pickles inside a pickle share it."""

    def __init__(self, size: int) -> None:
        self.steps, self.letters, self.bytes = STEPS, LETTERS, 4 * size + 2**16

    def work(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Refused(f"it takes more than {STEPS:,} steps to read, as no file of weights does")

    def read(self, letters: int) -> None:
        self.letters -= letters
        if self.letters < 0:
            raise Refused(f"it holds more than {LETTERS:,} bytes of text")

    def copy(self, count: int) -> None:
        self.bytes -= count
        if self.bytes < 0:
            raise Refused("it makes much more of its bytes than there are")


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function of the list, which is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Stub:
    """An object that was never made: its class in words, and the attributes that it would have had."""

    module: str
    name: str
    state: dict[str, Any] | None = None


@dataclass(eq=False, slots=True)
class Storage:
    """`count` numbers of a kind. Their bytes may come later than the tensors that lie in them."""

    kind: str
    count: int
    raw: memoryview | None = None

    def fill(self, raw: memoryview) -> None:
        if len(raw) != self.count * SIZES[self.kind]:
            raise Refused(f"{self.count:,} numbers ({self.kind}) are said to lie in {len(raw):,} bytes")
        self.raw = raw


@dataclass(eq=False, slots=True)
class Tensor:
    """A tensor as a place in a storage, in numbers, not bytes. An array of numpy gets its storage with its state."""

    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    offset: int = 0
    storage: Storage | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def shown(text: str | Name) -> str:
    """Words from a file, fit for a terminal."""
    words = str(text)[:80]
    return words if words.isprintable() else ascii(words)

"""DiffAugment with recorded draws."""

from collections.abc import Callable, Iterator

from torch import Tensor

from mulligan.parts import augment
from tests.parity.compare import Value
from tests.parity.fixture import Fixture

COLOR = ("brightness", "saturation", "contrast")


def run(f: Fixture) -> Iterator[Value]:
    for name in f.under("out/"):
        if name != "full":
            yield f"out/{name}", _apply(f, name, f["in/x"], lambda draw, name=name: f[f"in/{name}/{draw}"])
    if "out/full" in f:
        x = f["in/x"]
        for word in augment.parse(f.setting("policy")):
            for name in COLOR if word == "color" else (word,):
                x = _apply(f, name, x, lambda draw, name=name: f[f"in/full/{name}_{draw}"])
        yield "out/full", x


def _apply(f: Fixture, name: str, x: Tensor, draw: Callable[[str], Tensor]) -> Tensor:
    if name in COLOR:
        return getattr(augment, name)(x, draw("u"))
    if name == "translation":
        return augment.translation(x, draw("x"), draw("y"))
    return augment.cutout(x, draw("x"), draw("y"), f.setting("cutout_ratio"))

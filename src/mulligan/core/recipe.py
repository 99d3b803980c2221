"""A recipe is a typed function: its signature is the configuration, the command line and the checkpoint's header."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.abc
import importlib.util
import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from .engine import Optim, Schedule
from .errors import UserError
from .game import Game

MOST_ARGUMENTS = 12
AUTO, RATES = "auto", ("lr", "lr_d")
AUTOMATIC = (*RATES, "stabilize.r1", "stabilize.r2")
"""Arguments that may be given as "auto": a plan is only made of numbers, which a rule has put there."""
LEAST = {"latent": 1, "width": 1, "batch": 1, "critic_turns": 1, "images": 1, "ema": 0}  # where a recipe has them


class Shape(Protocol):
    """What a recipe may ask of the data: enough to build the same networks again without the data.

    Data with numbers for each item also have `columns`, their names, and `examples` (m, k); take them with getattr and
    the default ().
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Plan:
    """What a recipe returns.

    `batch` and `images` (the budget) count real images, `ema` is the half-life of the sampler's average in images.
    `metrics` are scored while training; the first one decides which checkpoint is the best.
    """

    game: Game
    optims: dict[str, Optim]
    batch: int
    images: int
    ema: float = 0.0
    schedule: Schedule = "constant"
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A function that builds a plan from data and keyword arguments, with what is known about it."""

    name: str
    build: Callable[..., Plan]
    paper: str
    spec: str
    sha256: str = ""

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.build) or "").split("\n")[0]

    def parameters(self) -> list[inspect.Parameter]:
        """The keyword arguments with their types resolved."""
        signature = inspect.signature(self.build, eval_str=True)
        return [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]

    def defaults(self) -> dict[str, Any]:
        return {p.name: p.default for p in self.parameters()}

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """All arguments, `given` over the defaults, nested dictionaries made into their dataclasses.

        Raises UserError for a name that the recipe doesn't have or a value of the wrong type.
        """
        known = {p.name: p for p in self.parameters()}
        for name in given:
            if name not in known:
                raise UserError(
                    f"recipe {self.name} has no argument {name!r}{nearest(name, known)}; it has: {', '.join(known)}"
                )
        made = {
            name: coerce(given[name], admitted(p), f"{self.name}: {name}") if name in given else p.default
            for name, p in known.items()
        }
        for name, least in LEAST.items():
            if isinstance(made.get(name), (int, float)) and not made[name] >= least:
                raise UserError(f"{self.name}: {name} is {made[name]}, but must be at least {least}")
        return made

    def plan(self, data: Shape, arguments: dict[str, Any]) -> Plan:
        """The plan of all arguments. Raises UserError where one is still "auto"."""
        if left := unresolved(arguments):
            raise UserError(f"{self.name}: {', '.join(left)} is 'auto': let mulligan.auto.resolve put a number there")
        return self.build(data, **arguments)


def admitted(parameter: inspect.Parameter) -> Any:
    """The type of what a parameter may be given as: a learning rate is a number in a recipe, and may be "auto" here."""
    kind = parameter.annotation
    return kind | Literal["auto"] if parameter.name in RATES and kind in (float, float | None) else kind


def unresolved(arguments: dict[str, Any]) -> list[str]:
    """Names of the arguments that are still "auto"."""
    flat = flatten(arguments)
    return [name for name in AUTOMATIC if flat.get(name) == AUTO]


REGISTRY: dict[str, Recipe] = {}


def recipe(paper: str = "") -> Callable[[Callable[..., Plan]], Callable[..., Plan]]:
    """Register a function as a recipe under its own name.

    Its first parameter is the data; all others are keyword-only with defaults, at most 12. Raises TypeError otherwise.
    """

    def register(build: Callable[..., Plan]) -> Callable[..., Plan]:
        first, *others = inspect.signature(build).parameters.values()
        if any(p.kind is not p.KEYWORD_ONLY or p.default is p.empty for p in others) or len(others) > MOST_ARGUMENTS:
            raise TypeError(
                f"recipe {build.__name__}: after {first.name}, at most {MOST_ARGUMENTS} keyword-only arguments, "
                "each with a default"
            )
        REGISTRY[build.__name__] = Recipe(build.__name__, build, paper, build.__name__)
        return build

    return register


class _Bytes(importlib.abc.SourceLoader):
    """Runs the very bytes that were hashed: a compiled file beside the recipe, which nobody reads, is never used."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.data


def from_file(spec: str, data: bytes | None = None) -> Recipe:
    """`my.py:mygan`: run the file, which is the caller's own code, and take the recipe of that name.

    `data` is what the file holds, where the caller has read and checked it. Raises UserError where the file or the
    function isn't there.
    """
    file_name, _, name = spec.rpartition(":")
    path = Path(file_name).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"recipe file {file_name} isn't there (looked for {path})")
    if path.suffix != ".py":
        raise UserError(f"recipe file {file_name} is not a Python file: it must end in .py")
    data = path.read_bytes() if data is None else data
    module_name = f"mulligan_recipe_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    loader = _Bytes(path, data)
    module = importlib.util.module_from_spec(
        cast(ModuleSpec, importlib.util.spec_from_file_location(module_name, path, loader=loader))
    )
    sys.modules[module_name] = module
    before = dict(REGISTRY)
    try:
        loader.exec_module(module)
    finally:
        # recipes of the house that the file has imported stay, its own do not
        made = {key: REGISTRY.pop(key) for key in list(REGISTRY) if REGISTRY[key].build.__module__ == module_name}
        REGISTRY.update(before)
    build: Any = getattr(module, name, None)
    if build is None or not callable(build):
        raise UserError(f"{file_name} has no recipe {name!r}{nearest(name, made)}; it has: {', '.join(made) or 'none'}")
    found, sha256 = made.get(name), hashlib.sha256(data).hexdigest()
    made_by = found.build if found else cast(Callable[..., Plan], build)
    return Recipe(name, made_by, found.paper if found else "", f"{path}:{name}", sha256)


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """', did you mean …?' or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def coerce(value: Any, kind: Any, where: str) -> Any:
    """A plain value (from Python or JSON) as the annotated type; nested dictionaries become dataclasses.

    Raises UserError naming `where`, the value and what is allowed.
    """
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        words = [word for o in options if typing.get_origin(o) is Literal for word in typing.get_args(o)]
        if (value is None and type(None) in options) or (isinstance(value, str) and value in words):
            return value
        others = [o for o in options if o is not type(None)]
        return coerce(value, next((o for o in others if typing.get_origin(o) is not Literal), others[0]), where)
    if origin is Literal:
        if value not in options:
            raise UserError(f"{where} is {value!r}, but must be one of {', '.join(map(str, options))}")
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = (options[0],) * len(value) if len(options) == 2 and options[1] is Ellipsis else options
        if len(kinds) != len(value):
            raise UserError(f"{where} is {value!r}, but needs {len(kinds)} values")
        return tuple(coerce(v, k, where) for v, k in zip(value, kinds, strict=True))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _coerce_dataclass(value, kind, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        hint = f"; auto is for {', '.join(AUTOMATIC)}" if value == AUTO else ""
        raise UserError(f"{where} is {value!r} ({type(value).__name__}), but must be {kind.__name__}{hint}")
    return value


def _coerce_dataclass(value: Any, kind: type, where: str) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise UserError(f"{where} is {value!r}, but must be a {kind.__name__} or a dictionary of its fields")
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise UserError(f"{where} has no field {name!r}{nearest(name, hints)}; it has: {', '.join(hints)}")
    return kind(**{name: coerce(v, hints[name], f"{where}.{name}") for name, v in value.items()})


def flatten(arguments: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested arguments as `{'stabilize.r1': 0.0, …}`, tuples as lists: what is compared and written as JSON."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def nest(arguments: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `flatten`, for `arguments()`."""
    nested: dict[str, Any] = {}
    for name, value in arguments.items():
        *path, last = name.split(".")
        inside = nested
        for step in path:
            inside = inside.setdefault(step, {})
        inside[last] = value
    return nested

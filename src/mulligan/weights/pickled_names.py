"""The names that a pickle may use, and what is done in their place. All others are refused, and none is looked up."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import pickled_tensors as tensors
from .pickled_values import Budget, Forbidden, Name, Refused, Stub, shown

LONGEST = 300  # letters of a name
BUILTINS = ("builtins", "__builtin__")
CLASSES = (
    (r"torch\.nn(\.\w+)+", r"\w+"),  # modules; and functions, which some modules keep
    (r"(training|R3GAN)(\.\w+)*", r"\w+"),  # R3GAN, whose networks are plain modules
    (r"dnnlib\.tflib\.network", r"Network"),  # NVIDIA's before PyTorch
    (r"models\.utils\.config", r"BaseConfig"),  # pytorch_GAN_zoo
    (r"argparse", r"Namespace"),
)
"""Classes of objects that become stubs."""
_CLASSES = [(re.compile(module, re.ASCII), re.compile(name, re.ASCII)) for module, name in CLASSES]
DICTIONARIES = {("collections", "OrderedDict"), ("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict")}
MENTIONED = {("numpy", "ndarray"), *(("torch", name) for name in tensors.STORAGES)}
"""Arguments of what is on the list."""
DTYPES = {
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "double", "float", "half", "long", "int", "short",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """What stands for a function: ours, and how many arguments it takes."""

    run: Callable[..., Any]
    least: int
    most: int


def calls(budget: Budget) -> dict[Name, Call]:
    """What stands for each function."""
    found = {
        ("torch._utils", "_rebuild_tensor"): Call(tensors.tensor, 4, 4),
        ("torch._utils", "_rebuild_tensor_v2"): Call(tensors.tensor, 6, 7),
        ("torch._utils", "_rebuild_parameter"): Call(tensors.parameter, 3, 3),
        ("torch._utils", "_rebuild_parameter_with_state"): Call(tensors.parameter, 4, 4),
        ("torch", "Size"): Call(lambda shape: tensors.sizes(shape), 1, 1),
        ("torch", "device"): Call(lambda kind, *_: _text(kind), 1, 2),
        ("numpy", "dtype"): Call(tensors.dtype, 1, 3),
        ("_codecs", "encode"): Call(lambda text, name: tensors.encoded(text, name, budget), 2, 2),
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): Call(lambda meta: persistent(meta, budget), 1, 1),
        ("collections", "defaultdict"): Call(lambda *_: {}, 0, 1),
        ("collections", "Counter"): Call(lambda *given: _dictionary(given, budget), 0, 1),
    }
    for core in ("numpy.core", "numpy._core"):
        found[core + ".multiarray", "_reconstruct"] = Call(tensors.array, 3, 3)
        found[core + ".multiarray", "scalar"] = Call(tensors.scalar, 2, 2)
        found[core + ".numeric", "_frombuffer"] = Call(tensors.array_of, 4, 4)
    for module in BUILTINS:
        for name in ("set", "frozenset", "list"):
            found[module, name] = Call(_list, 0, 1)
        found[module, "dict"] = Call(lambda *_: {}, 0, 0)
        found[module, "bytes"] = Call(lambda: memoryview(b""), 0, 0)
    for name in DICTIONARIES:
        found[name] = Call(lambda *given: _dictionary(given, budget), 0, 1)
    return {Name(*name): call for name, call in found.items()}


def resolve(module: Any, name: Any, known: dict[Name, Call]) -> Name | str:
    """A name of the list, or a dtype of torch in words. Raises Forbidden for all others."""
    if type(module) is not str or type(name) is not str:
        raise Refused("a name that is no text")
    if len(module) + len(name) > LONGEST:
        raise Refused(f"a name of more than {LONGEST} letters")
    if module == "torch" and name in DTYPES:
        return f"torch.{name}"
    found = Name(module, name)
    if found in known or (module, name) in MENTIONED or is_class(found):
        return found
    raise Forbidden(shown(f"{module}.{name}"))


def is_class(name: Name) -> bool:
    return any(module.fullmatch(name.module) and names.fullmatch(name.name) for module, names in _CLASSES)


def call(name: Any, given: Any, known: dict[Name, Call]) -> Any:
    """What stands for the result of a function."""
    if type(name) is not Name or type(given) is not tuple:
        raise Refused("a call of something that is no function")
    if name not in known:
        raise Forbidden(shown(name))
    stand_in = known[name]
    if not stand_in.least <= len(given) <= stand_in.most:
        raise Refused(f"a call of {name} with {len(given)} arguments")
    return stand_in.run(*given)


def make(name: Any, given: Any) -> Stub | dict[Any, Any]:
    """What stands for a new object of a class."""
    if type(name) is not Name:
        raise Refused("an object of something that is no class")
    if (name.module, name.name) in DICTIONARIES and given == ():
        return {}
    if not is_class(name):
        raise Forbidden(shown(name))
    if given != ():
        raise Refused(f"an object of {shown(name)} with arguments")
    return Stub(name.module, name.name)


def persistent(meta: Any, budget: Budget) -> Stub:
    """NVIDIA's modules: class and state. The source of the class, which theirs runs, is passed over."""
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("class_name")) is not str:
        raise Refused("a persistent object of another form than NVIDIA's")
    made = Stub("torch_utils.persistence", meta["class_name"])
    build(made, meta.get("state"), budget)
    return made


def build(made: Any, state: Any, budget: Budget) -> None:
    """Give a new object its state."""
    if type(made) is tensors.Tensor:
        tensors.fill_array(made, state, budget)
    elif type(made) is tensors.Kind:
        tensors.check_dtype(state)
    elif type(made) in (Stub, dict):
        budget.work(len(state) if type(state) is dict else 0)
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise Refused("an object whose state is no dictionary of attributes")
        if special := [name for name in state if name.startswith("__") and name.endswith("__")]:
            raise Forbidden(shown(special[0]))
        if type(made) is Stub:  # attributes of a dictionary are notes of torch's about versions
            if made.state is not None:
                raise Refused("an object that gets its state twice")
            made.state = state
    else:
        raise Refused("a state for something that has none")


def _list(values: Any = ()) -> Any:
    """Sets come as lists. The same object, for a copy would cost what no bytes in the file pay for."""
    if type(values) not in (list, tuple):
        raise Refused("a set of something that is no list")
    return values


def _dictionary(given: tuple[Any, ...], budget: Budget) -> dict[Any, Any]:
    """Empty, or from pairs, as Python 2 writes it, or what a dictionary holds."""
    if not given:
        return {}
    if type(given[0]) is dict:
        return given[0]
    if type(given[0]) is not list:
        raise Refused("a dictionary of something that is no list of pairs")
    budget.work(len(given[0]))
    made: dict[Any, Any] = {}
    for pair in given[0]:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Refused("a dictionary of something that is no list of pairs")
        made[key(pair[0])] = pair[1]
    return made


def key(value: Any) -> Any:
    """A key of a dictionary: of a kind that is quickly hashed, however its maker has chosen them."""
    if value is None or type(value) in (str, bool) or (type(value) is int and -(2**63) <= value < 2**63):
        return value
    raise Refused("a key of a dictionary that is neither text nor a number")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Refused("the name of a device that is no text")
    return value

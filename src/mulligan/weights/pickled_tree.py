"""What the reader's process hands over: the values as a flat list for JSON, and the tensors as safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, Any

from .pickled_tensors import packed
from .pickled_values import SIZES, Name, Refused, Storage, Stub, Tensor

DEEPEST = 200  # a module lies three levels deeper than the one that holds it
OBJECTS = 300_000  # lists, dictionaries, stubs and tensors; a module is a dozen of them
MOST = 1_000_000  # values, each counted as often as it is mentioned; 16 letters are one
SHARED = 4  # tensors may share their numbers, but so often at most
SPARE = 4096  # bytes, for small files
SOURCES = {"module_src", "build_module_src"}  # programs: nobody is to read them, let alone run them
PLAIN = (str, int, float, bool, type(None))


@dataclass
class Flat:
    """Values one by one, after what they hold: ["list", ...], ["dict", [key, value], ...], ["stub", module, name, ...]
    and ["tensor", number]. In them, [i] is the value number i, and all else is plain.
    """

    nodes: list[list[Any]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)


def flatten(root: Any, size: int) -> Flat:
    """The values of a file of `size` bytes. Raises Refused for what holds itself, or is much more than the file."""
    flat, done, open_, left = Flat(), dict[int, tuple[int, int, int]](), set[int](), SHARED * size + SPARE
    todo: list[tuple[Any, bool]] = [([root], False)]
    while todo:
        value, ready = todo.pop()
        name = id(value)
        if name in done:
            continue
        inside = held(value)
        if not ready:
            if name in open_:
                raise Refused("it holds itself")
            open_.add(name)
            if len(open_) + len(done) > OBJECTS:
                raise Refused(f"it holds more than {OBJECTS:,} objects")
            todo.append((value, True))
            todo += [(kid, False) for kid in inside if type(kid) not in PLAIN]
            continue
        open_.discard(name)
        weight, depth = 1, 1
        for kid in inside:
            if type(kid) in PLAIN:
                weight += 1 + (len(kid) // 16 if type(kid) is str else 0)
            else:
                weight, depth = weight + done[id(kid)][1], max(depth, 1 + done[id(kid)][2])
        if weight > MOST:
            raise Refused(f"it unfolds to more than {MOST:,} values")
        if depth > DEEPEST:
            raise Refused(f"it is nested more than {DEEPEST} levels deep")
        if type(value) in (Tensor, memoryview):
            left -= _bytes(value)
            if left < 0:
                raise Refused(f"it claims many more bytes of tensors than its {size:,}")
        done[name] = (len(flat.nodes), weight, depth)
        flat.nodes.append(_node(value, flat, done))
    return flat


def held(value: Any) -> list[Any]:
    """What a value holds, keys left out."""
    if type(value) in (list, tuple):
        return list(value)
    if type(value) is dict:
        return [inner for name, inner in value.items() if name not in SOURCES]
    if type(value) is Stub:
        return [] if value.state is None else [value.state]
    if type(value) in (Tensor, memoryview, Name):
        return []
    raise Refused(f"a {type(value).__name__.lower()} that is in no tensor")


def _node(value: Any, flat: Flat, done: dict[int, tuple[int, int, int]]) -> list[Any]:
    def told(kid: Any) -> Any:
        return kid if type(kid) in PLAIN else [done[id(kid)][0]]

    if type(value) in (list, tuple):
        return ["list", *map(told, value)]
    if type(value) is dict:
        return ["dict", *([name, told(inner)] for name, inner in value.items() if name not in SOURCES)]
    if type(value) in (Stub, Name):
        return ["stub", value.module, value.name, *map(told, held(value))]
    flat.tensors.append(value if type(value) is Tensor else _letters(value))
    return ["tensor", len(flat.tensors) - 1]


def _letters(raw: memoryview) -> Tensor:
    """Bytes as a tensor."""
    return Tensor((len(raw),), (1,), 0, Storage("U8", len(raw), raw))


def _bytes(value: Tensor | memoryview) -> int:
    if isinstance(value, memoryview):
        return len(value)
    if value.storage is None or value.storage.raw is None:
        raise Refused("an array without numbers")
    return value.count * SIZES[value.storage.kind]


def write(tensors: list[Tensor], file: IO[bytes]) -> None:
    """As safetensors, under their numbers."""
    header, at = dict[str, Any](), 0
    for i, tensor in enumerate(tensors):
        end = at + _bytes(tensor)
        header[str(i)] = {"dtype": _kind(tensor), "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    letters = json.dumps(header).encode()
    letters += b" " * (-len(letters) % 8)
    file.write(len(letters).to_bytes(8, "little") + letters)
    for tensor in tensors:
        file.write(_numbers(tensor))


def _kind(tensor: Tensor) -> str:
    assert tensor.storage is not None
    return tensor.storage.kind


def _numbers(tensor: Tensor) -> bytes | memoryview:
    """The bytes of a tensor without gaps. Its place in the storage has been checked."""
    kind, size = _kind(tensor), SIZES[_kind(tensor)]
    raw = tensor.storage.raw if tensor.storage is not None else None
    if raw is None or not tensor.count:
        return b""
    plain = all(a == b for a, b, n in zip(tensor.strides, packed(tensor.shape), tensor.shape) if n > 1)
    if plain:
        found = raw[tensor.offset * size : (tensor.offset + tensor.count) * size]
    else:
        found = _gathered(raw, tensor, size)
    if kind == "BOOL" and bytes(found).translate(None, b"\0\1"):
        raise Refused("truth values other than 0 and 1")
    return found


def _gathered(raw: memoryview, tensor: Tensor, size: int) -> memoryview:
    import numpy as np  # slow to import, and few files need it

    numbers = np.frombuffer(raw, f"u{size}")[tensor.offset :]
    strides = [stride * size for stride in tensor.strides]
    return (
        np.ascontiguousarray(np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides))
        .reshape(-1)
        .view("u1")
        .data
    )
